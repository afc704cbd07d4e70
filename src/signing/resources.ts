import type { Digest } from '../base/digest.ts';
import { followLinks } from '../base/links.ts';
import { printable } from '../base/names.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../base/tree.ts';
import {
  ignoredByDefault,
  isIgnored,
  type Serialization,
  type Statement,
  wholeName,
} from './statement.ts';

/** A file as signatures know it. */
export interface SignedFile {
  readonly name: string;
  readonly sha256: Digest;
}

/** The files of a tree that a signature lists. */
export interface SignedFiles {
  readonly files: readonly SignedFile[];
  /** Whether some of them are what links lead to. */
  readonly allowSymlinks: boolean;
}

/**
 * Lists the files of a tree as model_signing does: a link to a file stands for that file; links to directories and
 * empty directories are left out, and so is what {@link ignoredByDefault} names.
 */
export function filesToSign(entries: readonly TreeEntry[]): SignedFiles {
  return filesOf(entries, { ignored: ignoredByDefault });
}

/** The same with what another signature leaves out. */
export function filesOf(
  entries: readonly TreeEntry[],
  how: Pick<Serialization, 'ignored'>,
): SignedFiles {
  const digests = new Map<string, Digest>();
  const links = new Map<string, string>();
  for (const entry of entries) {
    if (isFileEntry(entry)) digests.set(entry.path, entry.sha256);
    else if (isLinkEntry(entry)) links.set(entry.path, entry.link);
  }
  const files: SignedFile[] = [];
  let allowSymlinks = false;
  for (const { path } of entries) {
    if (isIgnored(path, how)) continue;
    const isLink = links.has(path);
    const end = isLink ? followLinks(links, path) : path;
    // Links to directories need the leave of the signature as well.
    allowSymlinks ||= isLink;
    const sha256 = end === undefined ? undefined : digests.get(end);
    if (sha256 !== undefined) files.push({ name: path, sha256 });
  }
  return { files, allowSymlinks };
}

/** A model that is one file. */
export function wholeFile(sha256: Digest): SignedFiles {
  return { files: [{ name: wholeName, sha256 }], allowSymlinks: false };
}

/**
 * Compares the files that a statement lists with those that are there, both ways.
 * @returns what differs, as a clause; undefined where nothing does
 */
export function differenceOf(
  { resources }: Pick<Statement, 'resources'>,
  files: ReadonlyArray<{ readonly name: string; readonly digest: string }>,
): string | undefined {
  const there = new Map(files.map(({ name, digest }) => [name, digest]));
  for (const { name, digest } of resources) {
    const found = there.get(name);
    if (found === undefined) return `it lists ${printable(name)}, which is not there`;
    if (found !== digest) return `${printable(name)} has other bytes than those that were signed`;
    there.delete(name);
  }
  const [extra] = there.keys();
  return extra === undefined ? undefined : `${printable(extra)} is there, and was not signed`;
}
