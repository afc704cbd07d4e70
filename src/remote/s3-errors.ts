import { type ErrorCode, MstoreError, systemCode } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** What is read out of an error of the SDK. Which of these are set depends on who failed. */
interface ServiceFailure {
  /** The code of the service (`SlowDown`), or the name of an error of the SDK. */
  readonly name: string;
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly requestId: string | undefined;
  /** The region that the service says the bucket is in. */
  readonly region: string | undefined;
}

/** The HTTP status behind an error of a call; undefined when no answer came, or it is another error. */
export function failureStatus(error: unknown): number | undefined {
  const status = error instanceof MstoreError ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}

function readFailure(error: unknown): ServiceFailure {
  const object = (typeof error === 'object' && error !== null ? error : {}) as {
    name?: unknown;
    Region?: unknown;
    $metadata?: { httpStatusCode?: number; requestId?: string };
    $response?: { statusCode?: number; headers?: Record<string, string> };
  };
  const headers = object.$response?.headers ?? {};
  const region = typeof object.Region === 'string' ? object.Region : headers['x-amz-bucket-region'];
  return {
    name: typeof object.name === 'string' ? object.name : '',
    status: object.$metadata?.httpStatusCode ?? object.$response?.statusCode,
    headers,
    requestId: object.$metadata?.requestId,
    region,
  };
}

/** A kind of failure: the code that decides whether another try may help, and texts for people. */
interface FailureKind {
  readonly code: ErrorCode;
  /** A stable word for programs, `details.reason`. */
  readonly reason: string;
  readonly what: string;
  readonly hint: string;
  /** Tries of it that are worth the wait, where these are few. */
  readonly triesMax?: number;
}

const againHint = 'Run the same command again; what has arrived is not sent twice';
const unreachable = (reason: string, what: string, hint = againHint): FailureKind => ({
  code: 'remote-unreachable',
  reason,
  what,
  hint,
});
const refused = (reason: string, what: string, hint: string): FailureKind => ({
  code: 'remote-refused',
  reason,
  what,
  hint,
});

const busy = unreachable(
  'throttled',
  'it asks to slow down',
  'Wait a moment and run the same command again, with fewer transfers at once (--jobs)',
);
const broken = unreachable('connection', 'the connection broke off');
const silent = unreachable('stalled', 'no byte came or went for too long');
const failing = unreachable('service', 'the service failed');
const damagedOnTheWay = unreachable('damaged-on-the-way', 'bytes were damaged on the way');
const racing = unreachable('conflict', 'another write of the same name is under way');
const noHost = unreachable(
  'no-endpoint',
  'its endpoint cannot be reached',
  'Check the network, and remote.NAME.endpoint and remote.NAME.region',
);
// Most often the address is wrong, and whoever mistyped it should not wait for long.
const nobodyThere: FailureKind = { ...noHost, triesMax: 5 };
const credentials = refused(
  'bad-credentials',
  'the service does not accept the credentials',
  'Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or remote.NAME.profile and its file',
);
const noCredentials = refused(
  'no-credentials',
  'no credentials were found',
  'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or remote.NAME.profile; for a public bucket set remote.NAME.anonymous',
);
const expired = refused(
  'expired-credentials',
  'the credentials have expired',
  'Sign in again (aws sso login), or set AWS_SESSION_TOKEN anew',
);
const forbidden = refused(
  'forbidden',
  'access is denied',
  'Ask for s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:AbortMultipartUpload on its objects',
);
const archived = refused(
  'archived',
  'the object is archived and cannot be read at once',
  'Restore it first; keep remotes in a storage class that is read at once',
);
const keyRefused = refused(
  'key-refused',
  'the key of its encryption cannot be used',
  'Check remote.NAME.sse_key, and ask for kms:GenerateDataKey and kms:Decrypt on it',
);
const wrongRegion = refused(
  'wrong-region',
  'the bucket is in another region',
  'Set remote.NAME.region, or AWS_REGION, to the region of the bucket',
);
const noRegion = refused(
  'no-region',
  'no region is set',
  'Set remote.NAME.region or AWS_REGION; many services that are not Amazon take us-east-1',
);
const clockSkew = refused(
  'clock-skew',
  'the clock of this machine differs from that of the service',
  'Set the clock of this machine (timedatectl set-ntp true)',
);
const untrusted = refused(
  'tls',
  'its certificate cannot be trusted',
  'Check remote.NAME.endpoint; for a certificate of your own set NODE_EXTRA_CA_CERTS to its file',
);
const notTls = refused(
  'tls',
  'the endpoint does not speak TLS as it should',
  'Check remote.NAME.endpoint: http:// and https:// may be confused',
);
const notS3 = refused(
  'not-s3',
  'what answers there does not speak S3',
  'Check remote.NAME.endpoint: it is the address of the interface for programs, not of a web page',
);
const lacking = refused(
  'not-implemented',
  'the service lacks something that mstore needs',
  'Use a service with conditional writes (If-None-Match), or a newer version of it',
);
const noBucket: FailureKind = {
  code: 'not-a-remote',
  reason: 'no-bucket',
  what: 'there is no such bucket',
  hint: 'Check the URL and remote.NAME.endpoint, or make the bucket; mstore makes none',
};
const full: FailureKind = {
  code: 'remote-full',
  reason: 'full',
  what: 'no space is left, or a quota is used up',
  hint: 'Make space there or raise the quota, then run the same command again',
};

