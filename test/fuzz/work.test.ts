import { Session } from 'node:inspector/promises';
import { describe, expect, it } from 'vitest';
import { fuzzTargets } from './all-targets.ts';
import { hostileShapes } from './hostile.ts';

/** Code whose work counts: ours, and the parsers that are handed outside bytes. */
const counted = /\/src\/|\/node_modules\/(?:yaml|smol-toml|ignore|tar-stream)\//;

/** Sizes of an input, in bytes, and how many times the work of the smaller one the larger one may take. */
const [small, large] = [1024, 8 * 1024];
const growthMax = (large / small) * 1.5;

/**
 * Counts how often the blocks of the code that counts are run: the same number on every machine, whatever it does
 * beside. What the language itself does in one step, such as a search by a pattern, counts as one.
 */
async function workOf(run: () => Promise<void>): Promise<number> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    await run();
    const { result } = await session.post('Profiler.takePreciseCoverage');
    const ranges = result
      .filter(({ url }) => counted.test(url))
      .flatMap(({ functions }) => functions.flatMap((one) => one.ranges));
    return ranges.reduce((sum, { count }) => sum + count, 0);
  } finally {
    session.disconnect();
  }
}

describe('inputs that are meant to cost much', () => {
  it('are of targets that there are', () => {
    for (const name of Object.keys(hostileShapes)) expect(fuzzTargets.has(name), name).toBe(true);
  });

  it.each(Object.entries(hostileShapes))('take %s work by their size', async (name, shapes) => {
    const target = fuzzTargets.get(name);
    const all = (bytes: number) => async () => {
      for (const shape of Object.values(shapes)) await target?.run(Buffer.from(shape(bytes)));
    };
    // What is done once, such as to compile patterns, is none of the second run.
    await all(small)();
    const work = [await workOf(all(small)), await workOf(all(large))] as const;
    expect(work[0]).toBeGreaterThan(0);
    expect(work[1] / work[0]).toBeLessThan(growthMax);
  });
});
