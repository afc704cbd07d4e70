/**
 * How DVC names bytes: `md5` since DVC 3, and before it `md5-dos2unix`, the MD5 of a file whose ends of lines
 * count as those of Unix where it looks like text. Both are written as `md5` in its files; a key `hash` tells them apart.
 */
export type DvcHash = 'md5' | 'md5-dos2unix';

/** An object of DVC's cache or of a remote of it. */
export interface DvcObject {
  readonly hash: DvcHash;
  /** 32 hexadecimal digits in lower case. */
  readonly md5: string;
  /** Whether it is the list of a directory. */
  readonly isList: boolean;
}

/** Tells whether a text is the MD5 of an object. */
export function isMd5(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{32}$/.test(text);
}

/** Returns where an object lies in a cache or a remote. */
export function objectKey({ hash, md5, isList }: DvcObject): string {
  const top = hash === 'md5' ? 'files/md5/' : '';
  return `${top}${md5.slice(0, 2)}/${md5.slice(2)}${isList ? listSuffix : ''}`;
}

/** What stands behind the MD5 of the list of a directory. */
export const listSuffix = '.dir';
