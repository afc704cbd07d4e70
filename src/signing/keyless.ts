import { throwIfAborted, untilAborted } from '../base/abort.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { statementType } from './dsse.ts';

/** Where Sigstore's public services are. */
export const publicFulcio = 'https://fulcio.sigstore.dev';
export const publicRekor = 'https://rekor.sigstore.dev';

/** Who signs with an account, and by which services. */
export interface Account {
  /** From the provider of the identity, for the audience `sigstore`. It is shown in no error. */
  readonly token: string;
  /** URL of the authority that makes a certificate of the token. */
  readonly fulcio: string;
  /** URL of the log that keeps the signature for everybody to see. */
  readonly rekor: string;
}

const requestMsMax = 30_000;
/** Busy and failing services are asked three times in all. */
const retry = { retries: 2, minTimeout: 300, factor: 3 };

/**
 * Signs a statement with a key of its own, for which an authority gives a certificate of some minutes, and which is forgotten then. A
 * log that everybody can read keeps the statement's digest and the name of who signed.
 * @throws MstoreError `bad-key` for a token that cannot be used, `remote-refused`, `remote-unreachable`, `interrupted`
 */
export async function signKeyless(
  payload: Buffer,
  { token, fulcio, rekor }: Account,
  { now, signal }: { readonly now: number; readonly signal?: AbortSignal | undefined },
): Promise<JsonObject> {
  throwIfAborted(signal);
  checkToken(token, now);
  const [fulcioBaseURL, rekorBaseURL] = [serviceUrl(fulcio), serviceUrl(rekor)];
  const sdk = await import('./sigstore-client.ts');
  const how = { retry, timeout: requestMsMax };
  const identityProvider = { getToken: async () => token };
  const builder = new sdk.DSSEBundleBuilder({
    signer: new sdk.FulcioSigner({ ...how, fulcioBaseURL, identityProvider }),
    witnesses: [new sdk.RekorWitness({ ...how, rekorBaseURL, entryType: 'dsse' })],
  });
  try {
    const made = builder.create({ data: payload, type: statementType });
    const bundle = sdk.bundleToJSON(await untilAborted(made, signal));
    // Without the members that are undefined.
    return JSON.parse(JSON.stringify(bundle)) as JsonObject;
  } catch (error) {
    if (error instanceof MstoreError) throw error;
    throw serviceFailure(error, fulcioBaseURL, rekorBaseURL);
  }
}

const tokenHint =
  'Get a new one for the audience "sigstore" from the provider of your identity, and put it into SIGSTORE_ID_TOKEN';

function checkToken(token: string, now: number): void {
  const claims = claimsOf(token);
  const problem = (what: string) =>
    new MstoreError('bad-key', `The token of the identity cannot be used: ${what}`, {
      hint: tokenHint,
    });
  if (claims === undefined) throw problem('it is no JSON web token');
  const { exp, aud, email, email_verified: isVerified, sub } = claims;
  if (typeof exp === 'number' && exp * 1000 <= now) {
    throw problem(`it ended on ${new Date(exp * 1000).toISOString()}`);
  }
  const audiences = Array.isArray(aud) ? aud : [aud];
  if (aud !== undefined && !audiences.includes('sigstore')) {
    throw problem(`it is for ${printable(audiences.join(', ').slice(0, 200))}, not for sigstore`);
  }
  if (email !== undefined && isVerified !== true)
    throw problem('its address of mail is not verified');
  if (typeof email !== 'string' && typeof sub !== 'string') throw problem('it names nobody');
}

function claimsOf(token: string): JsonObject | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1] as string, 'base64url').toString());
    return isJsonObject(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** The token goes there: over TLS, or to a service of this machine. */
function serviceUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = ['127.0.0.1', '[::1]', 'localhost'].includes(url?.hostname ?? '');
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal);
  if (url === undefined || !isSafe || url.username !== '' || url.password !== '') {
    throw new MstoreError('usage', `No service of Sigstore is at ${printable(text)}`, {
      hint: 'Name one as https://HOST, without a user and a password',
    });
  }
  return url.href.replace(/\/+$/, '');
}

function serviceFailure(error: unknown, fulcio: string, rekor: string): MstoreError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const [who, url] = code.startsWith('TLOG') ? ['The log', rekor] : ['The authority', fulcio];
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  const status = cause instanceof Error && 'statusCode' in cause ? Number(cause.statusCode) : 0;
  const said = cause instanceof Error ? printable(cause.message.slice(0, 300)) : 'no reason given';
  const details = { url, ...(status === 0 ? {} : { status }) };
  if (status >= 400 && status < 500) {
    return new MstoreError('remote-refused', `${who} of Sigstore at ${url} refuses: ${said}`, {
      hint: tokenHint,
      details,
    });
  }
  return new MstoreError('remote-unreachable', `${who} of Sigstore at ${url} failed: ${said}`, {
    hint: 'Try again later; --fulcio and --rekor name other services',
    details,
  });
}
