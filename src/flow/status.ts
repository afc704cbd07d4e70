import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import type { ErrorCode } from '../base/errors.ts';
import { exitCodes, isMstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { silentProgress } from '../base/progress.ts';
import { gitObjectId } from '../git/object-id.ts';
import { pointerSuffix } from '../worktree/pointer.ts';
import type { WorkOptions } from './add.ts';
import { compareWithDisk, type FileChange } from './compare.ts';
import {
  pointerPath,
  selectTracked,
  type Tracked,
  type TrackedSet,
  trackedInWorkspace,
} from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** How a tracked path stands. */
export type PathState = 'unchanged' | 'modified' | 'missing' | 'unlisted' | 'broken';

/** One line of a status. */
export interface PathStatus {
  readonly path: string;
  readonly kind: 'file' | 'tree' | undefined;
  /** Bytes of the version the pointer names. */
  readonly size: number;
  readonly state: PathState;
  readonly changes: readonly FileChange[];
  /** Things in a tracked directory that could not be stored. */
  readonly problems: readonly string[];
  /** Bytes of a path that is missing from the workspace and from the local store. */
  readonly missingBytes: number;
  /** How the pointer stands to HEAD; undefined without Git. */
  readonly pointer: 'committed' | 'changed' | 'new' | undefined;
  /** Why the pointer, or what the store has of it, cannot be used. */
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

/** The status of a workspace. */
export interface StatusResult {
  readonly branch: string | undefined;
  readonly commit: string | undefined;
  readonly paths: readonly PathStatus[];
}

/**
 * Compares the files of the workspace with their pointers, and the pointers with Git's HEAD. An
 * unchanged file costs one stat; only files that changed in time but not in size are read.
 * @param paths from the top; none means all
 */
export async function status(
  workspace: Workspace,
  paths: readonly string[] = [],
  options: WorkOptions = {},
): Promise<StatusResult> {
  const set = trackedInWorkspace(workspace);
  const chosen = paths.length === 0 ? set.tracked : selectTracked(set, paths);
  const head = await workspace.git?.head();
  const asked = committedPointers(workspace, head?.commit);
  // Git works while files are looked at; what it says is awaited below, also when it fails.
  asked.catch(() => {});
  const progress = options.progress ?? silentProgress;
  const breather = new Breather(options.signal);
  progress.start('check');
  const found: Array<Omit<PathStatus, 'pointer'>> = [];
  for (const item of chosen) found.push(await pathStatus(workspace, item, { breather, progress }));
  progress.finish();
  const committed = await asked;
  const result = found.map((each): PathStatus => {
    return { ...each, pointer: pointerState(workspace, each.path, committed) };
  });
  if (paths.length === 0) result.push(...brokenStatus(set));
  return { branch: head?.branch, commit: head?.commit, paths: result };
}

async function pathStatus(
  workspace: Workspace,
  item: Tracked,
  tools: { breather: Breather; progress: NonNullable<WorkOptions['progress']> },
): Promise<Omit<PathStatus, 'pointer'>> {
  const { path, pointer } = item;
  const base = {
    path,
    kind: pointer.kind,
    size: pointer.size,
    changes: [],
    problems: [],
    missingBytes: 0,
  };
  try {
    if (fs.lstatSync(workspace.absolute(path), { throwIfNoEntry: false }) === undefined) {
      return { ...base, state: 'missing', missingBytes: missingBytes(workspace, item) };
    }
    const { changes, problems } = await compareWithDisk(workspace, item, tools);
    const state = changes.length + problems.length === 0 ? 'unchanged' : 'modified';
    return { ...base, state, changes, problems };
  } catch (error) {
    // The list of a large tree comes from the store; without it nothing can be compared.
    if (isMstoreError(error, 'objects-missing'))
      return { ...base, state: 'unlisted', missingBytes: pointer.size };
    // What is damaged about one path must not hide how the others stand.
    if (isMstoreError(error) && error.exitCode === exitCodes.corrupt)
      return { ...base, state: 'broken', error: { code: error.code, message: error.message } };
    throw error;
  }
}

function missingBytes(workspace: Workspace, { pointer }: Tracked): number {
  const { store } = workspace;
  if (pointer.kind === 'file') return store.missing(pointer.sha256, pointer.size)?.bytes ?? 0;
  if (pointer.files === undefined) return store.missing(pointer.sha256, pointer.size)?.bytes ?? 0;
  let bytes = 0;
  for (const entry of pointer.files) {
    if ('sha256' in entry) bytes += store.missing(entry.sha256, entry.size)?.bytes ?? 0;
  }
  return bytes;
}

function brokenStatus(set: TrackedSet): PathStatus[] {
  return set.broken.map(({ path, error }) => ({
    path,
    kind: undefined,
    size: 0,
    state: 'broken',
    changes: [],
    problems: [],
    missingBytes: 0,
    pointer: undefined,
    error: { code: error.code, message: error.message },
  }));
}

/** Object ids of the pointers of HEAD, by path from the top of the workspace. */
async function committedPointers(
  workspace: Workspace,
  commit: string | undefined,
): Promise<Map<string, string> | undefined> {
  if (workspace.git === undefined) return undefined;
  if (commit === undefined) return new Map();
  const files = await workspace.git.listFiles(commit, pointerSuffix);
  const prefix = workspace.gitPrefix;
  return new Map(
    files
      .filter(({ path }) => path.startsWith(prefix))
      .map(({ path, oid }) => [path.slice(prefix.length), oid]),
  );
}

function pointerState(
  workspace: Workspace,
  tracked: string,
  committed: ReadonlyMap<string, string> | undefined,
): PathStatus['pointer'] {
  if (committed === undefined) return undefined;
  const where = pointerPath(tracked);
  const oid = committed.get(where);
  if (oid === undefined) return 'new';
  const bytes = readBounded(workspace.absolute(where), limits.pointerBytesMax) ?? Buffer.alloc(0);
  return gitObjectId('blob', bytes, oid.length === 64 ? 'sha256' : 'sha1') === oid
    ? 'committed'
    : 'changed';
}
