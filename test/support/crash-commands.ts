import * as fs from 'node:fs';
import * as path from 'node:path';
import { flipBit } from './cli.ts';
import { localStore, type Place, type World } from './crash-world.ts';
import { noise } from './flow-scratch.ts';
import { filesBelow } from './flow-state.ts';
import { git } from './git.ts';

/** A command that is made to fail at each of its calls. */
export interface CrashCommand {
  /** As it is named in the table of the page. */
  readonly name: string;
  readonly place: Place;
  readonly args: readonly string[];
  /** Brings the world to where the command has something to do. */
  readonly prepare?: (world: World) => Promise<void> | void;
  /** Exit code of another run when the command had done everything; 0 unless it says otherwise. */
  readonly again?: number;
  /** Files that may be gone for a moment: the system has no call that swaps two folders. */
  readonly mayBeGone?: RegExp;
  /** Files that stay until the next run, where they could not be removed. */
  readonly mayStay?: RegExp;
  /** Whether what was done on the remote may be missing in the local registry until the next command. */
  readonly followsLater?: boolean;
  /** Whether it removes data, so that index objects and recipes may be left that lead to nothing. */
  readonly cleansUp?: boolean;
  /** Whether what it marks on the remote depends on how far an earlier run came: that all that is needed is there counts. */
  readonly marks?: boolean;
  /** Store or remote that is damaged before it: nothing that is whole may be lost, until all of it is. */
  readonly heals?: string;
  /** Whether it leaves recipes in the local store whose chunks are on the remote alone. */
  readonly evicts?: boolean;
  /** Files that are on the disk only when the system gets to it. */
  readonly notFlushed?: RegExp;
}

/** Files that `checkout` and `pull` write: they are on the disk when the system gets to it. */
const workspaceFiles = /^(?:work|clone)\/(?:model\/|single\.bin$)/;

/** Lays a third version, which is in no store yet. */
function layNext(world: World): void {
  fs.rmSync(world.at('work/model/parts/1.txt'));
  world.lay(2);
}

async function addNext(world: World): Promise<void> {
  layNext(world);
  await world.run('work', 'add', 'model', 'single.bin');
  world.commit('v2');
}

/** Adds a version that nothing needs afterwards. */
async function addAndGiveUp(world: World): Promise<void> {
  layNext(world);
  await world.run('work', 'add', 'model', 'single.bin');
  git(world.at('work'), 'checkout', '-q', '.');
  await world.run('work', 'checkout', '--force');
}

async function fetchFirst(world: World): Promise<void> {
  await world.run('clone', 'fetch', 'v1');
}

async function packFirst(world: World): Promise<void> {
  await world.run('work', 'package', 'ranker@v1.1.0', '--output', '../made.tar.gz');
}

/** Pushes files of which most is given up: of one pack a part, of another one all. */
async function pushAndReplace(world: World): Promise<void> {
  const step = async (version: number, ...adds: string[][]): Promise<void> => {
    fs.writeFileSync(world.at('work/mixed.bin'), noise(400_000, `mixed ${version}`));
    fs.writeFileSync(world.at('work/alone.bin'), noise(200_000, `alone ${version}`));
    for (const paths of adds) await world.run('work', 'add', ...paths);
    git(world.at('work'), 'add', '-A');
    git(world.at('work'), 'commit', '-q', '-m', `Files ${version}`);
    await world.run('work', 'push');
  };
  fs.writeFileSync(world.at('work/beside.bin'), noise(100_000, 'beside'));
  await step(0, ['mixed.bin', 'beside.bin'], ['alone.bin']);
  await step(1, ['mixed.bin', 'alone.bin']);
  // What was pushed within the last day is kept for now.
  const then = Date.now() / 1000 - 2 * 24 * 60 * 60;
  for (const name of filesBelow(world.at('remote/roots')))
    fs.utimesSync(world.at(`remote/roots/${name}`), then, then);
}

/** Takes all but the newest version of each path from the remote. */
const remoteGc = ['gc', '--remote', '--keep-last', '1'];

