import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type CliWorkspace,
  expectRefused,
  filesBelow,
  flipBit,
  makeWorkspace,
  soleFile,
} from '../support/cli.ts';
import { git } from '../support/git.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

/** A workspace with a file of several chunks and a small one, registered and pushed. */
async function withModel(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  ws.write('model.bin', xorshiftBytes(7, 1_500_000));
  ws.write('notes.txt', 'small');
  await ws.add('model.bin', 'notes.txt');
  git(ws.root, 'add', '.');
  git(ws.root, 'commit', '-q', '-m', 'A model');
  await ws.ok('register', 'ranker@v1', 'model.bin');
  await ws.ok('push');
  return ws;
}

const pack = (folder: string): string => soleFile(path.join(folder, 'packs'));

describe('mstore verify', () => {
  it('says what it read, and ends with 0', async () => {
    const ws = await withModel();
    const { stdout, stderr } = await ws.ok('verify');
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^Verified the local store: 1 pack \(1\.43 MiB\), 1 recipe, 3 versions of files, in \d+\.\d s, .*\/s$/m,
    );
    expect(stderr).toContain('No damage is left');
    const remote = await ws.ok('verify', '--remote', '--subset', '100%');
    expect(remote.stderr).toMatch(/^Verified origin \(.*% of all names\): 1 pack/m);
    await ws.ok('verify', 'ranker@v1', '--remote');
    await ws.ok('verify', 'model.bin', '--remote', 'origin');
    expect((await ws.ok('verify', '--quiet')).stderr).toBe('');
  });

  it('names damage, whom it harms and what to do, and ends with 5', async () => {
    const ws = await withModel();
    flipBit(pack(ws.store), 100);
    const { code, stdout, stderr } = await ws.run('verify');
    expect(code).toBe(5);
    const key = path.relative(ws.store, pack(ws.store));
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      `damage  ${key}`,
      expect.stringMatching(/^ {8}The pack is damaged: 1 of \d+ chunks cannot be read$/),
    ]);
    expect(stdout).toContain('Harms: ranker@v1; model.bin in the working tree');
    expect(stderr).toContain('1 finding of damage');
    expect(stderr).toMatch(/^hint: .*--repair/m);
    const only = await ws.run('verify', 'notes.txt', '--json');
    expect(only).toMatchObject({ code: 5, json: { absent: { blobs: 0 }, code: 'corrupt-store' } });
  });

  it('heals the store and a remote, and ends with 0', async () => {
    const ws = await withModel();
    flipBit(pack(ws.store), 100);
    const local = await ws.ok('verify', '--repair');
    expect(local.stdout).toMatch(/^healed {2}packs\//);
    expect(local.stderr).toContain('Healed from origin');
    expect(local.stderr).toContain('No damage is left');
    flipBit(pack(ws.remote), 100);
    expect((await ws.run('verify', '--remote')).code).toBe(5);
    await ws.ok('verify', '--remote', 'origin', '--repair');
    await ws.ok('verify', '--remote', ws.remote);
    expect((await ws.ok('verify')).stdout).toBe('');
  });

  it('ends with 4 where what was asked for is not here', async () => {
    const ws = await withModel();
    fs.rmSync(ws.store, { recursive: true });
    const all = await ws.run('verify');
    expect(all.code).toBe(0);
    expect(all.stderr).toMatch(/^Not here, and no damage: .* of .*model\.bin in the working tree/m);
    expect((await ws.run('verify', 'model.bin')).code).toBe(4);
  });

  it('shows names of objects as they are on no terminal', async () => {
    const ws = await withModel();
    const odd = path.join(ws.store, 'packs', 'a@b');
    fs.writeFileSync(odd, 'x');
    ws.write('evil\u001b[31m.bin.mstore', '{');
    const { stdout } = await ws.run('verify');
    expect(stdout).toContain('packs/a@b');
    expect(stdout).not.toContain('\u001b');
  });
});

describe('mstore verify --rebuild-index', () => {
  it('makes index objects and tables again from packs alone', async () => {
    const ws = await withModel();
    const index = soleFile(path.join(ws.store, 'index'));
    const good = fs.readFileSync(index);
    flipBit(index, 30);
    fs.rmSync(path.join(ws.store, 'tables'), { recursive: true, force: true });
    const { stderr, stdout } = await ws.ok('verify', '--rebuild-index');
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^Made the index of 1 pack again \(\d+ chunks\); 1 index object had/m);
    expect(fs.readFileSync(index).equals(good)).toBe(true);
    const again = await ws.ok('verify', '--rebuild-index', '--json');
    expect(again.json).toMatchObject({ packs: 1, indexesWritten: 0, unreadable: [], code: null });
    const there = soleFile(path.join(ws.remote, 'index'));
    fs.rmSync(there);
    await ws.ok('verify', '--remote', '--rebuild-index');
    expect(fs.readFileSync(there).equals(good)).toBe(true);
    expect((await ws.ok('verify', '--remote')).stdout).toBe('');
  });

  it('names packs whose end cannot be read, and keeps their index objects', async () => {
    const ws = await withModel();
    flipBit(pack(ws.store), -10);
    const { code, stdout } = await ws.run('verify', '--rebuild-index');
    expect(code).toBe(5);
    expect(stdout).toContain(path.relative(ws.store, pack(ws.store)));
    expect(filesBelow(path.join(ws.store, 'index'))).toHaveLength(1);
    await ws.ok('verify', '--repair');
    await ws.ok('verify', '--rebuild-index');
  });
});

describe('mstore verify with wrong words', () => {
  it.each([
    [['--subset', '0%'], /--subset cannot be 0%/, /5%/],
    [['model.bin', '--subset', '5%'], /share of everything/, /Leave --subset out/],
    [['--rebuild-index', '--repair'], /nothing else/, /verify --rebuild-index/],
    [['model.bin', '--rebuild-index'], /nothing else/, /verify --rebuild-index/],
  ])('%j is refused', async (args, message, hint) => {
    const ws = await withModel();
    await expectRefused(ws, ['verify', ...args], { code: 'usage', message, hint });
  });

  it.each([
    [['nothing.bin'], 'unknown-ref'],
    [['--remote', 'nobody'], 'unknown-remote'],
    [['ranker@v9'], 'unknown-version'],
  ] as const)('%j is not found', async (args, code) => {
    const ws = await withModel();
    await expectRefused(ws, ['verify', ...args], { code, message: /./, hint: /./ });
  });
});
