import { afterAll, describe, expect, it } from 'vitest';
import { s3Facts } from '../contract/s3-facts.ts';
import { makeProject } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { startRadosGateway } from '../support/rados-gateway.ts';
import { endServers } from '../support/server-process.ts';
import {
  newServiceRemote,
  serviceOk,
  startWithService,
  useRemote,
} from '../support/service-workspace.ts';
import { s3Commands } from './s3-commands.ts';
import { directSuites, proxySuites } from './service-suites.ts';

afterAll(endServers);
const target = await startRadosGateway();
s3Facts(target, {
  'a conditional completion of a name that is taken': {
    is: 'done',
    why: 'version 16 takes no condition there: large objects are named by their content, and remote check tells',
  },
});
describe('remote check with a service that ignores the condition for objects in parts', () => {
  /** The checks that did not end well, and the exit code. */
  async function check(root: string): Promise<{ code: number | null; states: object }> {
    const { code, stdout } = await startWithService(root, 'remote', 'check', '--json').done;
    const { checks }: { checks: { name: string; state: string; code?: string }[] } =
      JSON.parse(stdout);
    const states = checks.filter(({ state }) => state !== 'ok');
    return { code, states: Object.fromEntries(states.map(({ name, state }) => [name, state])) };
  }

  it('finds it out, and accepts it where the configuration does', async () => {
    const project = await makeProject();
    const { folder } = await newServiceRemote(target);
    useRemote(project, target, folder);
    project.write('a.bin', noise(20_000_000, 'a'));
    await project.add('a.bin');
    await serviceOk(project.root, 'push');
    const failed = await check(project.root);
    expect(failed).toEqual({ code: 8, states: { 'parts-if-absent': 'failed' } });
    await serviceOk(project.root, 'config', 'set', 'remote.origin.accept_races', 'true');
    const accepted = await check(project.root);
    expect(accepted).toEqual({ code: 0, states: { 'parts-if-absent': 'warning' } });
    project.write('a.bin', noise(20_000_000, 'b'));
    await project.add('a.bin');
    await serviceOk(project.root, 'push');
  });
});
s3Commands(target);
directSuites(target);
proxySuites(target, { kills: 10 });
