import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/base/clock.ts';
import { type Digest, sha256, sha256Raw } from '../../../src/base/digest.ts';
import { MstoreError } from '../../../src/base/errors.ts';
import { FooterBuilder, type PackFooter } from '../../../src/pack/format.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource, type RemotePruner, type RemoteReader } from '../../../src/remote/remote.ts';
import { formatHeader } from '../../../src/store/header.ts';
import { headerKey, indexKey, packKey, recipeKey } from '../../../src/store/keys.ts';
import { Store } from '../../../src/store/local-store.ts';
import { emptyBlob, formatRecipe, RecipeBuilder } from '../../../src/store/recipe.ts';
import { joinRows, readRange } from '../../../src/store/remote-ranges.ts';
import { readRemoteBlob, readRemoteRows } from '../../../src/store/remote-rows.ts';
import {
  firstForeign,
  initRemote,
  RemoteStore,
  readHeader,
} from '../../../src/store/remote-store.ts';
import { writePack } from '../../support/packs.ts';
import { listKeys, readObject } from '../../support/remote-bytes.ts';
import { tempFolder } from '../../support/temp.ts';

const options = { jobs: 2 };
const clock = { now: () => 0, monotonic: () => 0 };
const chunks = ['first', 'second one', 'third'].map((text) => Buffer.from(text));
const whole = Buffer.concat(chunks);
const blob = sha256(whole);

async function replace(place: RemotePruner, key: string, bytes: Uint8Array): Promise<void> {
  await place.delete(key);
  await place.create(key, bytesSource(Buffer.from(bytes)));
}

/** A remote with one pack of three chunks, and the recipe of all of them. */
async function made() {
  const remote = memoryRemote('there');
  await initRemote(remote, clock, systemRandom);
  const { file, footer } = writePack(tempFolder(), chunks);
  const pack = fs.readFileSync(file);
  await remote.create(packKey(footer.id), bytesSource(pack));
  await remote.create(indexKey(footer.id), bytesSource(footer.bytes));
  const builder = new RecipeBuilder();
  for (const chunk of chunks) builder.add(sha256Raw(chunk), chunk.length);
  await remote.create(recipeKey(blob), bytesSource(formatRecipe(builder.finish(blob))));
  return { remote, footer, pack };
}

function opened(remote: RemoteReader, folder = tempFolder()): Promise<RemoteStore> {
  return RemoteStore.open(remote, new Store(folder));
}

