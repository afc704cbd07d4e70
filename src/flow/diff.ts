import { Breather } from '../base/abort.ts';
import type { Digest } from '../base/digest.ts';
import { silentProgress } from '../base/progress.ts';
import { isFileEntry } from '../base/tree.ts';
import type { Store } from '../store/local-store.ts';
import type { WorkOptions } from './add.ts';
import { compareEntries, compareWithDisk, type FileChange } from './compare.ts';
import { type Tracked, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** The changes of one tracked path. */
export interface PathDiff {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'modified';
  readonly files: readonly FileChange[];
  /** Bytes of the later side that the earlier side's chunks hold; undefined when chunks are not known. */
  readonly sharedBytes: number | undefined;
  /** Bytes of the later side. */
  readonly size: number;
}

/** Compares two sets of pointers file by file. */
export function diffVersions(
  workspace: Workspace,
  before: readonly Tracked[],
  after: readonly Tracked[],
): PathDiff[] {
  const { store } = workspace;
  const old = new Map(before.map((item) => [item.path, item]));
  const diffs: PathDiff[] = [];
  for (const item of after) {
    const was = old.get(item.path);
    old.delete(item.path);
    if (
      was !== undefined &&
      was.pointer.sha256 === item.pointer.sha256 &&
      was.pointer.kind === item.pointer.kind
    )
      continue;
    const files = compareEntries(
      was === undefined ? [] : trackedFiles(store, was).entries,
      trackedFiles(store, item).entries,
    );
    if (files.length === 0) continue;
    const sharedBytes = was === undefined ? 0 : sharedChunks(store, was, item);
    const change = was === undefined ? 'added' : 'modified';
    diffs.push({ path: item.path, change, files, sharedBytes, size: item.pointer.size });
  }
  for (const item of old.values()) {
    const files = compareEntries(trackedFiles(store, item).entries, []);
    diffs.push({ path: item.path, change: 'removed', files, sharedBytes: 0, size: 0 });
  }
  return diffs.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Compares pointers with the files of the workspace.
 * @param tracked what is tracked now; a path that `before` does not have counts as added
 */
export async function diffWorkspace(
  workspace: Workspace,
  before: readonly Tracked[],
  tracked: readonly Tracked[],
  options: WorkOptions = {},
): Promise<PathDiff[]> {
  const { breather, progress } = {
    breather: new Breather(options.signal),
    progress: options.progress ?? silentProgress,
  };
  const known = new Set(before.map(({ path }) => path));
  const diffs: PathDiff[] = [];
  for (const item of before) {
    const { changes } = await compareWithDisk(workspace, item, { breather, progress });
    if (changes.length === 0) continue;
    const { entries } = trackedFiles(workspace.store, item);
    const gone = changes.length === entries.length && changes.every((c) => c.change === 'removed');
    const grown = changes.reduce((sum, c) => sum + (c.after?.size ?? 0) - (c.before?.size ?? 0), 0);
    diffs.push({
      path: item.path,
      change: gone ? 'removed' : 'modified',
      files: changes,
      sharedBytes: undefined,
      size: item.pointer.size + grown,
    });
  }
  for (const item of tracked.filter(({ path }) => !known.has(path))) {
    const files = compareEntries([], trackedFiles(workspace.store, item).entries);
    diffs.push({
      path: item.path,
      change: 'added',
      files,
      sharedBytes: 0,
      size: item.pointer.size,
    });
  }
  return diffs.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Counts the bytes of one version whose chunks another has too. */
function sharedChunks(store: Store, before: Tracked, after: Tracked): number | undefined {
  const known = new Set<Digest>();
  if (!eachChunk(store, before, (chunk) => known.add(chunk))) return undefined;
  let bytes = 0;
  const complete = eachChunk(store, after, (chunk, length) => {
    if (known.has(chunk)) bytes += length;
  });
  return complete ? bytes : undefined;
}

function eachChunk(
  store: Store,
  item: Tracked,
  use: (chunk: Digest, length: number) => void,
): boolean {
  for (const entry of trackedFiles(store, item).entries) {
    if (!isFileEntry(entry)) continue;
    const recipe = store.recipe(entry.sha256);
    if (recipe === undefined) return false;
    for (let row = 0; row < recipe.count; row++) use(recipe.chunk(row), recipe.length(row));
  }
  return true;
}
