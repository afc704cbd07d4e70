import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Digest, isDigest, sha256 } from '../../src/base/digest.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { addRemote } from '../../src/flow/remotes.ts';
import { neededBlobs, trackedAt } from '../../src/flow/tracked.ts';
import { ChunkIndex } from '../../src/index/chunk-index.ts';
import { localRemote } from '../../src/remote/local.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { PackFiles } from '../../src/store/pack-files.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import { TableFolder } from '../../src/store/table-folder.ts';
import { StatCache } from '../../src/worktree/stat-cache.ts';
import { runHereOk } from './cli-here.ts';
import { projectAt, testSurroundings } from './flow-project.ts';
import { fastTop, noise } from './flow-scratch.ts';
import { filesBelow } from './flow-state.ts';
import { git } from './git.ts';

/** How commands of the matrix read Git: without a process for each question. */
export const damageEnv: NodeJS.ProcessEnv = { MSTORE_CORE_GIT: 'isomorphic' };

/** What all cells of the damage matrix begin with: folders in memory, and what is in them. */
export interface Seed {
  /** Folders from the top, each after the one that it is in. */
  readonly folders: readonly string[];
  readonly files: ReadonlyMap<string, { readonly bytes: Buffer; readonly mode: number }>;
  /** Digests of the files, by their path from the top. */
  readonly digests: ReadonlyMap<string, Digest>;
  /** The blobs of both versions. */
  readonly blobs: ReadonlyMap<Digest, Buffer>;
  /** Those of the second one. */
  readonly current: readonly Digest[];
  /** Files as they were at the first version, by their path from the top. */
  readonly older: ReadonlyMap<string, Buffer>;
  /** Digests of the model file at both versions, the older one first. */
  readonly models: readonly [Digest, Digest];
}

/** One copy of the seed: `work` with its Git and store, the remote `origin`, and two more. */
export interface State {
  readonly seed: Seed;
  readonly top: string;
  /** The workspace. */
  readonly work: string;
  at(...parts: string[]): string;
}

/** Folders below the top: the remote of the workspace, one with the same, and one without data. */
export const [originName, backupName, freshName] = ['origin', 'backup', 'fresh'] as const;

/** The local store, from the top. */
export const storeName = 'work/.modelstore/store';

const body = noise(1_500_000, 'body');

/** The model file, of some chunks, of which the versions share the first ones. */
function model(version: 1 | 2): Buffer {
  const bytes = Buffer.from(body);
  noise(100_000, `version ${version}`).copy(bytes, 1_300_000);
  return bytes;
}

/** Small files, so that there are more chunks in the first version than are new in the second. */
const parts = Array.from({ length: 12 }, (_, i) => `part-${String(i).padStart(2, '0')}`);

function layVersion(work: string, version: 1 | 2): void {
  fs.mkdirSync(path.join(work, 'data'), { recursive: true });
  fs.writeFileSync(path.join(work, 'model.bin'), model(version));
  fs.writeFileSync(path.join(work, 'data/config.json'), `{"version":${version}}`);
  fs.writeFileSync(path.join(work, 'data/weights.bin'), noise(200_000, 'weights'));
  fs.writeFileSync(path.join(work, 'data/run.sh'), 'echo', { mode: 0o755 });
  for (const part of parts) fs.writeFileSync(path.join(work, 'data', part), part);
}

/**
 * Makes the seed: two versions of a file of several chunks and of a directory, in Git, pushed to two
 * remotes, registered, and made live one after the other.
 */
export async function makeSeed(): Promise<Seed> {
  const top = fs.mkdtempSync(path.join(fastTop(), 'mstore-seed-'));
  try {
    return await makeSeedIn(top);
  } finally {
    fs.rmSync(top, { recursive: true, force: true });
  }
}

async function makeSeedIn(top: string): Promise<Seed> {
  const work = path.join(top, 'work');
  const surroundings = testSurroundings();
  fs.mkdirSync(work);
  git(work, 'init', '-q', '--template=');
  const { workspace } = await initWorkspace(work, { git: true }, surroundings);
  const options = { isDefault: true, create: true };
  await addRemote(workspace, originName, `../${originName}`, options, work);
  for (const name of [backupName, freshName]) {
    fs.mkdirSync(path.join(top, name));
    const remote = localRemote(path.join(top, name));
    await initRemote(remote, surroundings.clock, surroundings.random);
  }
  await makeVersion(work, 1);
  const older = readFolder(top).files;
  await makeVersion(work, 2);
  await writeTables(path.join(top, storeName));
  const read = await projectAt(work).open();
  const [before, current] = [await blobsAt(work, 'HEAD~1'), await blobsAt(work, 'HEAD')];
  if (read.store.damagedPacks().size > 0) throw new Error('The seed is damaged');
  const reader = new BlobReader(read.store);
  const contents = new Map(
    [...before, ...current].map((blob) => [blob, reader.readWhole(blob, 10_000_000)]),
  );
  reader.close();
  const { folders, files } = readFolder(top);
  return {
    folders,
    files,
    blobs: contents,
    digests: new Map([...files].map(([name, { bytes }]) => [name, sha256(bytes)])),
    current,
    older: new Map([...older].map(([name, { bytes }]) => [name, bytes])),
    models: [sha256(model(1)), sha256(model(2))],
  };
}

