import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { runs } from '../support/runs.ts';
import { fuzzTargets } from './all-targets.ts';
import { type KeptInput, keptInputs, seedInputs } from './kept.ts';
import { Chance, mutate } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

/** Mutations of each target; those that go by a socket cost more. */
const mutations = 150;
const mutationsOfServices = 60;

/** Bytes of an input that are shown when it is the reason of a failure. */
const shownBytesMax = 4096;

async function tried(target: FuzzTarget, { name, bytes }: KeptInput): Promise<void> {
  // What a parser does to its input must not change what is shown.
  const shown = bytes.subarray(0, shownBytesMax).toString('base64');
  try {
    await target.run(Buffer.from(bytes));
  } catch (cause) {
    const told = cause instanceof Error ? cause.message : String(cause);
    const text = `${target.name}, ${name}: ${told}\nIts ${bytes.length} bytes in base64: ${shown}`;
    throw new Error(text, { cause });
  }
}

const targets = [...fuzzTargets.values()];

describe.each(targets.map((target) => [target.name, target] as const))('%s', (_, target) => {
  const kept = [...keptInputs(target, 'corpus'), ...keptInputs(target, 'crashes')];
  const seeds = seedInputs(target);

  it('takes or refuses what was kept', async () => {
    expect(seeds.length).toBeGreaterThan(0);
    for (const input of [...seeds, { name: 'nothing', bytes: Buffer.alloc(0) }, ...kept]) {
      expect(input.bytes.length, input.name).toBeLessThanOrEqual(target.bytesMax);
      await tried(target, input);
    }
  });

  it('takes or refuses what is made of it by chance', async () => {
    const { words = [], bytesMax } = target;
    const inputs = [...seeds, ...kept].map(({ bytes }) => bytes);
    const count = target.name.endsWith('-answers') ? mutationsOfServices : mutations;
    for (let seed = 0; seed < runs(count).numRuns; seed++) {
      const bytes = mutate(new Chance(seed), { inputs, words, bytesMax });
      await tried(target, { name: `mutation ${seed}`, bytes });
    }
  });
});

it('every folder of kept inputs belongs to a target', () => {
  for (const kind of ['corpus', 'crashes']) {
    const folder = path.join(import.meta.dirname, kind);
    if (!fs.existsSync(folder)) continue;
    for (const name of fs.readdirSync(folder)) expect(fuzzTargets.has(name), name).toBe(true);
  }
});
