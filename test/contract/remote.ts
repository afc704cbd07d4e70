import { describe, expect, it } from 'vitest';
import { makePages } from '../../src/base/wasm-memory.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import { listKeys, openFilesBelow, readObject, testBytes } from '../support/remote-bytes.ts';
import { listTests } from './remote-listing.ts';
import { createTests, interruptionTests } from './remote-writes.ts';

const mib = 1024 * 1024;
const text = (value: string) => bytesSource(Buffer.from(value));
const code = (expected: string) => expect.objectContaining({ code: expected });

/** Makes an empty remote for one test, inside that test; what it takes is cleaned up by itself. */
export type MakeRemote = () => RemotePruner | Promise<RemotePruner>;

/** The suite that every remote passes, and every wrapper around one. */
export function remoteContract(name: string, makeRemote: MakeRemote): void {
  describe(`${name} keeps the contract of a remote`, () => {
    describe('objects', () => objectTests(makeRemote));
    describe('create if absent', () => createTests(makeRemote));
    describe('interruption', () => interruptionTests(makeRemote));
    describe('listing', () => listTests(makeRemote));
    describe('ranges', () => rangeTests(makeRemote));
  });
}

function objectTests(make: MakeRemote): void {
  it('gives back what was created', async () => {
    const remote = await make();
    expect(await remote.create('refs/a@1.json', text('one'))).toBe('created');
    expect(String(await readObject(remote, 'refs/a@1.json'))).toBe('one');
    expect(await remote.stat('refs/a@1.json')).toBe(3);
    expect(await listKeys(remote)).toEqual(['refs/a@1.json']);
    expect(remote.location).not.toBe('');
  });

  it('keeps an empty object', async () => {
    const remote = await make();
    expect(await remote.create('empty', text(''))).toBe('created');
    expect(await remote.stat('empty')).toBe(0);
    expect(await readObject(remote, 'empty')).toHaveLength(0);
    expect(await remote.create('empty', text('full'))).toBe('exists');
  });

  it('keeps 5 MiB that come in blocks of odd sizes, in a buffer that is reused', async () => {
    const remote = await make();
    const bytes = testBytes(5 * mib + 13);
    async function* oddBlocks(): AsyncGenerator<Uint8Array> {
      const buffer = Buffer.alloc(2 * mib);
      const sizes = [1, 0, 65_537, 7, mib, 2 * mib - 1, 4_093];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = bytes.copy(buffer, 0, at, at + (sizes[turn % sizes.length] ?? 1));
        yield buffer.subarray(0, size);
        at += size;
      }
    }
    await remote.create('packs/ab/odd.pack', { size: bytes.length, open: oddBlocks });
    expect(await remote.stat('packs/ab/odd.pack')).toBe(bytes.length);
    expect((await readObject(remote, 'packs/ab/odd.pack')).equals(bytes)).toBe(true);
  });

  it('has nothing under a name that was never made', async () => {
    const remote = await make();
    await remote.create('packs/ab/there', text('x'));
    for (const key of ['missing', 'packs/ab/missing', 'index/ab/missing', 'packs/ab/there2']) {
      expect(await remote.stat(key)).toBeUndefined();
      await expect(readObject(remote, key)).rejects.toEqual(code('not-found'));
    }
  });

  it('deletes; what is absent is deleted already; the name is free again', async () => {
    const remote = await make();
    await remote.delete('packs/ab/x');
    await remote.create('packs/ab/x', text('one'));
    await remote.delete('packs/ab/x');
    await remote.delete('packs/ab/x');
    expect(await remote.stat('packs/ab/x')).toBeUndefined();
    expect(await listKeys(remote)).toEqual([]);
    expect(await remote.create('packs/ab/x', text('two'))).toBe('created');
    expect(String(await readObject(remote, 'packs/ab/x'))).toBe('two');
  });

  it('takes keys that are no safe relative names for a defect', async () => {
    const remote = await make();
    const bad = [
      '',
      '/a',
      'a/',
      'a//b',
      '.',
      'a/../b',
      '..',
      'a b',
      'a\\b',
      'ä',
      'a\nb',
      '.a',
      'tmp/a',
    ];
    for (const key of bad) {
      await expect(remote.stat(key), key).rejects.toEqual(code('internal'));
      await expect(remote.create(key, text('x')), key).rejects.toEqual(code('internal'));
      await expect(remote.delete(key), key).rejects.toEqual(code('internal'));
      await expect(readObject(remote, key), key).rejects.toEqual(code('internal'));
    }
    await expect(listKeys(remote, 'packs')).rejects.toEqual(code('internal'));
    await expect(listKeys(remote, '/')).rejects.toEqual(code('internal'));
    await expect(listKeys(remote, '../')).rejects.toEqual(code('internal'));
    expect(await listKeys(remote)).toEqual([]);
  });

  it('serves many calls at once', async () => {
    const remote = await make();
    const keys = Array.from({ length: 24 }, (_, n) => `recipes/${(n % 5) + 10}/${n}`);
    await Promise.all(
      keys.map(async (key) => {
        const bytes = testBytes(150_000, key);
        expect(await remote.create(key, bytesSource(bytes))).toBe('created');
        expect((await readObject(remote, key)).equals(bytes)).toBe(true);
        expect(await remote.stat(key)).toBe(bytes.length);
      }),
    );
    expect((await listKeys(remote)).sort()).toEqual([...keys].sort());
    await Promise.all(keys.map((key) => remote.delete(key)));
    expect(await listKeys(remote)).toEqual([]);
  });

  it('frees what a read holds when it ends early', async () => {
    const remote = await make();
    const bytes = testBytes(3 * mib);
    await remote.create('packs/ab/long', bytesSource(bytes));
    for (let turn = 0; turn < 4; turn++) {
      for await (const block of remote.get('packs/ab/long')) {
        expect(block.length).toBeGreaterThan(0);
        break;
      }
    }
    await readObject(remote, 'packs/ab/long');
    expect(openFilesBelow(remote.location)).toEqual([]);
  });
}

