import type { Storage } from '@google-cloud/storage';
import { throwIfAborted } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type GcsAccess, SignInFailure } from './gcs-errors.ts';
import type { gcsSdk } from './gcs-sdk.ts';
import { exchange, type HttpAnswer, type HttpRequest, keepAliveAgents } from './http-exchange.ts';
import type { ServiceSettings } from './service.ts';

/** A client of the SDK, of which the signed request is used. */
type Client = Pick<
  Awaited<ReturnType<Storage['authClient']['getClient']>>,
  'request' | 'getRequestHeaders'
>;

/** Credentials that do not come within this time do not come. */
const signInMsMax = 60_000;
/** The service refuses what was signed by a clock that is so far off. */
const skewMsMax = 5 * 60_000;

/**
 * The way to the service: its address, credentials, connections.
 *
 * Every request is the signed request of the SDK's client, over a transport of our own, and none goes
 * through the SDK's classes of buckets and files. Those take no signal, so that nothing could end a
 * transfer; they watch no connection for silence; a body that is cut off before its length never ends
 * there, since node-fetch 2 below them forwards no such failure; and they count checksums in JavaScript
 * or not at all.
 */
export class GcsConnection {
  readonly sdk: typeof gcsSdk;
  readonly access: GcsAccess;
  /** URL of the service, of which the path does not count. */
  readonly endpoint: string;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #agentFor = keepAliveAgents();

  private constructor(
    sdk: typeof gcsSdk,
    client: Client,
    how: { access: GcsAccess; endpoint: string; clock: Clock },
  ) {
    this.sdk = sdk;
    this.access = how.access;
    this.endpoint = how.endpoint;
    this.#client = client;
    this.#clock = how.clock;
  }

  /**
   * Loads the SDK and lets it find credentials.
   * @throws SignInFailure without credentials
   */
  static async open(settings: ServiceSettings, clock: Clock): Promise<GcsConnection> {
    // Loading it takes longer than most commands; only remotes of this kind need it.
    const { gcsSdk: sdk } = await import('./gcs-sdk.ts');
    const { endpoint, keyFile, project = 'none' } = settings;
    const storage = new sdk.Storage({
      // No request needs it, and some kinds of credentials would ask other services for it.
      projectId: project,
      ...(endpoint === undefined ? {} : { apiEndpoint: endpoint }),
      ...(keyFile === undefined ? {} : { keyFilename: keyFile }),
    });
    const address = endpointOf(storage);
    const access = accessTo(address, settings);
    const how = { access, endpoint: address, clock };
    if (access !== 'signed-in') return new GcsConnection(sdk, new sdk.PassThroughClient(), how);
    try {
      return new GcsConnection(sdk, await storage.authClient.getClient(), how);
    } catch (error) {
      throw signInFailure(error, clock);
    }
  }

