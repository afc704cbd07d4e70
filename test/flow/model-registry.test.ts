import { describe, expect, it } from 'vitest';
import { openRegistry } from '../../src/mstore.ts';
import { makePlainProject, type Project } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';

async function twoVersions(): Promise<Project> {
  const project = await makePlainProject();
  for (const [n, version] of ['v1.0.0', 'v1.1.0'].entries()) {
    project.write('model/weights', noise(1000, n));
    await project.add('model');
    const registry = await openRegistry(await project.open(), { remote: false });
    await registry.register({ model: 'ranker', version, metrics: { acc: 0.5 + n / 10 } });
  }
  return project;
}

describe('the registry as a library', () => {
  it('takes a version from registration to production and back', async () => {
    const project = await twoVersions();
    const registry = await openRegistry(project.root, { remote: false });
    expect((await registry.getLatestVersion('ranker')).version).toBe('v1.1.0');
    await registry.deploy('ranker', 'v1.0.0', 'production', { reason: 'first' });
    await registry.deploy('ranker', 'latest', 'staging');
    const promoted = await registry.promote('ranker', { from: 'staging', to: 'production' });
    expect(promoted).toMatchObject({ version: 'v1.1.0', before: 'v1.0.0', number: 2 });
    expect((await registry.getDeployedVersion('ranker', 'production')).version).toBe('v1.1.0');
    await registry.rollback('ranker', 'production', { reason: 'slow' });
    expect((await registry.getDeployedVersion('ranker', 'production')).version).toBe('v1.0.0');
    const { entries } = await registry.history('ranker', { environment: 'production' });
    expect(entries.map(({ action, reason }) => [action, reason])).toEqual([
      ['rollback', 'slow'],
      ['promote', undefined],
      ['deploy', 'first'],
    ]);
    const { versions } = await registry.listVersions('ranker', { sort: 'acc' });
    expect(versions.map(({ version }) => version)).toEqual(['v1.1.0', 'v1.0.0']);
    expect(await registry.listModels()).toMatchObject([{ model: 'ranker', latest: 'v1.1.0' }]);
    await registry.rollback('ranker', 'staging').catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'no-earlier-version' });
    });
    const forced = { force: true, reason: 'wrong data' };
    await registry.setState('ranker', 'v1.1.0', 'deleted', forced);
    expect((await registry.getLatestVersion('ranker')).version).toBe('v1.0.0');
  });

  it('says what there is not', async () => {
    const registry = await openRegistry((await twoVersions()).root);
    await expect(registry.getLatestVersion('other')).rejects.toMatchObject({
      code: 'unknown-model',
    });
    await expect(registry.getDeployedVersion('ranker', 'production')).rejects.toMatchObject({
      code: 'unknown-version',
    });
    await expect(openRegistry('/', { remote: false })).rejects.toMatchObject({
      code: 'no-workspace',
    });
  });
});
