import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/base/errors.ts';
import { type CliWorkspace, makeWorkspace, workspaceAt } from '../support/cli.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/format-1.ts';
import { git } from '../support/git.ts';
import { newerPack } from '../support/newer.ts';
import { runHere } from '../support/run-here.ts';

/** What a user would run on a workspace in which something is of a newer format. */
const commands = {
  add: ['add', 'models/other.bin'],
  status: ['status'],
  push: ['push'],
  fetch: ['fetch'],
  checkout: ['checkout'],
  'checkout of a version': ['checkout', 'm@v1.0.0', '--to', 'out'],
  ls: ['ls', 'm@v1.0.0'],
  register: ['register', 'm@v2.0.0', 'bert'],
  deploy: ['deploy', 'm@v1.1.0', '--env', 'production'],
  rollback: ['rollback', 'm', '--env', 'production'],
  show: ['show', 'm@v1.0.0'],
  history: ['history', 'm', '--env', 'production'],
  gc: ['gc'],
  'gc of the remote': ['gc', '--remote', 'origin'],
  'a repair': ['verify', '--repair'],
  'a repair of the remote': ['verify', '--remote', 'origin', '--repair'],
  du: ['du'],
  'du of the remote': ['du', '--remote', 'origin'],
} as const;

type Name = keyof typeof commands;
const all = Object.keys(commands) as Name[];

function edit(file: string, from: string, to: string): void {
  const text = fs.readFileSync(file, 'utf8');
  expect(text).toContain(from);
  fs.writeFileSync(file, text.replace(from, to));
}

/** Files below a folder whose names end so; there is one at least. */
function files(folder: string, end: string): string[] {
  const found = [...filesBelow(folder).keys()].filter((name) => name.endsWith(end));
  expect(found.length).toBeGreaterThan(0);
  return found.map((name) => path.join(folder, name));
}

function newerJson(folder: string, end: string): void {
  for (const file of files(folder, end)) edit(file, '"mstore": 1', '"mstore": 2');
}

function newerRecipes(folder: string): void {
  for (const file of files(path.join(folder, 'recipes'), '')) {
    const bytes = fs.readFileSync(file);
    bytes.writeUInt32LE(2, 8);
    fs.rmSync(file);
    fs.writeFileSync(file, bytes);
  }
}

/** Leaves nothing but the header, so that what is here has to be sent, or what is there to be fetched. */
function emptied(folder: string): void {
  for (const name of ['packs', 'index', 'recipes', 'roots', 'refs', 'tables', 'remotes']) {
    fs.rmSync(path.join(folder, name), { recursive: true, force: true });
  }
}

interface Bearer {
  /** What is of a newer format. */
  readonly what: string;
  readonly make: (ws: CliWorkspace) => void;
  /** The commands that need it; all others go on as if nothing were. */
  readonly refusing: readonly Name[];
}

const readsRecord: readonly Name[] = ['checkout of a version', 'ls', 'show'];
const asksRegistry: readonly Name[] = ['ls', 'deploy', 'rollback', 'show', 'history'];
const looksThere: readonly Name[] = ['a repair of the remote', 'du of the remote'];
const asksRemote: readonly Name[] = [
  'push',
  'fetch',
  'deploy',
  'rollback',
  'gc of the remote',
  ...looksThere,
];

const bearers: readonly Bearer[] = [
  {
    what: 'the configuration of the workspace',
    make: (ws) => edit(ws.at('.modelstore/config.toml'), 'format = 1', 'format = 2'),
    refusing: all,
  },
  {
    what: 'the header of the local store',
    make: (ws) => newerJson(ws.store, 'mstore.json'),
    refusing: all,
  },
  {
    what: 'the header of the remote',
    make: (ws) => newerJson(ws.remote, 'mstore.json'),
    refusing: asksRemote,
  },
  {
    what: 'a pointer',
    make: (ws) => newerJson(ws.at('models'), '.mstore'),
    refusing: ['push', 'fetch', 'checkout', 'gc', 'du'],
  },
  {
    what: 'the record of a version here',
    make: (ws) => newerJson(path.join(ws.store, 'refs'), 'versions/v1.0.0.json'),
    refusing: [...readsRecord, 'gc', 'a repair', 'du'],
  },
  {
    what: 'the record of a version on the remote, and none here',
    make(ws) {
      newerJson(path.join(ws.remote, 'refs'), 'versions/v1.0.0.json');
      fs.rmSync(path.join(ws.store, 'refs'), { recursive: true });
    },
    refusing: ['fetch', 'deploy', 'rollback', 'gc of the remote', ...looksThere],
  },
  {
    what: 'an entry of a history here',
    make: (ws) => newerJson(path.join(ws.store, 'refs'), '00000002.json'),
    refusing: ['history', 'show', 'gc', 'a repair', 'du'],
  },
  {
    what: 'a root record of the remote',
    make: (ws) => newerJson(path.join(ws.remote, 'roots'), '.json'),
    refusing: ['gc of the remote', ...looksThere],
  },
  {
    what: 'the recipes here, with an empty remote',
    make(ws) {
      emptied(ws.remote);
      fs.rmSync(ws.at('models/model.bin'));
      newerRecipes(ws.store);
    },
    refusing: [
      'status',
      'push',
      'fetch',
      'checkout',
      'checkout of a version',
      'gc',
      'a repair',
      'du',
    ],
  },
  {
    what: 'the recipes of the remote, with an empty store',
    make(ws) {
      emptied(ws.store);
      newerRecipes(ws.remote);
    },
    refusing: ['push', 'fetch', 'gc of the remote', ...looksThere],
  },
  {
    what: 'a pack here',
    make: (ws) => newerPack(ws.store),
    refusing: all.filter((name) => !asksRegistry.includes(name) && name !== 'status'),
  },
  {
    what: 'a pack of the remote',
    make(ws) {
      emptied(ws.store);
      newerPack(ws.remote);
    },
    refusing: ['fetch', 'push', 'gc of the remote', ...looksThere],
  },
];

