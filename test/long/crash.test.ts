import { expect, it } from 'vitest';
import { crashCommands } from '../support/crash-commands.ts';
import { CrashLanes } from '../support/crash-lanes.ts';
import { runRounds } from '../support/crash-rounds.ts';
import { systemInjector } from '../support/crash-wrapper.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { longTime } from '../support/long-time.ts';

it('every call of every command may fail, be the last, or lose what was not flushed', async () => {
  const { goOn } = longTime();
  const folder = scratchFolder();
  const lanes = await CrashLanes.start(await systemInjector(folder), folder);
  const { table, trials, failures } = await runRounds(lanes, crashCommands, { goOn });
  process.stdout.write(`${table}\n\n${trials} trials, ${failures.length} failures\n`);
  expect(failures).toEqual([]);
});
