import { type Digest, isDigest, sha256 } from './digest.ts';
import { MstoreError } from './errors.ts';
import { compareUtf8, isJsonObject, type JsonObject, parseJsonBytes } from './json.ts';
import { limits } from './limits.ts';
import { TreeLinks } from './links.ts';
import { pathProblem, printable } from './names.ts';
import { TreePlaces } from './tree-places.ts';

/** A regular file of a tree. */
export interface FileEntry {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Digest;
  readonly executable?: true;
}

/** A symbolic link of a tree; its target stays inside the tree. */
export interface LinkEntry {
  readonly path: string;
  readonly link: string;
}

/** A directory without entries; others are implied by the paths in them. */
export interface DirectoryEntry {
  readonly path: string;
  readonly directory: true;
}

/** One line of a tree. Paths are relative, `/`-separated and NFC. */
export type TreeEntry = FileEntry | LinkEntry | DirectoryEntry;

export function isFileEntry(entry: TreeEntry): entry is FileEntry {
  return 'sha256' in entry;
}

export function isLinkEntry(entry: TreeEntry): entry is LinkEntry {
  return 'link' in entry;
}

/** Sorts in place by the UTF-8 bytes of the paths, the one order of trees and listings. */
export function sortEntries<T extends { readonly path: string }>(entries: T[]): T[] {
  return entries.sort((a, b) => compareUtf8(a.path, b.path));
}

/** Sum of the sizes of the files of a tree, in bytes. */
export function treeSize(entries: readonly TreeEntry[]): number {
  let size = 0;
  for (const entry of entries) if (isFileEntry(entry)) size += entry.size;
  return size;
}

/** Returns an entry with its keys in the canonical order and nothing else. */
export function canonicalEntry(entry: TreeEntry): TreeEntry {
  if (isLinkEntry(entry)) return { path: entry.path, link: entry.link };
  if (!isFileEntry(entry)) return { path: entry.path, directory: true };
  const { path, size, sha256: digest } = entry;
  return entry.executable
    ? { path, size, sha256: digest, executable: true }
    : { path, size, sha256: digest };
}

/** The bytes of a tree blob: canonical JSON of the sorted entries, without white space. */
export function formatTree(entries: readonly TreeEntry[]): Buffer {
  return Buffer.from(JSON.stringify(entries.map(canonicalEntry)));
}

/** The digest of a tree. */
export function treeDigest(entries: readonly TreeEntry[]): Digest {
  return sha256(formatTree(entries));
}

/**
 * Parses the bytes of a tree blob.
 * @throws MstoreError `corrupt-tree`
 */
export function parseTree(bytes: Uint8Array): TreeEntry[] {
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch (error) {
    throw new TreeProblem('it is not UTF-8 JSON', { cause: error });
  }
  const entries = checkEntries(value);
  if (!formatTree(entries).equals(bytes)) throw new TreeProblem('it is not in canonical form');
  return entries;
}

/** A fault of a list of entries; pointer and tree parsers add where it was found. */
export class TreeProblem extends MstoreError {
  readonly problem: string;
  constructor(problem: string, options: { cause?: unknown } = {}) {
    super('corrupt-tree', `The list of files of a tree cannot be used: ${problem}`, {
      hint: 'Fetch the version again, or add it again where its files are whole',
      ...options,
    });
    this.problem = problem;
  }
}

/**
 * Checks a list of entries from outside completely: form, order, names, collisions, files that stand
 * where a directory must be, and links that leave or loop.
 * @throws TreeProblem
 */
export function checkEntries(value: unknown): TreeEntry[] {
  if (!Array.isArray(value)) throw new TreeProblem('it is not a list');
  if (value.length > limits.treeEntriesMax) {
    throw new TreeProblem(`it has more than ${limits.treeEntriesMax} entries`);
  }
  const entries = value.map(checkEntry);
  for (let i = 1; i < entries.length; i++) {
    const before = entries[i - 1] as TreeEntry;
    const entry = entries[i] as TreeEntry;
    const order = compareUtf8(before.path, entry.path);
    if (order === 0) throw new TreeProblem(`${printable(entry.path)} is listed twice`);
    if (order > 0) throw new TreeProblem(`${printable(entry.path)} is out of order`);
  }
  checkStructure(entries);
  return entries;
}

const entryKeys = new Set(['path', 'size', 'sha256', 'executable', 'link', 'directory']);

function checkEntry(value: unknown): TreeEntry {
  if (!isJsonObject(value)) throw new TreeProblem('an entry is not an object');
  const path = value['path'];
  if (typeof path !== 'string') throw new TreeProblem('an entry has no path');
  const problem = pathProblem(path);
  if (problem !== undefined) throw new TreeProblem(`the path ${printable(path)} has ${problem}`);
  for (const key of Object.keys(value)) {
    if (!entryKeys.has(key)) {
      throw new TreeProblem(`${printable(path)} has the unknown key ${printable(key)}`);
    }
  }
  const kinds = ['sha256', 'link', 'directory'].filter((key) => key in value);
  if (kinds.length !== 1) {
    throw new TreeProblem(`${printable(path)} must be one of file, link and directory`);
  }
  if ('sha256' in value) return checkFile(path, value);
  if ('size' in value || 'executable' in value) {
    throw new TreeProblem(`${printable(path)} is no file and has the keys of one`);
  }
  if ('directory' in value) {
    if (value['directory'] !== true)
      throw new TreeProblem(`${printable(path)} has a bad directory mark`);
    return { path, directory: true };
  }
  const link = value['link'];
  if (typeof link !== 'string') throw new TreeProblem(`${printable(path)} has a bad link target`);
  return { path, link };
}

function checkFile(path: string, value: JsonObject): FileEntry {
  const { size, sha256: digest, executable } = value;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new TreeProblem(`${printable(path)} has a bad size`);
  }
  if (!isDigest(digest)) throw new TreeProblem(`${printable(path)} has a bad sha256`);
  if (executable === undefined) return { path, size, sha256: digest };
  if (executable !== true) throw new TreeProblem(`${printable(path)} has a bad executable mark`);
  return { path, size, sha256: digest, executable };
}

/** Checks what concerns several entries at once. */
function checkStructure(entries: readonly TreeEntry[]): void {
  const places = new TreePlaces();
  for (const { path } of entries) {
    const problem = places.add(path);
    if (problem !== undefined) throw new TreeProblem(problem);
  }
  checkLinks(entries);
}

/** Checks that every link of a tree stays inside it, as the system would follow it, and ends. */
function checkLinks(entries: readonly TreeEntry[]): void {
  const links = new Map<string, string>();
  for (const entry of entries) if (isLinkEntry(entry)) links.set(entry.path, entry.link);
  const tree = new TreeLinks(links);
  for (const [path, target] of links) {
    const problem = tree.problem(path);
    if (problem === undefined) continue;
    throw new TreeProblem(`the link ${printable(path)} -> ${printable(target)} ${problem.what}`);
  }
}
