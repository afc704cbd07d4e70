import { type ErrorCode, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** A kind of failure: the code that decides whether another try may help, and texts for people. */
export interface FailureKind {
  readonly code: ErrorCode;
  /** A stable word for programs, `details.reason`. */
  readonly reason: string;
  readonly what: string;
  readonly hint: string;
  /** Tries of it that are worth the wait, where these are few. */
  readonly triesMax?: number;
}

const againHint = 'Run the same command again; what has arrived is not sent twice';

/** Makes a kind of failure that another try may mend. */
export const unreachable = (reason: string, what: string, hint = againHint): FailureKind => ({
  code: 'remote-unreachable',
  reason,
  what,
  hint,
});

/** Makes a kind of failure that no other try mends. */
export const refused = (reason: string, what: string, hint: string): FailureKind => ({
  code: 'remote-refused',
  reason,
  what,
  hint,
});

const broken = unreachable('connection', 'the connection broke off');
const noHost = unreachable(
  'no-endpoint',
  'its endpoint cannot be reached',
  'Check the network, and remote.NAME.endpoint and remote.NAME.region where they are set',
);
// Most often the address is wrong, and whoever mistyped it should not wait for long.
const nobodyThere: FailureKind = { ...noHost, triesMax: 5 };
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

/** Failures that all services have in common. */
export const commonKinds = {
  broken,
  busy: unreachable(
    'throttled',
    'it asks to slow down',
    'Wait a moment and run the same command again, with fewer transfers at once (--jobs)',
  ),
  silent: unreachable('stalled', 'no byte came or went for too long'),
  failing: unreachable('service', 'the service failed'),
  damagedOnTheWay: unreachable('damaged-on-the-way', 'bytes were damaged on the way'),
  racing: unreachable('conflict', 'another write of the same name is under way'),
  uploadGone: unreachable('upload-gone', 'an upload that was under way is gone'),
  clockSkew: refused(
    'clock-skew',
    'the clock of this machine differs from that of the service',
    'Set the clock of this machine (timedatectl set-ntp true)',
  ),
} as const;

/** Codes of the system, of sockets and of TLS. */
const kindsBySystemCode: Readonly<Record<string, FailureKind>> = {
  ECONNRESET: broken,
  ECONNABORTED: broken,
  EPIPE: broken,
  ERR_STREAM_PREMATURE_CLOSE: broken,
  ETIMEDOUT: commonKinds.silent,
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

/** The kind of a failed connection by its code; undefined for a code of something else. */
export function kindOfSystemCode(system: string | undefined): FailureKind | undefined {
  if (system === undefined) return undefined;
  if (system.startsWith('ERR_SSL_')) return notTls;
  return Object.hasOwn(kindsBySystemCode, system) ? kindsBySystemCode[system] : undefined;
}

/** What is told of a failure beside its kind. */
export interface FailureFacts {
  /** What the service or the system calls it, shown in brackets. */
  readonly said?: string | undefined;
  /** HTTP status of the answer. */
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  /** Where the service says the bucket is. */
  readonly region?: string | undefined;
  /** The header Retry-After. */
  readonly retryAfter?: string | undefined;
  /** The header Date, the clock of the service. */
  readonly date?: string | undefined;
  readonly cause?: Error | undefined;
}

/**
 * Makes the error of a failed call to a service.
 * @param attempt what was tried, in front of the remote's name: `write packs/ab/c.pack to`
 * @param location the remote, fit to be printed
 */
export function serviceError(
  kind: FailureKind,
  attempt: string,
  location: string,
  { said, status, requestId, region, retryAfter, date, cause }: FailureFacts = {},
): MstoreError {
  const brackets = said === undefined || said === '' ? '' : ` (${printable(said)})`;
  return new MstoreError(
    kind.code,
    `Cannot ${attempt} the remote ${location}: ${kind.what}${brackets}`,
    {
      hint: kind.hint,
      cause,
      details: {
        reason: kind.reason,
        service: said,
        status,
        requestId,
        region,
        triesMax: kind.triesMax,
        retryAfterMs: retryAfterMs(retryAfter, date),
      },
    },
  );
}

/** The HTTP status behind an error of a call; undefined when no answer came, or it is another error. */
export function answerStatus(error: unknown): number | undefined {
  const status = error instanceof MstoreError ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}

/** Reads Retry-After: seconds, or a date, which is compared with the clock of the service and not ours. */
function retryAfterMs(text = '', date = ''): number | undefined {
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1000;
  const ms = Date.parse(text) - Date.parse(date);
  return ms > 0 ? ms : undefined;
}
