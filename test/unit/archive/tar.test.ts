import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { tarEntries } from '../../../src/archive/tar-read.ts';
import { type TarEntry, tarBytes } from '../../../src/archive/tar-write.ts';
import { noise } from '../../support/flow-scratch.ts';
import { rawTar } from '../../support/packages.ts';
import { tempFolder } from '../../support/temp.ts';

const long = `${'folder/'.repeat(40)}${'n'.repeat(200)}`;
const deep = `${'x'.repeat(90)}/${'y'.repeat(90)}`;

function file(name: string, bytes: Uint8Array, executable = false): TarEntry {
  return { type: 'file', name, size: bytes.length, executable, blocks: [bytes] };
}

const entries: readonly TarEntry[] = [
  file('a', Buffer.from('first')),
  file('empty', Buffer.alloc(0)),
  file('run', Buffer.from('echo'), true),
  file(deep, Buffer.from('deep')),
  file(long, Buffer.from('long')),
  file('größe 😀 "π"', Buffer.from('named')),
  { type: 'symlink', name: 'link', target: 'a' },
  { type: 'symlink', name: 'largeLink', target: `${'t'.repeat(150)}/ß` },
  { type: 'directory', name: 'nothing' },
  { type: 'directory', name: `${long}-folder/größe` },
  file('noise', noise(700_001)),
];

async function* each<T>(values: Iterable<T>): AsyncGenerator<T> {
  yield* values;
}

