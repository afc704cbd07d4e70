import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { addRemote } from '../../src/flow/remotes.ts';
import { localRemote } from '../../src/remote/local.ts';
import { mstoreOk } from '../support/cli.ts';
import { tempsBelow } from '../support/flow-kill.ts';
import { cloneProject, makeProject, type Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';
import { listKeys } from '../support/remote-bytes.ts';

/** A committed project with a directory remote and files that have not been added. */
async function withFiles(count: number): Promise<{ project: Project; remote: string }> {
  const project = await makeProject();
  const remote = path.join(scratchFolder(), 'remote');
  const options = { isDefault: true, create: true };
  await addRemote(await project.open(), 'origin', remote, options, project.root);
  for (let n = 0; n < count; n++) {
    const common = noise(3_000_000, 'common to all');
    project.write(`models/m${n}.bin`, Buffer.concat([noise(2_000_000, n), common]));
    project.write(`models/d${n}/a`, noise(300_000, `d${n}`));
    project.write(`models/d${n}/b`, noise(100_000, 'the same everywhere'));
  }
  return { project, remote };
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

/** Adds lines to one ignore file, as many processes do, with nothing else to do in between. */
const addLines = `
import { addIgnoreLine } from ${JSON.stringify(pathToFileURL(built('worktree/git-files.js')))};
const [folder, name, count, start] = process.argv.slice(1);
while (Date.now() < Number(start)) {}
for (let n = 0; n < Number(count); n++) await addIgnoreLine(folder, name + n, folder);
`;

function built(file: string): string {
  return path.resolve(import.meta.dirname, '../../dist', file);
}

describe('one .gitignore', () => {
  it('keeps every line of processes that do nothing but add some', async () => {
    const folder = scratchFolder();
    const run = promisify(execFile);
    // All begin at one moment, when each has long been loaded.
    const start = String(Date.now() + 1_000);
    await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) =>
        run(process.execPath, ['--input-type=module', '-e', addLines, folder, name, '150', start]),
      ),
    );
    const lines = fs.readFileSync(path.join(folder, '.gitignore'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(600);
    expect(new Set(lines).size).toBe(600);
    expect(filesBelow(folder)).toEqual(['.gitignore']);
  });
});

describe.each([2, 4])('%i processes at once', (count) => {
  it('add to one store, one folder and one .gitignore', async () => {
    const { project } = await withFiles(count);
    const before = stateOf(project.root);
    await Promise.all(
      numbers(count).map((n) => mstoreOk(project.root, 'add', `models/m${n}.bin`, `models/d${n}`)),
    );
    expect(project.read('models/.gitignore').toString().split('\n').sort()).toEqual(
      ['', ...numbers(count).flatMap((n) => [`/d${n}`, `/m${n}.bin`])].sort(),
    );
    expect((await project.status()).paths.map(({ state }) => state)).toEqual(
      numbers(2 * count).map(() => 'unchanged'),
    );
    await checkRemote(localRemote(project.at('.modelstore/store')));
    expect(tempsBelow(project.root)).toEqual([]);
    project.commit();
    expect(git(project.root, 'ls-files', 'models').split('\n')).toHaveLength(2 * count + 1);
    fs.rmSync(project.at('models'), { recursive: true });
    git(project.root, 'checkout', '-q', '--', 'models');
    await project.checkout();
    expect(stateOf(project.root)).toEqual(before);
  });

  it('push to one remote, each its own and what all have', async () => {
    const { project, remote } = await withFiles(count);
    project.commit();
    const clones = numbers(count).map((n) => {
      const clone = cloneProject(project);
      for (const name of [`m${n}.bin`, `d${n}`]) {
        fs.cpSync(project.at(`models/${name}`), clone.at(`models/${name}`), { recursive: true });
      }
      return clone;
    });
    for (const [n, clone] of clones.entries()) {
      // The clone has the files in Git; what is pushed here must be added by name.
      git(clone.root, 'rm', '-r', '-q', '--cached', 'models');
      await clone.add(`models/m${n}.bin`, `models/d${n}`);
    }
    await Promise.all(clones.map((clone) => mstoreOk(clone.root, 'push')));
    expect(await checkRemote(localRemote(remote))).toBe(count);
    expect(filesBelow(path.join(remote, 'tmp'))).toEqual([]);
    for (const [n, clone] of clones.entries()) {
      const { bytesSent } = (await mstoreOk(clone.root, 'push', '--json')).json;
      expect(bytesSent).toBe(0);
      fs.rmSync(clone.at('.modelstore/store'), { recursive: true });
      fs.rmSync(clone.at(`models/m${n}.bin`));
      await clone.fetch([], 'origin');
      await clone.checkout();
      expect(clone.read(`models/m${n}.bin`).equals(project.read(`models/m${n}.bin`))).toBe(true);
    }
  });

  it('push the same from one store', async () => {
    const { project, remote } = await withFiles(2);
    await project.add('models/m0.bin', 'models/d1');
    await Promise.all(numbers(count).map(() => mstoreOk(project.root, 'push')));
    expect(await listKeys(localRemote(remote), 'packs/')).toHaveLength(1);
    await checkRemote(localRemote(remote));
    expect(await project.push([], 'origin')).toMatchObject({ bytesSent: 0 });
  });

  it('pull into one store', async () => {
    const { project } = await withFiles(3);
    await project.add(...numbers(3).flatMap((n) => [`models/m${n}.bin`, `models/d${n}`]));
    await project.push([], 'origin');
    project.commit();
    const shared = scratchFolder();
    const clones = numbers(count).map(() => cloneProject(project));
    for (const clone of clones) {
      clone.write('.modelstore/config.local.toml', `[store]\npath = ${JSON.stringify(shared)}\n`);
    }
    await Promise.all(clones.map((clone) => mstoreOk(clone.root, 'pull')));
    for (const clone of clones) expect(stateOf(clone.root)).toEqual(stateOf(project.root));
    await checkRemote(localRemote(shared));
    expect(filesBelow(path.join(shared, 'tmp'))).toEqual([]);
  });
});
