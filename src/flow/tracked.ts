import * as fs from 'node:fs';
import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { printable, shellWord } from '../base/names.ts';
import {
  type FileEntry,
  formatTree,
  isFileEntry,
  parseTree,
  sortEntries,
  type TreeEntry,
  treeSize,
} from '../base/tree.ts';
import type { GitFile } from '../git/repository.ts';
import { BlobReader } from '../store/blob-reader.ts';
import type { Store } from '../store/local-store.ts';
import { findPointers } from '../worktree/find-pointers.ts';
import { ignoreFileRules } from '../worktree/ignore-rules.ts';
import {
  checkPointerName,
  type Pointer,
  parsePointer,
  pointerSuffix,
  readPointer,
} from '../worktree/pointer.ts';
import { type Workspace, workspaceFolderName } from './workspace.ts';

/** A tracked path with its pointer. */
export interface Tracked {
  /** Path from the top of the workspace, without the suffix of the pointer. */
  readonly path: string;
  readonly pointer: Pointer;
}

/** Names what a path is in one version. */
export function contentName({ path: name, pointer }: Tracked): string {
  return `${pointer.kind} ${pointer.sha256} ${name}`;
}

/** A pointer that cannot be used, and why. */
export interface BrokenPointer {
  readonly path: string;
  readonly error: MstoreError;
}

/** The pointers of a workspace or a commit. */
export interface TrackedSet {
  /** Sorted by path. */
  readonly tracked: readonly Tracked[];
  readonly broken: readonly BrokenPointer[];
}

/** Returns the path of the pointer of a tracked path. */
export function pointerPath(tracked: string): string {
  return tracked + pointerSuffix;
}

/** Returns the tracked path of a pointer's path. */
function trackedPath(pointer: string): string {
  return pointer.slice(0, -pointerSuffix.length);
}

/** Reads the pointers of the working tree. */
export function trackedInWorkspace({ root, git }: Pick<Workspace, 'root' | 'git'>): TrackedSet {
  const rules = git === undefined ? [] : [ignoreFileRules(root, '.gitignore')];
  const tracked: Tracked[] = [];
  const broken: BrokenPointer[] = [];
  for (const where of findPointers(root, rules)) {
    try {
      const pointer = readPointer(path.join(root, where), where);
      if (pointer !== undefined) tracked.push({ path: trackedPath(where), pointer });
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      broken.push({ path: trackedPath(where), error });
    }
  }
  return { tracked, broken };
}

/**
 * Reads the pointers of a commit.
 * @param commit full commit id
 */
export async function trackedAt(workspace: Workspace, commit: string): Promise<TrackedSet> {
  const git = requireGit(workspace);
  const prefix = workspace.gitPrefix;
  const files = (await git.listFiles(commit, pointerSuffix)).filter(({ path: p }) =>
    p.startsWith(prefix),
  );
  return readPointers(workspace, files);
}

/** A tracked path that was read from a file of Git. */
export interface TrackedFile<F extends GitFile> extends Tracked {
  readonly file: F;
}

/** Reads pointers out of Git by their object ids. */
export async function readPointers<F extends GitFile>(
  workspace: Workspace,
  files: readonly F[],
): Promise<{
  readonly tracked: ReadonlyArray<TrackedFile<F>>;
  readonly broken: readonly BrokenPointer[];
}> {
  const git = requireGit(workspace);
  const contents = new Map<string, Buffer>();
  await git.readFiles(
    [...new Set(files.map(({ oid }) => oid))],
    limits.pointerBytesMax,
    (oid, content) => {
      contents.set(oid, content);
    },
  );
  const tracked: Array<TrackedFile<F>> = [];
  const broken: BrokenPointer[] = [];
  for (const file of files) {
    const { path: full, oid } = file;
    const where = full.slice(workspace.gitPrefix.length);
    if (path.posix.basename(where) === pointerSuffix || isOwn(where)) continue;
    try {
      const pointer = checkPointerName(
        parsePointer(contents.get(oid) ?? Buffer.alloc(0), where),
        where,
      );
      tracked.push({ path: trackedPath(where), pointer, file });
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      broken.push({ path: trackedPath(where), error });
    }
  }
  sortEntries(tracked);
  return { tracked, broken };
}

/** Tells whether a path lies in a folder that is Git's or ours and never holds pointers. */
function isOwn(where: string): boolean {
  return where.split('/').some((name) => name === '.git' || name === workspaceFolderName);
}

/** Returns the Git repository of a workspace, or throws `no-git`. */
export function requireGit(workspace: Workspace): NonNullable<Workspace['git']> {
  if (workspace.git !== undefined) return workspace.git;
  throw new MstoreError(
    'no-git',
    `${workspace.root} is not in a Git repository, so it has no earlier versions to name`,
    {
      hint: 'Name tracked paths only, or put the workspace under Git',
    },
  );
}

/**
 * Chooses the tracked paths that arguments name: the path itself, its pointer, or a folder above it.
 * @param paths from the top of the workspace; none chooses all
 * @throws MstoreError `not-tracked`, or the error of a broken pointer that was chosen
 */
