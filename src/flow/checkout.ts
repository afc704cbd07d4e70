import * as path from 'node:path';
import { Breather } from '../base/abort.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { ensureCacheFolder, settleFolder } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import type { Store } from '../store/local-store.ts';
import { type LinkKind, parseLinkKinds } from '../worktree/config-keys.ts';
import { addIgnoreLine } from '../worktree/git-files.ts';
import { Placer } from '../worktree/place.ts';
import { writePointer } from '../worktree/pointer.ts';
import type { WorkOptions } from './add.ts';
import { buildFresh, isFresh } from './checkout-fresh.ts';
import { type PathPlan, planPath } from './checkout-plan.ts';
import { clearLeftovers } from './leftovers.ts';
import { Materializer } from './materialize.ts';
import { type MissingPath, missingError } from './missing.ts';
import {
  checkSize,
  existsNoFollow,
  type NeededBlob,
  neededBlobs,
  pointerPath,
  type Tracked,
} from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Options of {@link checkout}. */
export interface CheckoutOptions extends WorkOptions {
  /** Overwrite and remove files that are stored nowhere. */
  readonly force?: boolean;
  /** Ways to place a file, in order of preference; default: the configuration's, else copies. */
  readonly link?: readonly LinkKind[] | undefined;
}

/** What {@link checkout} did. */
export interface CheckoutResult {
  readonly paths: number;
  readonly filesWritten: number;
  readonly filesUnchanged: number;
  readonly filesRemoved: number;
  readonly bytesWritten: number;
  /** Pointers that now name another version. */
  readonly pointersChanged: readonly string[];
  /** Files that are no part of the version, were stored nowhere, and stay. */
  readonly kept: readonly string[];
}

/** The ways to place files: as asked, else as configured, else copies. */
export function linkKindsOf(
  workspace: Workspace,
  asked: readonly LinkKind[] | undefined,
): readonly LinkKind[] {
  const configured = workspace.config.string('checkout.link');
  return asked ?? parseLinkKinds(configured ?? 'copy') ?? ['copy'];
}

/**
 * Brings tracked paths of the workspace to the version their given pointers name, and rewrites pointers
 * that differ. Before the first change all is planned: bytes that are missing here and files that would
 * be lost end the command with nothing touched. Never uses the network.
 * @throws MstoreError `objects-missing`, `would-overwrite`
 */
export async function checkout(
  workspace: Workspace,
  targets: readonly Tracked[],
  options: CheckoutOptions = {},
): Promise<CheckoutResult> {
  const progress = options.progress ?? silentProgress;
  checkPresent(workspace.store, targets);
  const breather = new Breather(options.signal);
  progress.start('check');
  const plans: PathPlan[] = [];
  for (const target of targets) {
    const tools = { force: options.force ?? false, progress, breather };
    plans.push(await planPath(workspace, target, tools));
  }
  progress.finish();
  refuseConflicts(plans);
  const writes = plans.flatMap((plan) => plan.write);
  const bytesTotal = writes.reduce((sum, { size }) => sum + size, 0);
  progress.start('checkout', { bytesTotal, filesTotal: writes.length });
  const result = await execute(workspace, plans, options, progress);
  progress.finish();
  return { ...result, bytesWritten: bytesTotal };
}

/**
 * Ends with `objects-missing` unless the store has every byte of the versions; with `corrupt-pack` when
 * it may have had them, in a pack that is damaged.
 */
export function checkPresent(store: Store, targets: readonly Tracked[]): void {
  let missing = missingPaths(store, targets);
  if (missing.length > 0 && store.recheck()) missing = missingPaths(store, targets);
  if (missing.length === 0) return;
  const error = missingError(
    missing,
    'not in the local store',
    'Run "mstore pull" (or "mstore fetch") to get them from a remote',
  );
  const [damaged] = store.damagedPacks();
  if (damaged === undefined) throw error;
  throw new MstoreError(
    'corrupt-pack',
    `${error.message}, where the pack ${damaged[0]} is damaged: ${damaged[1]}`,
    {
      hint: 'Run "mstore pull" to get them again from a remote, or add the files where they are whole',
      details: { ...error.details, pack: damaged[0] },
    },
  );
}