/** The damage that a remote store tells of, by key, what is wrong with each. */
function toldBy(there: RemoteStore): Array<[unknown, string]> {
  return there.damage().map(({ code, details, hint, message }) => {
    expect(code).toBe('corrupt-remote');
    expect(details['location']).toBe('there');
    expect(hint).toContain('push');
    return [details['key'], message.split(' is damaged: ')[1] ?? ''];
  });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe('a place', () => {
  it('becomes a remote once', async () => {
    const place = memoryRemote('there');
    let asked = 0;
    const ready = async () => void asked++;
    expect(await initRemote(place, clock, systemRandom, ready)).toBe('created');
    const { id } = await readHeader(place);
    expect(await initRemote(place, clock, systemRandom, ready)).toBe('exists');
    expect([(await readHeader(place)).id, asked]).toEqual([id, 1]);
  });

  it('stays empty where it cannot become one', async () => {
    const place = memoryRemote('there');
    const failing = async () => Promise.reject(new Error('not ready'));
    await expect(initRemote(place, clock, systemRandom, failing)).rejects.toThrow('not ready');
    expect(await listKeys(place)).toEqual([]);
  });

  it('becomes none where others keep files', async () => {
    const place = memoryRemote('there');
    await place.create('probes/a', bytesSource(Buffer.from('x')));
    expect(await firstForeign(place)).toBeUndefined();
    await place.create('z', bytesSource(Buffer.from('x')));
    expect(await firstForeign(place)).toMatchObject({ key: 'z' });
    await expect(initRemote(place, clock, systemRandom)).rejects.toMatchObject({
      code: 'not-a-remote',
      message: 'there holds other files (z) and no mstore remote',
      hint: expect.stringContaining('empty') as string,
      details: { location: 'there' },
    });
  });

  it('is none without a header, and a damaged one where packs are', async () => {
    const place = memoryRemote('there');
    await expect(readHeader(place)).rejects.toMatchObject({
      code: 'not-a-remote',
      details: { location: 'there' },
    });
    await place.create('packs/x', bytesSource(Buffer.from('x')));
    await expect(readHeader(place)).rejects.toMatchObject({
      code: 'corrupt-remote',
      hint: expect.stringContaining('backup') as string,
      details: { key: headerKey, location: 'there' },
    });
    await place.create(headerKey, bytesSource(Buffer.from('{}')));
    await expect(readHeader(place)).rejects.toMatchObject({
      code: 'corrupt-remote',
      hint: expect.stringContaining('backup') as string,
    });
    await expect(initRemote(place, clock, systemRandom)).rejects.toMatchObject({
      code: 'corrupt-remote',
    });
    const header = formatHeader(clock, systemRandom).toString();
    await replace(place, headerKey, Buffer.from(header.replace('"mstore": 1', '"mstore": 2')));
    await expect(readHeader(place)).rejects.toMatchObject({ code: 'newer-format' });
  });
});

describe('the index of a remote', () => {
  it('knows its packs, and keeps their index objects', async () => {
    const { remote, footer } = await made();
    const folder = tempFolder();
    const there = await opened(remote, folder);
    expect(there.id).toBe((await readHeader(remote)).id);
    const index = await there.index(options);
    expect(index.rows).toBe(3);
    expect(await there.index(options)).toBe(index);
    expect(toldBy(there)).toEqual([]);
    expect(await there.packsWithoutIndex(options)).toEqual([]);
    expect(there.keptFooter(footer.id)?.id).toBe(footer.id);
    const [pack] = [...index.packs()];
    expect((await there.footerOf(pack as never, options)).id).toBe(footer.id);
    await remote.delete(indexKey(footer.id));
    const again = await opened(remote, folder);
    expect((await again.index(options)).rows).toBe(3);
    expect(await again.packsWithoutIndex(options)).toEqual([footer.id]);
    expect(await again.repair(options)).toBe(false);
    expect(await again.recheck(options)).toBe(false);
  });

  it.each<[string, (bytes: Buffer) => Buffer | undefined, string[]]>([
    ['missing', () => undefined, []],
    [
      'damaged',
      (bytes) => bytes.subarray(1),
      ['it is not the index of its pack, whose own end is read'],
    ],
  ])('reads the end of a pack whose index object is %s', async (_, change, told) => {
    const { remote, footer } = await made();
    await remote.delete(indexKey(footer.id));
    const bytes = change(footer.bytes);
    if (bytes !== undefined) await remote.create(indexKey(footer.id), bytesSource(bytes));
    const there = await opened(remote);
    expect((await there.index(options)).rows).toBe(3);
    expect(toldBy(there)).toEqual(told.map((what) => [indexKey(footer.id), what]));
  });

  it.each<[string, (pack: Buffer) => Buffer, boolean, (footer: PackFooter) => string]>([
    [
      'is too long',
      (pack) => Buffer.concat([pack, Buffer.alloc(1)]),
      true,
      ({ packBytes }) => `it has ${packBytes + 1} bytes instead of ${packBytes}`,
    ],
    [
      'is shorter than a trailer',
      (pack) => pack.subarray(0, 55),
      false,
      () => 'its end is not that of a pack',
    ],
    ['is cut short', (pack) => pack.subarray(0, -1), false, () => 'its end is not that of a pack'],
    [
      'has lost its start',
      (pack) => pack.subarray(1),
      false,
      ({ packBytes }) => `it has ${packBytes - 1} bytes instead of ${packBytes}`,
    ],
  ])('does not know a pack that %s', async (_, change, indexed, told) => {
    const { remote, footer, pack } = await made();
    await replace(remote, packKey(footer.id), change(pack));
    if (!indexed) await remote.delete(indexKey(footer.id));
    const there = await opened(remote);
    expect((await there.index(options)).rows).toBe(0);
    expect(toldBy(there)).toEqual([[packKey(footer.id), told(footer)]]);
  });

  it('passes over what has no key of a pack, and tells of sixteen damaged ones', async () => {
    const remote = memoryRemote('there');
    await initRemote(remote, clock, systemRandom);
    await remote.create('packs/readme', bytesSource(Buffer.from('x')));
    await remote.create('index/readme', bytesSource(Buffer.from('x')));
    for (let n = 0; n < 20; n++)
      await remote.create(packKey(sha256(String(n))), bytesSource(Buffer.from('x')));
    const there = await opened(remote);
    expect((await there.index(options)).rows).toBe(0);
    expect(there.damage()).toHaveLength(16);
  });

  it('does not call damaged what was removed since it was listed', async () => {
    const { remote, footer } = await made();
    const listing: RemoteReader = {
      ...remote,
      async *list(prefix, how) {
        yield* remote.list(prefix, how);
        for (const key of [packKey(footer.id), indexKey(footer.id)]) await remote.delete(key);
      },
    };
    const there = await opened(listing);
    expect([...(await there.index(options)).packs()]).toEqual([]);
    expect(toldBy(there)).toEqual([]);
  });

  it('is not opened where the network fails', async () => {
    const { remote, footer } = await made();
    const { get } = remote;
    for (const part of ['index/', 'packs/']) {
      remote.get = (key, ...rest) => {
        if (key.startsWith(part)) throw new MstoreError('remote-unreachable', 'No network');
        return get(key, ...rest);
      };
      const there = await opened(remote);
      await expect(there.index(options)).rejects.toMatchObject({ code: 'remote-unreachable' });
      // Without it, the end of the pack is read.
      await remote.delete(indexKey(footer.id));
    }
  });

  it('does not have the footer of a pack that is gone', async () => {
    const { remote, footer } = await made();
    const there = await opened(remote);
    await there.index(options);
    const other = sha256('another');
    await expect(
      there.footerOf({ id: other, packBytes: 500 } as never, options),
    ).rejects.toMatchObject({
      code: 'corrupt-remote',
      hint: expect.stringContaining('push') as string,
      details: { key: packKey(other), location: 'there' },
    });
    await expect(
      there.footerOf({ id: footer.id, packBytes: 1 } as never, options),
    ).rejects.toMatchObject({ code: 'corrupt-remote' });
  });
});

describe('recipes of a remote', () => {
  it('are read, or absent, or damaged', async () => {
    const { remote } = await made();
    const there = await opened(remote);
    expect(await there.recipe(blob, options)).toMatchObject({ count: 3, size: whole.length });
    expect(await there.recipe(sha256('x'), options)).toBeUndefined();
    await replace(remote, recipeKey(blob), Buffer.from('x'));
    await expect(there.recipe(blob, options)).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: expect.stringContaining('there sent damaged data. The recipe') as string,
      hint: expect.stringContaining('push') as string,
      details: { key: recipeKey(blob), location: 'there' },
    });
  });

  it('are asked for one by one where they are few, and listed once where they are many', async () => {
    const { remote } = await made();
    const calls = { stat: 0, list: 0 };
    const { stat, list } = remote;
    remote.stat = (...given) => {
      calls.stat++;
      return stat(...given);
    };
    remote.list = (...given) => {
      calls.list++;
      return list(...given);
    };
    const there = await opened(remote);
    const others = (count: number): Digest[] =>
      Array.from({ length: count }, (_, n) => sha256(String(n)));
    expect(await there.withoutRecipe([blob, ...others(199)], options)).toEqual(others(199));
    expect(calls).toEqual({ stat: 200, list: 0 });
    expect(await there.withoutRecipe([blob, ...others(200)], options)).toEqual(others(200));
    expect(calls).toEqual({ stat: 200, list: 1 });
    expect(await there.withoutRecipe([blob, ...others(1)], options)).toEqual(others(1));
    expect(calls).toEqual({ stat: 200, list: 1 });
  });
});

