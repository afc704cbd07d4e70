import { MstoreError } from '../base/errors.ts';
import { checkKey, isKeyName, reservedName } from './keys.ts';
import type { ByteRange } from './remote.ts';

/**
 * How a remote that is a service is reached and written to. Credentials are the SDK's to find; only the files of another
 * tool may name some.
 */
export interface ServiceSettings {
  /** URL of the service; undefined for the one that the region stands for. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** Puts the bucket in the path, not in the host name; by default where the endpoint is not Amazon's. */
  readonly pathStyle?: boolean | undefined;
  /** Profile of the shared configuration files of the SDK. */
  readonly profile?: string | undefined;
  readonly storageClass?: string | undefined;
  /** Encryption by the service, `AES256` or `aws:kms`. */
  readonly encryption?: string | undefined;
  /** Id or ARN of the key for `aws:kms`. */
  readonly encryptionKey?: string | undefined;
  /** Lets whoever asks pay for the transfer. */
  readonly requesterPays?: boolean | undefined;
  /** The project that pays, where whoever asks does and the service wants to know. */
  readonly project?: string | undefined;
  /** Whether whoever runs the command chose the endpoint, so that it may be handed credentials. */
  readonly endpointTrusted?: boolean | undefined;
  /** Signs nothing, to read a public bucket. */
  readonly anonymous?: boolean | undefined;
  /** Keys for S3, where another tool's files hold them. */
  readonly keys?: ServiceKeys | undefined;
  /** Absolute path of the key of a service account for Cloud Storage, where another tool's files name it. */
  readonly keyFile?: string | undefined;
  /** Writes to a service without conditional writes, too, where a later writer of a name may win. */
  readonly acceptRaces?: boolean | undefined;
}

/** Credentials of S3. */
export interface ServiceKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Settings that mean nothing to a kind of service, with their keys. */
const foreignSettings: Readonly<Record<string, Partial<Record<keyof ServiceSettings, string>>>> = {
  s3: { project: 'project' },
  gs: { region: 'region', pathStyle: 'path_style', profile: 'profile' },
  http: {
    endpoint: 'endpoint',
    region: 'region',
    pathStyle: 'path_style',
    profile: 'profile',
    storageClass: 'storage_class',
    encryption: 'sse',
    encryptionKey: 'sse_key',
    requesterPays: 'requester_pays',
    project: 'project',
    anonymous: 'anonymous',
  },
};

/**
 * Refuses settings that would silently do nothing.
 * @param scheme `s3`, `gs` or `http`
 * @throws MstoreError `config-invalid`
 */
export function checkSettings(
  scheme: string,
  { location }: Pick<BucketPlace, 'location'>,
  settings: ServiceSettings = {},
): void {
  const refuse = (key: string, why: string, hint: string) =>
    new MstoreError('config-invalid', `remote.NAME.${key} ${why} ${location}`, {
      hint,
      details: { key },
    });
  for (const [name, key] of Object.entries(foreignSettings[scheme] ?? {})) {
    if (settings[name as keyof ServiceSettings] === undefined) continue;
    throw refuse(key, 'means nothing to', `Take it away: mstore config unset remote.NAME.${key}`);
  }
  if (scheme !== 'gs') return;
  const { encryption, encryptionKey } = settings;
  if (encryption === 'AES256') {
    throw refuse('sse', 'cannot be s3 for', 'Take it away: Cloud Storage encrypts all objects');
  }
  if (encryption !== undefined && encryptionKey === undefined) {
    throw refuse(
      'sse_key',
      'is missing for',
      'Set it to projects/P/locations/L/keyRings/R/cryptoKeys/K',
    );
  }
}

/** Pages of a list in a row without an object of ours, after which it is taken to have no end. */
export const pagesWithoutMax = 10_000;

/**
 * Reads a number of bytes as a service tells it: a number, or digits.
 * @returns undefined for what is no size of an object
 */
export function toldBytes(told: unknown): number | undefined {
  const digits = typeof told === 'string' && /^\d{1,16}$/.test(told);
  const bytes = digits ? Number(told) : told;
  return typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
}

/** A range of an object that an answer holds. */
interface AnsweredRange extends ByteRange {
  /** Bytes of the whole object. */
  readonly size: number;
}

/**
 * Reads the header Content-Range of an answer, `bytes 2-5/9`. Source: RFC 9110, section 14.4.
 * @returns undefined for another form, or a range that is in no object
 */
export function parseContentRange(header: string | undefined): AnsweredRange | undefined {
  const told = /^bytes (\d+)-(\d+)\/(\d+)$/
    .exec(header ?? '')
    ?.slice(1)
    .map(toldBytes);
  const [start, last, size] = told ?? [];
  if (start === undefined || last === undefined || size === undefined) return undefined;
  return start <= last && last < size ? { start, end: last + 1, size } : undefined;
}

/** Tells whether an answer of `length` bytes holds the part of a range that its object has. */
export function holdsAsked(
  { start, end, size }: AnsweredRange,
  asked: ByteRange | undefined,
  length: number | undefined,
): boolean {
  if (asked === undefined || start !== asked.start) return false;
  return end === Math.min(asked.end, size) && length === end - start;
}

/** A bucket and the folder of it that holds a remote. */
export interface BucketPlace {
  readonly bucket: string;
  /** In front of every key: empty, or with its final `/`. */
  readonly prefix: string;
  /** The URL, fit to be printed. */
  readonly location: string;
  /** Whether the objects are those of others, whose names follow no rule of ours. */
  readonly anyNames?: boolean;
}

/** Tells whether an object of a bucket is one of a place. */
export function isKeyIn({ anyNames = false }: BucketPlace, key: string): boolean {
  const names = key.split('/');
  return anyNames ? key !== '' : names.every(isKeyName) && names[0] !== reservedName;
}

/** Breaks the invariant unless a place may have the key. */
export function checkKeyIn({ anyNames = false }: BucketPlace, key: string): void {
  if (!anyNames) checkKey(key);
}

const bucketPattern = /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i;

/**
 * Reads `s3://bucket/prefix` and the like.
 * @param shown the URL without its query, fit to be printed
 * @param anyNames whether the folder may have any name
 * @throws MstoreError `usage` when it names no bucket, or a folder that is no safe key
 */
export function parseBucketUrl(url: string, shown: string, anyNames = false): BucketPlace {
  const [, scheme = '', rest = ''] = /^([A-Za-z0-9+.-]+):\/\/(.*)$/s.exec(url) ?? [];
  const hint = `Write ${scheme.toLowerCase()}://BUCKET/FOLDER, of letters, digits, "-", "_", "." and "@"`;
  const refuse = (why: string) =>
    new MstoreError('usage', `Cannot open ${shown}: ${why}`, { hint });
  if (/[?#]/.test(rest)) throw refuse('the URL of a bucket has no query and no fragment');
  const [bucket = '', ...names] = rest.replace(/\/+$/, '').split('/');
  if (!bucketPattern.test(bucket)) throw refuse('it names no bucket');
  if (!anyNames && !names.every(isKeyName)) throw refuse('its folder is not of safe names');
  if (!anyNames && names[0] === reservedName)
    throw refuse(`the folder ${reservedName} is reserved`);
  const prefix = names.length === 0 ? '' : `${names.join('/')}/`;
  const location = [`${scheme.toLowerCase()}://${bucket}`, ...names].join('/');
  return { bucket, prefix, location, ...(anyNames ? { anyNames } : {}) };
}
