import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Who may sign, and what the server compares with. */
export interface SignatureRules {
  /** Secrets by access key. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly region: string;
  /** Milliseconds since 1970: the clock of the server. */
  readonly now: number;
  /** Takes bodies whose digest is not in the signature. */
  readonly unsignedBodies: boolean;
}

/** A code of S3 with its HTTP status, or undefined when all is right. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly region?: string;
}

const skewMsMax = 15 * 60 * 1000;

/** Checks a Signature Version 4 in the Authorization header, and the digest of the body that it signs. */
export function checkSignature(
  request: IncomingMessage,
  body: Buffer,
  rules: SignatureRules,
): Refusal | undefined {
  const header = request.headers.authorization ?? '';
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      header,
    );
  if (match === null) return { status: 403, code: 'AccessDenied' };
  const [, accessKey = '', day = '', region = '', signedNames = '', signature = ''] = match;
  const secret = rules.secrets[accessKey];
  if (secret === undefined) return { status: 403, code: 'InvalidAccessKeyId' };
  if (region !== rules.region) {
    return { status: 400, code: 'AuthorizationHeaderMalformed', region: rules.region };
  }
  const stamp = String(request.headers['x-amz-date'] ?? '');
  if (Math.abs(timeOf(stamp) - rules.now) > skewMsMax || !stamp.startsWith(day)) {
    return { status: 403, code: 'RequestTimeTooSkewed' };
  }
  const bodyDigest = String(request.headers['x-amz-content-sha256'] ?? '');
  const names = signedNames.split(';');
  const unsigned = Object.keys(request.headers).filter(
    (name) => (name === 'host' || name.startsWith('x-amz-')) && !names.includes(name),
  );
  if (unsigned.length > 0) return { status: 403, code: 'AccessDenied' };
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical(request, names, bodyDigest))}`;
  const key = ['s3', 'aws4_request'].reduce(
    hmac,
    hmac(hmac(Buffer.from(`AWS4${secret}`), day), region),
  );
  if (hmac(key, text).toString('hex') !== signature) {
    return { status: 403, code: 'SignatureDoesNotMatch' };
  }
  if (rules.unsignedBodies && bodyDigest === 'UNSIGNED-PAYLOAD') return undefined;
  if (bodyDigest !== sha256(body)) return { status: 400, code: 'XAmzContentSHA256Mismatch' };
  return undefined;
}

function canonical(request: IncomingMessage, names: string[], bodyDigest: string): string {
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const pairs =
    query === '' ? [] : query.split('&').map((pair) => (pair.includes('=') ? pair : `${pair}=`));
  const headers = names.map((name) => {
    const value = request.headers[name];
    return `${name}:${String(value ?? '')
      .trim()
      .replace(/ +/g, ' ')}\n`;
  });
  return [
    request.method,
    path,
    pairs.sort().join('&'),
    headers.join(''),
    names.join(';'),
    bodyDigest,
  ].join('\n');
}

function timeOf(stamp: string): number {
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(stamp) ?? [];
  return Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