describe('rows of a remote', () => {
  it('are read with what is wrong with them', async () => {
    const { remote, footer, pack } = await made();
    const damaged = Buffer.from(pack);
    damaged.write('F');
    await replace(remote, packKey(footer.id), damaged);
    const rows = await collect(readRemoteRows(remote, footer, [0, 2], options));
    expect(rows.map(({ row, stored, damage }) => [row, String(stored), damage?.code])).toEqual([
      [0, 'First', 'corrupt-chunk'],
      [2, 'third', undefined],
    ]);
    expect(rows[0]?.damage?.message).toContain(`there/${packKey(footer.id)}`);
  });

  it('are none of a pack that is gone or cut short', async () => {
    const { remote, footer, pack } = await made();
    await remote.delete(packKey(footer.id));
    const read = () => collect(readRemoteRows(remote, footer, [2], options));
    await expect(read()).rejects.toMatchObject({ code: 'not-found' });
    await remote.create(packKey(footer.id), bytesSource(pack.subarray(0, 17)));
    await expect(read()).rejects.toMatchObject({ code: 'corrupt-remote' });
  });
});

describe('a small blob of a remote', () => {
  it('is read by its recipe, or as one chunk, or as nothing', async () => {
    const { remote } = await made();
    const there = await opened(remote);
    const read = (of: Digest, bytesMax = 100) => readRemoteBlob(there, of, bytesMax, options);
    expect(await read(blob)).toEqual(whole);
    expect(await read(blob, whole.length)).toEqual(whole);
    expect(await read(sha256('third'))).toEqual(chunks[2]);
    expect(await read(emptyBlob, 0)).toEqual(Buffer.alloc(0));
    expect(await read(sha256('x'))).toBeUndefined();
    await expect(read(blob, whole.length - 1)).rejects.toMatchObject({
      code: 'too-large',
      message: expect.stringContaining(
        `has ${whole.length} bytes; at most ${whole.length - 1}`,
      ) as string,
      details: { blob, size: whole.length },
    });
  });

  it('is none where a chunk is missing, and damaged where its chunks give other bytes', async () => {
    const { remote } = await made();
    const lacking = new RecipeBuilder();
    for (const text of ['first', 'absent']) lacking.add(sha256Raw(Buffer.from(text)), text.length);
    const wrong = new RecipeBuilder();
    for (const text of ['third', 'first']) wrong.add(sha256Raw(Buffer.from(text)), text.length);
    const [a, b] = [sha256('firstabsent'), sha256('something')];
    await remote.create(recipeKey(a), bytesSource(formatRecipe(lacking.finish(a))));
    await remote.create(recipeKey(b), bytesSource(formatRecipe(wrong.finish(b))));
    const there = await opened(remote);
    expect(await readRemoteBlob(there, a, 100, options)).toBeUndefined();
    await expect(readRemoteBlob(there, b, 100, options)).rejects.toMatchObject({
      code: 'corrupt-remote',
      hint: expect.stringContaining('--repair') as string,
      details: { blob: b, location: 'there' },
    });
  });
});