/** Tells, without making sure that nothing is overlooked, whether the store has every byte of the versions. */
export function isPresent(store: Store, targets: readonly Tracked[]): boolean {
  try {
    return missingPaths(store, targets).length === 0;
  } catch (error) {
    if (isMstoreError(error, 'objects-missing', 'corrupt-recipe', 'corrupt-pack')) return false;
    throw error;
  }
}

function missingPaths(store: Store, targets: readonly Tracked[]): MissingPath[] {
  return targets.flatMap((target) => {
    const bytes = missingBytes(store, target);
    return bytes > 0 ? [{ path: target.path, bytes }] : [];
  });
}

function missingBytes(store: Store, target: Tracked): number {
  const { pointer } = target;
  if (pointer.kind === 'tree' && pointer.files === undefined && !store.has(pointer.sha256)) {
    return Math.max(1, pointer.size);
  }
  let bytes = 0;
  for (const blob of neededFiles(store, target)) {
    const missing = store.missing(blob.sha256, blob.size);
    if (missing === undefined) checkSize(target.path, blob, store.sizeOf(blob.sha256) ?? 0);
    else bytes += missing.bytes;
  }
  return bytes;
}

/** The blobs of a version's files; a small tree is listed by its pointer, so that its blob is not needed. */
function neededFiles(store: Store, target: Tracked): NeededBlob[] {
  return neededBlobs(store, target).filter(
    ({ sha256 }) => target.pointer.kind === 'file' || sha256 !== target.pointer.sha256,
  );
}

function refuseConflicts(plans: readonly PathPlan[]): void {
  const conflicts = plans.flatMap((plan) => plan.conflicts);
  const [first, second] = conflicts;
  if (first === undefined) return;
  const others = second === undefined ? '' : ` and ${conflicts.length - 1} more`;
  throw new MstoreError(
    'would-overwrite',
    `${printable(first)}${others} would be overwritten; its bytes are stored nowhere else`,
    {
      hint: 'Keep them with "mstore add", move them away, or lose them with --force',
      details: { paths: conflicts },
    },
  );
}

async function execute(
  workspace: Workspace,
  plans: readonly PathPlan[],
  options: CheckoutOptions,
  progress: Progress,
): Promise<Omit<CheckoutResult, 'bytesWritten'>> {
  const tracked = plans.map(({ target }) => target.path);
  clearLeftovers(
    workspace,
    tracked,
    plans.flatMap(({ tempFolders }) => tempFolders),
  );
  const placer = new Placer(workspace.root, workspace.tempFolder, {
    clock: workspace.surroundings.clock,
  });
  const link = linkKindsOf(workspace, options.link);
  const { jobs, signal } = options;
  const makerFor = (one: Placer): Materializer =>
    new Materializer(workspace.store, one, { link, progress, jobs, signal });
  const maker = makerFor(placer);
  const pointersChanged: string[] = [];
  try {
    for (const plan of plans) {
      try {
        if (!(await tryFresh(workspace, plan, placer, { link, makerFor })))
          await executePlan(plan, placer, maker);
      } finally {
        plan.cache.save(plan.target.path);
      }
      if (await updatePointer(workspace, placer, plan.target))
        pointersChanged.push(plan.target.path);
    }
  } finally {
    maker.close();
  }
  return {
    paths: plans.length,
    filesWritten: plans.reduce((sum, plan) => sum + plan.write.length + plan.links.length, 0),
    filesUnchanged: plans.reduce((sum, plan) => sum + plan.unchanged, 0),
    filesRemoved: plans.reduce((sum, plan) => sum + plan.remove.length, 0),
    pointersChanged,
    kept: plans.flatMap((plan) => plan.kept),
  };
}

