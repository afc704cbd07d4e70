import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { localRemote } from '../../../src/remote/local.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { tempFolder } from '../../support/temp.ts';

type Sync = (...args: unknown[]) => unknown;
const broken = vi.hoisted(() => new Map<string, string>());

// Disks that fail and file systems without links are not at hand; the calls to them are.
vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs')>();
  const failing = (name: string, call: Sync): Sync => {
    return (...args) => {
      const code = broken.get(name);
      if (code !== undefined) throw Object.assign(new Error(`${code}: ${name}`), { code });
      return call(...args);
    };
  };
  const names = [
    'linkSync',
    'lstatSync',
    'readdirSync',
    'mkdirSync',
    'unlinkSync',
    'writeSync',
    'fsyncSync',
  ] as const;
  const replaced = names.map((name) => [name, failing(name, real[name] as Sync)]);
  // A close that fails has closed all the same.
  const closeSync = (fd: number) => {
    real.closeSync(fd);
    failing('closeSync', () => undefined)();
  };
  const { promisify } = await import('node:util');
  const readInBackground = failing('read', promisify(real.read) as Sync);
  const read = Object.assign(() => {}, {
    [promisify.custom]: async (...args: unknown[]) => readInBackground(...args),
  });
  return { ...real, ...Object.fromEntries(replaced), closeSync, read };
});

afterEach(() => broken.clear());

const text = (value: string) => bytesSource(Buffer.from(value));
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('a directory remote without hard links', () => {
  it.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])(
    'creates if absent after %s',
    async (why) => {
      const root = tempFolder();
      const remote = localRemote(root);
      broken.set('linkSync', why);
      const bytes = testBytes(3_000_000);
      expect(await remote.create('packs/ab/x', bytesSource(bytes))).toBe('created');
      expect(await remote.create('packs/ab/x', text('other'))).toBe('exists');
      expect((await readObject(remote, 'packs/ab/x')).equals(bytes)).toBe(true);
      const race = await Promise.all(
        Array.from({ length: 16 }, (_, n) => remote.create('refs/1', text(`writer ${n}`))),
      );
      expect(race.filter((answer) => answer === 'created')).toHaveLength(1);
      expect(String(await readObject(remote, 'refs/1'))).toBe(`writer ${race.indexOf('created')}`);
      expect(fs.readdirSync(path.join(root, 'tmp'))).toEqual([]);
    },
  );
});

describe('a directory remote on a failing disk', () => {
  const writing = [
    ['linkSync', 'EIO', 'remote-unreachable'],
    ['linkSync', 'EDQUOT', 'remote-full'],
    ['linkSync', 'EACCES', 'remote-refused'],
    ['mkdirSync', 'ENOSPC', 'remote-full'],
    ['mkdirSync', 'EROFS', 'remote-refused'],
    ['lstatSync', 'ESTALE', 'remote-unreachable'],
    ['writeSync', 'EIO', 'remote-unreachable'],
    ['writeSync', 'EFBIG', 'remote-full'],
    ['writeSync', 'ENOENT', 'remote-unreachable'],
    ['fsyncSync', 'EIO', 'remote-unreachable'],
    ['fsyncSync', 'ENOSPC', 'remote-full'],
    ['closeSync', 'EDQUOT', 'remote-full'],
    ['writeSync', 'EMFILE', 'io'],
  ] as const;

  it.each(writing)(
    'a create in which %s fails with %s throws %s',
    async (call, system, expected) => {
      const root = tempFolder();
      const remote = localRemote(root);
      broken.set(call, system);
      const created = remote.create('packs/ab/x', text('bytes'));
      await expect(created).rejects.toEqual(code(expected));
      await expect(created).rejects.toHaveProperty('hint', expect.stringMatching(/^[A-Z].*[^.]$/));
      broken.clear();
      expect(await listKeys(remote)).toEqual([]);
      expect(
        fs.existsSync(path.join(root, 'tmp')) ? fs.readdirSync(path.join(root, 'tmp')) : [],
      ).toEqual([]);
      expect(await remote.create('packs/ab/x', text('bytes'))).toBe('created');
    },
  );

  it('keeps the first error when the temporary file cannot be removed either', async () => {
    const remote = localRemote(tempFolder());
    broken.set('fsyncSync', 'ENOSPC');
    broken.set('unlinkSync', 'EIO');
    await expect(remote.create('a', text('x'))).rejects.toEqual(code('remote-full'));
    broken.clear();
    expect(await listKeys(remote)).toEqual([]);
  });

  it('reports failed reads, listings and deletes', async () => {
    const remote = localRemote(tempFolder());
    await remote.create('a/b', text('x'));
    broken.set('read', 'EIO');
    await expect(readObject(remote, 'a/b')).rejects.toEqual(code('remote-unreachable'));
    broken.clear();
    broken.set('readdirSync', 'EIO');
    await expect(listKeys(remote)).rejects.toEqual(code('remote-unreachable'));
    broken.set('readdirSync', 'EACCES');
    await expect(listKeys(remote)).rejects.toEqual(code('remote-refused'));
    broken.set('unlinkSync', 'EPERM');
    await expect(remote.delete('a/b')).rejects.toEqual(code('remote-refused'));
    broken.clear();
    expect(String(await readObject(remote, 'a/b'))).toBe('x');
  });

  it('fails a read at the block that failed, and not before', async () => {
    const remote = localRemote(tempFolder());
    await remote.create('a', bytesSource(testBytes(3 * 1024 * 1024)));
    let blocks = 0;
    const read = async () => {
      for await (const _ of remote.get('a')) {
        blocks++;
        broken.set('read', 'EIO');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await expect(read()).rejects.toEqual(code('remote-unreachable'));
    expect(blocks).toBeGreaterThan(0);
    expect(blocks).toBeLessThan(3);
  });
});
