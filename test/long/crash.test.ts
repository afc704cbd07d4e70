import { expect, it } from 'vitest';
import { crashCommands } from '../support/crash-commands.ts';
import { CrashLanes } from '../support/crash-lanes.ts';
import { runRounds } from '../support/crash-rounds.ts';
import { systemInjector } from '../support/crash-wrapper.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { longTime } from '../support/long-time.ts';

/** Other points come first each time; with the same seed the same ones do. */
const seed = Number(process.env['MSTORE_TEST_SEED'] ?? Date.now() % 2 ** 31);

/** Commands whose names fit; all unless it is said. */
const wanted = new RegExp(process.env['MSTORE_TEST_COMMANDS'] ?? '');

it('every call of every command may fail, be the last, or lose what was not flushed', async () => {
  const { goOn } = longTime();
  const commands = crashCommands.filter(({ name }) => wanted.test(name));
  const folder = scratchFolder();
  const lanes = await CrashLanes.start(await systemInjector(folder), folder);
  const { table, trials, points, failures } = await runRounds(lanes, commands, {
    goOn,
    seed,
  });
  const sum = `${trials} of ${points} trials with the seed ${seed}, ${failures.length} failures`;
  process.stdout.write(`${table}\n\n${sum}\n`);
  expect(failures).toEqual([]);
});
