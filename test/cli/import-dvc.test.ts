import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeWorkspace, mstore, mstoreOk } from '../support/cli.ts';
import { DvcFixture } from '../support/dvc-repository.ts';
import { git, gitTestEnv } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

const top = path.resolve(import.meta.dirname, '../..');
const page = fs.readFileSync(path.join(top, 'docs/guide/dvc.md'), 'utf8');

describe('mstore import dvc', () => {
  it('does what the page says, line by line', () => {
    const place = tempFolder();
    const program = path.join(place, 'mstore');
    const quoted = [process.execPath, path.join(top, 'bin/mstore.js')].map((part) => `'${part}'`);
    fs.writeFileSync(program, `#!/bin/sh\nexec ${quoted.join(' ')} "$@"\n`, { mode: 0o755 });
    const root = path.join(place, 'repo');
    const dvc = new DvcFixture(root);
    git(root, 'init', '-q');
    dvc.folder('models/bert', { 'onnx/model.onnx': 'o', w: 'w' });
    dvc.write('models/.gitignore', '/bert\n');
    dvc.write('dvc.yaml', 'artifacts:\n  ranker:\n    path: models/bert\n');
    dvc.commit('v1.0');
    git(root, 'tag', '-a', '-m', 'first', 'ranker@v0.1.0');
    const blocks = [...page.matchAll(/^```sh dvc import\n([\s\S]*?)^```$/gm)].map(
      ([, text]) => text,
    );
    expect(blocks).toHaveLength(3);
    const env = {
      ...gitTestEnv,
      PATH: `${place}${path.delimiter}${gitTestEnv['PATH']}`,
      MSTORE_CACHE: path.join(place, 'cache'),
    };
    fs.mkdirSync(path.join(place, 'remote'));
    const script = ['set -eu', ...blocks].join('\n');
    execFileSync('sh', ['-c', script], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const versions = execFileSync(program, ['versions', 'bert'], {
      cwd: root,
      env,
      encoding: 'utf8',
    });
    expect(versions).toMatch(/v1\.0\b[\s\S]*v1\b|v1\b[\s\S]*v1\.0\b/);
    expect(fs.existsSync(path.join(root, 'models/bert.dvc'))).toBe(true);
    expect(git(root, 'ls-files')).toContain('models/bert.mstore');
  });

  it('tells what became of each output, and of each tag', async () => {
    const { root } = await makeWorkspace();
    const dvc = new DvcFixture(root);
    dvc.file('m.bin', 'm');
    dvc.file('metrics.json', '{}', { more: ['cache: false'] });
    dvc.write('.gitignore', '/m.bin\n');
    dvc.commit('v1');
    const planned = await mstoreOk(root, 'import', 'dvc', '--dry-run');
    expect(planned.stdout).toBe(
      '  taken      m.bin  (m.bin.dvc)\n  left-out   metrics.json  (metrics.json.dvc: DVC leaves it to Git)\n',
    );
    expect(planned.stderr).toContain('1 output of DVC would be taken (1 left out)');
    const taken = await mstoreOk(root, 'import', 'dvc', '--replace');
    expect(taken.stderr).toMatch(/Took 1 output of DVC \(0 unchanged, 1 left out\): 0 B received/);
    expect(taken.stderr).toContain('Removed m.bin.dvc');
    git(root, 'checkout', '-q', '--', '.');
    const tags = await mstoreOk(root, 'import', 'dvc', 'm.bin', '--tags', '--as', 'm', '--json');
    expect(tags.json).toMatchObject({
      tags: [{ tag: 'v1', model: 'm', version: 'v1', path: 'm.bin', outcome: 'registered' }],
      moves: 0,
    });
  });

  it('tells what one output would bring, and takes nothing', async () => {
    const { root } = await makeWorkspace();
    new DvcFixture(root).file('m.bin', 'm');
    const { json } = await mstoreOk(
      root,
      ...['import', 'dvc:m.bin', '--as', 'm@v1', '--dry-run', '--json'],
    );
    expect(json).toMatchObject({ files: 1, bytes: 1, dryRun: true });
    expect((await mstoreOk(root, 'models', '--json')).json).toMatchObject({ models: [] });
  });

  it.each([
    ['dvc', '--as', 'm@v1'],
    ['dvc', '--tags', '--as', 'm@v1'],
    ['dvc', '--tags', '--rev', 'v1'],
    ['dvc', '--tags', '--replace'],
    ['dvc', '--rev', 'v1', '--replace'],
    ['dvc', '--metric', 'f1=0.5'],
    ['dvc', '--tags', '--include', '*.bin'],
    ['dvc:m.bin', '--as', 'm@v1', '--rev', 'v1'],
    ['dvc:m.bin', 'folder', '--as', 'm@v1'],
    ['dvc:m.bin'],
  ])('asks what is meant: %j', async (...args) => {
    const { root } = await makeWorkspace();
    new DvcFixture(root).file('m.bin', 'm');
    const result = await mstore(root, 'import', ...args);
    expect(result).toMatchObject({ code: 2, stderr: expect.stringMatching(/\[usage\]\nhint: /) });
  });
});