/** Codes of services and names of errors of the SDK. */
const kindsByName: Readonly<Record<string, FailureKind>> = {
  SlowDown: busy,
  Throttling: busy,
  ThrottlingException: busy,
  TooManyRequests: busy,
  TooManyRequestsException: busy,
  RequestLimitExceeded: busy,
  BandwidthLimitExceeded: busy,
  ServiceUnavailable: busy,
  RequestTimeout: silent,
  TimeoutError: silent,
  InternalError: failing,
  BadDigest: damagedOnTheWay,
  InvalidDigest: damagedOnTheWay,
  IncompleteBody: damagedOnTheWay,
  XAmzContentSHA256Mismatch: damagedOnTheWay,
  ConditionalRequestConflict: racing,
  OperationAborted: racing,
  NoSuchUpload: unreachable('upload-gone', 'an upload that was under way is gone'),
  InvalidAccessKeyId: credentials,
  SignatureDoesNotMatch: credentials,
  InvalidToken: credentials,
  InvalidSecurity: credentials,
  NotSignedUp: credentials,
  CredentialsProviderError: noCredentials,
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  AccessDenied: forbidden,
  AllAccessDisabled: forbidden,
  AccountProblem: forbidden,
  InvalidObjectState: archived,
  PermanentRedirect: wrongRegion,
  TemporaryRedirect: wrongRegion,
  Redirect: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  RequestTimeTooSkewed: clockSkew,
  RequestExpired: clockSkew,
  NoSuchBucket: noBucket,
  InvalidBucketName: noBucket,
  NotImplemented: lacking,
  QuotaExceeded: full,
  InsufficientStorage: full,
  XMinioStorageFull: full,
  EntityTooLarge: full,
};

/** Codes of the system, of sockets and of TLS. */
const kindsBySystemCode: Readonly<Record<string, FailureKind>> = {
  ECONNRESET: broken,
  ECONNABORTED: broken,
  EPIPE: broken,
  ERR_STREAM_PREMATURE_CLOSE: broken,
  ETIMEDOUT: silent,
  ECONNREFUSED: nobodyThere,
  EHOSTUNREACH: noHost,
  ENETUNREACH: noHost,
  ENOTFOUND: nobodyThere,
  EAI_AGAIN: noHost,
  CERT_HAS_EXPIRED: untrusted,
  CERT_NOT_YET_VALID: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: untrusted,
  EPROTO: notTls,
};

/**
 * Turns a failed call to S3 into the remote's own error; an MstoreError passes through unchanged.
 * @param attempt what was tried, in front of the remote's name: `write packs/ab/c.pack to`
 * @param location the remote, fit to be printed
 */
export function fromS3Error(error: unknown, attempt: string, location: string): unknown {
  if (error instanceof MstoreError) return error;
  const failure = readFailure(error);
  const system = systemCode(error);
  const kind = kindOf(error, failure, system);
  if (kind === undefined) return error;
  const said = failure.name === '' || failure.name === 'Error' ? system : failure.name;
  const code = said === undefined ? '' : ` (${printable(said)})`;
  const inRegion = kind === wrongRegion && failure.region !== undefined;
  const region = inRegion ? `, ${printable(failure.region ?? '')}` : '';
  return new MstoreError(
    kind.code,
    `Cannot ${attempt} the remote ${location}: ${kind.what}${region}${code}`,
    {
      hint: kind.hint,
      cause: plainCause(error, failure.name),
      details: {
        reason: kind.reason,
        service: said,
        status: failure.status,
        requestId: failure.requestId,
        region: failure.region,
        triesMax: kind.triesMax,
        retryAfterMs: retryAfterMs(failure.headers['retry-after']),
      },
    },
  );
}

/** Makes the error of an answer that says it is a success and is none of S3: a proxy, a web page. */
export function notS3Answer(attempt: string, location: string): MstoreError {
  return new MstoreError(notS3.code, `Cannot ${attempt} the remote ${location}: ${notS3.what}`, {
    hint: notS3.hint,
    details: { reason: notS3.reason },
  });
}

/** What the SDK said, without the request and the connection that it hangs on its errors. */
function plainCause(error: unknown, name: string): Error {
  const plain = new Error(error instanceof Error ? error.message : String(error));
  plain.name = name === '' ? 'Error' : name;
  return plain;
}

function kindOf(
  error: unknown,
  { name, status }: ServiceFailure,
  system: string | undefined,
): FailureKind | undefined {
  // The SDK calls a connection that was reset a time-out; the code of the system knows better.
  if (system !== undefined && Object.hasOwn(kindsBySystemCode, system))
    return kindsBySystemCode[system];
  if (system?.startsWith('ERR_SSL_')) return notTls;
  if (Object.hasOwn(kindsByName, name)) return kindsByName[name];
  if (name.startsWith('KMS')) return keyRefused;
  // The SDK has neither a name nor a code for this one.
  if (error instanceof Error && error.message === 'Region is missing') return noRegion;
  return status === undefined ? undefined : kindOfStatus(status);
}

function kindOfStatus(status: number): FailureKind {
  if (status === 429 || status === 503) return busy;
  if (status === 501) return lacking;
  if (status === 507) return full;
  if (status >= 500) return failing;
  if (status === 401) return credentials;
  if (status === 403) return forbidden;
  if (status === 409) return racing;
  if (status === 408) return silent;
  if (status >= 300 && status < 400) return wrongRegion;
  if (status < 300 || status === 404 || status === 405) return notS3;
  return refused(
    'refused',
    'the service refuses the request',
    'Look at the code in brackets; -v shows what the service said',
  );
}

/** Reads Retry-After in seconds. Its other form, a date, is no use where clocks may differ. */
function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}