describe('ranges of a pack', () => {
  /** A footer of chunks of these lengths, back to back. */
  function footerOf(...lengths: readonly number[]): PackFooter {
    const builder = new FooterBuilder();
    let offset = 0;
    for (const [i, length] of lengths.entries()) {
      const row = { offset, storedLength: length, rawLength: length, encoding: 0 };
      builder.add(sha256Raw(Buffer.from(String(i))), row);
      offset += length;
    }
    return builder.finish();
  }
  const gap = 256 * 1024;
  const joined = (footer: PackFooter, rows: readonly number[], bytesMax = 2 ** 30) =>
    joinRows(footer, rows, bytesMax).map(({ start, end, rows: of }) => [start, end, of]);

  it('join chunks that are near each other', () => {
    expect(joined(footerOf(5, gap, 7), [0, 2])).toEqual([[0, gap + 12, [0, 2]]]);
    expect(joined(footerOf(5, gap + 1, 7), [0, 2])).toEqual([
      [0, 5, [0]],
      [gap + 6, gap + 13, [2]],
    ]);
    expect(joined(footerOf(5, 6, 7), [1])).toEqual([[5, 11, [1]]]);
    expect(joined(footerOf(5, 6, 7), [])).toEqual([]);
  });

  it('have a bound, unless one chunk is larger', () => {
    const footer = footerOf(5, 6, 7);
    expect(joined(footer, [0, 1, 2], 11)).toEqual([
      [0, 11, [0, 1]],
      [11, 18, [2]],
    ]);
    expect(joined(footer, [0, 1, 2], 10)).toEqual([
      [0, 5, [0]],
      [5, 11, [1]],
      [11, 18, [2]],
    ]);
    expect(joined(footer, [1, 2], 1)).toHaveLength(2);
  });

  it.each([
    ['fewer', ['abc', 'd'], 4],
    ['more', ['abc', 'def'], 6],
    ['no', [], 0],
  ])('are an error where %s bytes come', async (_, blocks, count) => {
    const remote = {
      location: 'there',
      get: async function* () {
        for (const block of blocks) yield Buffer.from(block);
      },
    } as unknown as RemoteReader;
    await expect(readRange(remote, 'k', { start: 2, end: 7 }, {})).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: `there sent ${count} bytes instead of 5`,
      details: { key: 'k', location: 'there' },
    });
  });

  it('are read as they come', async () => {
    const remote = memoryRemote();
    await remote.create('k', bytesSource(Buffer.from('0123456789')));
    const counts: number[] = [];
    const read = await readRange(remote, 'k', { start: 2, end: 7 }, {}, (n) => counts.push(n));
    expect([String(read), counts]).toEqual(['23456', [5]]);
    expect(await readObject(remote, 'k')).toHaveLength(10);
  });
});
