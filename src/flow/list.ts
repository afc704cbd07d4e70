import { MstoreError } from '../base/errors.ts';
import { printable, shellWord } from '../base/names.ts';
import { type FileEntry, isFileEntry, type TreeEntry } from '../base/tree.ts';
import { parseFileReference } from '../registry/reference.ts';
import { BlobReader } from '../store/blob-reader.ts';
import { findReference } from './targets.ts';
import {
  type Tracked,
  type TrackedFiles,
  type TrackedSet,
  trackedFiles,
  trackedInWorkspace,
} from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** A tracked path with its entries. */
export interface Listing {
  readonly path: string;
  readonly kind: 'file' | 'tree';
  readonly sha256: string;
  readonly size: number;
  /** Undefined when the list of a large tree is not in the local store. */
  readonly entries: readonly TreeEntry[] | undefined;
}

/** Lists tracked paths with their files. */
export function list(workspace: Workspace, tracked: readonly Tracked[]): Listing[] {
  return tracked.map((item) => {
    const { kind, sha256, size } = item.pointer;
    const unlisted =
      item.pointer.kind === 'tree' &&
      item.pointer.files === undefined &&
      !workspace.store.has(sha256);
    const entries = unlisted ? undefined : trackedFiles(workspace.store, item).entries;
    return { path: item.path, kind, sha256, size, entries };
  });
}

/**
 * Finds the file that `[REF:]PATH` names, PATH lying in or being a tracked path.
 * @param cwd absolute folder that a path without a revision starts from; behind a revision it starts
 * from the top
 * @throws MstoreError `not-found`, `unknown-ref`, `not-tracked`
 */
export async function findFile(
  workspace: Workspace,
  given: string,
  cwd: string,
): Promise<FileEntry> {
  const filesOf = async (item: Tracked) => trackedFiles(workspace.store, item);
  return (await findFileBeside(workspace, given, cwd, filesOf)).entry;
}

/** A file of a tracked path, with the others of that path. */
export interface FoundFile extends TrackedFiles {
  readonly entry: FileEntry;
  /** Path from the top of the workspace. */
  readonly path: string;
}

/**
 * Finds a file as {@link findFile} does.
 * @param filesOf lists the files of the tracked path that it is in
 */
export async function findFileBeside(
  workspace: Workspace,
  given: string,
  cwd: string,
  filesOf: (item: Tracked) => Promise<TrackedFiles>,
): Promise<FoundFile> {
  const { reference, path: named } = parseFileReference(given);
  const full = reference === undefined ? workspace.relative(named, cwd) : named;
  const text = given.slice(0, given.length - named.length - 1);
  const choose = (set: TrackedSet) => [holderOf(set, full, text)];
  const tracked =
    reference === undefined
      ? choose(trackedInWorkspace(workspace))
      : (await findReference(workspace, text, choose, reference)).tracked;
  const item = tracked[0] as Tracked;
  const { base, entries } = await filesOf(item);
  const name = base === '' ? full : full.slice(base.length + 1);
  const entry = entries.find(({ path }) => path === name);
  if (entry !== undefined && isFileEntry(entry)) return { base, entries, entry, path: full };
  if (full === item.path || entries.some(({ path }) => path.startsWith(`${name}/`))) {
    throw new MstoreError('usage', `${printable(full)} is a directory; cat prints one file`, {
      hint: `Run "mstore ls ${shellWord(item.path)}" to see its files`,
      details: { path: full },
    });
  }
  throw new MstoreError('not-found', `${printable(full)} is no file of ${printable(item.path)}`, {
    hint: `Run "mstore ls ${shellWord(item.path)}" to see its files`,
    details: { path: full },
  });
}

/** Finds the tracked path that a file lies in, or is. */
function holderOf(set: TrackedSet, full: string, reference: string): Tracked {
  const holds = ({ path }: { path: string }) => full === path || full.startsWith(`${path}/`);
  const item = set.tracked.find(holds);
  if (item !== undefined) return item;
  const broken = set.broken.find(holds);
  if (broken !== undefined) throw broken.error;
  throw new MstoreError('not-tracked', `${printable(full)} is not in a tracked path`, {
    hint: `Run "mstore ls${reference === '' ? '' : ` ${printable(reference)}`}" to see what is tracked`,
    details: { path: full },
  });
}

/**
 * Hands out the bytes of a file in blocks, each verified; that the whole is right is known at the end.
 * @param use is awaited; a block is valid until it returns
 */
export async function readFile(
  workspace: Workspace,
  file: FileEntry,
  use: (block: Uint8Array) => Promise<void>,
): Promise<void> {
  const reader = new BlobReader(workspace.store);
  try {
    for (const block of reader.read(file.sha256)) await use(block);
  } finally {
    reader.close();
  }
}
