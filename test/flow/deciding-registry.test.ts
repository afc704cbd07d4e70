import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry, pairRegistries } from '../../src/flow/registry.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';

const target = { model: 'm', environment: 'production' };

async function remoteOf(project: Project) {
  return chooseRemote(await project.open(), 'memory://origin', project.root);
}

async function deployFrom(project: Project, version: string) {
  const remote = await remoteOf(project);
  return deploy(await project.open(), { ...target, version }, { remote });
}

/** Does something once, before the first call that lists `prefix`. */
function interrupted(remote: RemotePruner, prefix: string, work: () => Promise<unknown>) {
  let done = false;
  const list: RemotePruner['list'] = async function* (asked, options) {
    if (asked === prefix && !done) {
      done = true;
      await work();
    }
    yield* remote.list(asked, options);
  };
  return { ...remote, list };
}

describe('a change that is decided on a remote', () => {
  it('leaves no gap in the history here when others came before it', async () => {
    const remote = await emptyRemote();
    const other = await makePlainProject(withRemotes({ origin: remote }));
    other.write('model.bin', 'weights');
    await other.add('model.bin');
    for (const version of ['v1', 'v2', 'v3'])
      await register(await other.open(), { ...target, version });
    await pushWithVersions(await other.open(), [], await remoteOf(other), { registry: 'all' });

    const slow = interrupted(remote, 'refs/models/m/environments/production/', async () => {
      await deployFrom(other, 'v1');
    });
    const project = await makePlainProject(withRemotes({ origin: slow }));
    expect((await deployFrom(project, 'v2')).number).toBe(2);

    const here = await localRegistry(await project.open());
    expect(await here.history('m', 'production')).toEqual([]);
    const pair = await pairRegistries(await project.open(), await remoteOf(project));
    await pair.fetch();
    const history = await here.history('m', 'production');
    expect(history.map(({ value }) => value.version)).toEqual(['v1', 'v2']);

    expect((await deployFrom(project, 'v3')).number).toBe(3);
    expect(await here.history('m', 'production')).toHaveLength(3);
  });
});
