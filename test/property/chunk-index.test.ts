import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Digest } from '../../src/base/digest.ts';
import type { ChunkIndex } from '../../src/index/chunk-index.ts';
import { MadePacks } from '../support/made-index.ts';
import { footerOf } from '../support/packs.ts';
import { runs } from '../support/runs.ts';

/** Ids that differ in few bytes: every pack repeats some of another. */
const idOf = (n: number): Buffer => {
  const id = Buffer.alloc(32, n % 3);
  id[n % 2 === 0 ? 0 : 31] = n;
  return id;
};
const idsMax = 120;

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ add: fc.array(fc.nat(idsMax - 1), { maxLength: 25 }), time: fc.nat(5) }),
  },
  { weight: 3, arbitrary: fc.constant('open' as const) },
  { weight: 2, arbitrary: fc.record({ remove: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ flip: fc.nat(), file: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ cut: fc.nat(), file: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ lose: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant('writable' as const) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What the index must find: of each chunk the newest pack, the greater name among those of one time. */
function expected(packs: MadePacks): Map<string, { pack: Digest; number: number }> {
  const sorted = [...packs.packs].sort(([a, one], [b, other]) =>
    one.time === other.time ? (a < b ? -1 : 1) : one.time - other.time,
  );
  const places = new Map<string, { pack: Digest; number: number }>();
  for (const [pack, { footer }] of sorted) {
    for (let row = footer.count - 1; row >= 0; row--)
      places.set(footer.chunk(row), { pack, number: row });
  }
  return places;
}

function compare(index: ChunkIndex, packs: MadePacks): void {
  const places = expected(packs);
  for (let n = 0; n < idsMax; n++) {
    const id = idOf(n);
    const wanted = places.get(id.toString('hex'));
    const place = index.find(id);
    expect(place && { pack: place.pack.id, number: place.number }).toEqual(wanted);
    expect(index.has(id)).toBe(wanted !== undefined);
  }
}

function damage(packs: MadePacks, file: number, change: (bytes: Buffer) => Buffer): void {
  const names = [...packs.tables.files.keys()];
  const name = names[file % Math.max(1, names.length)];
  const bytes = name === undefined ? undefined : packs.tables.files.get(name);
  if (name !== undefined && bytes !== undefined) packs.tables.files.set(name, change(bytes));
}

function take(packs: MadePacks, index: ChunkIndex, done: Step): ChunkIndex {
  if (done === 'open') return packs.open();
  if (done === 'writable') packs.tables.writable = !packs.tables.writable;
  else if ('add' in done) {
    const footer = footerOf(done.add.map(idOf));
    packs.add(footer, done.time);
    index.addPack(footer, packs.packs.get(footer.id)?.time);
    index.settle();
  } else if ('remove' in done) {
    const ids = [...packs.packs.keys()];
    packs.packs.delete(ids[done.remove % Math.max(1, ids.length)] as Digest);
    // Whoever removes packs opens the index again.
    return packs.open();
  } else if ('lose' in done) {
    const names = [...packs.tables.files.keys()];
    packs.tables.files.delete(names[done.lose % Math.max(1, names.length)] ?? '');
  } else if ('flip' in done) {
    damage(packs, done.file, (bytes) => {
      const copy = Buffer.from(bytes);
      const at = done.flip % copy.length;
      copy[at] = (copy[at] as number) ^ (1 + (done.flip % 255));
      return copy;
    });
  } else {
    damage(packs, done.file, (bytes) => bytes.subarray(0, done.cut % bytes.length));
  }
  return index;
}

it('the index agrees with a map, whatever happens to packs and tables', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const packs = new MadePacks();
      let index = packs.open();
      for (const [n, done] of steps.entries()) {
        index = take(packs, index, done);
        if (n % 3 === 0) compare(index, packs);
      }
      compare(index, packs);
      compare(packs.open(), packs);
    }),
    runs(200),
  );
});
