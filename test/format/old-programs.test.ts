import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/format-1.ts';
import { git } from '../support/git.ts';
import { type OldProgram, oldPrograms, unpackOldProgram } from '../support/old-programs.ts';
import { runHere } from '../support/run-here.ts';

/** What an old program left, and today's program on it. */
class Left {
  readonly top = scratchFolder();
  readonly work = path.join(this.top, 'work');
  readonly remote = path.join(this.top, 'remote');
  readonly #versions: ReturnType<typeof unpackOldProgram>;

  constructor({ commit }: OldProgram) {
    this.#versions = unpackOldProgram(commit, this.top);
  }

  /** Runs a command, which must succeed; returns its document. */
  async run(folder: string, ...args: string[]): Promise<Readonly<Record<string, unknown>>> {
    const { code, text, json } = await runHere(folder, ...args);
    expect(code, `mstore ${args.join(' ')}: ${text}`).toBe(0);
    return json as Readonly<Record<string, unknown>>;
  }

  /** Expects the files of a version below a folder, byte for byte. */
  expectFiles(folder: string, version: number, prefix = ''): void {
    const files = Object.entries(this.#versions[version - 1] ?? {});
    const chosen = files.filter(([name]) => name.startsWith(prefix));
    expect(chosen.length).toBeGreaterThan(0);
    for (const [name, expected] of chosen) {
      const file = path.join(folder, name.slice(prefix.length));
      if (expected.startsWith('->')) expect(fs.readlinkSync(file), name).toBe(expected.slice(2));
      else expect(sha256(fs.readFileSync(file)), name).toBe(expected);
      if (name.endsWith('.sh')) expect(fs.statSync(file).mode & 0o100, name).toBe(0o100);
    }
  }

  /** Removes all that is tracked, so that a checkout has to write it. */
  forget(): void {
    for (const line of git(this.work, 'ls-files', '*.mstore').split('\n')) {
      const file = line.replace(/^"(.*)"$/, '$1').replace(/\.mstore$/, '');
      fs.rmSync(path.join(this.work, file), { recursive: true, force: true });
    }
  }
}

const states = (document: Readonly<Record<string, unknown>>): string[] =>
  (document['paths'] as Array<{ state: string }>).map(({ state }) => state);

it('the fixtures are the ones that were frozen', () => {
  const folder = new URL('../fixtures/programs/', import.meta.url).pathname;
  const archives = [...filesBelow(folder)].filter(([name]) => name.endsWith('.br'));
  expect(archives.map(([name]) => name).sort()).toEqual(
    oldPrograms.map(({ commit }) => `${commit}.json.br`).sort(),
  );
  const lines = archives.map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`);
  expect(sha256(lines.join(''))).toBe(
    '8a785e167940953135f2c909a8a13d3c797e5dd118d06c3a915d9d2ade755664',
  );
});

describe.each(oldPrograms)('what $commit wrote: $about', (program) => {
  it('is unchanged by status, and is checked out byte for byte, both versions', async () => {
    const left = new Left(program);
    expect(new Set(states(await left.run(left.work, 'status')))).toEqual(new Set(['unchanged']));
    left.forget();
    await left.run(left.work, 'checkout');
    left.expectFiles(left.work, 2);
    await left.run(left.work, 'checkout', 'files-1');
    left.expectFiles(left.work, 1);
    await left.run(left.work, 'checkout', 'files-2', '--to', path.join(left.top, 'out'));
    left.expectFiles(path.join(left.top, 'out'), 2);
    await left.run(left.work, 'ls', 'files-1');
  });

  it('is read with its packs alone', async () => {
    const left = new Left(program);
    const store = path.join(left.work, '.modelstore/store');
    for (const name of ['index', 'tables', 'remotes', 'files']) {
      fs.rmSync(path.join(store, name), { recursive: true, force: true });
    }
    left.forget();
    await left.run(left.work, 'checkout');
    left.expectFiles(left.work, 2);
  });

  it('is fetched into a new clone', async () => {
    const left = new Left(program);
    const clone = path.join(left.top, 'clone');
    git(left.top, 'clone', '-q', left.work, clone);
    await left.run(clone, 'pull', '--remote', left.remote);
    left.expectFiles(clone, 2);
    await left.run(clone, 'pull', 'files-1', '--remote', left.remote);
    left.expectFiles(clone, 1);
  });

  it('is pushed to, and stays as it was', async () => {
    const left = new Left(program);
    const before = filesBelow(left.remote);
    await left.run(left.work, 'push');
    // What its registry held was not sent by a program whose registry did not move yet.
    const late = program.registry && !program.moves;
    const made = [...filesBelow(left.remote).keys()].filter((name) => !before.has(name));
    expect(made.filter((name) => !late || !/^(?:refs|roots|audit)\//.test(name))).toEqual([]);
    fs.appendFileSync(path.join(left.work, 'models/model.bin'), 'more');
    await left.run(left.work, 'add', 'models/model.bin');
    await left.run(left.work, 'push');
    const after = filesBelow(left.remote);
    expect(after.size).toBeGreaterThan(before.size);
    for (const [name, bytes] of before) expect(after.get(name)?.equals(bytes), name).toBe(true);
  });
});

const registries = oldPrograms.filter(({ registry }) => registry);

describe.each(registries)('the registry of $commit', (program) => {
  it('is read, here and from the remote, and goes on', async () => {
    const left = new Left(program);
    const clone = path.join(left.top, 'clone');
    git(left.top, 'clone', '-q', left.work, clone);
    if (program.moves) await left.run(clone, 'fetch', '--all-versions', '--remote', left.remote);
    for (const folder of program.moves ? [left.work, clone] : [left.work]) {
      const versions = await left.run(folder, 'versions', 'captioner');
      expect(JSON.stringify(versions)).toContain('v2.0.0');
      const out = fs.mkdtempSync(path.join(left.top, 'out-'));
      fs.rmdirSync(out);
      await left.run(folder, 'checkout', 'captioner@v1.0.0', '--to', out);
      left.expectFiles(out, 1, 'bert/');
      const history = await left.run(folder, 'history', 'captioner', '--env', 'staging');
      const actions = (history['entries'] as Array<{ action: string }>).map(({ action }) => action);
      expect(actions.sort()).toEqual(['deploy', 'deploy', 'rollback']);
      await left.run(folder, 'show', 'captioner@production');
    }
    const registry = path.join(left.work, '.modelstore/store/refs');
    const before = filesBelow(registry);
    await left.run(left.work, 'push', '--all-versions');
    await left.run(left.work, 'deploy', 'captioner@v2.0.0', '--env', 'staging');
    await left.run(left.work, 'register', 'captioner@v3.0.0', 'bert', '--metric', 'loss=0.1');
    await left.run(left.work, 'push', '--all-versions');
    const after = filesBelow(registry);
    expect(after.size).toBe(before.size + 2);
    for (const [name, bytes] of before) expect(after.get(name)?.equals(bytes), name).toBe(true);
    const there = filesBelow(path.join(left.remote, 'refs'));
    expect([...there.keys()]).toEqual([...after.keys()]);
  });
});
