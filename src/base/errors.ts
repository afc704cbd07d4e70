/** Exit codes of the command line, one for each class of outcome. Stable; listed in docs/errors.md. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  objectsMissing: 4,
  corrupt: 5,
  conflict: 6,
  gateRefused: 7,
  remote: 8,
  interrupted: 130,
} as const;

/** Every error code with the exit code it leads to. Codes are stable: programs compare them. */
const exitOfCode = {
  internal: exitCodes.failed,
  io: exitCodes.failed,
  'no-space': exitCodes.failed,
  'read-only': exitCodes.failed,
  'permission-denied': exitCodes.failed,
  locked: exitCodes.failed,
  'newer-format': exitCodes.failed,
  'too-large': exitCodes.failed,
  'link-unsupported': exitCodes.failed,
  'git-failed': exitCodes.failed,
  'runtime-failed': exitCodes.failed,
  usage: exitCodes.usage,
  'config-invalid': exitCodes.usage,
  'bad-metrics': exitCodes.usage,
  'bad-metadata': exitCodes.usage,
  'bad-name': exitCodes.usage,
  'name-collision': exitCodes.usage,
  'outside-workspace': exitCodes.usage,
  'is-a-pointer': exitCodes.usage,
  'contains-pointer': exitCodes.usage,
  'inside-tracked': exitCodes.usage,
  'tracked-by-git': exitCodes.usage,
  'pointer-ignored': exitCodes.usage,
  ignored: exitCodes.usage,
  'unsupported-file-type': exitCodes.usage,
  'link-leaves': exitCodes.usage,
  'link-loop': exitCodes.usage,
  'remote-exists': exitCodes.usage,
  'import-refused': exitCodes.usage,
  'bad-input': exitCodes.usage,
  'bad-key': exitCodes.usage,
  'unsupported-model': exitCodes.usage,
  'unsupported-source': exitCodes.usage,
  'not-found': exitCodes.notFound,
  'not-tracked': exitCodes.notFound,
  'no-workspace': exitCodes.notFound,
  'no-git': exitCodes.notFound,
  'unknown-ref': exitCodes.notFound,
  'ambiguous-ref': exitCodes.notFound,
  'unknown-remote': exitCodes.notFound,
  'unknown-key': exitCodes.notFound,
  'unknown-model': exitCodes.notFound,
  'unknown-version': exitCodes.notFound,
  'unknown-environment': exitCodes.notFound,
  'no-earlier-version': exitCodes.notFound,
  'not-locked': exitCodes.notFound,
  'runtime-missing': exitCodes.notFound,
  'objects-missing': exitCodes.objectsMissing,
  'corrupt-pointer': exitCodes.corrupt,
  'corrupt-pack': exitCodes.corrupt,
  'corrupt-chunk': exitCodes.corrupt,
  'corrupt-recipe': exitCodes.corrupt,
  'corrupt-tree': exitCodes.corrupt,
  'corrupt-store': exitCodes.corrupt,
  'corrupt-remote': exitCodes.corrupt,
  'corrupt-registry': exitCodes.corrupt,
  'corrupt-package': exitCodes.corrupt,
  'corrupt-source': exitCodes.corrupt,
  'corrupt-lock': exitCodes.corrupt,
  'corrupt-model': exitCodes.corrupt,
  'corrupt-audit': exitCodes.corrupt,
  'wrong-key': exitCodes.corrupt,
  'key-changed': exitCodes.corrupt,
  'validation-refused': exitCodes.corrupt,
  'bad-signature': exitCodes.corrupt,
  untrusted: exitCodes.corrupt,
  'would-overwrite': exitCodes.conflict,
  'file-changed': exitCodes.conflict,
  'source-changed': exitCodes.conflict,
  'merge-conflict': exitCodes.conflict,
  'destination-exists': exitCodes.conflict,
  'version-exists': exitCodes.conflict,
  'name-taken': exitCodes.conflict,
  'version-in-use': exitCodes.conflict,
  'version-retired': exitCodes.conflict,
  'step-skipped': exitCodes.conflict,
  'lost-race': exitCodes.conflict,
  drift: exitCodes.conflict,
  'histories-differ': exitCodes.conflict,
  'not-pushed': exitCodes.conflict,
  'gate-refused': exitCodes.gateRefused,
  'check-refused': exitCodes.gateRefused,
  'remote-unreachable': exitCodes.remote,
  'remote-refused': exitCodes.remote,
  'remote-full': exitCodes.remote,
  'not-logged': exitCodes.remote,
  'too-powerful': exitCodes.remote,
  'not-a-remote': exitCodes.remote,
  offline: exitCodes.remote,
  interrupted: exitCodes.interrupted,
} as const;

