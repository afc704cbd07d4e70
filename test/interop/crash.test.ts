import { expect, it } from 'vitest';
import { crashCommands } from '../support/crash-commands.ts';
import { CrashLanes } from '../support/crash-lanes.ts';
import { runRounds } from '../support/crash-rounds.ts';
import { systemInjector } from '../support/crash-wrapper.ts';
import { scratchFolder } from '../support/flow-scratch.ts';

/** Of each command and each kind of trial; `npm run test:long` tries all. */
const pointsMax = 3;

it('system calls may fail, be the last, or lose what was not flushed', async () => {
  const folder = scratchFolder();
  const lanes = await CrashLanes.start(await systemInjector(folder), folder);
  const { trials, failures } = await runRounds(lanes, crashCommands, { pointsMax });
  expect(failures).toEqual([]);
  expect(trials).toBeGreaterThan(crashCommands.length * pointsMax);
}, 1_200_000);
