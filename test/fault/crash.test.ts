import { expect, it } from 'vitest';
import { crashCommands } from '../support/crash-commands.ts';
import { hookInjector } from '../support/crash-hook.ts';
import { CrashLanes } from '../support/crash-lanes.ts';
import { tryFaults } from '../support/crash-trials.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { runs } from '../support/runs.ts';

/** Of each command; in the long run the system's own calls fail, and more of them. */
const pointsMax = runs(2).numRuns;

it('file operations may fail, or be the last', {
  timeout: 300_000 * pointsMax,
}, async () => {
  const lanes = await CrashLanes.start(hookInjector(), scratchFolder());
  for (const command of crashCommands) {
    const { failures, outcomes } = await tryFaults(lanes, command, { pointsMax });
    expect(failures).toEqual([]);
    expect(Object.values(outcomes)).not.toEqual([]);
  }
});
