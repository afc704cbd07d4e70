import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Making, Placer } from '../../../src/worktree/place.ts';
import { tempFolder } from '../../support/temp.ts';

let root: string;
let temp: string;
let placer: Placer;
beforeEach(() => {
  const folder = tempFolder();
  root = path.join(folder, 'root');
  temp = path.join(folder, 'tmp');
  fs.mkdirSync(root);
  placer = new Placer(root, temp);
});

const at = (name: string) => path.join(root, name);
const write = (
  name: string,
  text: string,
  options: { executable?: boolean; making?: Making } = {},
) =>
  placer.writeFile(name, [Buffer.from(text.slice(0, 2)), Buffer.from(text.slice(2))], {
    executable: false,
    making: 'apart',
    ...options,
  });
const inTheWay = expect.objectContaining({ code: 'would-overwrite' }) as Error;

describe('Placer', () => {
  it.each(['apart', 'beside'] as const)('writes files with their folders (%s)', async (making) => {
    const stat = await write('a/b/c', 'text', { executable: true, making });
    expect(fs.readFileSync(at('a/b/c'), 'utf8')).toBe('text');
    expect(Number(stat.mode) & 0o100).toBe(0o100);
    const { ino, mtimeNs, ctimeNs, size } = fs.lstatSync(at('a/b/c'), { bigint: true });
    expect(stat).toMatchObject({ ino, mtimeNs, ctimeNs, size });
    await write('a/b/c', 'other', { making });
    expect(fs.readFileSync(at('a/b/c'), 'utf8')).toBe('other');
    expect(fs.statSync(at('a/b/c')).mode & 0o111).toBe(0);
    expect([...fs.readdirSync(temp), ...fs.readdirSync(at('a/b'))]).toEqual(['c']);
  });

  it('writes files at once in a folder that nobody sees, and never over another one', async () => {
    const stat = await write('a/b', 'text', { executable: true, making: 'unseen' });
    const { ino, mtimeNs, ctimeNs, size, mode } = fs.lstatSync(at('a/b'), { bigint: true });
    expect(stat).toMatchObject({ ino, mtimeNs, ctimeNs, size, mode });
    await expect(write('a/b', 'other', { making: 'unseen' })).rejects.toMatchObject({ code: 'io' });
    expect(fs.readFileSync(at('a/b'), 'utf8')).toBe('text');
  });

  it('leaves the old file when the blocks fail', async () => {
    await write('a', 'old');
    const failing = (function* () {
      yield Buffer.from('new');
      throw new Error('damaged');
    })();
    await expect(
      placer.writeFile('a', failing, { executable: false, making: 'apart' }),
    ).rejects.toThrow('damaged');
    expect(fs.readFileSync(at('a'), 'utf8')).toBe('old');
    expect(fs.readdirSync(temp)).toEqual([]);
  });

  it('never goes through a link or a file on the way', async () => {
    const outside = path.join(root, '../outside');
    fs.mkdirSync(outside);
    fs.symlinkSync(outside, at('link'));
    fs.writeFileSync(at('file'), '');
    await expect(write('link/x', 'text')).rejects.toThrow(inTheWay);
    await expect(write('link/y/x', 'text')).rejects.toThrow(inTheWay);
    await expect(write('file/x', 'text')).rejects.toThrow(inTheWay);
    expect(() => placer.writeLink('link/l', 'x')).toThrow(inTheWay);
    expect(() => placer.ensureFolder('link/d')).toThrow(inTheWay);
    expect(fs.readdirSync(outside)).toEqual([]);
  });

  it('replaces a link, and not what it leads to', async () => {
    fs.writeFileSync(path.join(root, '../kept'), 'kept');
    fs.symlinkSync('../kept', at('a'));
    await write('a', 'text');
    expect(fs.lstatSync(at('a')).isFile()).toBe(true);
    expect(fs.readFileSync(path.join(root, '../kept'), 'utf8')).toBe('kept');
    placer.writeLink('a', '../kept');
    expect(fs.readlinkSync(at('a'))).toBe('../kept');
    placer.writeLink('a', 'elsewhere');
    expect(fs.readlinkSync(at('a'))).toBe('elsewhere');
    placer.remove('a');
    placer.remove('a');
    expect(fs.readdirSync(root)).toEqual([]);
  });

  it('places links to whole files, also over another name of the same file', () => {
    fs.writeFileSync(path.join(root, '../whole'), 'text');
    const link = (name: string) =>
      placer.placeLinked(name, (target) => fs.linkSync(path.join(root, '../whole'), target));
    expect(link('d/a').nlink).toBe(2n);
    expect(link('d/a').nlink).toBe(2n);
    expect(fs.readdirSync(at('d'))).toEqual(['a']);
    expect(() =>
      placer.placeLinked('d/a', () => {
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(fs.readFileSync(at('d/a'), 'utf8')).toBe('text');
  });

  it('gives and takes executable bits, to those who may read', async () => {
    await write('a', 'text');
    fs.chmodSync(at('a'), 0o640);
    placer.setExecutable('a', true);
    expect(fs.statSync(at('a')).mode & 0o777).toBe(0o750);
    placer.setExecutable('a', false);
    expect(fs.statSync(at('a')).mode & 0o777).toBe(0o640);
  });

  it('removes folders only when they are empty', async () => {
    await write('d/e/a', 'text');
    placer.removeEmptyFolder('d/e');
    placer.removeEmptyFolder('none');
    placer.removeEmptyFolder('d/e/a');
    expect(placer.isFolder('d/e')).toBe(true);
    placer.remove('d/e/a');
    placer.removeEmptyFolder('d/e');
    expect(placer.isFolder('d/e')).toBe(false);
    // What is known about folders is stale now.
    placer.forgetFolders();
    await write('d/e/b', 'text');
    expect(fs.readdirSync(at('d/e'))).toEqual(['b']);
  });
});
