import { expect, it } from 'vitest';
import { mutants, seedsToFind } from '../simulation/mutants.ts';
import { report, shorten } from '../simulation/shorten.ts';
import { simulate } from '../simulation/simulation.ts';
import { longTime } from '../support/long-time.ts';

/** Other seeds each time; a failure names its own, with which it happens again. */
const firstSeed = Number(process.env['MSTORE_TEST_SEED'] ?? Date.now() % 2 ** 31);

it('many hosts on one remote keep every promise, as long as there is time', async () => {
  const { goOn } = longTime();
  const counts: Record<string, number> = {};
  let seed = firstSeed;
  do {
    const outcome = await simulate(seed++);
    if (outcome.violation !== undefined) throw new Error(report(await shorten(outcome)));
    for (const [what, count] of Object.entries(outcome.counts)) {
      counts[what] = (counts[what] ?? 0) + count;
    }
  } while (goOn());
  const lines = Object.entries(counts)
    .sort()
    .map(([what, count]) => `  ${what}: ${count}`);
  process.stdout.write(
    `Simulation: seeds ${firstSeed} to ${seed - 1}, no promise broken. How commands ended:\n${lines.join('\n')}\n`,
  );
  expect(Object.keys(counts).length).toBeGreaterThan(10);
});

it.each(mutants)('the simulation notices when a $name', async (mutant) => {
  const found = await seedsToFind(mutant, 1, mutant.seedsMax);
  process.stdout.write(`${mutant.name}: found by seed ${found ?? 'none'}\n`);
  expect(found).toBeDefined();
});