export function selectTracked(set: TrackedSet, paths: readonly string[]): Tracked[] {
  const chosen = new Map<string, Tracked>();
  for (const given of paths.length === 0 ? [''] : paths) {
    const names = given.endsWith(pointerSuffix) ? [given, trackedPath(given)] : [given];
    const matches = (full: string): boolean =>
      names.some((name) => name === '' || full === name || full.startsWith(`${name}/`));
    const broken = set.broken.find((entry) => matches(entry.path));
    if (broken !== undefined) throw broken.error;
    const found = set.tracked.filter((entry) => matches(entry.path));
    if (found.length === 0 && given !== '') throw notTracked(given, set);
    for (const entry of found) chosen.set(entry.path, entry);
  }
  return sortEntries([...chosen.values()]);
}

/** Builds the error of a path that no pointer stands for. */
function notTracked(given: string, set: TrackedSet): MstoreError {
  const inside = set.tracked.find((entry) => given.startsWith(`${entry.path}/`));
  const hint =
    inside === undefined
      ? 'Run "mstore ls" to see what is tracked, or "mstore add" to track it'
      : `It lies in the tracked directory ${inside.path}; name that`;
  return new MstoreError('not-tracked', `${printable(given)} is not tracked`, {
    hint,
    details: { path: given },
  });
}

/** The files of a tracked path, relative to a folder. */
export interface TrackedFiles {
  /** Folder from the top of the workspace that the entries are relative to; empty for the top. */
  readonly base: string;
  readonly entries: readonly TreeEntry[];
  /** Bytes of the tree of a directory, where it was read. */
  readonly treeBytes?: number | undefined;
}

/**
 * Lists the files of a tracked path; for a single file, the one entry in its folder.
 * @throws MstoreError `objects-missing` when the list of a large tree is not in the store
 */
export function trackedFiles(store: Store, { path: tracked, pointer }: Tracked): TrackedFiles {
  if (pointer.kind === 'tree') {
    const { entries, bytes } = readTree(store, pointer);
    const size = treeSize(entries);
    if (size !== pointer.size)
      throw wrongSize(tracked, `its size is ${pointer.size}, that of its files ${size}`);
    return { base: tracked, entries, treeBytes: bytes };
  }
  const base = path.posix.dirname(tracked);
  const entry = { path: pointer.path, size: pointer.size, sha256: pointer.sha256 };
  return {
    base: base === '.' ? '' : base,
    entries: [pointer.executable ? { ...entry, executable: true } : entry],
  };
}

/**
 * Lists the entries of a directory: from its pointer, or from the store where they are too many for that.
 * @throws MstoreError `objects-missing`
 */
export function treeEntries(
  store: Store,
  pointer: Extract<Pointer, { kind: 'tree' }>,
): readonly TreeEntry[] {
  return readTree(store, pointer).entries;
}

function readTree(
  store: Store,
  { files, sha256 }: Extract<Pointer, { kind: 'tree' }>,
): { readonly entries: readonly TreeEntry[]; readonly bytes?: number } {
  if (files !== undefined) return { entries: files };
  const reader = new BlobReader(store);
  try {
    const bytes = reader.readWhole(sha256, limits.treeBytesMax);
    return { entries: parseTree(bytes), bytes: bytes.length };
  } finally {
    reader.close();
  }
}

/** A blob that a version needs. */
export interface NeededBlob {
  readonly sha256: FileEntry['sha256'];
  /** Bytes. */
  readonly size: number;
}

/**
 * Lists the blobs of a tracked path, each once: of a directory its tree and its files.
 * @param files of the path, where they are known
 * @throws MstoreError `objects-missing` as {@link trackedFiles}
 */
export function neededBlobs(
  store: Store,
  item: Tracked,
  files: TrackedFiles = trackedFiles(store, item),
): NeededBlob[] {
  const blobs = new Map<string, NeededBlob>();
  const { entries, treeBytes } = files;
  if (item.pointer.kind === 'tree') {
    const { sha256 } = item.pointer;
    blobs.set(sha256, { sha256, size: treeBytes ?? formatTree(entries).length });
  }
  for (const entry of entries) {
    if (!isFileEntry(entry)) continue;
    const { sha256, size } = entry;
    const same = blobs.get(sha256);
    if (same === undefined) blobs.set(sha256, { sha256, size });
    else if (same.size !== size)
      throw wrongSize(item.path, `it gives both ${same.size} and ${size} bytes to ${sha256}`);
  }
  return [...blobs.values()];
}

/**
 * Checks the size that a version gives a blob against the blob's own.
 * @throws MstoreError `corrupt-pointer`
 */
export function checkSize(tracked: string, { sha256, size }: NeededBlob, actual: number): void {
  if (size === actual) return;
  throw wrongSize(tracked, `it gives ${size} bytes to ${sha256}, which has ${actual}`);
}

function wrongSize(tracked: string, what: string): MstoreError {
  const where = printable(pointerPath(tracked));
  return new MstoreError('corrupt-pointer', `The pointer ${where} cannot be used: ${what}`, {
    hint: `Restore it from Git ("git checkout -- ${shellWord(pointerPath(tracked))}"), or add its file again`,
    details: { path: pointerPath(tracked) },
  });
}

/** Tells whether something exists at a path, links not followed. */
export function existsNoFollow(file: string): boolean {
  return fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}
