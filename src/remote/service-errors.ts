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
// Most often the address is wrong, and whoever mistyped it should not wait for long.
const atWrongAddress = (what: string, hint: string): FailureKind => ({
  ...unreachable('no-endpoint', what, hint),
  triesMax: 5,
});
const unknownHost = atWrongAddress(
  'its host is not known',
  'Check remote.NAME.endpoint, and the network of this machine',
);
const nobodyThere = atWrongAddress(
  'nothing listens at its endpoint',
  'Check host and port in remote.NAME.endpoint, and that the service runs',
);
const noWay = unreachable(
  'no-endpoint',
  'the network does not lead to its endpoint',
  'Check the network of this machine, then remote.NAME.endpoint',
);
const noNames = unreachable(
  'no-endpoint',
  'hosts cannot be looked up now',
  'Check the network of this machine and its name servers',
);
const untrusted = (what: string, hint: string): FailureKind =>
  refused('tls', `its certificate ${what}`, hint);
const unknownAuthority = untrusted(
  'is signed by an authority that is not known here',
  'Set NODE_EXTRA_CA_CERTS to a file with the certificate of that authority (PEM)',
);
const selfSigned = untrusted(
  'is signed by itself',
  'If it is the right one, set NODE_EXTRA_CA_CERTS to a file with it (PEM)',
);
const outdated = untrusted(
  'has expired',
  'Have it renewed where the service runs; if it has been, check the clock of this machine',
);
const early = untrusted('is not valid yet', 'Check the clock of this machine');
const otherName = untrusted(
  'is for another host name',
  'Use a host that the certificate names in remote.NAME.endpoint',
);
const otherwiseBad = untrusted(
  'is not accepted',
  'Look at the code in brackets, and have the certificate of the service corrected',
);
const notTls = refused(
  'tls',
  'no TLS connection can be made with its endpoint',
  'Check remote.NAME.endpoint: if the service has no TLS there, write http://',
);
const notHttp = refused(
  'not-http',
  'what answers there does not speak HTTP',
  'Check host and port in remote.NAME.endpoint; if the service speaks TLS there, write https://',
);
const tooLong = refused(
  'wrong-answer',
  'its answer is longer than any that was asked for',
  'Check remote.NAME.endpoint, and what stands in between',
);
const garbled = unreachable('wrong-answer', 'its answer is garbled');

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
  EHOSTUNREACH: noWay,
  ENETUNREACH: noWay,
  ENOTFOUND: unknownHost,
  EAI_AGAIN: noNames,
  CERT_HAS_EXPIRED: outdated,
  CERT_NOT_YET_VALID: early,
  DEPTH_ZERO_SELF_SIGNED_CERT: selfSigned,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  ERR_TLS_CERT_ALTNAME_INVALID: otherName,
  HOSTNAME_MISMATCH: otherName,
  CERT_REVOKED: otherwiseBad,
  CERT_UNTRUSTED: otherwiseBad,
  CERT_REJECTED: otherwiseBad,
  CERT_SIGNATURE_FAILURE: otherwiseBad,
  INVALID_CA: otherwiseBad,
  INVALID_PURPOSE: otherwiseBad,
  HPE_INVALID_CONSTANT: notHttp,
  EPROTO: notTls,
  ERR_ANSWER_TOO_LONG: tooLong,
};

/** The kind of a failed connection by its code; undefined for a code of something else. */
export function kindOfSystemCode(system: string | undefined): FailureKind | undefined {
  if (system === undefined) return undefined;
  if (Object.hasOwn(kindsBySystemCode, system)) return kindsBySystemCode[system];
  if (system.startsWith('ERR_SSL_')) return notTls;
  return system.startsWith('HPE_') ? garbled : undefined;
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
