import * as fs from 'node:fs';
import * as path from 'node:path';
import { Breather } from '../../base/abort.ts';
import { MstoreError, systemCode } from '../../base/errors.ts';
import { tempName } from '../../base/files.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { checkWritableOn, printable } from '../../base/names.ts';
import { type Progress, silentProgress } from '../../base/progress.ts';
import {
  type FileEntry,
  isFileEntry,
  isLinkEntry,
  type TreeEntry,
  treeSize,
} from '../../base/tree.ts';
import type { LinkKind } from '../../worktree/config-keys.ts';
import { Placer } from '../../worktree/place.ts';
import type { WorkOptions } from '../add.ts';
import { linkUnsupportedCodes, Materializer } from '../materialize.ts';
import { takeRight } from '../read-only.ts';
import type { Workspace } from '../workspace.ts';

/** How files of versions that are here are used again. */
export type ShareKind = Exclude<LinkKind, 'symlink'>;

/** What became of the bytes of a version that was built. */
export interface BuildCounts {
  /** Bytes that two versions share on the disk. */
  readonly bytesShared: number;
  /** Bytes that were copied from versions that are here. */
  readonly bytesCopied: number;
  /** Bytes of files that were put together of chunks. */
  readonly bytesMade: number;
}

/** What a version is built from. */
export interface BuildParts {
  readonly entries: readonly TreeEntry[];
  /** Finds a file with these bytes in a version that is here, by absolute path. */
  readonly find: (entry: FileEntry) => string | undefined;
  /** Ways to use it again, in order; whatever they are, a copy comes last. */
  readonly link: readonly ShareKind[];
}

/**
 * Fills an empty folder with the files of a version: those that a version here has are taken from there, all others are put
 * together of chunks, from the store and from what was lent to it. All are read-only. What comes of it is to be compared
 * with its tree: only chunks are verified on the way.
 */
export async function buildVersion(
  workspace: Workspace,
  folder: string,
  { entries, find, link }: BuildParts,
  { signal, progress = silentProgress, jobs }: WorkOptions,
): Promise<BuildCounts> {
  const counts = { bytesShared: 0, bytesCopied: 0, bytesMade: 0 };
  const files = entries.filter(isFileEntry);
  progress.start('checkout', { bytesTotal: treeSize(entries), filesTotal: files.length });
  // A name that no scan takes for an entry, so that no version can hold one like it.
  const building = path.join(folder, `.${tempName()}`);
  const placer = new Placer(folder, building, { clock: workspace.surroundings.clock });
  const maker = new Materializer(workspace.store, placer, {
    link: ['copy'],
    progress,
    jobs,
    signal,
  });
  const breather = new Breather(signal);
  try {
    for (const entry of entries) {
      if (breather.due()) await breather.turn();
      if (isLinkEntry(entry)) placer.writeLink(entry.path, entry.link);
      else if (!isFileEntry(entry)) placer.ensureFolder(entry.path);
      else {
        const from = find(entry);
        const how = from === undefined ? undefined : await again(placer, from, entry, link);
        if (how === undefined) await maker.file(entry.path, entry, 'unseen');
        else advance(progress, entry);
        counts[how === undefined ? 'bytesMade' : how] += entry.size;
        takeRight(placer.absolute(entry.path));
      }
    }
  } finally {
    maker.close();
  }
  progress.finish();
  fs.rmdirSync(building);
  return counts;
}

function advance(progress: Progress, { size, path: name }: FileEntry): void {
  progress.advance({ bytes: size, files: 1, name });
}

/** Uses a file again; undefined where it is gone. */
async function again(
  placer: Placer,
  from: string,
  entry: FileEntry,
  link: readonly ShareKind[],
): Promise<'bytesShared' | 'bytesCopied' | undefined> {
  placer.ensureParents(entry.path);
  const to = placer.absolute(entry.path);
  const mode = entry.executable ? 0o755 : 0o644;
  // A link would lead elsewhere later.
  if (!fs.lstatSync(from, { throwIfNoEntry: false })?.isFile()) return undefined;
  for (const kind of link.filter((one) => one !== 'copy')) {
    try {
      // The copies of one file have one mode.
      if (kind === 'hardlink' && isExecutable(from) !== (entry.executable ?? false)) continue;
      if (kind === 'hardlink') fs.linkSync(from, to);
      else {
        await fs.promises.copyFile(from, to, fs.constants.COPYFILE_FICLONE_FORCE);
        fs.chmodSync(to, mode);
      }
      return 'bytesShared';
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      if (!linkUnsupportedCodes.has(systemCode(error) ?? '')) throw error;
      fs.rmSync(to, { force: true });
    }
  }
  await fs.promises.copyFile(from, to);
  fs.chmodSync(to, mode);
  return 'bytesCopied';
}

function isExecutable(file: string): boolean {
  return (fs.statSync(file).mode & 0o100) !== 0;
}

/** Tells whether files in a folder can share their bytes in one of these ways. */
export function canShare(folder: string, link: readonly ShareKind[]): boolean {
  if (link.includes('hardlink')) return true;
  if (!link.includes('reflink')) return false;
  const [one, other] = [0, 1].map(() => path.join(folder, `.${tempName()}`)) as [string, string];
  try {
    fs.writeFileSync(one, 'x'.repeat(4096));
    fs.copyFileSync(one, other, fs.constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    return false;
  } finally {
    for (const file of [one, other]) fs.rmSync(file, { force: true });
  }
}

/** Refuses names that this system cannot write, before anything is fetched. */
export function checkNames(workspace: Workspace, entries: readonly TreeEntry[]): void {
  for (const { path: full } of entries) checkWritableOn(full, workspace.surroundings.platform);
}

/**
 * Makes sure that there is room for what is going to be written.
 * @throws MstoreError `no-space`
 */
export function checkRoom(folder: string, bytes: number): void {
  let free: number;
  try {
    const { bavail, bsize } = fs.statfsSync(folder);
    free = bavail * bsize;
  } catch {
    // A system that does not tell: a disk that is full is found out when it is.
    return;
  }
  if (bytes <= free) return;
  throw new MstoreError(
    'no-space',
    `${printable(folder)} has ${formatBytes(free)} free, and the new version needs ${formatBytes(bytes)}`,
    {
      hint: 'Free some space there, or keep fewer versions with --keep; nothing was fetched, and what is live stays',
      details: { path: folder, free, needed: bytes },
    },
  );
}