async function pushNext(world: World): Promise<void> {
  await addNext(world);
  await world.run('work', 'push');
}

/** Turns bits in two chunks of the largest pack, in another index object, and in a recipe. */
function damage(world: World, store: string): void {
  const files = (prefix: string): string[] =>
    filesBelow(world.at(`${store}/${prefix}`))
      .map((name) => world.at(`${store}/${prefix}/${name}`))
      .sort((a, b) => fs.statSync(b).size - fs.statSync(a).size);
  const [pack = '', other = ''] = files('packs');
  for (const offset of [100_000, 700_000]) flipBit(pack, offset);
  const index = files('index').find((name) => name.includes(path.basename(other, '.pack')));
  flipBit(index ?? '', 20);
  flipBit(files('recipes')[0] ?? '', 70);
}

const syncArgs = [
  'sync',
  'ranker',
  '--env',
  'production',
  '--to',
  '../out',
  '--remote',
  '../remote',
];
/** It is there only when all went well. */
const receipt = /^out\/receipt\.json$/;
const goneWithSync = /^out\/(?:receipt\.json|v1\.1\.0\/.*)$/;

async function followAndGoBack(world: World): Promise<void> {
  await world.run('fresh', ...syncArgs);
  await world.run('work', 'rollback', 'ranker', '--env', 'production', '--to', 'v1.0.0');
}

/** Two versions are here, and neither is live any more where the environment goes on. */
async function followAndGoOn(world: World): Promise<void> {
  await followAndGoBack(world);
  await world.run('fresh', ...syncArgs);
  await addNext(world);
  await world.run('work', 'register', 'ranker@v1.2.0', 'model');
  await world.run('work', 'push');
  await world.run('work', 'deploy', 'ranker@v1.2.0', '--env', 'production');
}

