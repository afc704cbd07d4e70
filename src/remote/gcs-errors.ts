import { MstoreError, systemCode } from '../base/errors.ts';
import {
  commonKinds,
  type FailureKind,
  kindOfSystemCode,
  refused,
  serviceError,
  unreachable,
} from './service-errors.ts';

/** Whether requests carry credentials; `withheld` where the endpoint is not trusted with them. */
export type GcsAccess = 'signed-in' | 'anonymous' | 'withheld';

/** An answer of the service that is no success. */
export class GcsRefusal extends Error {
  readonly status: number;
  /** Whether its body is an error as the service writes them. */
  readonly spoken: boolean;
  /** The reason in it, such as `rateLimitExceeded`. */
  readonly reason: string | undefined;
  readonly retryAfter: string | undefined;
  readonly date: string | undefined;
  readonly requestId: string | undefined;
  /** Whether it was about an upload that had begun. */
  readonly upload: boolean;
  readonly access: GcsAccess;
  /** Whether the clock of the service shows another time. */
  readonly skewed: boolean;

  constructor(text: string, facts: Omit<GcsRefusal, keyof Error>) {
    super(text);
    this.name = 'GcsRefusal';
    this.status = facts.status;
    this.spoken = facts.spoken;
    this.reason = facts.reason;
    this.retryAfter = facts.retryAfter;
    this.date = facts.date;
    this.requestId = facts.requestId;
    this.upload = facts.upload;
    this.access = facts.access;
    this.skewed = facts.skewed;
  }
}

/** A failure to get credentials, before anything was asked of the service. */
export class SignInFailure extends Error {
  readonly skewed: boolean;
  /** HTTP status of who issues credentials, where that answered. */
  readonly status: number | undefined;
  /** Its code, such as `invalid_grant`. */
  readonly reason: string | undefined;

  constructor(cause: unknown, facts: Pick<SignInFailure, 'skewed' | 'status' | 'reason'>) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'SignInFailure';
    this.skewed = facts.skewed;
    this.status = facts.status;
    this.reason = facts.reason;
  }
}

const { busy, silent, failing, damagedOnTheWay, racing, uploadGone, clockSkew } = commonKinds;

const signInHint =
  'Run "gcloud auth application-default login", or set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account';
const noCredentials = refused(
  'no-credentials',
  'no credentials were found',
  `${signInHint}; for a public bucket set remote.NAME.anonymous`,
);
const anonymousRefused = refused(
  'no-credentials',
  'it answers nobody without credentials',
  'Take remote.NAME.anonymous away and sign in, or ask for the bucket to be public',
);
const withheldRefused = refused(
  'no-credentials',
  'it wants credentials, which go to hosts of Google alone',
  'Check remote.NAME.endpoint; to trust another host with them, set it by the environment (MSTORE_REMOTE_NAME_ENDPOINT)',
);
const credentials = refused(
  'bad-credentials',
  'the credentials are not accepted',
  `Check GOOGLE_APPLICATION_CREDENTIALS and its file. ${signInHint}`,
);
const expired = refused(
  'expired-credentials',
  'the credentials have expired or were revoked',
  signInHint,
);
const noIssuer = unreachable(
  'no-endpoint',
  'the service that issues credentials cannot be reached',
  'Check the network, and what GOOGLE_APPLICATION_CREDENTIALS names',
);
const issuerFails = unreachable('service', 'the service that issues credentials failed');
const forbidden = refused(
  'forbidden',
  'access is denied',
  'Ask for storage.objects.list on the bucket, and storage.objects.get and storage.objects.create on its objects',
);
const billing = refused(
  'billing',
  'the project that pays cannot be billed',
  'Look at the billing account of the project, in the console of Google Cloud',
);
const noPayer = refused(
  'no-project',
  'whoever asks pays for this bucket, and no project is named',
  'Set remote.NAME.requester_pays to true and remote.NAME.project to the project that pays',
);
const keyRefused = refused(
  'key-refused',
  'the key of its encryption cannot be used',
  'Check remote.NAME.sse_key; the service agent of Cloud Storage needs roles/cloudkms.cryptoKeyEncrypterDecrypter on it',
);
const retained = refused(
  'retained',
  'a retention policy or a hold keeps the object',
  'Wait until it may be deleted, or have the hold released',
);
const notGcs = refused(
  'not-gcs',
  'what answers there does not speak as Cloud Storage',
  'Check remote.NAME.endpoint and STORAGE_EMULATOR_HOST: the address of the interface for programs, without a path',
);
const noBucket: FailureKind = {
  code: 'not-a-remote',
  reason: 'no-bucket',
  what: 'there is no such bucket',
  hint: 'Check the URL and remote.NAME.endpoint, or make the bucket; mstore makes none',
};
const other = refused(
  'refused',
  'the service refuses the request',
  'Look at the word in brackets; -v shows what the service said',
);

