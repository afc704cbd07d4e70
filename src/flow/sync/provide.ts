import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../../base/errors.ts';
import { syncFolder } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import {
  type FileEntry,
  isFileEntry,
  isLinkEntry,
  sortEntries,
  type TreeEntry,
  treeDigest,
} from '../../base/tree.ts';
import type { VersionContent, VersionRecord } from '../../registry/record.ts';
import type { Sealed } from '../../registry/sealed.ts';
import { layOut } from '../checkout-to.ts';
import { fetch } from '../fetch.ts';
import { checkTree, type TreeCheck } from '../resolve/tree-check.ts';
import { type Tracked, treeEntries } from '../tracked.ts';
import { contentOf } from '../version-content.ts';
import { writeWhole } from '../whole-directory.ts';
import { type BuildCounts, buildVersion, canShare, checkNames, checkRoom } from './build.ts';
import { type Identity, inTheWay } from './place.ts';
import { lendFiles, sharedFiles, soundFiles, tidyStore } from './seeds.ts';
import type { SyncSession } from './session.ts';
import type { KeptVersion } from './state.ts';

/** A version that is in its directory, every byte verified. */
export interface ProvidedVersion {
  readonly version: string;
  readonly record: Digest;
  readonly tree: Digest;
  /** Absolute. */
  readonly directory: string;
  readonly entries: readonly TreeEntry[];
  /** Whether it was there and right, was built, or was damaged and built anew. */
  readonly done: 'kept' | 'written' | 'healed';
  /** What became of its bytes, where it was built. */
  readonly counts?: BuildCounts;
}

/**
 * Has a version in its directory, whole: what is there is hashed, and built where it is missing or was damaged.
 * @throws MstoreError `destination-exists` when something stands there that sync did not make
 */
export async function provide(
  session: SyncSession,
  record: Sealed<VersionRecord>,
): Promise<ProvidedVersion> {
  const { place, state, options } = session;
  const { version, content } = record.value;
  const tree = treeOf(session, content);
  const directory = place.directoryOf(version);
  const kept = state.find(version);
  const about = { version, record: record.sha256, tree, content };
  const checked = await checkDirectory(session, directory, tree);
  if (checked !== undefined && 'entries' in checked) {
    // What came of another version that did not get here is not waited for.
    tidyStore(session, checked.entries);
    return { ...keepAsItIs(session, directory, about, checked.entries), done: 'kept' };
  }
  if (checked !== undefined) refuseForeign(session, directory, kept, checked.problem);
  const isDamaged = checked !== undefined;
  if (isDamaged) options.warn(`${printable(directory)} was damaged: ${checked.problem}`);
  const built = await buildTwice(session, directory, about, isDamaged);
  return { ...built, done: isDamaged ? 'healed' : 'written' };
}

/** What is to be provided. */
interface About extends Pick<KeptVersion, 'version' | 'record' | 'tree'> {
  readonly content: VersionContent;
}

function keptAs({ version, record, tree }: About, identity: Identity): KeptVersion {
  return { version, record, tree, identity };
}

function treeOf({ workspace }: SyncSession, content: VersionContent): Digest {
  if (content.kind === 'tree') return content.sha256;
  return treeDigest(sortEntries(layOut(workspace, [contentOf(workspace.store, { content }, {})])));
}

/** Compares a directory with a tree; undefined where there is none. */
export async function checkDirectory(
  { surroundings, state, work }: SyncSession,
  directory: string,
  tree: Digest,
): Promise<TreeCheck | undefined> {
  const stat = fs.lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isDirectory()) return { problem: 'it is no directory' };
  const { platform } = surroundings.platform;
  return checkTree(directory, tree, { ...work, platform, list: state.list(tree) });
}

/** Takes a directory that is right, whoever put it there. */
function keepAsItIs(
  { place, state }: SyncSession,
  directory: string,
  about: About,
  entries: readonly TreeEntry[],
): Omit<ProvidedVersion, 'done'> {
  const identity = place.identity(directory) ?? { ino: '', born: '' };
  const kept = state.find(about.version);
  if (kept?.identity.ino !== identity.ino || kept.identity.born !== identity.born) {
    // Whoever made it may have ended before it came to flush it.
    syncFolder(place.directory);
    state.put(keptAs(about, identity));
  }
  state.keepList(about.tree, entries);
  return { ...named(about), directory, entries };
}

