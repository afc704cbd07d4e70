import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Breather } from '../base/abort.ts';
import type { Digest } from '../base/digest.ts';
import { isMstoreError } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import { checkWritableOn } from '../base/names.ts';
import type { Progress } from '../base/progress.ts';
import {
  type FileEntry,
  isFileEntry,
  isLinkEntry,
  type LinkEntry,
  type TreeEntry,
} from '../base/tree.ts';
import { openRegular } from '../store/source-file.ts';
import { readPointer } from '../worktree/pointer.ts';
import { isExecutable, type ScannedEntry, type ScannedFile } from '../worktree/scan.ts';
import type { StatCache } from '../worktree/stat-cache.ts';
import { diskState } from './disk.ts';
import { pointerPath, type Tracked, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What has to be done so that a tracked path holds a version. Paths are from the top. */
export interface PathPlan {
  readonly target: Tracked;
  /** Whether it is a directory and nothing stands at its path. */
  readonly fresh: boolean;
  /** Path from the top, with a final slash, that cache names are relative to; empty for the top. */
  readonly prefix: string;
  readonly cache: StatCache;
  readonly write: FileEntry[];
  /** Digests of files on disk that are to be replaced by other versions of them, where they are known. */
  readonly older: Map<string, Digest>;
  readonly links: LinkEntry[];
  /** Directories to make: those without entries. */
  readonly directories: string[];
  /** Files with the right bytes and the wrong executable bit. */
  readonly chmod: FileEntry[];
  readonly remove: string[];
  /** What the version before has and this one has not, removed already or not. */
  readonly gone: readonly string[];
  /** Folders with temporary files of an earlier run, which may be dead. */
  readonly tempFolders: readonly string[];
  /** Files stored nowhere that are in the way. */
  readonly conflicts: string[];
  /** Files that are no part of the version and stay. */
  readonly kept: string[];
  /** Names of all entries of the version, as the cache knows them. */
  readonly names: Set<string>;
  readonly unchanged: number;
}

/** What planning needs besides the workspace. */
export interface PlanTools {
  readonly force: boolean;
  readonly progress: Progress;
  readonly breather: Breather;
}

/**
 * Compares a version with the files on disk. Reads only files that the stat cache does not know and
 * whose size is right, or that would be overwritten or removed. Changes nothing.
 */
export async function planPath(
  workspace: Workspace,
  target: Tracked,
  tools: PlanTools,
): Promise<PathPlan> {
  const { base, entries } = trackedFiles(workspace.store, target);
  const prefix = base === '' ? '' : `${base}/`;
  const wanted = new Map(entries.map((entry) => [prefix + entry.path, entry]));
  for (const full of wanted.keys()) checkWritableOn(full, workspace.surroundings.platform);
  const disk = diskAt(workspace, target.path);
  findIgnored(workspace, target.path, wanted, disk);
  const planner = new Planner(workspace, target, prefix, wanted, disk, tools);
  for (const [full, found] of disk.entries) await planner.found(full, found);
  for (const full of disk.foreign) planner.foreign(full);
  planner.rest();
  return planner.plan;
}

/** What is on disk at and below a tracked path, by path from the top. */
interface Disk {
  readonly entries: Map<string, ScannedEntry>;
  /** Things that can be neither stored nor judged. */
  readonly foreign: string[];
  readonly tempFolders: readonly string[];
  /** Whether anything stands at the tracked path. */
  readonly exists: boolean;
}

function diskAt(workspace: Workspace, tracked: string): Disk {
  const state = diskState(workspace, tracked);
  const at = (path: string): string => (path === '' ? tracked : `${tracked}/${path}`);
  const entries = new Map((state?.entries ?? []).map((entry) => [at(entry.path), entry]));
  if (state?.isFolder && entries.size === 0) entries.set(tracked, { kind: 'directory', path: '' });
  const foreign = (state?.problems ?? [])
    .map(({ path }) => at(path))
    .filter((full) => !entries.has(full));
  return {
    entries,
    foreign,
    tempFolders: (state?.tempFolders ?? []).map(at),
    exists: state !== undefined,
  };
}

/**
 * Adds what stands where the version has something and was passed over for a pattern in
 * `.mstoreignore`: it would be overwritten all the same. Looks below real folders only.
 */
function findIgnored(
  workspace: Workspace,
  tracked: string,
  wanted: ReadonlyMap<string, TreeEntry>,
  disk: Disk,
): void {
  if (!disk.exists) return;
  const foreign = new Set(disk.foreign);
  const folders = new Set<string>();
  const isFolder = (full: string): boolean => {
    if (folders.has(full)) return true;
    if (foreign.has(full)) return false;
    const found = disk.entries.get(full) ?? entryAt(workspace.absolute(full), full);
    if (found === undefined) return false;
    if (found.kind === 'directory') folders.add(full);
    else disk.entries.set(full, found);
    return found.kind === 'directory';
  };
  for (const [full, entry] of wanted) {
    let above = full === tracked || isFolder(tracked);
    for (let cut = full.indexOf('/', tracked.length + 1); above && cut > 0; ) {
      above = isFolder(full.slice(0, cut));
      cut = full.indexOf('/', cut + 1);
    }
    if (!above || 'directory' in entry || disk.entries.has(full) || !isFolder(full)) continue;
    disk.entries.set(full, { kind: 'directory', path: full });
  }
}

function entryAt(source: string, full: string): ScannedEntry | undefined {
  const stat = fs.lstatSync(source, { bigint: true, throwIfNoEntry: false });
  if (stat?.isDirectory()) return { kind: 'directory', path: full };
  if (stat?.isSymbolicLink()) return { kind: 'link', path: full, link: fs.readlinkSync(source) };
  if (!stat?.isFile()) return undefined;
  return { kind: 'file', path: full, source, stat, executable: isExecutable(stat) };
}

class Planner {
  readonly #workspace: Workspace;
  readonly #wanted: ReadonlyMap<string, TreeEntry>;
  readonly #before: ReadonlyMap<string, TreeEntry>;
  readonly #tools: PlanTools;
  readonly #folders = new Set<string>();
  /** What the scan named, and the folders it was found in. */
  readonly #seen = new Set<string>();
  readonly #diskFolders = new Set<string>();
  #unchanged = 0;
  readonly #done = new Set<string>();
  readonly #plan: PathPlan;

  constructor(
    workspace: Workspace,
    target: Tracked,
    prefix: string,
    wanted: ReadonlyMap<string, TreeEntry>,
    disk: Disk,
    tools: PlanTools,
  ) {
    this.#workspace = workspace;
    this.#wanted = wanted;
    this.#tools = tools;
    this.#before = entriesBefore(workspace, target);
    for (const full of wanted.keys()) {
      for (let cut = full.lastIndexOf('/'); cut > 0; cut = full.lastIndexOf('/', cut - 1)) {
        const folder = full.slice(0, cut);
        if (this.#folders.has(folder)) break;
        this.#folders.add(folder);
      }
    }
    if (target.pointer.kind === 'tree') this.#folders.add(target.path);
    this.#plan = {
      target,
      fresh: target.pointer.kind === 'tree' && !disk.exists,
      prefix,
      cache: workspace.statCache(target.path),
      write: [],
      older: new Map(),
      links: [],
      directories: target.pointer.kind === 'tree' ? [target.path] : [],
      chmod: [],
      remove: [],
      gone: [...this.#before.keys()].filter((full) => !wanted.has(full)),
      tempFolders: disk.tempFolders,
      conflicts: [],
      kept: [],
      names: new Set([...wanted.values()].map((entry) => entry.path)),
      unchanged: 0,
    };
  }

  get plan(): PathPlan {
    return { ...this.#plan, unchanged: this.#unchanged };
  }

  /** Takes one entry from disk into account. */
  async found(full: string, found: ScannedEntry): Promise<void> {
    if (this.#tools.breather.due()) await this.#tools.breather.turn();
    const wanted = this.#wanted.get(full);
    this.#seen.add(full);
    for (let cut = full.lastIndexOf('/'); cut > 0; cut = full.lastIndexOf('/', cut - 1))
      this.#diskFolders.add(full.slice(0, cut));
    if (found.kind === 'directory') {
      this.#diskFolders.add(full);
      if (wanted !== undefined && 'directory' in wanted) this.#done.add(full);
      else if (!this.#folders.has(full)) this.#plan.remove.push(full);
    } else if (found.kind === 'link') {
      this.#foundLink(full, found.link, wanted);
    } else {
      await this.#foundFile(full, found, wanted);
    }
  }

  #foundLink(full: string, link: string, wanted: TreeEntry | undefined): void {
    const name = full.slice(this.#plan.prefix.length);
    if (wanted !== undefined && isLinkEntry(wanted) && wanted.link === link) {
      this.#plan.cache.rememberLink(name, link);
      this.#done.add(full);
      this.#unchanged++;
      return;
    }
    const before = this.#before.get(full);
    const tracked =
      (before !== undefined && isLinkEntry(before) && before.link === link) ||
      this.#plan.cache.knowsLink(name, link);
    this.#replace(full, tracked, tracked);
  }

  async #foundFile(full: string, found: ScannedFile, wanted: TreeEntry | undefined): Promise<void> {
    const { cache, prefix } = this.#plan;
    const name = full.slice(prefix.length);
    let digest = cache.find(name, found.stat);
    const known = digest !== undefined || this.#before.has(full);
    if (wanted !== undefined && isFileEntry(wanted)) {
      if (digest === undefined && BigInt(wanted.size) === found.stat.size) {
        digest = await hashFile(found, this.#tools);
        cache.rememberRead(name, found.stat, digest);
      }
      if (digest === wanted.sha256) {
        const sameMode = found.executable === (wanted.executable ?? false);
        // Written anew by `rest`: other names of the same file, the store's own above all, keep their mode.
        if (!sameMode && this.#isShared(full, found)) return;
        this.#done.add(full);
        this.#unchanged++;
        if (!sameMode) this.#plan.chmod.push(wanted);
        return;
      }
    }
    if (!this.#tools.force && this.#mustJudge(full, known))
      digest ??= await hashFile(found, this.#tools);
    const saved = digest !== undefined && this.#workspace.store.has(digest);
    if (saved && digest !== undefined && this.#wanted.has(full)) this.#plan.older.set(full, digest);
    this.#replace(full, saved, known);
  }

  #isShared(full: string, found: ScannedFile): boolean {
    return found.stat.nlink > 1n || found.source !== this.#workspace.absolute(full);
  }

  /** Tells whether it matters if the bytes at a path are stored somewhere. */
  #mustJudge(full: string, known: boolean): boolean {
    return known || this.#wanted.has(full) || this.#standsInTheWay(full);
  }

  #standsInTheWay(full: string): boolean {
    if (this.#folders.has(full)) return true;
    for (let cut = full.lastIndexOf('/'); cut > 0; cut = full.lastIndexOf('/', cut - 1)) {
      const above = this.#wanted.get(full.slice(0, cut));
      // A directory that has no entries in the version may have some on disk.
      if (above !== undefined && !('directory' in above)) return true;
    }
    return false;
  }

  /**
   * Decides about an entry that is not part of the version as it is.
   * @param saved whether nothing is lost with it
   * @param tracked whether it was part of the version before
   */
  #replace(full: string, saved: boolean, tracked: boolean): void {
    const { force } = this.#tools;
    const inTheWay = this.#wanted.has(full) || this.#standsInTheWay(full);
    if (inTheWay) {
      if (!saved && !force) this.#plan.conflicts.push(full);
      // What is overwritten by a file or a link of the same name needs no removal before.
      else if (!this.#wanted.has(full) || 'directory' in (this.#wanted.get(full) as TreeEntry))
        this.#plan.remove.push(full);
    } else if (force || (saved && tracked)) {
      this.#plan.remove.push(full);
    } else {
      this.#plan.kept.push(full);
    }
  }

  /** Takes a socket, a device or an unfit name into account. */
  foreign(full: string): void {
    this.#seen.add(full);
    if (this.#wanted.has(full) || this.#standsInTheWay(full)) this.#plan.conflicts.push(full);
    else this.#plan.kept.push(full);
  }

  /** Finds files that scans pass over, in directories that must become a file or a link. */
  #findPassedOver(): void {
    for (const [full, entry] of this.#wanted) {
      if ('directory' in entry || !this.#diskFolders.has(full)) continue;
      for (const leaf of leavesBelow(this.#workspace.absolute(full), full)) {
        if (this.#seen.has(leaf)) continue;
        if (this.#tools.force) this.#plan.remove.push(leaf);
        else this.#plan.conflicts.push(leaf);
      }
    }
  }

  /** Plans the entries of the version that are not on disk as they should be. */
  rest(): void {
    this.#findPassedOver();
    const conflicts = new Set(this.#plan.conflicts);
    for (const [full, entry] of this.#wanted) {
      if (this.#done.has(full) || conflicts.has(full)) continue;
      const moved = { ...entry, path: full };
      if (isFileEntry(moved)) this.#plan.write.push(moved);
      else if (isLinkEntry(moved)) this.#plan.links.push(moved);
      else this.#plan.directories.push(full);
    }
  }
}

/** Lists everything below a folder but folders with entries; paths start with `prefix`. */
function leavesBelow(folder: string, prefix: string): string[] {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((dirent) => {
    const full = `${prefix}/${dirent.name}`;
    const inner = dirent.isDirectory() ? leavesBelow(path.join(folder, dirent.name), full) : [];
    return inner.length === 0 ? [full] : inner;
  });
}

/** What the pointer on disk says was at each path; nothing when it, or its list of files, is damaged. */
function entriesBefore(workspace: Workspace, { path: tracked }: Tracked): Map<string, TreeEntry> {
  try {
    const where = pointerPath(tracked);
    const pointer = readPointer(workspace.absolute(where), where);
    if (pointer === undefined) return new Map();
    const { base, entries } = trackedFiles(workspace.store, { path: tracked, pointer });
    return new Map(
      entries.map((entry) => [base === '' ? entry.path : `${base}/${entry.path}`, entry]),
    );
  } catch (error) {
    // A failure of the system says nothing of the pointer: without it, files that are no part of the new
    // version would be taken for the user's own and stay.
    if (isMstoreError(error, ...damageCodes)) return new Map();
    throw error;
  }
}

const damageCodes = [
  'corrupt-pointer',
  'merge-conflict',
  'newer-format',
  'too-large',
  'objects-missing',
  'corrupt-recipe',
  'corrupt-chunk',
  'corrupt-pack',
] as const;

/** Hashes a file of the workspace. */
export async function hashFile(
  file: ScannedFile,
  { breather, progress }: Pick<PlanTools, 'breather' | 'progress'>,
): Promise<Digest> {
  const { fd } = openRegular(file.source);
  try {
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(
      Math.max(1, Math.min(Number(file.stat.size), 4 * 1024 * 1024)),
    );
    for (;;) {
      const count = readFully(fd, block);
      if (count === 0) break;
      hash.update(block.subarray(0, count));
      progress.advance({ bytes: count });
      if (breather.due()) await breather.turn();
    }
    return hash.digest('hex') as Digest;
  } finally {
    fs.closeSync(fd);
  }
}
