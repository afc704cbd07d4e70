import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ErrorCode, errorCodes, exitCodeOf } from '../../src/base/errors.ts';
import type { HereResult } from './cli-here.ts';
import { kinds } from './damage-kinds.ts';
import { type Cell, type Outcome, runCell, runTelling } from './damage-run.ts';
import { copySeed, makeSeed, originName, type Seed, type State, storeName } from './damage-seed.ts';
import {
  cellOf,
  commandNames,
  damageNames,
  type KindName,
  type Remedy,
  remedyOf,
  verdictOf,
} from './damage-table.ts';
import { clearScratch, scratchFolder } from './flow-scratch.ts';
import { git } from './git.ts';

/** What a hint must say, and what somebody does who follows it. */
interface RemedySteps {
  readonly hint: RegExp;
  /** Whether the objects that are named are removed before. */
  readonly removes?: boolean;
  /** @returns how a command ended that the hint names */
  readonly follow?: (state: State, argv: readonly string[]) => Promise<HereResult>;
}

function run(state: State, ...argv: string[]): Promise<HereResult> {
  return runTelling(state, argv);
}

/** Pushes all versions from another host. */
function pushElsewhere(state: State): Promise<HereResult> {
  const elsewhere = copySeed(state.seed, scratchFolder());
  return run(elsewhere, 'push', '--all-versions', '--remote', state.at(originName));
}

function restorePointers(state: State): Promise<HereResult> {
  git(state.work, 'checkout', '-q', '--', 'model.bin.mstore', 'data.mstore');
  return run(state, 'status');
}

const fetchOf = (state: State): Promise<HereResult> => run(state, 'fetch');
const fetchAll = (state: State): Promise<HereResult> => run(state, 'fetch', '--all-versions');

const remedies: Readonly<Record<Remedy, RemedySteps>> = {
  fetch: { hint: /mstore (?:fetch|pull)/, follow: fetchOf },
  'remove, fetch': {
    hint: /(?:[Rr]emove|Move) .*mstore fetch/,
    removes: true,
    follow: fetchOf,
  },
  'fetch all': { hint: /mstore fetch.*--all-versions/, follow: fetchAll },
  push: {
    hint: /^Push them from a host that has them|push from a host that has it/,
    follow: pushElsewhere,
  },
  'remove, push': {
    hint: /[Rr]emove .*push(?: again with --all-versions|" to a remote)/,
    removes: true,
    follow: pushElsewhere,
  },
  copy: {
    hint: /copy \.modelstore\/store\/mstore\.json/,
    async follow(state) {
      fs.copyFileSync(state.at(storeName, 'mstore.json'), state.at(originName, 'mstore.json'));
      return run(state, 'status');
    },
  },
  Git: { hint: /git checkout -- |from Git/, follow: restorePointers },
  'fetch, Git': {
    hint: /mstore pull/,
    async follow(state) {
      const { error } = await run(state, 'fetch');
      expect(error?.hint).toMatch(/from Git/);
      return restorePointers(state);
    },
  },
  remove: { hint: /[Rr]emove th(?:e|at) file/, removes: true },
  'push, remove': {
    hint: /^Push again with --all-versions from the repository, then remove this object/m,
    async follow(state, argv) {
      const pushed = await run(state, 'push', '--all-versions');
      return pushed.error === undefined ? run(state, ...argv) : pushed;
    },
    removes: true,
  },
  repair: {
    hint: /Run this command with --repair/,
    follow: (state, argv) => run(state, ...argv, '--repair'),
  },
};

/** Runs the cells of some kinds, each as one test. */
export function damageSuite(names: readonly KindName[]): void {
  let seed: Seed;
  beforeAll(async () => {
    seed = await makeSeed();
  });
  describe.each(names)('%s', (kind) => {
    for (const damage of damageNames) {
      for (const command of commandNames) {
        const expected = cellOf(kind, damage, command);
        // The table gives the reason.
        if (expected === undefined) continue;
        test(`${damage}, ${command}: ${expected}`, async () => {
          try {
            const cell = { kind, damage, command };
            await checkOutcome(await runCell(seed, scratchFolder(), cell), cell, expected);
          } finally {
            clearScratch();
          }
        });
      }
    }
  });
}

async function checkOutcome(outcome: Outcome, cell: Cell, expected: string): Promise<void> {
  const { result, verdict } = outcome;
  expect(verdict, explain(result)).toBe(verdictOf(expected));
  if (!errorCodes.includes(verdict as ErrorCode)) return;
  expect(result.exit).toBe(exitCodeOf(verdict as ErrorCode));
  const remedy = remedyOf(expected);
  if (remedy === undefined) throw new Error(`The table has no remedy for ${verdict}`);
  await followHints(outcome, cell, remedy);
}

function explain({ error, told }: HereResult): string {
  return [error?.message, error?.hint, ...told].join('\n');
}

/** Does what the hints say until the command succeeds, and looks whether nothing of the damage is left. */
async function followHints(outcome: Outcome, cell: Cell, remedy: Remedy): Promise<void> {
  const { state, argv, damaged } = outcome;
  let { result } = outcome;
  let steps = remedies[remedy];
  for (let round = 0; round <= damaged.length && result.error !== undefined; round++) {
    const text = explain(result);
    // A push that a hint asks for may find that something has to be removed before.
    if (round > 0 && !steps.hint.test(result.error.hint ?? '')) steps = remedies['remove, push'];
    const { hint, removes, follow } = steps;
    // Of bytes that are nowhere it is the path that tells what is lost.
    const isMissing = result.error.code === 'objects-missing' || cell.command === 'gc';
    const names = [...kinds[cell.kind].names(state), ...(isMissing ? ['model.bin', 'data'] : [])];
    expect(
      names.some((name) => text.includes(name)),
      text,
    ).toBe(true);
    expect(result.error.hint, text).toMatch(hint);
    const named = damaged.filter((name) =>
      text.includes(path.basename(name).replace(/\.(?:json|pack|idx)$/, '')),
    );
    for (const name of removes ? named : []) fs.rmSync(state.at(name), { force: true });
    const followed = await follow?.(state, argv);
    // The way may lead to the next one that is damaged.
    result = followed?.error === undefined ? await outcome.again() : followed;
  }
  if (result.error !== undefined) result = await outcome.again();
  expect(result.exit, explain(result)).toBe(0);
  // What was swapped with the one that was in the way is told of when it is asked for.
  const isRestored = cell.damage === 'swap' && outcome.isAsBefore(kinds[cell.kind].target(state));
  expect(isRestored || (await outcome.isWhole()), 'healed').toBe(true);
}
