import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { isOutside } from '../../src/flow/workspace-trust.ts';
import { type CliWorkspace, expectRefused, makeWorkspace, startMstore } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';
import { requireOrSkip } from '../support/tmpfs.ts';

const nameInFile = (file: string, folder: string) => (ws: CliWorkspace) =>
  fs.appendFileSync(ws.at(`.modelstore/${file}`), `\n[store]\npath = ${JSON.stringify(folder)}\n`);

describe('a store outside of the workspace that a repository chose', () => {
  const refusal = {
    code: 'config-invalid',
    message: /store\.path is outside of the workspace.*which Git keeps/,
    hint: /--local.*MSTORE_STORE_PATH/,
  } as const;

  it.each([
    '../elsewhere',
    '/elsewhere',
    '~',
    '~/elsewhere',
    '..',
    '//host/share',
    '\\\\host\\share',
  ])('is refused as %s', async (folder) => {
    const ws = await makeWorkspace();
    nameInFile('config.toml', folder)(ws);
    ws.write('model.bin', 'model');
    await expectRefused(ws, ['add', 'model.bin'], refusal);
    await expectRefused(ws, ['status'], refusal);
  });

  it('is refused behind a link', async () => {
    const ws = await makeWorkspace();
    fs.symlinkSync(tempFolder(), ws.at('link'));
    nameInFile('config.toml', 'link/store')(ws);
    await expectRefused(ws, ['status'], refusal);
  });

  it('is refused in the file of the machine, where Git keeps that', async () => {
    const ws = await makeWorkspace();
    const outside = tempFolder();
    nameInFile('config.local.toml', outside)(ws);
    await ws.ok('status');
    git(ws.root, 'add', '-f', '.modelstore/config.local.toml');
    await expectRefused(ws, ['status'], refusal);
  });

  it.each(['.modelstore', '.modelstore/store', '.modelstore/cache', '.modelstore/tmp'])(
    'is refused as the link %s',
    async (name) => {
      const ws = await makeWorkspace();
      const moved = path.join(tempFolder(), 'moved');
      fs.mkdirSync(ws.at(name), { recursive: true });
      fs.renameSync(ws.at(name), moved);
      fs.symlinkSync(moved, ws.at(name));
      await ws.ok('status');
      fs.rmSync(ws.at('.modelstore/.gitignore'), { force: true });
      git(ws.root, 'add', '-f', name);
      await expectRefused(ws, ['status'], {
        code: 'config-invalid',
        message: /is a link out of the workspace that Git keeps/,
        hint: /Remove the link/,
      });
    },
  );

  it('is not written down for all, and may be for one machine', async () => {
    const ws = await makeWorkspace();
    const outside = tempFolder();
    await expectRefused(ws, ['config', 'set', 'store.path', outside], {
      code: 'usage',
      message: /outside of the workspace/,
      hint: /--local/,
    });
    await ws.ok('config', 'set', 'store.path', 'here/store');
    await ws.ok('config', 'set', 'store.path', outside, '--local');
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    expect(fs.readdirSync(outside)).toContain('packs');
  });

  it.each([
    ['store', false],
    ['./a/../b', false],
    ['..store', false],
    ['a/../../b', true],
    ['~user', false],
    ['~\\x', true],
    ['\\\\?\\C:\\x', true],
  ])('judges %j as outside: %s', (text, outside) => {
    expect(isOutside(tempFolder(), text)).toBe(outside);
  });
});

describe('a workspace that another user put in a folder that is open to all', () => {
  const someone = 12_345;

  it('is not used by whoever works below', async () => {
    requireOrSkip(process.geteuid?.() === 0, 'to be root, to act as two users');
    const ws = await makeWorkspace();
    ws.write('below/a', '');
    fs.chmodSync(ws.root, 0o1777);
    fs.chownSync(ws.at('.modelstore'), someone, someone);
    const cwd = ws.at('below');
    const refused = await startMstore(cwd, ['--json', 'status']).done;
    expect(refused.json.error).toMatchObject({
      code: 'permission-denied',
      message: expect.stringContaining('belongs to another user'),
      hint: expect.stringContaining('chmod o-w'),
    });
    fs.chmodSync(ws.root, 0o755);
    expect((await startMstore(cwd, ['status']).done).code).toBe(0);
    fs.chmodSync(ws.root, 0o1777);
    fs.chownSync(ws.at('.modelstore'), 0, 0);
    expect((await startMstore(cwd, ['status']).done).code).toBe(0);
  });
});