function rangeTests(make: MakeRemote): void {
  const size = 2 * mib + 17;
  const bytes = testBytes(size);

  it('reads exactly the bytes of a range', async () => {
    const remote = await make();
    await remote.create('packs/ab/x', bytesSource(bytes));
    for (const [start, end] of [
      [0, 1],
      [0, mib],
      [1, mib + 1],
      [mib - 1, mib + 1],
      [700_001, 700_018],
      [12_345, 2 * mib],
      [size - 1, size],
      [0, size],
    ] as const) {
      const got = await readObject(remote, 'packs/ab/x', { start, end });
      expect(got.equals(bytes.subarray(start, end)), `${start} to ${end}`).toBe(true);
    }
  });

  it('reads the same bytes to memory that it is given, whether it uses it or not', async () => {
    const remote = await make();
    await remote.create('packs/ab/x', bytesSource(bytes));
    await remote.create('empty', text(''));
    const memory = [makePages(256 * 1024), makePages(256 * 1024)] as const;
    for (const [start, end] of [
      [0, size],
      [5, size],
      [4096, 4096 + 256 * 1024],
      [9_999, 10_000],
    ] as const) {
      const got = await readObject(remote, 'packs/ab/x', { start, end }, { memory });
      expect(got.equals(bytes.subarray(start, end)), `${start} to ${end}`).toBe(true);
    }
    expect((await readObject(remote, 'packs/ab/x', undefined, { memory })).equals(bytes)).toBe(
      true,
    );
    expect(await readObject(remote, 'empty', undefined, { memory })).toHaveLength(0);
  });

  it('reads an empty range as nothing, but not of nothing', async () => {
    const remote = await make();
    await remote.create('a', bytesSource(bytes));
    await remote.create('empty', text(''));
    for (const at of [0, 5, size]) {
      expect(await readObject(remote, 'a', { start: at, end: at })).toHaveLength(0);
    }
    expect(await readObject(remote, 'empty', { start: 0, end: 0 })).toHaveLength(0);
    await expect(readObject(remote, 'b', { start: 0, end: 0 })).rejects.toEqual(code('not-found'));
  });

  it('finds an object too short for the range to be damaged', async () => {
    const remote = await make();
    await remote.create('a', bytesSource(bytes));
    for (const [start, end] of [
      [0, size + 1],
      [size - 1, size + 1],
      [size, size + 1],
      [size + 1, size + 1],
      [3 * mib, 4 * mib],
    ] as const) {
      await expect(readObject(remote, 'a', { start, end })).rejects.toEqual(code('corrupt-remote'));
    }
  });

  it('takes a range that is none for a defect', async () => {
    const remote = await make();
    await remote.create('a', bytesSource(bytes));
    for (const [start, end] of [
      [-1, 1],
      [2, 1],
      [0.5, 1],
      [0, Number.NaN],
    ] as const) {
      await expect(readObject(remote, 'a', { start, end })).rejects.toEqual(code('internal'));
    }
  });
}
