import { beforeAll, describe, expect, it } from 'vitest';
import { type ErrorCode, exitCodeOf } from '../../src/base/errors.ts';
import { mstore } from '../support/cli.ts';
import { stageCell } from '../support/damage-run.ts';
import { makeSeed, type Seed } from '../support/damage-seed.ts';
import { cellOf, verdictOf } from '../support/damage-table.ts';
import { scratchFolder } from '../support/flow-scratch.ts';

let seed: Seed;
beforeAll(async () => {
  seed = await makeSeed();
});

describe('the damage matrix by the real command line', () => {
  it.each([
    ['pack', 'truncate', 'checkout'],
    ['pack', 'flip', 'push'],
    ['recipe', 'delete', 'checkout'],
    ['recipe', 'truncate', 'push'],
    ['version record', 'flip', 'checkout'],
    ['pointer', 'truncate', 'fetch'],
    ['local header', 'truncate', 'status'],
    ['remote header', 'delete', 'fetch'],
    ['remote pack', 'truncate', 'push'],
    ['remote pack', 'delete', 'fetch'],
  ] as const)('%s, %s: %s', async (kind, damage, command) => {
    const cell = { kind, damage, command };
    const { state, argv } = stageCell(seed, scratchFolder(), cell);
    const { code, json, stderr } = await mstore(state.work, '--json', ...argv);
    const expected = verdictOf(cellOf(kind, damage, command) as string) as ErrorCode;
    expect(json.error?.code, stderr).toBe(expected);
    expect(code).toBe(exitCodeOf(expected));
    expect(stderr).toBe('');
  });

  it('ends a status that shows a damaged pointer with 5', async () => {
    const cell = { kind: 'pointer', damage: 'truncate', command: 'status' } as const;
    const { state, argv } = stageCell(seed, scratchFolder(), cell);
    expect((await mstore(state.work, ...argv)).code).toBe(5);
  });
});
