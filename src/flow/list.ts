import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type FileEntry, isFileEntry, type TreeEntry } from '../base/tree.ts';
import { BlobReader } from '../store/blob-reader.ts';
import { resolveRevision } from './targets.ts';
import { type Tracked, trackedAt, trackedFiles, trackedInWorkspace } from './tracked.ts';
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
  const colon = given.indexOf(':');
  const prefixed = given.startsWith('git:') ? given.indexOf(':', 4) : colon;
  const revision =
    prefixed > 0 ? given.slice(given.startsWith('git:') ? 4 : 0, prefixed) : undefined;
  const full = revision === undefined ? workspace.relative(given, cwd) : given.slice(prefixed + 1);
  const set =
    revision === undefined
      ? trackedInWorkspace(workspace)
      : await trackedAt(workspace, await resolveRevision(workspace, revision));
  const item = set.tracked.find(({ path }) => full === path || full.startsWith(`${path}/`));
  if (item === undefined) {
    const broken = set.broken.find(({ path }) => full === path || full.startsWith(`${path}/`));
    if (broken !== undefined) throw broken.error;
    throw new MstoreError('not-tracked', `${printable(full)} is not in a tracked path`, {
      hint: `Run "mstore ls${revision === undefined ? '' : ` ${printable(revision)}`}" to see what is tracked`,
      details: { path: full },
    });
  }
  const { base, entries } = trackedFiles(workspace.store, item);
  const name = base === '' ? full : full.slice(base.length + 1);
  const entry = entries.find(({ path }) => path === name);
  if (entry !== undefined && isFileEntry(entry)) return entry;
  if (full === item.path || entries.some(({ path }) => path.startsWith(`${name}/`))) {
    throw new MstoreError('usage', `${printable(full)} is a directory; cat prints one file`, {
      hint: `Run "mstore ls ${printable(item.path)}" to see its files`,
      details: { path: full },
    });
  }
  throw new MstoreError('not-found', `${printable(full)} is no file of ${printable(item.path)}`, {
    hint: `Run "mstore ls ${printable(item.path)}" to see its files`,
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
