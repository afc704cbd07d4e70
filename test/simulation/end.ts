import { isMstoreError } from '../../src/base/errors.ts';
import { fetchRegistry } from '../../src/flow/fetch-registry.ts';
import { cleanUp } from '../../src/flow/gc/gc.ts';
import { remotePlace } from '../../src/flow/gc/place.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { chooseToClear } from '../../src/flow/remotes.ts';
import { type Network, sleeper } from './client.ts';
import { bring, type Setting } from './commands.ts';
import { remoteUrl } from './host.ts';

const hour = 60 * 60_000;
/** Time in which sweeps that were broken off count as over, and records of versions may be given up. */
const restMs = 26 * hour;

/** Cleans the remote up until what nothing leads to must be gone, and looks whether it is. */
export async function cleanEverything(setting: Setting, network: Network): Promise<void> {
  const { host, program, ledger, weather } = setting;
  const sleep = sleeper(network, program);
  const graceMs = Math.max(...weather.gracesMs);
  await sleep(restMs);
  for (let times = 0; times < 3; times++) {
    const workspace = await host.open(program);
    const place = remotePlace(workspace, await chooseToClear(workspace, remoteUrl, host.root));
    try {
      await cleanUp(workspace, place, { graceMs });
    } catch (error) {
      // What a push that was killed has left unfinished must be finished first.
      if (isMstoreError(error, 'corrupt-remote', 'locked') && ledger.isIncomplete()) return;
      throw error;
    }
    await sleep(graceMs + 2 * hour);
  }
  ledger.checkGarbage();
}

/** Reads all that was acknowledged on a new host, by the commands that people use. */
export async function readEverything(setting: Setting): Promise<void> {
  const { host, program, ledger } = setting;
  for (const item of ledger.published()) {
    await bring(setting, await host.open(program), item);
  }
  const workspace = await host.open(program);
  const { conflicts, failures } = await fetchRegistry(workspace, [await host.choose(workspace)]);
  if (failures[0] !== undefined) throw failures[0].error;
  if (conflicts.length > 0) throw new Error(`A new host has conflicts: ${conflicts[0]?.text}`);
  const registry = await localRegistry(workspace);
  for (const { model, versions, environments, states } of await registry.names()) {
    await registry.records(model, [...versions]);
    for (const name of environments.keys()) {
      await registry.log({ model, kind: 'environments', name });
    }
    for (const name of states.keys()) await registry.log({ model, kind: 'states', name });
  }
}