export type ErrorCode = keyof typeof exitOfCode;

/** All error codes, in the order of docs/errors.md. */
export const errorCodes = Object.keys(exitOfCode) as ErrorCode[];

/** Facts about a failure for programs: digests, sizes, paths. */
export type ErrorDetails = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** Options of {@link MstoreError}. */
export interface MstoreErrorOptions {
  /** What the reader should do next; starts with a capital, no final stop. */
  readonly hint?: string;
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
}

/**
 * The one error that mstore throws for anything a user, a file or a remote can cause.
 * `message` says what happened and why in at most two lines, `hint` what to do.
 */
export class MstoreError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: MstoreErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MstoreError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  /** The exit code that the command line ends with. */
  get exitCode(): number {
    return exitOfCode[this.code];
  }
}

/** Returns the exit code that an error code leads to. */
export function exitCodeOf(code: ErrorCode): number {
  return exitOfCode[code];
}

/** Tells whether `error` is an {@link MstoreError}, and, if codes are given, one of those. */
export function isMstoreError(error: unknown, ...codes: ErrorCode[]): error is MstoreError {
  return error instanceof MstoreError && (codes.length === 0 || codes.includes(error.code));
}

/** Throws an internal error when `condition` does not hold: a mistake in mstore, never in its input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) {
    throw new MstoreError('internal', `Broken invariant: ${message}`, {
      hint: 'This is a defect in mstore; please report it with the command you ran',
    });
  }
}

/** Returns the system error code (`ENOENT`, `EACCES`, …) of a thrown value, or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Turns a failed file operation into an {@link MstoreError}; an MstoreError passes through unchanged.
 * @param doing what was attempted, as a gerund clause: `writing models/a.onnx`
 */
export function fromSystemError(error: unknown, doing: string): unknown {
  if (error instanceof MstoreError) return error;
  const system = systemCode(error);
  if (system === undefined) return error;
  const known = systemErrorTexts[system];
  const reason = error instanceof Error ? error.message : String(error);
  if (known === undefined) {
    return new MstoreError('io', `Failed ${doing}: ${reason}`, {
      cause: error,
      details: { system },
    });
  }
  return new MstoreError(known.code, `Failed ${doing}: ${known.what}`, {
    hint: known.hint,
    cause: error,
    details: { system },
  });
}

const noSpaceHint =
  'Free some space, then run the same command again; nothing stored before is harmed';
const systemErrorTexts: Record<string, { code: ErrorCode; what: string; hint: string }> = {
  ENOSPC: { code: 'no-space', what: 'no space left on the device', hint: noSpaceHint },
  EDQUOT: { code: 'no-space', what: 'the disk quota is used up', hint: noSpaceHint },
  EFBIG: {
    code: 'no-space',
    what: 'the file would be larger than the file system or a limit allows',
    hint: 'Raise the limit (ulimit -f) or use another file system',
  },
  EROFS: {
    code: 'read-only',
    what: 'the file system is read-only',
    hint: 'Mount it writable, or use --to DIR to write elsewhere',
  },
  EACCES: {
    code: 'permission-denied',
    what: 'permission denied',
    hint: 'Check the owner and the mode of the file and of the folders above it',
  },
  EPERM: {
    code: 'permission-denied',
    what: 'operation not permitted',
    hint: 'Check the owner and the attributes of the file and of the folders above it',
  },
  ENOENT: {
    code: 'not-found',
    what: 'no such file or folder',
    hint: 'Check the path; another process may have removed it',
  },
  EMFILE: {
    code: 'io',
    what: 'too many open files',
    hint: 'Raise the limit (ulimit -n) or lower --jobs',
  },
  ENAMETOOLONG: {
    code: 'bad-name',
    what: 'the name or the path is too long for this file system',
    hint: 'Use a shorter name, or a destination nearer to the root',
  },
};
