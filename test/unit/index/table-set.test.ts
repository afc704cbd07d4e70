import { describe, expect, it } from 'vitest';
import { type Digest, sha256Raw } from '../../../src/base/digest.ts';
import { ChunkIndex } from '../../../src/index/chunk-index.ts';
import type { PackFooter } from '../../../src/pack/format.ts';
import { MadePacks, MemoryTables } from '../../support/made-index.ts';
import { footerOf } from '../../support/packs.ts';

const idOf = (n: number) => sha256Raw(Buffer.from(String(n)));
const idsFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => idOf(first + i));

/** Packs of ten chunks each, all in tables. */
function made(first: number, count: number): MadePacks {
  const packs = new MadePacks();
  for (let n = first; n < first + count; n++) packs.add(footerOf(idsFrom(10 * n, 10)), n);
  packs.open();
  return packs;
}

/** Puts the files of some tables in front of others, as a folder may list them. */
function joined(one: MemoryTables, other: MemoryTables): Map<string, Buffer> {
  return new Map([...one.files, ...other.files]);
}

describe('tables of two seeds', () => {
  it.each(['first', 'last'])('give way to the largest, which is listed %s', (where) => {
    const [small, large] = [made(0, 8), made(8, 40)];
    const kept = [...large.tables.files.keys()];
    const gone = [...small.tables.files.keys()];
    expect(kept.length * gone.length).toBeGreaterThan(0);
    for (const [, { footer, time }] of small.packs) large.add(footer, time);
    const [one, other] = where === 'first' ? [large, small] : [small, large];
    const files = joined(one.tables, other.tables);
    large.tables.files.clear();
    for (const [name, bytes] of files) large.tables.files.set(name, bytes);
    const index = large.open();
    const left = [...large.tables.files.keys()];
    expect(left).toEqual(expect.arrayContaining(kept.slice(0, 1)));
    expect(left.filter((name) => gone.includes(name))).toEqual([]);
    for (let n = 0; n < 480; n++) expect(index.find(idOf(n))?.number).toBe(n % 10);
  });
});

describe('a table', () => {
  it('knows the newest packs of a chunk that stands in more than it lists', () => {
    const footers = Array.from({ length: 40 }, (_, n) => footerOf([idOf(0), idOf(1_000 + n)]));
    for (const order of [1, -1]) {
      const byId = new Map(footers.map((footer) => [footer.id, footer]));
      const source = { load: (id: Digest) => byId.get(id), readRow: () => undefined };
      const options = { freshPacksMax: footers.length };
      const index = new ChunkIndex(source, new MemoryTables(), options);
      const times = [...footers.keys()].sort((a, b) => order * (a - b));
      for (const time of times) index.addPack(footers[time] as PackFooter, time);
      expect(index.counts).toMatchObject({ tables: 1, fresh: 0 });
      expect(index.find(idOf(0))?.pack.id).toBe(footers[39]?.id);
    }
  });

  it('is not written for packs of which none can be used any more', () => {
    const packs = made(0, 20);
    const index = packs.open();
    for (const id of packs.packs.keys()) packs.damaged.add(id);
    for (let n = 0; n < 200; n++) expect(index.has(idOf(n))).toBe(false);
    index.settle();
    expect([...packs.tables.files]).toEqual([]);
    expect(index.counts.tables).toBe(0);
  });

  it('of which a block is damaged is read anew when all are compared', () => {
    const packs = made(0, 20);
    for (const [name, bytes] of packs.tables.files) {
      const copy = Buffer.from(bytes);
      copy[5] = (copy[5] as number) ^ 1;
      packs.tables.files.set(name, copy);
    }
    const index = packs.open();
    expect(index.counts.tables).toBeGreaterThan(0);
    expect(index.recheck()).toBe(true);
    for (let n = 0; n < 200; n++) expect(index.has(idOf(n))).toBe(true);
    expect(index.recheck()).toBe(false);
  });
});