async function blobsAt(work: string, revision: string): Promise<Digest[]> {
  const workspace = await projectAt(work).open();
  const set = await trackedAt(workspace, git(work, 'rev-parse', revision));
  const blobs = set.tracked.flatMap((item) => neededBlobs(workspace.store, item));
  return [...new Set(blobs.map((blob) => blob.sha256))];
}

async function makeVersion(work: string, version: 1 | 2): Promise<void> {
  const run = (...argv: string[]) => runHereOk(work, argv);
  layVersion(work, version);
  await run('add', 'model.bin', 'data');
  git(work, 'add', '-A');
  git(work, 'commit', '-q', '-m', `Version ${version}`);
  git(work, 'tag', `v${version}`);
  await run('register', `demo@v1.${version - 1}.0`, 'model.bin');
  await run('push');
  await run('deploy', `demo@v1.${version - 1}.0`, '--env', 'production');
  await run('push', '--remote', `../${backupName}`);
}

/** Writes two chunk tables that cover all packs, as larger stores have them. */
async function writeTables(store: string): Promise<void> {
  const temps = path.join(store, 'tmp');
  const packs = new PackFiles(store, temps);
  const listed = packs.list().sort((a, b) => b.size - a.size);
  const index = new ChunkIndex(packs, new TableFolder(path.join(store, 'tables'), temps), {
    freshPacksMax: 1,
  });
  index.attach([]);
  for (const { pack, size, time } of listed) {
    const footer = packs.load(pack, size);
    if (footer !== undefined) index.addPack(footer, time);
  }
  if (index.counts.tables < 2) throw new Error('The seed has fewer than two chunk tables');
}

function readFolder(top: string): Pick<Seed, 'folders' | 'files'> {
  const entries = fs.readdirSync(top, { recursive: true, withFileTypes: true });
  const pathOf = (entry: fs.Dirent): string =>
    path.relative(top, path.join(entry.parentPath, entry.name));
  const folders = entries.filter((entry) => entry.isDirectory()).map(pathOf);
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const full = path.join(entry.parentPath, entry.name);
      const { mode } = fs.statSync(full);
      return [pathOf(entry), { bytes: fs.readFileSync(full), mode: mode & 0o777 }] as const;
    });
  return { folders: folders.sort(), files: new Map(files) };
}

/** Writes a copy of the seed to a folder. */
export function copySeed(seed: Seed, top: string): State {
  for (const folder of seed.folders) fs.mkdirSync(path.join(top, folder));
  for (const [name, { bytes, mode }] of seed.files) {
    fs.writeFileSync(path.join(top, name), bytes, { mode });
  }
  const work = path.join(top, 'work');
  const state = { seed, top, work, at: (...parts: string[]) => path.join(top, ...parts) };
  rememberStats(state);
  return state;
}

/** Writes the stat caches anew: those that were copied speak of other inodes. */
function rememberStats({ seed, work }: State): void {
  const folder = path.join(work, '.modelstore/cache/stat');
  for (const [tracked, names] of [
    ['model.bin', ['model.bin']],
    ['data', ['config.json', 'run.sh', 'weights.bin', ...parts]],
  ] as const) {
    const cache = StatCache.open(folder, tracked, 0n);
    for (const name of names) {
      const file = path.join(tracked === 'data' ? 'data' : '', name);
      const stat = fs.statSync(path.join(work, file), { bigint: true });
      cache.rememberWritten(name, stat, seed.digests.get(path.join('work', file)) as Digest);
    }
    cache.save(tracked);
  }
}

/** The files of the seed below a folder, from the top, sorted by name. */
export function seedFiles(seed: Seed, below: string): string[] {
  return [...seed.files.keys()].filter((name) => name.startsWith(`${below}/`)).sort();
}

/** Those of them that the second version made. */
export function newFiles(seed: Seed, below: string): string[] {
  return seedFiles(seed, below).filter((name) => !seed.older.has(name));
}

/** The digest in the name of an object. */
export function digestOf(name: string): Digest {
  const digest = path.basename(name).replace(/\..*$/, '');
  if (!isDigest(digest)) throw new Error(`${name} has no digest in its name`);
  return digest;
}

/** Lists the files of a state below a folder, from the top. */
export function filesIn(state: State, below: string): string[] {
  return filesBelow(state.at(below)).map((name) => path.posix.join(below, name));
}
