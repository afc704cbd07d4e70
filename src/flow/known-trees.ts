import * as path from 'node:path';
import { writeCacheFile } from '../base/cache-file.ts';
import { sha256 } from '../base/digest.ts';
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
  if (pointer.kind !== 'tree' || pointer.files !== undefined)
    return trackedFiles(workspace.store, item);
  const known = keptTree(keptFile(workspace, tracked), pointer.sha256);
  if (known !== undefined && treeSize(known) === pointer.size)
    return { base: tracked, entries: known };
  const files = trackedFiles(workspace.store, item);
  keepTree(workspace, tracked, formatTree(files.entries));
  return files;
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

function keptTree(file: string, digest: string): TreeEntry[] | undefined {
  try {
    const bytes = readBounded(file, limits.treeBytesMax);
    if (bytes === undefined || sha256(bytes) !== digest) return undefined;
    return parseJsonBytes(bytes) as TreeEntry[];
  } catch {
    return undefined;
  }
}
