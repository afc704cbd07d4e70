import { type ErrorCode, fromSystemError, MstoreError, systemCode } from '../base/errors.ts';

/**
 * Turns a failed file operation on a directory remote into the remote's own error; an MstoreError
 * passes through unchanged.
 * @param attempt what was tried, in front of the remote's name: `write packs/ab/c.pack to`
 * @param location the remote, fit to be printed
 */
export function fromRemoteSystemError(error: unknown, attempt: string, location: string): unknown {
  const system = systemCode(error);
  if (error instanceof MstoreError || system === undefined) return error;
  // What this process itself ran out of says nothing about the remote.
  if (system === 'EMFILE' || system === 'ENFILE') {
    return fromSystemError(error, `to ${attempt} the remote ${location}`);
  }
  const known = texts[system];
  const what = known?.what ?? (error instanceof Error ? error.message : system);
  return new MstoreError(
    known?.code ?? 'remote-unreachable',
    `Cannot ${attempt} the remote ${location}: ${what}`,
    { hint: known?.hint ?? unreachableHint, cause: error, details: { system } },
  );
}

const unreachableHint =
  'Check that the disk or the network mount works, then run the same command again';
const fullHint =
  'Make space there, then run the same command again; what has arrived is not sent twice';
const refusedHint =
  'Ask for permission to use the folder, or check its owner and mode and those of the folders in it';

const texts: Record<string, { code: ErrorCode; what: string; hint: string }> = {
  ENOSPC: { code: 'remote-full', what: 'no space left on its device', hint: fullHint },
  EDQUOT: { code: 'remote-full', what: 'the disk quota is used up', hint: fullHint },
  EFBIG: {
    code: 'remote-full',
    what: 'the file would be larger than its file system or a limit allows',
    hint: 'Raise the limit (ulimit -f) or keep the remote on another file system',
  },
  EACCES: { code: 'remote-refused', what: 'permission denied', hint: refusedHint },
  EPERM: { code: 'remote-refused', what: 'operation not permitted', hint: refusedHint },
  EROFS: {
    code: 'remote-refused',
    what: 'its file system is read-only',
    hint: 'Mount it writable; reading from it works as it is',
  },
  ENAMETOOLONG: {
    code: 'remote-refused',
    what: 'the name or the path is too long for its file system',
    hint: 'Keep the remote in a folder with a shorter path, or use shorter names',
  },
  ENOENT: {
    code: 'remote-unreachable',
    what: 'a file or folder of it vanished meanwhile',
    hint: 'Run the same command again; if it fails again, look at what removes files there',
  },
};