function named({ version, record, tree }: About): Pick<About, 'version' | 'record' | 'tree'> {
  return { version, record, tree };
}

/** Counts the files of a version, and their bytes. */
export function sizesOf(entries: readonly TreeEntry[]): {
  readonly files: number;
  readonly size: number;
} {
  const files = entries.filter(isFileEntry);
  return { files: files.length, size: bytesOf(files) };
}

function bytesOf(files: readonly FileEntry[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** Nothing is replaced but the very directory that sync built. */
function refuseForeign(
  { place }: SyncSession,
  directory: string,
  kept: KeptVersion | undefined,
  problem: string,
): void {
  const now = place.identity(directory);
  const isOurs =
    kept !== undefined && now?.ino === kept.identity.ino && now.born === kept.identity.born;
  if (isOurs) return;
  throw inTheWay(
    directory,
    `is in the way: it is not what sync built, and not that version: ${problem}`,
    'Move it away, then run the same command again',
  );
}

/**
 * Builds a version with what the versions here have of it and, where that turns out to be damaged, once more without
 * it.
 */
async function buildTwice(
  session: SyncSession,
  directory: string,
  about: About,
  isDamaged: boolean,
): Promise<Omit<ProvidedVersion, 'done'>> {
  try {
    return await build(session, directory, about, { isDamaged, reuses: true });
  } catch (error) {
    const others = session.state.value.versions.some(({ version }) => version !== about.version);
    const mayBeOurs = isMstoreError(
      error,
      ...(['corrupt-chunk', 'corrupt-pack', 'corrupt-recipe', 'file-changed'] as const),
    );
    if (!mayBeOurs || !(others || isDamaged)) throw error;
    session.options.warn(
      `a version here has other bytes than it should; all of ${about.version} is fetched`,
    );
    session.workspace.store.giveBack();
    return build(session, directory, about, { isDamaged, reuses: false });
  }
}

async function build(
  session: SyncSession,
  directory: string,
  about: About,
  { isDamaged, reuses }: { readonly isDamaged: boolean; readonly reuses: boolean },
): Promise<Omit<ProvidedVersion, 'done'>> {
  const { place, surroundings, state } = session;
  const isLive = isDamaged && place.current() === about.version;
  // What is live is not taken away before there is something in its place.
  const target = isLive ? place.temp(about.version) : directory;
  const { clock } = surroundings;
  const entries = await bringList(session, about);
  checkNames(session.workspace, entries);
  const counts = await writeWhole(target, { force: false, clock }, async (temp) => {
    const shared = reuses
      ? await reusable(session, about, isDamaged ? directory : undefined, entries)
      : undefined;
    const counts = await fill(session, temp, about, { entries, shared });
    if (!isLive) {
      if (isDamaged) place.remove(directory);
      // It is known before it has its name, so that a crash in between leaves no directory that is nobody's.
      const identity = place.identity(temp);
      if (identity !== undefined) state.put(keptAs(about, identity));
    }
    const names = entries.filter(isFileEntry).map(({ path: name }) => name);
    return { files: names, result: counts };
  });
  if (isLive) replaceLive(session, [target, directory], about, entries);
  return { ...named(about), directory, entries, counts };
}

/** Lists what the version holds: by what is kept here, else as the remote has it. */
async function bringList(
  session: SyncSession,
  { tree, version, content }: About,
): Promise<readonly TreeEntry[]> {
  const { state, workspace } = session;
  const known = state.list(tree);
  if (known !== undefined) return known;
  if (content.kind === 'file') {
    return sortEntries(layOut(workspace, [contentOf(workspace.store, { content }, {})]));
  }
  await receive(session, [blobOf(version, { sha256: tree, size: content.size })]);
  const entries = treeEntries(workspace.store, {
    kind: 'tree',
    path: version,
    sha256: tree,
    size: content.size,
    extra: {},
  });
  state.keepList(tree, entries);
  return entries;
}

/** A blob that is to be fetched, as a path. */
function blobOf(name: string, { sha256, size }: Pick<FileEntry, 'sha256' | 'size'>): Tracked {
  return {
    path: name,
    pointer: { kind: 'file', path: path.posix.basename(name), sha256, size, extra: {} },
  };
}

async function receive(session: SyncSession, blobs: readonly Tracked[]): Promise<void> {
  const { workspace, work, options } = session;
  if (blobs.length === 0) return;
  const { remotes } = await fetch(workspace, blobs, await session.remotes(), work);
  for (const { remote, problems } of remotes) {
    for (const { message } of problems) options.warn(`${remote}: ${message}`);
  }
}

/** Finds for each content a file of a version here that should hold it; in a damaged directory each is hashed. */
async function reusable(
  session: SyncSession,
  { version }: About,
  damaged: string | undefined,
  entries: readonly TreeEntry[],
): Promise<Map<Digest, string>> {
  const sound = damaged === undefined ? [] : await soundFiles(session, damaged, entries);
  return new Map([...sharedFiles(session, version), ...sound]);
}

/** What a version is filled from. */
interface Filling {
  readonly entries: readonly TreeEntry[];
  /** Files that are here, by their digests; undefined where none is to be trusted. */
  readonly shared: ReadonlyMap<Digest, string> | undefined;
}

/** Fills an empty folder with a version, and compares it with its tree. */
async function fill(
  session: SyncSession,
  temp: string,
  { tree, version }: About,
  { entries, shared }: Filling,
): Promise<BuildCounts> {
  const { workspace, work, options, surroundings } = session;
  const files = entries.filter(isFileEntry);
  const find = ({ sha256 }: FileEntry): string | undefined => shared?.get(sha256);
  const lacking = files.filter((entry) => find(entry) === undefined);
  const link = options.link ?? ['reflink'];
  checkRoom(temp, bytesOf(canShare(temp, link) ? lacking : files));
  if (shared !== undefined) lendFiles(session, version, lacking);
  const blobs = lacking.map((entry) => blobOf(`${version}/${entry.path}`, entry));
  await receive(session, blobs);
  const counts = await buildVersion(workspace, temp, { entries, find, link }, work);
  const { platform } = surroundings.platform;
  const checked = await checkTree(temp, tree, { ...work, platform, list: entries });
  if ('problem' in checked) throw notItself(version, checked.problem);
  tidyStore(session, entries);
  return counts;
}

function notItself(version: string, problem: string): MstoreError {
  return new MstoreError(
    'file-changed',
    `What was built of ${printable(version)} is not that version: ${problem}`,
    { hint: 'Run the same command again; if it happens twice, check the disk' },
  );
}

/**
 * Replaces the directory that `current` leads to, which was damaged, by one that was built beside it. At no moment
 * does the link lead to nothing: it leads to the new one as long as the old one is replaced by its twin.
 */
function replaceLive(
  { place, state, checkHeld }: SyncSession,
  [built, directory]: readonly [string, string],
  about: About,
  entries: readonly TreeEntry[],
): void {
  const twin = place.temp(about.version);
  try {
    makeTwin(built, twin, entries);
    checkHeld();
    place.point(path.basename(built));
    const identity = place.identity(twin);
    place.remove(directory);
    if (identity !== undefined) state.put(keptAs(about, identity));
    fs.renameSync(twin, directory);
    syncFolder(place.directory);
    place.point(about.version);
    place.remove(built);
  } catch (error) {
    throw fromSystemError(error, `replacing ${printable(directory)}`);
  }
}

/** Makes a second name for each file of a directory that was built. */
function makeTwin(from: string, to: string, entries: readonly TreeEntry[]): void {
  fs.mkdirSync(to);
  for (const entry of entries) {
    const [source, target] = [path.join(from, entry.path), path.join(to, entry.path)];
    fs.mkdirSync(path.dirname(target), { recursive: true });
    if (isLinkEntry(entry)) fs.symlinkSync(entry.link, target);
    else if (isFileEntry(entry)) linkOrCopy(source, target);
    else fs.mkdirSync(target, { recursive: true });
  }
  const folders = fs.readdirSync(to, { withFileTypes: true, recursive: true });
  for (const dirent of folders) {
    if (dirent.isDirectory()) syncFolder(path.join(dirent.parentPath, dirent.name));
  }
  syncFolder(to);
}

function linkOrCopy(from: string, to: string): void {
  try {
    fs.linkSync(from, to);
    return;
  } catch {
    fs.copyFileSync(from, to, fs.constants.COPYFILE_FICLONE);
  }
  const fd = fs.openSync(to, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