let template = '';

beforeEach(async () => {
  if (template !== '') return;
  // Kept for all tests of this file; the system removes it with its process.
  const top = fs.mkdtempSync(path.join(path.dirname(scratchFolder()), 'mstore-newer-'));
  process.once('exit', () => fs.rmSync(top, { recursive: true, force: true }));
  const ws = await makeWorkspace(top);
  ws.write('models/model.bin', noise(700_000));
  ws.write('bert/a', 'a');
  await ws.add('models/model.bin', 'bert');
  git(ws.root, 'add', '-A');
  git(ws.root, 'commit', '-q', '-m', 'First');
  for (const args of [
    ['register', 'm@v1.0.0', 'models/model.bin'],
    ['register', 'm@v1.1.0', 'models/model.bin', '--description', 'Better'],
    ['push', '--all-versions'],
    ['deploy', 'm@v1.0.0', '--env', 'production'],
    ['deploy', 'm@v1.1.0', '--env', 'production'],
    ['push', '--all-versions'],
  ]) {
    const { code, text } = await runHere(ws.root, ...args);
    expect(code, text).toBe(0);
  }
  template = top;
});

/** A copy of the workspace and its remote. */
function copied(): CliWorkspace {
  const top = scratchFolder();
  fs.cpSync(template, top, { recursive: true, preserveTimestamps: true });
  const ws = workspaceAt(path.join(top, 'work'), path.join(top, 'remote'));
  edit(ws.at('.modelstore/config.toml'), path.join(template, 'remote'), ws.remote);
  ws.write('models/other.bin', 'other');
  return ws;
}

/** All that must stay as it was: caches are no part of it. */
function kept(ws: CliWorkspace): Map<string, string> {
  const files = [...filesBelow(path.dirname(ws.root))];
  const counted = files.filter(
    ([name]) => !/\.modelstore\/(?:cache|tmp|store\/(?:tables|remotes|tmp))\//.test(name),
  );
  return new Map(counted.map(([name, bytes]) => [name, bytes.toString('base64')]));
}

it('status tells of a pointer of a newer format beside the others', async () => {
  const ws = copied();
  newerJson(ws.at('models'), '.mstore');
  const { code, json } = await runHere(ws.root, 'status');
  expect(code).toBe(exitCodeOf('newer-format'));
  const told = json.paths?.map(({ path: tracked, state, error }) => [tracked, state, error?.code]);
  expect(told).toEqual([
    ['bert', 'unchanged', undefined],
    ['models/model.bin', 'broken', 'newer-format'],
  ]);
});

describe.each(bearers)('$what of a newer format', ({ make, refusing }) => {
  it.each(all)('%s', async (name) => {
    const ws = copied();
    make(ws);
    const before = kept(ws);
    const { code, json, text } = await runHere(ws.root, ...commands[name]);
    if (!refusing.includes(name)) {
      expect(json.error?.code, text).not.toBe('newer-format');
      return;
    }
    expect(json.error?.code, text).toBe('newer-format');
    expect(json.error?.hint).toBe('Install a newer mstore');
    expect(code).toBe(exitCodeOf('newer-format'));
    const after = kept(ws);
    for (const [file, bytes] of before) expect(after.get(file), file).toBe(bytes);
    // What was moved before is whole, and what the newer object does not concern is moved; nothing else is new.
    const made = [...after.keys()].filter((file) => !before.has(file));
    const whole = /^(?:work\/\.modelstore\/store|remote)\/(?:packs|index|recipes|refs|roots)\//;
    expect(made.filter((file) => !asksRemote.includes(name) || !whole.test(file))).toEqual([]);
  });
});
