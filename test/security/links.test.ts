import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readBounded } from '../../src/base/files.ts';
import { expectNoLeftovers, expectRefused, makeWorkspace, soleFile } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

const secret = '[registry]\ntoken = "s3cr3t"\n';

/** A file of secrets outside of the workspace, as a link that Git brought may name one. */
function secretFile(): string {
  const file = path.join(tempFolder(), 'credentials.toml');
  fs.writeFileSync(file, secret);
  return file;
}

describe('a link that Git brought in the place of a file that mstore edits', () => {
  it.each([
    ['.gitignore', ['add', 'model.bin']],
    ['.gitattributes', ['add', 'model.bin']],
    ['.gitattributes', ['init', '--diff-driver']],
    ['.gitignore', ['untrack', 'other.bin']],
    ['.modelstore/config.toml', ['config', 'set', 'core.model', 'ranker']],
    ['.modelstore/config.local.toml', ['config', 'set', 'transfer.jobs', '2', '--local']],
  ])('does not make %s a copy of what it leads to', async (name, line) => {
    const ws = await makeWorkspace();
    ws.write('model.bin', 'model');
    ws.write('other.bin', 'other');
    await ws.add('other.bin');
    const file = secretFile();
    ws.remove(name);
    fs.symlinkSync(file, ws.at(name));
    const { code, stdout, stderr } = await ws.run('--json', ...line);
    expect(code, stdout + stderr).not.toBe(0);
    expect(stdout).toContain('symbolic link');
    expect(fs.lstatSync(ws.at(name)).isSymbolicLink()).toBe(true);
    expect(fs.readFileSync(file, 'utf8')).toBe(secret);
    expectNoLeftovers(ws);
  });

  it('is not followed by a reader that is told so, on any way', () => {
    const file = secretFile();
    const link = `${file}-link`;
    fs.symlinkSync(file, link);
    expect(readBounded(link, 1000)?.toString()).toBe(secret);
    expect(() => readBounded(link, 1000, { noFollow: true })).toThrow('symbolic link');
    expect(readBounded(file, 1000, { noFollow: true })?.toString()).toBe(secret);
    expect(readBounded(`${file}-none`, 1000, { noFollow: true })).toBeUndefined();
  });
});

describe('a link in the place of a folder above tracked paths', () => {
  it('gets no pointer and no ignore line behind it, even where nothing has to be written', async () => {
    const ws = await makeWorkspace();
    ws.write('models/model.bin', 'model');
    await ws.add('models/model.bin');
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-q', '-m', 'All');
    const outside = tempFolder();
    fs.copyFileSync(ws.at('models/model.bin'), path.join(outside, 'model.bin'));
    ws.remove('models');
    fs.symlinkSync(outside, ws.at('models'));
    await expectRefused(ws, ['checkout', 'HEAD'], {
      code: 'would-overwrite',
      message: /models is in the way/,
      hint: /Move it away/,
    });
    expect(fs.readdirSync(outside)).toEqual(['model.bin']);
  });
});

describe('links in a store', () => {
  it('are not taken for the copies that workspaces link to', async () => {
    const ws = await makeWorkspace();
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    ws.remove('model.bin');
    await ws.ok('checkout', '--link', 'hardlink');
    const copy = soleFile(path.join(ws.store, 'files'));
    const swapped = path.join(tempFolder(), 'swapped');
    fs.writeFileSync(swapped, 'model');
    fs.rmSync(copy);
    fs.symlinkSync(swapped, copy);
    ws.remove('model.bin');
    await ws.ok('checkout', '--link', 'hardlink');
    expect(fs.lstatSync(ws.at('model.bin')).isFile()).toBe(true);
    fs.writeFileSync(swapped, 'other');
    expect(ws.read('model.bin').toString()).toBe('model');
  });

  it('do not let a checkout write outside of the workspace', async () => {
    const ws = await makeWorkspace();
    ws.write('models/a/model.bin', 'model');
    await ws.add('models');
    const outside = tempFolder();
    for (const place of ['models/a', 'models']) {
      ws.remove('models');
      fs.mkdirSync(path.dirname(ws.at(place)), { recursive: true });
      fs.symlinkSync(outside, ws.at(place));
      const { code } = await ws.run('checkout');
      expect([0, 6]).toContain(code);
      expect(fs.readdirSync(outside)).toEqual([]);
    }
  });
});