/** @returns whether the plan was one for a directory that is not there, and is done */
async function tryFresh(
  workspace: Workspace,
  plan: PathPlan,
  placer: Placer,
  how: { link: readonly LinkKind[]; makerFor: (placer: Placer) => Materializer },
): Promise<boolean> {
  if (!isFresh(plan, how.link)) return false;
  flushRemoval(plan, placer);
  placer.ensureParents(plan.target.path);
  return buildFresh(workspace, plan, how.makerFor);
}

async function executePlan(plan: PathPlan, placer: Placer, maker: Materializer): Promise<void> {
  const { cache, prefix } = plan;
  removeAll(plan, placer);
  for (const directory of plan.directories) placer.ensureFolder(directory);
  for (const entry of plan.write) {
    const { stat, stamped } = await maker.file(
      entry.path,
      entry,
      plan.target.pointer.kind === 'tree' ? 'beside' : 'apart',
      plan.older.get(entry.path),
    );
    const name = entry.path.slice(prefix.length);
    if (stamped) cache.rememberWritten(name, stat, entry.sha256);
    else cache.rememberRead(name, stat, entry.sha256);
  }
  for (const entry of plan.chmod) {
    const name = entry.path;
    const stat = placer.setExecutable(prefix + name, entry.executable ?? false);
    // Changing the mode changed the file's times but not its bytes, which were compared just before.
    cache.rememberRead(name, stat, entry.sha256);
  }
  for (const { path: full, link } of plan.links) {
    placer.writeLink(full, link);
    cache.rememberLink(full.slice(prefix.length), link);
  }
  cache.keepOnly(plan.names);
}

/** Removes what the version does not have, then the folders that are empty by that. */
function removeAll(plan: PathPlan, placer: Placer): void {
  const folders = new Set<string>();
  for (const full of plan.remove) {
    if (placer.isFolder(full)) folders.add(full);
    else placer.remove(full);
    for (let cut = full.lastIndexOf('/'); cut > 0; cut = full.lastIndexOf('/', cut - 1)) {
      const folder = full.slice(0, cut);
      if (!folder.startsWith(plan.target.path)) break;
      folders.add(folder);
    }
  }
  for (const folder of [...folders].sort((a, b) => b.length - a.length))
    placer.removeEmptyFolder(folder);
  placer.forgetFolders();
  flushRemoval(plan, placer);
}

/**
 * The pointer that is written later is flushed. A file of the older version that came back after a power cut
 * would be taken for the user's own then, and stay; it may be an earlier run that removed it.
 */
function flushRemoval({ target, gone }: PathPlan, placer: Placer): void {
  const folders = new Set<string>();
  for (const full of gone) {
    let folder = path.posix.dirname(full);
    while (folder.startsWith(target.path) && !placer.isFolder(folder))
      folder = path.posix.dirname(folder);
    if (folder.startsWith(target.path)) folders.add(folder);
  }
  for (const folder of folders) {
    try {
      settleFolder(placer.absolute(folder));
    } catch (error) {
      throw fromSystemError(error, `removing files in ${printable(folder)}`);
    }
  }
}

/** Makes the pointer on disk name the version; its folder's ignore line goes with it. */
async function updatePointer(
  workspace: Workspace,
  placer: Placer,
  target: Tracked,
): Promise<boolean> {
  // Where nothing had to be written nobody has looked yet whether links lead elsewhere on the way.
  placer.ensureParents(target.path);
  const file = workspace.absolute(pointerPath(target.path));
  const changed = writePointer(file, target.pointer);
  if (workspace.git !== undefined && existsNoFollow(workspace.absolute(target.path))) {
    ensureCacheFolder(workspace.cacheFolder);
    await addIgnoreLine(path.dirname(file), path.basename(target.path), workspace.cacheFolder);
  }
  return changed;
}
