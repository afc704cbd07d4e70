import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256Raw } from '../../../src/base/digest.ts';
import { ChunkIndex } from '../../../src/index/chunk-index.ts';
import type { PackFooter } from '../../../src/pack/format.ts';
import { footerOf } from '../../support/packs.ts';
import { runs } from '../../support/runs.ts';

/** An index of packs that are added, without any files. */
function indexOfAdded(): ChunkIndex {
  return new ChunkIndex({ load: () => undefined, readRow: () => undefined });
}

/** Adds packs, each newer than the one before, to an index and to a map, and compares them on all ids. */
function compare(packs: ReadonlyArray<readonly Buffer[]>, others: readonly Buffer[]): ChunkIndex {
  const index = indexOfAdded();
  const oracle = new Map<string, { id: string; number: number }>();
  const footers = new Map<string, PackFooter>();
  let rows = 0;
  for (const [time, ids] of packs.entries()) {
    const footer = footerOf(ids);
    index.addPack(footer, time);
    if (footers.has(footer.id)) continue;
    footers.set(footer.id, footer);
    rows += ids.length;
    for (const [number, id] of [...ids.entries()].reverse())
      oracle.set(id.toString('hex'), { id: footer.id, number });
  }
  expect(index.rows).toBe(rows);
  expect([...index.packs()].map(({ id }) => id)).toEqual([...footers.keys()]);
  let wrong = 0;
  for (const [key, { id, number }] of oracle) {
    const place = index.find(Buffer.from(key, 'hex'));
    if (place?.pack.id !== id || place.number !== number || place.offset !== number) wrong++;
    if (Buffer.from(place?.ids ?? []).toString('hex', place?.idAt, 32) !== key) wrong++;
  }
  for (const id of others) {
    if (index.has(id) !== oracle.has(id.toString('hex'))) wrong++;
    if ((index.find(id) !== undefined) !== index.has(id)) wrong++;
  }
  expect(wrong).toBe(0);
  return index;
}

function idOf(n: number, prefix?: Buffer): Buffer {
  const id = sha256Raw(Buffer.from(String(n)));
  prefix?.copy(id);
  return id;
}

const idsFrom = (first: number, count: number, prefix?: Buffer) =>
  Array.from({ length: count }, (_, i) => idOf(first + i, prefix));

describe('ChunkIndex', () => {
  it('finds tens of thousands of chunks over many packs and growths', () => {
    const packs = Array.from({ length: 40 }, (_, pack) => idsFrom(pack * 1_000, 1_000));
    const index = compare(packs, idsFrom(1_000_000, 20_000));
    expect(index.rows).toBe(40_000);
  });

  it('finds chunks whose ids begin alike, around the end of the table as well', () => {
    const low = Buffer.from('00000000', 'hex');
    const high = Buffer.from('ffffffff', 'hex');
    const packs = [idsFrom(0, 200, low), idsFrom(200, 200, high), idsFrom(400, 200, low)];
    compare(packs, [...idsFrom(5_000, 100, low), ...idsFrom(5_000, 100, high)]);
  });

  it('finds a chunk elsewhere where its places are denied', () => {
    const index = indexOfAdded();
    const [old, middle, newest] = [idsFrom(0, 50), idsFrom(25, 50), [idOf(30), idOf(30)]];
    const packs = [old, middle, newest].map((ids) => footerOf(ids));
    for (const [time, footer] of packs.entries()) index.addPack(footer, time);
    const found = (denied: ReadonlyArray<readonly [number, number]>, id: Buffer) =>
      index.find(id, 0, ({ id: pack }, row) =>
        denied.every(([n, number]) => packs[n]?.id !== pack || number !== row),
      );
    expect(found([], idOf(30))).toMatchObject({ pack: { id: packs[2]?.id }, number: 0 });
    expect(found([[2, 0]], idOf(30))).toMatchObject({ pack: { id: packs[2]?.id }, number: 1 });
    const both = [
      [2, 0],
      [2, 1],
    ] as const;
    expect(found(both, idOf(30))).toMatchObject({ pack: { id: packs[1]?.id }, number: 5 });
    expect(found([...both, [1, 5]], idOf(30))).toMatchObject({ pack: { id: packs[0]?.id } });
    expect(found([...both, [1, 5], [0, 30]], idOf(30))).toBeUndefined();
    expect(found([], idOf(1_000))).toBeUndefined();
  });

  it('finds a chunk that stands in several packs in the newest', () => {
    compare(
      [idsFrom(0, 600), idsFrom(300, 600), [idOf(1), idOf(1), idOf(2_000), idOf(2_000)]],
      idsFrom(3_000, 10),
    );
  });

  it('adds a pack once, and packs without chunks', () => {
    const index = compare([[], idsFrom(0, 5), idsFrom(0, 5), []], [idOf(9)]);
    expect([...index.packs()]).toHaveLength(2);
    expect(index.pack(footerOf(idsFrom(0, 5)).id)?.count).toBe(5);
    expect(index.pack(footerOf(idsFrom(0, 6)).id)).toBeUndefined();
  });

  it('takes the greater name of packs of one time, in whatever order they come', () => {
    const one = footerOf(idsFrom(0, 3));
    const other = footerOf(idsFrom(1, 3));
    const greater = one.id > other.id ? one.id : other.id;
    for (const footers of [
      [one, other],
      [other, one],
    ]) {
      const index = indexOfAdded();
      for (const footer of footers) index.addPack(footer, 5);
      expect(index.find(idOf(1))?.pack.id).toBe(greater);
    }
  });

  it('reads ids anywhere in a buffer', () => {
    const index = indexOfAdded();
    index.addPack(footerOf(idsFrom(0, 3)));
    const padded = Buffer.concat([Buffer.alloc(7), idOf(2), Buffer.alloc(7)]);
    expect(index.find(padded, 7)?.number).toBe(2);
    expect(index.has(padded, 6)).toBe(false);
  });

  it('agrees with a map on any packs', () => {
    // Few ids that differ in few bytes: every pack repeats some of another.
    const id = fc
      .tuple(fc.constantFrom(0, 1, 255), fc.nat(40), fc.constantFrom(0, 31))
      .map(([first, value, at]) => {
        const bytes = Buffer.alloc(32, first);
        bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(
        fc.array(fc.array(id, { maxLength: 30 }), { maxLength: 8 }),
        fc.array(id, { maxLength: 30 }),
        (packs, others) => void compare(packs, others),
      ),
      runs(150),
    );
  });
});
