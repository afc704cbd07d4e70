import type { Digest } from '../base/digest.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../base/tree.ts';
import type { Pointer } from '../worktree/pointer.ts';
import type { ScannedEntry, ScannedFile } from '../worktree/scan.ts';
import type { StatCache } from '../worktree/stat-cache.ts';
import { hashFile, type PlanTools } from './checkout-plan.ts';
import { diskState } from './disk.ts';
import { comparedFiles } from './known-trees.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** One side of a change of a file. */
export interface FileSide {
  /** Bytes; 0 for links and directories. */
  readonly size: number;
  /** Known where it was needed to tell the sides apart. */
  readonly sha256: Digest | undefined;
  /** Target of a link. */
  readonly link?: string;
}

/** A file, link or directory that differs. */
export interface FileChange {
  /** Path within the tracked directory, or the name of the tracked file. */
  readonly path: string;
  readonly change: 'added' | 'removed' | 'modified' | 'mode';
  readonly before: FileSide | undefined;
  readonly after: FileSide | undefined;
}

/** Lists the changes between two lists of entries. */
export function compareEntries(
  before: readonly TreeEntry[],
  after: readonly TreeEntry[],
): FileChange[] {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const changes: FileChange[] = [];
  for (const entry of after) {
    const was = old.get(entry.path);
    old.delete(entry.path);
    const change = was === undefined ? 'added' : changeOf(was, entry);
    if (change !== undefined)
      changes.push({ path: entry.path, change, before: was && sideOf(was), after: sideOf(entry) });
  }
  for (const entry of old.values()) {
    changes.push({ path: entry.path, change: 'removed', before: sideOf(entry), after: undefined });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function changeOf(a: TreeEntry, b: TreeEntry): 'modified' | 'mode' | undefined {
  if (isFileEntry(a) && isFileEntry(b)) {
    if (a.sha256 !== b.sha256) return 'modified';
    return a.executable === b.executable ? undefined : 'mode';
  }
  if (isLinkEntry(a) && isLinkEntry(b)) return a.link === b.link ? undefined : 'modified';
  return 'directory' in a && 'directory' in b ? undefined : 'modified';
}

function sideOf(entry: TreeEntry): FileSide {
  if (isFileEntry(entry)) return { size: entry.size, sha256: entry.sha256 };
  const side = { size: 0, sha256: undefined };
  return isLinkEntry(entry) ? { ...side, link: entry.link } : side;
}

/** What {@link compareWithDisk} found. */
export interface DiskComparison {
  readonly changes: readonly FileChange[];
  /** Things on disk that could not be stored. */
  readonly problems: readonly string[];
}

/**
 * Compares a tracked path with its files on disk. Reads a file only when the stat cache does not know it
 * and its size is that of the version; what was read is remembered.
 * @throws MstoreError `objects-missing` when the list of a large tree is not in the store
 */
export async function compareWithDisk(
  workspace: Workspace,
  item: Tracked,
  tools: Pick<PlanTools, 'breather' | 'progress'>,
): Promise<DiskComparison> {
  const disk = entriesOnDisk(workspace, item);
  const { found } = disk;
  const cache = workspace.statCache(item.path);
  const version = wholeContent(item.pointer);
  if (disk.sound && cache.holdsWhole(version, found)) {
    cache.save(item.path);
    return { changes: [], problems: [] };
  }
  const problems = disk.problems();
  const { entries } = comparedFiles(workspace, item);
  const wanted = new Map(entries.map((entry) => [entry.path, entry]));
  const changes: FileChange[] = [];
  for (const entry of found) {
    const was = wanted.get(entry.path);
    wanted.delete(entry.path);
    const compared = changeOnDisk(entry, was, cache, tools);
    const change = compared instanceof Promise ? await compared : compared;
    if (change !== undefined) changes.push(change);
    if (tools.breather.due()) await tools.breather.turn();
  }
  for (const entry of wanted.values()) {
    changes.push({ path: entry.path, change: 'removed', before: sideOf(entry), after: undefined });
  }
  const same = changes.length === 0 && problems.length === 0;
  if (same) {
    cache.keepOnly(new Set(found.map((entry) => entry.path)));
    cache.rememberWhole(version, found.length);
  }
  cache.save(item.path);
  return { changes: changes.sort((a, b) => (a.path < b.path ? -1 : 1)), problems };
}

/** Names what a pointer says of its content, executable bits included, for {@link StatCache.rememberWhole}. */
export function wholeContent(pointer: Pointer): string {
  const { kind, sha256, size } = pointer;
  // A tree has those of its files.
  const mode = pointer.kind === 'file' && pointer.executable ? ' executable' : '';
  return `${kind} ${sha256} ${size}${mode}`;
}

interface FoundOnDisk {
  readonly found: readonly ScannedEntry[];
  /** Whether each entry could be part of a version; {@link problems} also compares them. */
  readonly sound: boolean;
  readonly problems: () => string[];
}

function entriesOnDisk(workspace: Workspace, { path: tracked, pointer }: Tracked): FoundOnDisk {
  const state = diskState(workspace, tracked);
  if (state === undefined) return { found: [], sound: true, problems: () => [] };
  const name = pointer.kind === 'file' ? pointer.path : '.';
  const sound = state.entryProblems.length === 0;
  const problems = (): string[] =>
    state.problems.map(({ path, message }) => (path === '' ? `It ${message}` : message));
  if (!state.isFolder)
    return { found: state.entries.map((entry) => ({ ...entry, path: name })), sound, problems };
  return pointer.kind === 'tree'
    ? { found: state.entries, sound, problems }
    : { found: [{ kind: 'directory', path: name }], sound: true, problems: () => [] };
}

/** Compares an entry; a promise is returned only where a file must be read. */
function changeOnDisk(
  found: ScannedEntry,
  was: TreeEntry | undefined,
  cache: StatCache,
  tools: Pick<PlanTools, 'breather' | 'progress'>,
): FileChange | undefined | Promise<FileChange | undefined> {
  if (found.kind !== 'file') {
    const before = was && sideOf(was);
    const same =
      found.kind === 'link'
        ? was && isLinkEntry(was) && was.link === found.link
        : was && 'directory' in was;
    const after: FileSide = {
      size: 0,
      sha256: undefined,
      ...(found.kind === 'link' ? { link: found.link } : {}),
    };
    if (same) return undefined;
    return { path: found.path, change: was === undefined ? 'added' : 'modified', before, after };
  }
  const digest = cache.find(found.path, found.stat);
  if (digest !== undefined || was === undefined || !isFileEntry(was)) {
    return fileChange(found, was, digest);
  }
  if (BigInt(was.size) !== found.stat.size) return fileChange(found, was, undefined);
  return hashFile(found, tools).then((read) => {
    cache.rememberRead(found.path, found.stat, read);
    return fileChange(found, was, read);
  });
}

function fileChange(
  found: ScannedFile,
  was: TreeEntry | undefined,
  digest: Digest | undefined,
): FileChange | undefined {
  const size = Number(found.stat.size);
  if (was !== undefined && isFileEntry(was) && was.sha256 === digest && was.size === size) {
    if (found.executable === (was.executable ?? false)) return undefined;
  }
  const before = was && sideOf(was);
  const after = { size, sha256: digest };
  if (was === undefined) return { path: found.path, change: 'added', before, after };
  if (!isFileEntry(was) || was.sha256 !== digest || was.size !== size)
    return { path: found.path, change: 'modified', before, after };
  return { path: found.path, change: 'mode', before, after };
}