/** Reasons in the errors of the service. */
const kindsByReason: Readonly<Record<string, FailureKind>> = {
  rateLimitExceeded: busy,
  userRateLimitExceeded: busy,
  quotaExceeded: busy,
  authError: credentials,
  accountDisabled: billing,
  userProjectAccessDenied: noPayer,
  userProjectMissing: noPayer,
  objectUnderActiveHold: retained,
  retentionPolicyNotMet: retained,
  conflict: racing,
  // What is sent is well formed when it leaves.
  parseError: damagedOnTheWay,
  badContent: damagedOnTheWay,
};

/**
 * Turns a failed call to Cloud Storage into the remote's own error; an MstoreError, and what is none of
 * the service's, passes through unchanged.
 * @param attempt what was tried, in front of the remote's name: `write packs/ab/c.pack to`
 * @param location the remote, fit to be printed
 */
export function fromGcsError(error: unknown, attempt: string, location: string): unknown {
  if (error instanceof MstoreError) return error;
  if (error instanceof GcsRefusal) {
    const { status, retryAfter, date, requestId } = error;
    const said = error.reason ?? String(status);
    const facts = { said, status, retryAfter, date, requestId, cause: error };
    return serviceError(kindOfRefusal(error), attempt, location, facts);
  }
  const system = systemCode(error);
  if (error instanceof SignInFailure) {
    const said = error.reason ?? systemCode(error.cause);
    return serviceError(kindOfSignIn(error), attempt, location, { said, cause: plain(error) });
  }
  const kind = kindOfSystemCode(system);
  if (kind === undefined) return error;
  return serviceError(kind, attempt, location, { said: system, cause: error as Error });
}

/** Makes the error of an answer that says it is a success and is none of GCS: a proxy, a web page. */
export function notGcsAnswer(attempt: string, location: string): MstoreError {
  return serviceError(notGcs, attempt, location);
}

/** Makes the error of an upload that the service does not know any more. */
export function uploadGoneError(attempt: string, location: string): MstoreError {
  return serviceError(uploadGone, attempt, location);
}

/** Makes the error of an upload that does not get on. */
export function unfinishedError(attempt: string, location: string): MstoreError {
  return serviceError(failing, attempt, location);
}

/** Makes the error of bytes that arrived as others than were sent. */
export function damagedError(attempt: string, location: string): MstoreError {
  // They were handed on as they came: only a reader that starts anew gets them right.
  return serviceError({ ...damagedOnTheWay, triesMax: 1 }, attempt, location);
}

/** Makes the error of requests that somebody must pay for, where no project is known. */
export function noPayerError(attempt: string, location: string): MstoreError {
  return serviceError(noPayer, attempt, location);
}

function kindOfRefusal(refusal: GcsRefusal): FailureKind {
  const { status, reason } = refusal;
  if (status === 401) return kindOfNoAccess(refusal);
  if (reason !== undefined && Object.hasOwn(kindsByReason, reason)) {
    return kindsByReason[reason] as FailureKind;
  }
  // The service has no reason of its own for these two.
  if (reason?.startsWith('cloudKms') || /\bKMS\b/.test(refusal.message)) return keyRefused;
  if (/doesn.t match calculated/i.test(refusal.message)) return damagedOnTheWay;
  if (status === 400 && reason === 'required') return noPayer;
  if (status === 404 && refusal.upload) return uploadGone;
  if (status === 404 && refusal.spoken) return noBucket;
  return kindOfStatus(status);
}

function kindOfNoAccess({ access, skewed }: GcsRefusal): FailureKind {
  if (access === 'anonymous') return anonymousRefused;
  if (access === 'withheld') return withheldRefused;
  return skewed ? clockSkew : credentials;
}

function kindOfStatus(status: number): FailureKind {
  if (status === 429) return busy;
  if (status === 408) return silent;
  if (status === 410) return uploadGone;
  if (status >= 500) return failing;
  if (status === 403) return forbidden;
  if (status === 409) return racing;
  return status < 400 || status === 404 || status === 405 ? notGcs : other;
}

function kindOfSignIn({ status, reason, skewed, cause, message }: SignInFailure): FailureKind {
  const system = systemCode(cause);
  const kind = kindOfSystemCode(system);
  if (kind !== undefined) return kind.code === 'remote-unreachable' ? noIssuer : kind;
  if (status !== undefined && (status >= 500 || status === 429)) return issuerFails;
  if (skewed) return clockSkew;
  if (reason === 'invalid_grant' || reason === 'invalid_rapt') return expired;
  // The SDK has no code for this one, and looks at the text itself.
  if (message.includes('Could not load the default credentials')) return noCredentials;
  return credentials;
}

/** What the SDK said, without the request that it hangs on its errors. */
function plain({ message }: SignInFailure): Error {
  const error = new Error(message);
  error.name = 'SignInFailure';
  return error;
}
