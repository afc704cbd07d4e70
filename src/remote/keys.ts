import { invariant, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { ByteRange } from './remote.ts';

const namePattern = /^(?!\.)[A-Za-z0-9._@-]+$/;

/** The top folder that backends keep for what is not complete yet; no key may start with it. */
export const reservedName = 'tmp';

/**
 * Tells whether `name` may be one component of a key. Names that start with a dot are left to file
 * systems and their tools (`.nfs…`, `.DS_Store`), so that a listing can leave them out.
 */
export function isKeyName(name: string): boolean {
  return namePattern.test(name);
}

/** Breaks the invariant unless `key` is fit to name an object. The one check that all backends use. */
export function checkKey(key: string): void {
  const names = key.split('/');
  invariant(names.every(isKeyName), `a remote key of safe names, not "${printable(key)}"`);
  invariant(names[0] !== reservedName, `a remote key outside ${reservedName}/, not "${key}"`);
}

/** Breaks the invariant unless `prefix` is empty or a folder of keys with its final `/`. */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  invariant(prefix.endsWith('/'), `a prefix that ends with a slash, not "${printable(prefix)}"`);
  checkKey(prefix.slice(0, -1));
}

/**
 * Returns the range that a read asked for; without one, the whole object of `size` bytes.
 * @throws MstoreError `corrupt-remote` when the object ends before the range does
 */
export function checkRange(
  key: string,
  range: ByteRange | undefined,
  size: number,
  location: string,
): ByteRange {
  if (range === undefined) return { start: 0, end: size };
  const { start, end } = range;
  invariant(
    Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end,
    `a range of bytes, not ${start} to ${end}`,
  );
  if (end > size) throw shortObject(key, end, size, location);
  return range;
}

/** Makes the error of an object that lacks bytes which a read asked for. */
export function shortObject(
  key: string,
  expected: number,
  size: number,
  location: string,
): MstoreError {
  return new MstoreError(
    'corrupt-remote',
    `${key} of the remote ${location} is damaged: it ends after ${size} bytes, ${expected} or more were expected`,
    {
      hint: 'Delete the damaged object there, then push again from a machine that has the data',
      details: { key, expected, size },
    },
  );
}

/** Makes the error of a read of an object that is not there. */
export function noObject(key: string, location: string): MstoreError {
  return new MstoreError('not-found', `The remote ${location} has no ${key}`, {
    hint: 'Push it from a machine that has it, or name another remote',
    details: { key },
  });
}
