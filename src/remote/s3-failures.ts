import {
  commonKinds,
  type FailureKind,
  kindOfSystemCode,
  refused,
  unreachable,
} from './service-errors.ts';

/** What is read out of an error of the SDK. Which of these are set depends on who failed. */
export interface ServiceFailure {
  /** The code of the service (`SlowDown`), or the name of an error of the SDK. */
  readonly name: string;
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly requestId: string | undefined;
  /** The region that the service says the bucket is in. */
  readonly region: string | undefined;
}

const { busy, silent, failing, damagedOnTheWay, racing, uploadGone, clockSkew } = commonKinds;
// Where several writers share an upload, one may have sent a part again that another one names.
const partsChanged = unreachable('parts-changed', 'parts of the upload are others than were sent');
const whereKeysAre = 'or remote.NAME.profile and its file';
const credentials = refused(
  'bad-credentials',
  'the service does not accept the credentials',
  `Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ${whereKeysAre}`,
);
const unknownKey = refused(
  'bad-credentials',
  'the service does not know the access key',
  `Check AWS_ACCESS_KEY_ID, ${whereKeysAre}; a key belongs to one service, so check remote.NAME.endpoint too`,
);
const wrongSecret = refused(
  'bad-credentials',
  'the secret does not fit the access key',
  `Check AWS_SECRET_ACCESS_KEY, ${whereKeysAre}; a proxy that changes requests has the same effect`,
);
const wrongToken = refused(
  'bad-credentials',
  'the session token is not valid',
  'Set AWS_SESSION_TOKEN anew, or unset it where the access key needs none',
);
const noCredentials = refused(
  'no-credentials',
  'no credentials were found',
  'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or remote.NAME.profile, or sign in (aws sso login); for a public bucket set remote.NAME.anonymous',
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
const retained = refused(
  'retained',
  'a lock or a retention period keeps the object',
  'Wait until it may be deleted, or have the hold released',
);
const keyRefused = refused(
  'key-refused',
  'the key of its encryption cannot be used',
  'Check remote.NAME.sse_key, and ask for kms:GenerateDataKey and kms:Decrypt on it',
);
export const wrongRegion = refused(
  'wrong-region',
  'the bucket is in another region',
  'Set remote.NAME.region, or AWS_REGION, to the region of the bucket',
);
const noRegion = refused(
  'no-region',
  'no region is set',
  'Set remote.NAME.region or AWS_REGION; many services that are not Amazon take us-east-1',
);
export const notS3 = refused(
  'not-s3',
  'what answers there does not speak S3',
  'Check remote.NAME.endpoint: it is the address for programs, not of a web page, and may need https://',
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
  NoSuchUpload: uploadGone,
  InvalidPart: partsChanged,
  InvalidAccessKeyId: unknownKey,
  SignatureDoesNotMatch: wrongSecret,
  InvalidToken: wrongToken,
  InvalidSecurity: credentials,
  NotSignedUp: credentials,
  // The gateway of Versity says so of an unknown key, with the status 404.
  XAdminUserNotFound: credentials,
  CredentialsProviderError: noCredentials,
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  AccessDenied: forbidden,
  AllAccessDisabled: forbidden,
  AccountProblem: forbidden,
  InvalidObjectState: archived,
  ObjectLocked: retained,
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

/** What else may help where a bucket has a host name of its own. */
const hintsOfHosts: Readonly<Record<string, string>> = {
  ENOTFOUND:
    'a service without a host for each bucket needs remote.NAME.path_style = true, and Amazon S3 the right remote.NAME.region',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'with remote.NAME.path_style = true the bucket is no part of the name',
};

/**
 * Finds out what kind of failure an error of a call is; undefined when it is none of the service.
 * @param system the code of the system, of a socket or of TLS that the error has
 */
export function kindOf(
  error: unknown,
  { name, status, headers }: ServiceFailure,
  system: string | undefined,
): FailureKind | undefined {
  // The SDK calls a connection that was reset a time-out; the code of the system knows better.
  const connection = kindOfSystemCode(system);
  if (connection !== undefined) {
    const more = hintsOfHosts[system ?? ''];
    return more === undefined ? connection : { ...connection, hint: `${connection.hint}; ${more}` };
  }
  if (Object.hasOwn(kindsByName, name)) return kindsByName[name];
  if (isForeign(name, status, headers)) return notS3;
  if (name.startsWith('KMS')) return keyRefused;
  // The SDK has neither a name nor a code for this one.
  if (error instanceof Error && error.message === 'Region is missing') return noRegion;
  return status === undefined ? undefined : kindOfStatus(status);
}

/**
 * Tells whether an answer that is no success comes from something else than a service of S3: a web page, or
 * a text that the SDK could not read, for which it has no name. What a gateway says of a service that is
 * down or busy is no such answer.
 */
function isForeign(
  name: string,
  status: number | undefined,
  headers: ServiceFailure['headers'],
): boolean {
  if (status === undefined || status >= 500 || status === 429 || status === 408) return false;
  return name === 'Error' || (headers['content-type'] ?? '').startsWith('text/html');
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
