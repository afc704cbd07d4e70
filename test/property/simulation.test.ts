import { describe, expect, it } from 'vitest';
import type { RemotePruner } from '../../src/remote/remote.ts';
import type { Wrap } from '../simulation/host.ts';
import { mutants, seedsToFind } from '../simulation/mutants.ts';
import { report, shorten } from '../simulation/shorten.ts';
import { simulate } from '../simulation/simulation.ts';

const seedsNormal = 200;
/** Times more seeds, for a search of hours. */
const seeds = seedsNormal * Number(process.env['MSTORE_TEST_RUNS'] ?? 1);
/** The same seeds every time; a failure names its own. */
const firstSeed = Number(process.env['MSTORE_TEST_SEED'] ?? 1);

/** Runs simulations until one of them breaks a promise; returns which one. */
async function firstBroken(wrap: Wrap, seedsMax: number, first = 1): Promise<string | undefined> {
  for (let seed = first; seed < first + seedsMax; seed++) {
    const { violation } = await simulate(seed, { wrap });
    if (violation !== undefined) return violation;
  }
  return undefined;
}

describe('many hosts on one remote', () => {
  it(
    'keep every promise in all weathers',
    async () => {
      const counts: Record<string, number> = {};
      for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
        const outcome = await simulate(seed);
        if (outcome.violation !== undefined) throw new Error(report(await shorten(outcome)));
        for (const [what, count] of Object.entries(outcome.counts)) {
          counts[what] = (counts[what] ?? 0) + count;
        }
      }
      // A simulation in which little happens would find nothing.
      for (const what of ['push done', 'push killed', 'pull done', 'deploy done']) {
        expect(counts[what], what).toBeGreaterThan(seeds / 20);
      }
    },
    300_000 * Math.max(1, seeds / seedsNormal),
  );

  it('do the same again from the same seed, byte for byte', async () => {
    for (const seed of [3, 4, 5]) {
      const { trace } = await simulate(seed);
      expect((await simulate(seed)).trace.join('\n')).toBe(trace.join('\n'));
      expect(trace.length).toBeGreaterThan(50);
    }
  });

  it('leave commands out until nothing more can be, when a promise is broken', async () => {
    const wrap: Wrap = (remote) => forgetful(remote, (key) => key.startsWith('packs/'));
    const outcome = await simulate(1, { wrap });
    const short = await shorten(outcome, { wrap });
    expect(short.commands.length).toBeLessThanOrEqual(2);
    const text = report(short);
    expect(text).toContain('Seed 1 breaks a promise');
    expect(text).toContain('push begins');
  });
});

/** A remote that says of some objects that it has made them, and has not. */
function forgetful(remote: RemotePruner, forgets: (key: string) => boolean): RemotePruner {
  return {
    ...remote,
    create: async (key, source, options) =>
      forgets(key) ? 'created' : remote.create(key, source, options),
  };
}

describe('the simulation notices a remote', () => {
  it('that loses packs', async () => {
    const wrap: Wrap = (remote) => forgetful(remote, (key) => /^packs\/[0-3]/.test(key));
    expect(await firstBroken(wrap, 20)).toContain('is not there');
  });

  it('that loses recipes', async () => {
    const wrap: Wrap = (remote) => forgetful(remote, (key) => key.startsWith('recipes/'));
    expect(await firstBroken(wrap, 20)).toContain('is not there');
  });

  it('that gives one number to two hosts', async () => {
    const wrap: Wrap = (remote) => ({
      ...remote,
      async create(key, source, options) {
        const outcome = await remote.create(key, source, options);
        return key.includes('/environments/') ? 'created' : outcome;
      },
    });
    expect(await firstBroken(wrap, 20, 45)).toMatch(/must have 1 to 1|is there as it is here/);
  });
});

/** Mutants that take longer are for the long run. */
const quick = mutants.filter(({ seedsMax }) => seedsMax <= 80);

describe('the simulation notices when a', () => {
  it.each(quick)('$name', async (mutant) => {
    expect(await seedsToFind(mutant, 1, mutant.seedsMax), mutant.name).toBeDefined();
  });
});
