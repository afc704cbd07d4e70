import * as path from 'node:path';
import { writeCacheFile } from '../base/cache-file.ts';
import { type Digest, sha256 } from '../base/digest.ts';
import { readBounded } from '../base/files.ts';
import { parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { formatTree, type TreeEntry, treeSize } from '../base/tree.ts';
import { type Tracked, type TrackedFiles, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/**
 * Lists the files of a tracked path as {@link trackedFiles} does, for those who only compare. The list of
 * a large tree comes from the store and is checked entry by entry; the last one of each path is kept as
 * plain bytes beside the stat cache. Whether they are the very bytes shows their digest, and that they
 * were checked before, that they are kept.
 */
export function comparedFiles(workspace: Workspace, item: Tracked): TrackedFiles {
  const { path: tracked, pointer } = item;
  const known = keptFiles(workspace, item);
  if (known !== undefined) return known;
  const files = trackedFiles(workspace.store, item);
  if (pointer.kind === 'tree' && pointer.files === undefined)
    keepTree(workspace, tracked, formatTree(files.entries));
  return files;
}

/** The files of a tracked path whose list is kept for {@link comparedFiles}. */
export function keptFiles(
  workspace: Workspace,
  { path: tracked, pointer }: Tracked,
): TrackedFiles | undefined {
  if (pointer.kind !== 'tree' || pointer.files !== undefined) return undefined;
  const bytes = keptBytes(keptFile(workspace, tracked), pointer.sha256);
  if (bytes === undefined) return undefined;
  const entries = parseJsonBytes(bytes) as TreeEntry[];
  if (treeSize(entries) !== pointer.size) return undefined;
  return { base: tracked, entries, treeBytes: bytes.length };
}

/**
 * Keeps the list of a large tree for {@link comparedFiles}.
 * @param bytes the tree, whose entries have been checked
 */
export function keepTree(workspace: Workspace, tracked: string, bytes: Uint8Array): void {
  writeCacheFile(keptFile(workspace, tracked), bytes);
}

function keptFile({ cacheFolder }: Workspace, tracked: string): string {
  return path.join(cacheFolder, 'tree', `${sha256(tracked).slice(0, 32)}.json`);
}

function keptBytes(file: string, digest: Digest): Buffer | undefined {
  try {
    const bytes = readBounded(file, limits.treeBytesMax);
    return bytes !== undefined && sha256(bytes) === digest ? bytes : undefined;
  } catch {
    return undefined;
  }
}