async function gather(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

describe('an archive', () => {
  it('gives its entries back', async () => {
    const bytes = await gather(tarBytes(each(entries)));
    const found: TarEntry[] = [];
    for await (const { header, blocks } of tarEntries(each([bytes]), 'x')) {
      const name = header.name.replace(/\/$/, '');
      const content = await gather(blocks);
      if (header.type === 'symlink') {
        found.push({ type: 'symlink', name, target: header.linkname ?? '' });
      } else if (header.type === 'directory') found.push({ type: 'directory', name });
      else found.push(file(name, content, header.mode === 0o755));
    }
    expect(isDeepStrictEqual(found, entries)).toBe(true);
  });

  it('is the same at any time, and has these bytes', async () => {
    const bytes = await gather(tarBytes(each(entries)));
    expect((await gather(tarBytes(each(entries)))).equals(bytes)).toBe(true);
    expect(bytes.length % 512).toBe(0);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(
      'c6f6e3f70e8f6946e495af868ab2c499901f5417eef278b93075ae5ab99fabe0',
    );
  });

  it('says how large a file is that has more than 8 GiB', async () => {
    const size = 2 ** 33 + 1;
    const blocks = (function* () {
      for (;;) yield Buffer.alloc(100_000);
    })();
    const large: TarEntry = { type: 'file', name: 'a', size, executable: false, blocks };
    const parts: Uint8Array[] = [];
    for await (const part of tarBytes(each([large]))) {
      parts.push(part);
      if (parts.length > 2) break;
    }
    const bytes = Buffer.concat(parts);
    expect(bytes.subarray(124, 136).toString('hex')).toBe('800000000000000200000001');
    for await (const { header } of tarEntries(each([bytes]), 'x')) {
      expect(header.size).toBe(size);
      break;
    }
  });

  it('is read by the program tar', async () => {
    const folder = tempFolder();
    const archive = path.join(folder, 'x.tar');
    fs.writeFileSync(archive, await gather(tarBytes(each(entries))));
    const out = path.join(folder, 'out');
    fs.mkdirSync(out);
    execFileSync('tar', ['xf', archive, '-C', out]);
    expect(fs.readFileSync(path.join(out, long), 'utf8')).toBe('long');
    expect(fs.readFileSync(path.join(out, 'größe 😀 "π"'), 'utf8')).toBe('named');
    expect(fs.readlinkSync(path.join(out, 'largeLink'))).toBe(`${'t'.repeat(150)}/ß`);
    expect(fs.statSync(path.join(out, 'run')).mode & 0o111).not.toBe(0);
    expect(fs.statSync(path.join(out, 'a')).mode & 0o111).toBe(0);
  });

  it('fails with what its entries fail with', async () => {
    const failure = new Error('no more bytes');
    const blocks = (function* () {
      yield Buffer.alloc(10);
      throw failure;
    })();
    const broken: TarEntry = { type: 'file', name: 'a', size: 20, executable: false, blocks };
    await expect(gather(tarBytes(each([broken])))).rejects.toBe(failure);
  });

  it('fails when an entry has other bytes than it says', async () => {
    for (const size of [2, 4]) {
      const wrong = { ...file('a', Buffer.from('abc')), size } as TarEntry;
      await expect(gather(tarBytes(each([wrong])))).rejects.toThrow();
    }
  });

  it('can be left in the middle: the entries are closed', async () => {
    let closed = false;
    const blocks = (function* () {
      try {
        for (;;) yield Buffer.alloc(100_000);
      } finally {
        closed = true;
      }
    })();
    const endless: TarEntry = { type: 'file', name: 'a', size: 1e9, executable: false, blocks };
    for await (const part of tarBytes(each([endless]))) if (part.length > 512) break;
    expect(closed).toBe(true);
  });
});

describe('reading an archive', () => {
  const read = async (bytes: Buffer): Promise<string[]> => {
    const names: string[] = [];
    for await (const { header, blocks } of tarEntries(each([bytes]), 'x')) {
      await gather(blocks);
      names.push(header.name);
    }
    return names;
  };

  it('fails where the archive is damaged or cut short', async () => {
    const good = rawTar([{ name: 'a', bytes: 'x'.repeat(2000) }, { name: 'b' }]);
    expect(await read(good)).toEqual(['a', 'b']);
    const flipped = Buffer.from(good);
    flipped[3000 - (3000 % 512)] = 0x41;
    for (const bad of [good.subarray(0, 1000), good.subarray(0, 700), flipped]) {
      await expect(read(bad)).rejects.toMatchObject({ code: 'corrupt-package' });
    }
  });

  it('gathers no long name without end, and passes over no endless zeros', async () => {
    const size = 8 * 1024 * 1024;
    const named = rawTar([
      { name: 'pax', type: 'x', bytes: Buffer.alloc(3 * 1024 * 1024, 0x20) },
      { name: 'a' },
    ]);
    const global = rawTar(
      Array.from({ length: 2000 }, () => ({ name: 'g', type: 'g', bytes: Buffer.alloc(1024) })),
    );
    const zeros = rawTar([{ name: 'a' }], Buffer.alloc(size));
    for (const bomb of [named, global, zeros]) {
      const parts = Array.from({ length: Math.ceil(bomb.length / 65_536) }, (_, i) =>
        bomb.subarray(i * 65_536, (i + 1) * 65_536),
      );
      const drain = async () => {
        for await (const { blocks } of tarEntries(each(parts), 'x')) await gather(blocks);
      };
      await expect(drain()).rejects.toMatchObject({
        code: 'corrupt-package',
        message: expect.stringContaining('belong to no file'),
      });
    }
  });

  it('that is left waits for nothing more of its source', async () => {
    const stalled = new Promise<never>(() => {});
    const source = (async function* () {
      yield rawTar([{ name: 'a', bytes: 'abc' }]).subarray(0, 1024);
      yield await stalled;
    })();
    for await (const { header } of tarEntries(source, 'x')) {
      expect(header.name).toBe('a');
      break;
    }
  });

  it('ends with the failure of its source', async () => {
    const failure = new Error('unplugged');
    const source = (async function* () {
      yield rawTar([{ name: 'a', bytes: 'abc' }]).subarray(0, 514);
      throw failure;
    })();
    const drain = async () => {
      for await (const { blocks } of tarEntries(source, 'x')) await gather(blocks);
    };
    await expect(drain()).rejects.toBe(failure);
  });
});
