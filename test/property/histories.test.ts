import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkWorld, makeWorld } from '../support/flow-history.ts';
import { histories, type Step, take } from '../support/flow-history-steps.ts';
import { clearScratch } from '../support/flow-scratch.ts';

const runsNormal = 60;
const stepsMax = 50;
/** Times more runs, each time others, for a search of hours. */
const runsTimes = Number(process.env['MSTORE_TEST_RUNS'] ?? '1');
/** The same histories every time in the normal run; a failure names the seed of its own. */
const seed = process.env['MSTORE_TEST_SEED'] ?? (runsTimes > 1 ? undefined : '20240601');

async function live(history: ReadonlyArray<readonly [place: number, step: Step]>): Promise<void> {
  try {
    const world = await makeWorld();
    for (const [place, step] of history) await take(world, place, step);
    await checkWorld(world);
  } finally {
    clearScratch();
  }
}

describe('histories', () => {
  it(
    'give back every byte that was ever added, as a plain copy has it',
    async () => {
      await fc.assert(fc.asyncProperty(histories(stepsMax), live), {
        numRuns: runsNormal * runsTimes,
        ...(seed === undefined ? {} : { seed: Number(seed) }),
      });
    },
    120_000 * runsTimes,
  );

  it('would notice if a byte were lost', async () => {
    const world = await makeWorld();
    await take(world, 0, { do: 'write', at: 'f', size: 1_000, seed: 1 });
    await take(world, 0, { do: 'snapshot' });
    const [snapshot] = world.snapshots;
    world.snapshots[0] = {
      pointers: snapshot?.pointers ?? new Map(),
      state: { f: 'file 1000 00' },
    };
    await expect(checkWorld(world)).rejects.toThrow('came back wrong');
  });
});
