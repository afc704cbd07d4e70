import { setMaxListeners } from 'node:events';
import type { S3Client } from '@aws-sdk/client-s3';
import { throwIfAborted } from '../base/abort.ts';
import type { Random } from '../base/clock.ts';
import { invariant, MstoreError } from '../base/errors.ts';
import { PartMemory } from './part-memory.ts';
import type { RemoteCallOptions } from './remote.ts';
import { boundAnswers } from './s3-answers.ts';
import type { BodyProtection } from './s3-body.ts';
import { fromS3Error } from './s3-errors.ts';
import type { s3Sdk } from './s3-sdk.ts';
import type { BucketPlace, ServiceSettings } from './service.ts';
import type { RequestGate, Turn } from './wrappers/concurrency.ts';
import type { RateLimit } from './wrappers/rate.ts';
import type { RetryPolicy } from './wrappers/retry.ts';

const partBytesDefault = 8 * 1024 * 1024;

/** The SDK with a client of it that is set up. */
export interface S3Connection {
  readonly sdk: typeof s3Sdk;
  readonly client: S3Client;
  /** URL of the service that the settings or the configuration of the SDK name; undefined for Amazon's. */
  readonly endpoint: string | undefined;
}

/** Options of an S3 remote. */
export interface S3Options {
  readonly settings?: ServiceSettings | undefined;
  readonly random: Random;
  /** Tries the parts of a large object again, one by one; without it a part has one try. */
  readonly policy?: RetryPolicy | undefined;
  /** A connection on which no byte moves for so long is given up. */
  readonly stallMsMax?: number | undefined;
  /** Says how many requests may be under way; without it there is no bound but the memory for bodies. */
  readonly gate?: RequestGate | undefined;
  /** Bounds the bytes a second of bodies, as they leave. */
  readonly limit?: RateLimit | undefined;
  /** Sources up to this size are sent in one request, larger ones in parts of this size or more. */
  readonly partBytes?: number;
  /** Bodies of this many parts fit in the memory that all uploads of the remote share. */
  readonly partsInMemory?: number;
}

/** Sends a request by the SDK, and may tell of the bytes it moves. */
type Work<T> = (
  connection: S3Connection,
  request: { abortSignal?: AbortSignal },
  moved: (bytes: number) => void,
) => Promise<T>;

/** An S3 remote, as the modules of the backend hand it to each other. */
export class S3Place {
  readonly place: BucketPlace;
  readonly options: S3Options;
  /** Whether the service was found to refuse conditional writes. */
  conditionsRefused = false;
  /** Whether uploads of other processes may be gone on with, as far as it is known. */
  sharesUploads = true;
  /** Least size of a part. */
  readonly partBytes: number;
  /** Memory for bodies on their way. */
  readonly memory: PartMemory;
  /** How bodies are protected on their way; see {@link BodyProtection}. */
  protection: BodyProtection;
  #connection: Promise<S3Connection> | undefined;

  constructor(place: BucketPlace, options: S3Options) {
    const { partBytes = partBytesDefault, partsInMemory = 12, settings } = options;
    this.place = place;
    this.options = options;
    this.partBytes = partBytes;
    this.memory = new PartMemory(partBytes * partsInMemory, partBytes);
    this.protection = settings?.endpoint?.startsWith('http:') ? 'signed' : 'checksum';
  }

  get location(): string {
    return this.place.location;
  }

  /** Members of a request that names an object. */
  object(key: string): { Bucket: string; Key: string; RequestPayer?: 'requester' } {
    return { Bucket: this.place.bucket, Key: this.place.prefix + key, ...this.payer };
  }

  /** Members of a request that say who pays. */
  get payer(): { RequestPayer?: 'requester' } {
    return this.options.settings?.requesterPays ? { RequestPayer: 'requester' } : {};
  }

  /**
   * Makes one attempt at a call; its failure becomes the remote's own error.
   * @param attempt as {@link fromS3Error} takes it
   * @throws MstoreError `interrupted` once the signal is aborted, whatever failed
   */
  async call<T>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    work: Work<T>,
  ): Promise<T> {
    const { answer, turn } = await this.begin(attempt, options, work);
    turn?.end();
    return answer;
  }

  /** Makes a {@link call} whose answer is still to be read: until then its turn is held, and then ended. */
  async begin<T>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    work: Work<T>,
  ): Promise<{ readonly answer: T; readonly turn: Turn | undefined }> {
    const signal = options?.signal;
    throwIfAborted(signal);
    // So many requests may wait for it that Node would take them for a leak.
    if (signal !== undefined) setMaxListeners(0, signal);
    const turn = await this.options.gate?.enter(options);
    try {
      this.#connection ??= connect(this.options);
      const request = signal === undefined ? {} : { abortSignal: signal };
      const moved = (bytes: number): void => turn?.moved(bytes);
      return { answer: await work(await this.#connection, request, moved), turn };
    } catch (error) {
      const failure = this.failure(error, attempt, signal);
      turn?.end(failure);
      throw failure;
    }
  }

  /** Turns what a call threw into what is thrown on. */
  failure(error: unknown, attempt: string, signal: AbortSignal | undefined): unknown {
    if (!(error instanceof MstoreError)) throwIfAborted(signal);
    return fromS3Error(error, attempt, this.location);
  }
}

const ignore = (): void => {};
const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };

async function connect(options: S3Options): Promise<S3Connection> {
  // Loading it takes longer than most commands; only remotes of this kind need it.
  const { s3Sdk: sdk } = await import('./s3-sdk.ts');
  const { settings = {}, gate, stallMsMax = 30_000 } = options;
  invariant(stallMsMax > 0, 'a time after which a silent connection is given up');
  const { endpoint, region, profile, keys } = settings;
  // The gate is the bound; sockets that wait behind it would be taken for silent ones.
  const sockets = { keepAlive: true, maxSockets: gate?.most ?? 256 };
  const client = new sdk.S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(profile === undefined ? {} : { profile }),
    ...(keys === undefined ? {} : { credentials: keys }),
    forcePathStyle: settings.pathStyle ?? endpoint !== undefined,
    // Trailing checksums are refused or, worse, stored by services that do not know them. Where one is
    // of use it is in the head of the request.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A try that nobody knows of would turn a lost reply into "somebody else was first".
    maxAttempts: 1,
    // It makes the SDK open a connection for each part.
    expectContinueHeader: false,
    followRegionRedirects: false,
    // What it would print is in our errors.
    logger: silent,
    requestHandler: {
      connectionTimeout: Math.min(10_000, stallMsMax),
      socketTimeout: stallMsMax,
      httpAgent: sockets,
      httpsAgent: sockets,
    },
    ...(settings.anonymous
      ? {
          credentials: { accessKeyId: '', secretAccessKey: '' },
          signer: { sign: async (request) => request },
        }
      : {}),
  });
  boundAnswers(client);
  if (endpoint !== undefined) return { sdk, client, endpoint };
  const configured = await configuredEndpoint(client);
  // Few services but Amazon's have a host name for each bucket.
  if (configured !== undefined) client.config.forcePathStyle = settings.pathStyle ?? true;
  return { sdk, client, endpoint: configured };
}

/** The endpoint that the environment or the shared files of the SDK name: AWS_ENDPOINT_URL, `endpoint_url`. */
async function configuredEndpoint({ config }: S3Client): Promise<string | undefined> {
  // What the SDK itself asks before its first request; its types leave it out.
  const { serviceConfiguredEndpoint } = config as {
    serviceConfiguredEndpoint?: () => Promise<string | undefined>;
  };
  return serviceConfiguredEndpoint?.();
}
