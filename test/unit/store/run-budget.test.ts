import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ChunkPlace } from '../../../src/index/chunk-index.ts';
import { BlobReader } from '../../../src/store/blob-reader.ts';
import { BlobWriter } from '../../../src/store/blob-writer.ts';
import { Store } from '../../../src/store/local-store.ts';
import { RunBudget, type RunLimits } from '../../../src/store/run-budget.ts';
import { tempFolder } from '../../support/temp.ts';

const mib = 1024 * 1024;
/** Raw bytes of each chunk of the model: the mean of format 1. */
const chunkBytes = 330 * 1024;

/** A file as the numbers of its chunks, and a store as the newest place of each: enough to count runs. */
class ModelStore {
  readonly places = new Map<number, ChunkPlace>();
  bytesStored = 0;
  #packs = 0;

  /** Stores a version; returns the number of runs it is read in. */
  add(version: readonly number[]): number {
    const pack = { id: this.#packs++ } as unknown as ChunkPlace['pack'];
    const budget = new RunBudget();
    const fresh = new Map<number, ChunkPlace>();
    for (const chunk of version) {
      const there = this.places.get(chunk);
      if (there !== undefined && budget.share(there, chunkBytes)) continue;
      if (there === undefined) budget.store(chunkBytes);
      fresh.set(chunk, { pack, number: fresh.size } as ChunkPlace);
    }
    this.bytesStored += fresh.size * chunkBytes;
    for (const [chunk, place] of fresh) this.places.set(chunk, place);
    return this.runs(version);
  }

  runs(version: readonly number[]): number {
    let runs = 0;
    let before: ChunkPlace | undefined;
    for (const chunk of version) {
      const place = this.places.get(chunk) as ChunkPlace;
      if (before?.pack !== place.pack || before.number + 1 !== place.number) runs++;
      before = place;
    }
    return runs;
  }
}

/** Adds a file of `size` bytes, then versions with `edits` chunks changed each. */
function history(size: number, versions: number, edits: number) {
  const store = new ModelStore();
  let next = 0;
  const file = Array.from({ length: Math.floor(size / chunkBytes) }, () => next++);
  let runs = store.add(file);
  // A linear congruential generator, so that every run of the test sees the same edits.
  let seed = 1;
  for (let version = 0; version < versions; version++) {
    for (let edit = 0; edit < edits; edit++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      file[Math.floor((seed / 2 ** 32) * file.length)] = next++;
    }
    runs = store.add(file);
  }
  return {
    runs,
    meanRun: size / runs,
    /** What was stored for each byte that was new. */
    amplification: (store.bytesStored - size) / (versions * edits * chunkBytes),
  };
}

describe('the runs of a file', () => {
  it('stay long after 50 small edits, for nothing', () => {
    const { meanRun, amplification } = history(1024 * mib, 50, 1);
    expect(meanRun).toBeGreaterThan(10 * mib);
    expect(amplification).toBeCloseTo(1, 1);
  });

  it.each([
    [50, 20],
    [300, 20],
    [2_000, 1],
  ])('stay bounded after %d versions with %d edits each, for bounded bytes', (versions, edits) => {
    const size = 1024 * mib;
    const { runs, amplification } = history(size, versions, edits);
    // What is edited in this version comes on top: a chunk and the way back, each time.
    expect(runs).toBeLessThanOrEqual(256 + size / (512 * 1024) + 2 * edits);
    expect(amplification).toBeLessThan(6);
  });

  it('are not bought where a file is put together anew once', () => {
    const store = new ModelStore();
    const file = Array.from({ length: 3_000 }, (_, i) => i);
    store.add(file);
    const before = store.bytesStored;
    // Tensors of 6 MiB and more in another order.
    const tensors = Array.from({ length: 150 }, (_, i) => file.slice(i * 20, i * 20 + 20));
    store.add(tensors.reverse().flat());
    expect(store.bytesStored).toBe(before);
  });

  it('do not count where a chunk repeats', () => {
    const budget = new RunBudget({ runsFree: 1, bytesPerRun: mib, runsJoined: 1 });
    const place = { pack: {}, number: 4 } as ChunkPlace;
    for (let i = 0; i < 100; i++) expect(budget.share(place, 10)).toBe(true);
    expect(budget.share({ ...place, number: 9 }, 10)).toBe(false);
  });
});

describe('a chunk that may not be shared', () => {
  it('is stored again, and read from where it was stored last', async () => {
    const folder = tempFolder();
    const store = new Store(path.join(folder, 'store'));
    const file = path.join(folder, 'model');
    const bytes = randomBytes(12 * mib);
    const add = async (runLimits: RunLimits) => {
      fs.writeFileSync(file, bytes);
      const writer = new BlobWriter(store, { runLimits });
      const { sha256 } = await writer.addFile(file);
      return { sha256, stats: await writer.finish() };
    };
    const never = {
      runsFree: 1,
      bytesPerRun: Number.POSITIVE_INFINITY,
      runsJoined: 1,
    };
    const first = await add(never);
    expect(first.stats.bytesNew).toBe(bytes.length);
    for (let at = 2; at < 12; at += 2) randomBytes(10).copy(bytes, at * mib);
    const second = await add(never);
    // From the first edit on nothing may be shared any more.
    expect(second.stats.bytesNew).toBeGreaterThan(9 * mib);
    const recipe = store.recipe(second.sha256);
    const places = Array.from({ length: recipe?.count ?? 0 }, (_, row) =>
      store.index().find(recipe?.rows as Buffer, recipe?.idOffset(row)),
    );
    const packs = new Set(places.map((place) => place?.pack.id));
    expect(packs.size).toBe(2);
    const breaks = places.filter((place, i) => i > 0 && place?.pack !== places[i - 1]?.pack);
    expect(breaks).toHaveLength(1);
    const reader = new BlobReader(store);
    expect(reader.readWhole(second.sha256, 16 * mib).equals(bytes)).toBe(true);
    reader.close();
  });
});