  /**
   * Signs a request and sends it once.
   * @throws SignInFailure, and what {@link exchange} throws
   */
  async send(request: Omit<HttpRequest, 'agent'>): Promise<HttpAnswer> {
    await this.#signIn(request.url, request.signal);
    let outcome: Promise<HttpAnswer> | undefined;
    await this.#client
      .request({
        url: request.url.href,
        headers: { ...request.headers },
        retry: false,
        validateStatus: () => true,
        adapter: async (prepared) => {
          // An agent is there when the environment names a proxy.
          const agent = (prepared.agent as HttpRequest['agent']) ?? this.#agentFor(request.url);
          outcome = exchange({ ...request, headers: prepared.headers ?? {}, agent });
          // Whether it succeeds is looked at below: the client wraps what fails in here.
          await outcome.catch(() => {});
          return { config: prepared, data: undefined as never, ...emptyResponse };
        },
      })
      .catch((error: unknown) => {
        if (outcome === undefined) throw signInFailure(error, this.#clock);
      });
    return outcome as unknown as Promise<HttpAnswer>;
  }

  /** Says who requests come from, as far as it is known without a request. */
  identity(): string {
    if (this.access === 'anonymous') return 'nobody: requests carry no credentials';
    if (this.access === 'withheld') return 'nobody: credentials go to hosts of Google alone';
    const { kindsOfClients: kinds } = this.sdk;
    const client: object = this.#client;
    if (client instanceof kinds.JWT) return `the service account ${printable(client.email ?? '')}`;
    if (client instanceof kinds.UserRefreshClient) return 'a user who signed in by gcloud';
    if (client instanceof kinds.Compute) return 'the service account of this machine';
    if (client instanceof kinds.Impersonated) return 'an impersonated service account';
    if (client instanceof kinds.BaseExternalAccountClient) return 'workload identity federation';
    return 'credentials that the SDK found';
  }

  /** Tells whether an answer of this time shows that the clocks of both sides differ too much. */
  isSkewed(date: string | undefined): boolean {
    return isSkewed(date, this.#clock);
  }

  /** Gets credentials that are valid now; the SDK keeps them until shortly before they expire. */
  async #signIn(url: URL, signal: AbortSignal | undefined): Promise<void> {
    try {
      await inTime(this.#client.getRequestHeaders(url.href), signal);
    } catch (error) {
      throwIfAborted(signal);
      throw signInFailure(error, this.#clock);
    }
  }
}

/** The address that the SDK settled on: of the settings, of the emulator that the environment names, or Google's. */
function endpointOf({ apiEndpoint, universeDomain }: Storage): string {
  // What an empty STORAGE_EMULATOR_HOST is made to; whoever clears a variable so means it to be unset.
  if (apiEndpoint === 'https:') return `https://storage.${universeDomain}`;
  if (URL.canParse(apiEndpoint)) return apiEndpoint;
  throw new MstoreError('config-invalid', 'The address of Cloud Storage is no URL', {
    hint: 'Set STORAGE_EMULATOR_HOST to http://HOST:PORT, or unset it; check remote.NAME.endpoint too',
  });
}

/** What a client wants back from a transport; nobody looks at it. */
const emptyResponse = { status: 200, statusText: '', headers: {}, request: { responseURL: '' } };

/**
 * Decides whether requests carry credentials. Whoever has them can act as their owner, and an endpoint may
 * come from the files of a workspace that somebody else wrote: they go to Google, over TLS, and to an
 * endpoint that whoever runs the command has set, by the environment. An emulator gets none.
 */
function accessTo(endpoint: string, settings: ServiceSettings): GcsAccess {
  if (settings.anonymous) return 'anonymous';
  const { protocol, hostname } = new URL(endpoint);
  if (protocol === 'https:' && /(?:^|\.)googleapis\.com$/.test(hostname)) return 'signed-in';
  return settings.endpointTrusted ? 'signed-in' : 'withheld';
}

/** Waits for credentials, but not for ever, and not beyond the signal. */
async function inTime<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let stop = () => {};
  const limit = new Promise<never>((_, reject) => {
    const text = `No credentials came within ${signInMsMax} ms`;
    const late = () => reject(Object.assign(new Error(text), { code: 'ETIMEDOUT' }));
    const timer = setTimeout(late, signInMsMax);
    signal?.addEventListener('abort', late, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', late);
    };
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    stop();
  }
}

/** Reads what there is to know out of an error of the SDK's search for credentials. */
function signInFailure(error: unknown, clock: Clock): SignInFailure {
  const { response } = (typeof error === 'object' && error !== null ? error : {}) as {
    response?: {
      status?: number;
      headers?: Readonly<Record<string, string>>;
      data?: { error?: unknown; error_subtype?: unknown };
    };
  };
  const said = response?.data?.error_subtype ?? response?.data?.error;
  return new SignInFailure(error, {
    status: response?.status,
    reason: typeof said === 'string' ? said : undefined,
    skewed: isSkewed(response?.headers?.['date'], clock),
  });
}

function isSkewed(date: string | undefined, clock: Clock): boolean {
  const theirs = Date.parse(date ?? '');
  return Math.abs(theirs - clock.now()) > skewMsMax;
}
