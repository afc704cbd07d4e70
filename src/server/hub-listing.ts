import { createHash } from 'node:crypto';
import { sha256 } from '../base/digest.ts';
import type { FileEntry } from '../base/tree.ts';
import { type FileList, placeOf } from './version-files.ts';

/** What of a version listings tell beside its files. */
export interface ListedCommit {
  readonly id: string;
  readonly title: string;
  /** ISO 8601 in UTC. */
  readonly date: string;
}

/** A file or a directory of a listing, in the form of the Hub. */
export type ListedEntry = Readonly<Record<string, unknown>>;

/** Which part of a listing is wanted. */
export interface ListingPart {
  /** Path of a directory; empty for the top. */
  readonly folder: string;
  /** Also what is in directories of it. */
  readonly recursive: boolean;
  /** Told of each entry, as the last change of it: a version is one commit. */
  readonly expand: ListedCommit | undefined;
  /** Path of the entry behind which it goes on; by default it starts with the first one. */
  readonly behind?: string | undefined;
}

/**
 * What the Hub tells of a file of Git LFS, which all files are here: clients know them by their SHA-256 then. The object
 * of Git is that of its pointer, which can be told without a look into the file. Source: the specification of Git LFS, "The pointer".
 */
function lfsOf({ sha256: digest, size }: FileEntry) {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${digest}\nsize ${size}\n`;
  const object = `blob ${pointer.length}\0${pointer}`;
  const oid = createHash('sha1').update(object).digest('hex');
  return { oid, pointerSize: pointer.length };
}

/** A file as a listing has it. */
function fileEntry(file: FileEntry, { expand }: Pick<ListingPart, 'expand'>): ListedEntry {
  const { path, size, sha256: digest } = file;
  const { oid, pointerSize } = lfsOf(file);
  const lfs = { oid: digest, size, pointerSize };
  return { type: 'file', oid, size, lfs, path, ...lastCommitOf(expand) };
}

function folderEntry(path: string, commit: string, { expand }: Pick<ListingPart, 'expand'>) {
  const oid = sha256(`${commit}/${path}`).slice(0, 40);
  return { type: 'directory', oid, size: 0, path, ...lastCommitOf(expand) };
}

function lastCommitOf(expand: ListedCommit | undefined): object {
  return expand === undefined ? {} : { lastCommit: expand };
}

/** Tells whether there are files below a path. */
export function hasFolder(files: FileList, folder: string): boolean {
  const prefix = `${folder}/`;
  return files[placeOf(files, prefix)]?.path.startsWith(prefix) === true;
}

/** The entry of a path; undefined where there is nothing. */
export function entryAt(
  files: FileList,
  path: string,
  commit: string,
  how: Pick<ListingPart, 'expand'>,
): ListedEntry | undefined {
  const file = files[placeOf(files, path)];
  if (file?.path === path) return fileEntry(file, how);
  return hasFolder(files, path) ? folderEntry(path, commit, how) : undefined;
}

/** Lists files and the directories that they are in, each directory before what is in it. */
export function* listEntries(
  files: FileList,
  commit: string,
  part: ListingPart,
): Generator<ListedEntry, void, void> {
  const prefix = part.folder === '' ? '' : `${part.folder}/`;
  let { at, before } = startOf(files, prefix, part.behind);
  for (; at < files.length; at++) {
    const file = files[at] as FileEntry;
    if (!file.path.startsWith(prefix)) return;
    const folders = file.path.slice(prefix.length).split('/').slice(0, -1);
    const depth = part.recursive ? folders.length : Math.min(1, folders.length);
    let same = 0;
    while (same < depth && folders[same] === before[same]) same++;
    for (let i = same; i < depth; i++) {
      yield folderEntry(prefix + folders.slice(0, i + 1).join('/'), commit, part);
    }
    before = folders;
    if (part.recursive || folders.length === 0) yield fileEntry(file, part);
    // What is in a directory is passed over at once.
    else at = placeOf(files, `${prefix}${folders[0]}${behindSlash}`) - 1;
  }
}

/** The character that comes next to a slash. */
const behindSlash = '0';

/** Where a listing goes on behind an entry, and the directories that were listed before. */
function startOf(
  files: FileList,
  prefix: string,
  behind: string | undefined,
): { at: number; before: readonly string[] } {
  if (behind === undefined) return { at: placeOf(files, prefix), before: [] };
  const names = behind.slice(prefix.length).split('/');
  const at = placeOf(files, behind);
  if (files[at]?.path === behind) return { at: at + 1, before: names.slice(0, -1) };
  return { at: placeOf(files, `${behind}/`), before: names };
}

/** Lists files as the siblings of a model. */
export function* listSiblings(
  files: FileList,
  { blobs }: { readonly blobs: boolean },
): Generator<ListedEntry, void, void> {
  for (const file of files) {
    const { path: rfilename, size, sha256: digest } = file;
    if (!blobs) {
      yield { rfilename };
      continue;
    }
    const { oid: blobId, pointerSize } = lfsOf(file);
    yield { rfilename, size, blobId, lfs: { sha256: digest, size, pointerSize } };
  }
}

const blockLength = 64 * 1024;

/** Puts a list of JSON between two texts, in blocks: a large one is never in memory as a whole. */
export async function* jsonBlocks(
  before: string,
  items: Iterable<ListedEntry>,
  behind: string,
): AsyncGenerator<Uint8Array, void, void> {
  let text = before;
  let comma = '';
  for (const item of items) {
    text += comma + JSON.stringify(item);
    comma = ',';
    if (text.length < blockLength) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text + behind);
}