/** All commands that write; a new one needs an entry here and nothing else. */
export const crashCommands: readonly CrashCommand[] = [
  { name: 'init', place: 'fresh', args: ['init'] },
  {
    name: 'add, a new file',
    place: 'work',
    args: ['add', 'models/new.bin'],
    prepare(world) {
      fs.mkdirSync(world.at('work/models'));
      fs.copyFileSync(world.at('work/model/weights.bin'), world.at('work/models/new.bin'));
      fs.appendFileSync(world.at('work/models/new.bin'), 'and more');
    },
  },
  { name: 'add, a second version', place: 'work', args: ['add', 'single.bin'], prepare: layNext },
  { name: 'add, a directory', place: 'work', args: ['add', 'model'], prepare: layNext },
  { name: 'checkout', place: 'work', args: ['checkout', 'v0'], notFlushed: workspaceFiles },
  {
    name: 'checkout, what is gone',
    place: 'work',
    args: ['checkout'],
    prepare: removeFiles,
    notFlushed: workspaceFiles,
  },
  { name: 'checkout --to', place: 'work', args: ['checkout', 'v0', '--to', '../out'], again: 6 },
  {
    name: 'checkout --to --force',
    place: 'work',
    args: ['checkout', 'v0', '--to', '../out', '--force'],
    prepare: (world) => world.run('work', 'checkout', 'v1', '--to', '../out'),
    mayBeGone: /^out\//,
  },
  {
    name: 'checkout --link hardlink',
    place: 'work',
    args: ['checkout', 'v0', '--link', 'hardlink'],
    notFlushed: workspaceFiles,
  },
  {
    name: 'export',
    place: 'work',
    args: ['export', 'ranker@v1.0.0', '--to', '../out', '--metadata'],
    again: 6,
  },
  {
    name: 'package',
    place: 'work',
    args: ['package', 'ranker@v1.0.0', '--output', '../out/'],
    prepare: (world) => fs.mkdirSync(world.at('out')),
    again: 6,
  },
  { name: 'unpackage', place: 'clone', args: ['unpackage', '../made.tar.gz'], prepare: packFirst },
  {
    name: 'unpackage --to',
    place: 'fresh',
    args: ['unpackage', '../made.tar.gz', '--to', '../out'],
    prepare: packFirst,
    again: 6,
  },
  { name: 'push', place: 'work', args: ['push'], prepare: addNext },
  { name: 'fetch', place: 'clone', args: ['fetch', 'v1'] },
  { name: 'pull', place: 'clone', args: ['pull', 'v1'], notFlushed: workspaceFiles },
  {
    name: 'pull, all is here',
    place: 'clone',
    args: ['pull', 'v1'],
    prepare: fetchFirst,
    notFlushed: workspaceFiles,
  },
  {
    name: 'resolve',
    place: 'fresh',
    args: ['resolve', 'ranker@v1.0.0', '--remote', '../remote'],
  },
  {
    name: 'resolve --lock --to',
    place: 'work',
    args: ['resolve', 'local:model', '--to', '../out', '--lock', '../fresh/models.json'],
  },
  { name: 'sync', place: 'fresh', args: syncArgs, mayBeGone: receipt },
  {
    name: 'sync, to another version',
    place: 'fresh',
    args: [...syncArgs, '--check', 'true', '--after', 'true'],
    prepare: followAndGoBack,
    mayBeGone: receipt,
  },
  {
    name: 'sync, what is not kept goes',
    place: 'fresh',
    args: syncArgs,
    prepare: followAndGoOn,
    mayBeGone: goneWithSync,
    mayStay: /^out\/v1\.1\.0\//,
  },
  {
    name: 'register',
    place: 'work',
    args: ['register', 'ranker@v1.2.0', 'model', '--metric', 'accuracy=0.97'],
    prepare: addNext,
  },
  {
    name: 'deploy',
    place: 'work',
    args: ['deploy', 'ranker@v1.1.0', '--env', 'staging'],
    followsLater: true,
  },
  {
    name: 'promote',
    place: 'work',
    args: ['promote', 'ranker', '--from', 'production', '--to', 'staging'],
    followsLater: true,
  },
  {
    name: 'rollback',
    place: 'work',
    args: ['rollback', 'ranker', '--env', 'production', '--to', 'v1.0.0'],
    followsLater: true,
  },
  {
    name: 'archive',
    place: 'work',
    args: ['archive', 'ranker@v1.0.0', '--force', '--reason', 'Slow'],
    followsLater: true,
  },
  {
    name: 'gc',
    place: 'work',
    args: ['gc', '--grace', '0'],
    prepare: addAndGiveUp,
    cleansUp: true,
  },
  {
    name: 'gc --max-size',
    place: 'work',
    args: ['gc', '--max-size', '1K'],
    prepare: pushNext,
    cleansUp: true,
    evicts: true,
  },
  {
    name: 'gc --remote',
    place: 'work',
    args: remoteGc,
    prepare: pushAndReplace,
    cleansUp: true,
    marks: true,
  },
  {
    name: 'gc --remote --grace 0',
    place: 'work',
    args: [...remoteGc, '--grace', '0'],
    prepare: pushAndReplace,
    cleansUp: true,
    marks: true,
  },
  {
    name: 'gc --remote --undo',
    place: 'work',
    args: ['gc', '--remote', '--undo'],
    async prepare(world) {
      await pushAndReplace(world);
      await world.run('work', ...remoteGc);
    },
  },
  {
    name: 'verify --repair',
    place: 'work',
    args: ['verify', '--repair'],
    prepare: (world) => damage(world, localStore),
    heals: localStore,
  },
  {
    name: 'verify --remote --repair',
    place: 'work',
    args: ['verify', '--remote', 'origin', '--repair'],
    prepare: (world) => damage(world, 'remote'),
    heals: 'remote',
  },
  { name: 'untrack', place: 'work', args: ['untrack', 'single.bin'], again: 3 },
  { name: 'remote add', place: 'work', args: ['remote', 'add', 'second', '../second'] },
  { name: 'config set', place: 'work', args: ['config', 'set', 'store.compression', 'auto'] },
];

function removeFiles(world: World): void {
  fs.rmSync(world.at('work/model'), { recursive: true });
  fs.rmSync(world.at('work/single.bin'));
}
