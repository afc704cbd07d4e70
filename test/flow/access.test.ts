import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { rolePolicy } from '../../src/flow/access/policy.ts';
import { grantOf, type RoleName, roleNames, roles } from '../../src/flow/access/roles.ts';
import { checkAudit } from '../../src/flow/audit/check-audit.ts';
import type { CheckName } from '../../src/flow/check-list.ts';
import { deploy } from '../../src/flow/environments.ts';
import { fetchRegistry } from '../../src/flow/fetch-registry.ts';
import { cleanUp } from '../../src/flow/gc/gc.ts';
import { remotePlace } from '../../src/flow/gc/place.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { checkRemote } from '../../src/flow/remote-check.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { chooseFetchRemotes } from '../../src/flow/several-remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { s3Policy } from '../../src/remote/s3-policy.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import { makePlainProject, type Project, withRemotes } from '../support/flow-project.ts';
import { listKeys } from '../support/remote-bytes.ts';
import { allowsRequest, type S3Policy } from '../support/s3-policy-rules.ts';
import { newS3Remote, testS3Server } from '../support/s3-remote.ts';

const server = await testS3Server();
const origin = 'memory://origin';
let prefix: string;
let owner: RemotePruner;
let count = 0;

beforeEach(async () => {
  prefix = `team-${++count}/`;
  owner = newS3Remote(server, { prefix });
  await initRemote(owner, systemClock, systemRandom);
});

/** Opens the remote as a user who has a policy and nothing else. */
async function openAs(policy: S3Policy): Promise<RemotePruner> {
  const key = `USER${server.users.size}`;
  server.users.set(key, { secret: 'a secret', policy });
  const before = process.env['AWS_ACCESS_KEY_ID'];
  const secretBefore = process.env['AWS_SECRET_ACCESS_KEY'];
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: 'a secret' });
  const remote = newS3Remote(server, { prefix });
  // Credentials are looked for once.
  expect(await remote.probe?.identity()).toContain(key.slice(-4));
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: before,
    AWS_SECRET_ACCESS_KEY: secretBefore,
  });
  return remote;
}

/** Opens the remote with what `remote policy` prints for a role. */
async function openAsRole(role: RoleName): Promise<RemotePruner> {
  const { document } = await rolePolicy({ name: 'origin', remote: owner }, role);
  return openAs(document as S3Policy);
}

async function project(remote: RemotePruner): Promise<Project> {
  return makePlainProject(withRemotes({ origin: remote }));
}

async function chosenOf(one: Project) {
  return chooseRemote(await one.open(), origin, one.root);
}

async function states(remote: RemotePruner, role: RoleName) {
  const checked = { name: 'origin', remote, acceptRaces: false };
  const workspace = await (await project(remote)).open();
  const { checks } = await checkRemote(workspace, checked, { role });
  const of = (name: CheckName) => checks.find((one) => one.name === name);
  return { of, failed: checks.filter(({ state }) => state === 'failed').map(({ name }) => name) };
}

/** All that is there, uploads too. */
async function everything(): Promise<string[]> {
  return [...(await listKeys(owner)), ...server.uploads.keys()];
}

describe('remote check --as', () => {
  it.each(roleNames)('finds that the policy of a %s is right for it', async (role) => {
    const before = await everything();
    const { failed, of } = await states(await openAsRole(role), role);
    expect(failed).toEqual([]);
    expect(of('must-not-delete')?.state).toBe('ok');
    expect(await everything()).toEqual(before);
  });

  it.each(roleNames)('finds the owner too powerful for a %s, and leaves nothing', async (role) => {
    const before = await everything();
    const { failed, of } = await states(owner, role);
    expect(failed).toEqual(['must-not-create', 'must-not-delete']);
    expect(of('must-not-create')).toMatchObject({
      code: 'too-powerful',
      hint: expect.stringContaining(`--role ${role}`),
    });
    expect(await everything()).toEqual(before);
  });

  it.each<readonly [RoleName, RoleName, readonly CheckName[]]>([
    ['reader', 'publisher', ['may-create']],
    ['publisher', 'reader', ['must-not-create']],
    ['publisher', 'promoter', ['may-create', 'must-not-create']],
    ['promoter', 'publisher', ['may-create', 'must-not-create']],
    ['promoter', 'collector', ['may-create', 'may-delete', 'must-not-create']],
    ['collector', 'publisher', ['may-create', 'must-not-create', 'must-not-delete']],
  ])('finds that the policy of a %s is wrong for a %s', async (given, role, expected) => {
    const { failed } = await states(await openAsRole(given), role);
    expect(failed).toEqual(expected);
  });

  it('names what a publisher may not touch', async () => {
    const { of } = await states(await openAsRole('collector'), 'publisher');
    expect(of('must-not-delete')?.message).toMatch(
      /delete below packs\/ index\/ recipes\/ roots\//,
    );
    expect(of('may-create')).toMatchObject({ code: 'remote-refused' });
  });

  it('is refused at places that know no roles', async () => {
    const remote = memoryRemote();
    await expect(states(remote, 'reader')).rejects.toMatchObject({ code: 'usage' });
    await expect(rolePolicy({ name: 'm', remote }, 'reader')).rejects.toThrow(/has no roles/);
  });
});

describe('a policy', () => {
  const ask = (method: string, key: string, headers = {}, query = '') => ({
    ...{ method, bucket: 'models', key, headers },
    query: new URLSearchParams(query),
  });
  const policyOf = (role: RoleName, isAmazon = false) =>
    s3Policy({ bucket: 'models', prefix: 'team/', location: '' }, grantOf(roles[role]), isAmazon)
      .document as S3Policy;

  it.each([
    ['publisher', 'refs/models/m/versions/v1.json', true],
    ['publisher', 'refs/models/m/environments/production/00000001.json', false],
    // Names that read like other parts of a registry lead nowhere else.
    ['publisher', 'refs/models/m/environments/versions/00000001.json', false],
    ['publisher', 'refs/models/m/environments/states/00000001.json', false],
    ['publisher', 'gc/x/1.swept', true],
    ['publisher', 'gc/x/mark.json', false],
    ['promoter', 'refs/models/m/environments/production/00000001.json', true],
    ['promoter', 'refs/models/m/versions/v1.json', false],
    ['promoter', 'packs/ab/x.pack', false],
    ['collector', 'refs/models/m/versions/v1.json', false],
    ['collector', 'packs/ab/x.pack', true],
    ['reader', 'audit/0000/00000001.json', false],
  ] as const)('lets a %s create %s: %s', (role, key, allowed) => {
    expect(allowsRequest(policyOf(role), ask('PUT', `team/${key}`))).toBe(allowed);
    expect(allowsRequest(policyOf(role), ask('PUT', `other/${key}`))).toBe(false);
  });

  it('lets nobody delete but the collector, and nobody what tells of acts', () => {
    for (const role of roleNames) {
      const may = (key: string) => allowsRequest(policyOf(role), ask('DELETE', `team/${key}`));
      expect(may('packs/ab/x.pack')).toBe(role === 'collector');
      expect(may('refs/models/m/versions/v1.json')).toBe(false);
      expect(may('audit/0000/00000001.json')).toBe(false);
      expect(may('mstore.json')).toBe(false);
    }
  });

  it('lists the folder alone', () => {
    const list = (at: string) => ask('GET', '', {}, `list-type=2&prefix=${at}`);
    expect(allowsRequest(policyOf('reader'), list('team/'))).toBe(true);
    expect(allowsRequest(policyOf('reader'), list('team/refs/'))).toBe(true);
    expect(allowsRequest(policyOf('reader'), list('other/'))).toBe(false);
    expect(allowsRequest(policyOf('reader'), list(''))).toBe(false);
  });

  it('has Amazon refuse to write over what is there', () => {
    const key = 'team/packs/ab/x.pack';
    const amazon = policyOf('publisher', true);
    const fresh = { 'if-none-match': '*' };
    expect(allowsRequest(amazon, ask('PUT', key))).toBe(false);
    expect(allowsRequest(amazon, ask('PUT', key, fresh))).toBe(true);
    expect(allowsRequest(amazon, ask('POST', key, {}, 'uploads'))).toBe(true);
    expect(allowsRequest(amazon, ask('PUT', key, {}, 'partNumber=1&uploadId=u'))).toBe(true);
    expect(allowsRequest(amazon, ask('POST', key, {}, 'uploadId=u'))).toBe(false);
    expect(allowsRequest(amazon, ask('POST', key, fresh, 'uploadId=u'))).toBe(true);
    expect(allowsRequest(policyOf('publisher'), ask('PUT', key))).toBe(true);
  });
});

describe('work by role', () => {
  it('is done by those whose it is, and by nobody else', async () => {
    const opened = {
      reader: await project(await openAsRole('reader')),
      publisher: await project(await openAsRole('publisher')),
      promoter: await project(await openAsRole('promoter')),
      collector: await project(await openAsRole('collector')),
    };
    const publish = async (one: Project, version: string) => {
      one.write('bert/weights', version);
      await one.add('bert');
      await register(await one.open(), { model: 'bert', version });
      const workspace = await one.open();
      const { tracked } = await findTargets(workspace, [], one.root);
      return pushWithVersions(workspace, tracked, await chosenOf(one), { registry: 'all' });
    };
    const deployAs = async (one: Project, version: string) =>
      deploy(
        await one.open(),
        { model: 'bert', version, environment: 'production' },
        { remote: await chosenOf(one) },
      );
    const denied = { code: 'remote-refused', details: { reason: 'forbidden' } };
    const { reader, publisher, promoter, collector } = opened;
    expect((await publish(publisher, 'v1')).result.problems).toEqual([]);
    await expect(publish(reader, 'v2')).rejects.toMatchObject(denied);
    await expect(publish(promoter, 'v2')).rejects.toMatchObject(denied);
    await expect(deployAs(publisher, 'v1')).rejects.toMatchObject(denied);
    await expect(deployAs(reader, 'v1')).rejects.toMatchObject(denied);
    expect((await deployAs(await fresh('promoter'), 'v1')).warnings).toEqual([]);
    const target = { model: 'bert', version: 'v1', state: 'deprecated' } as const;
    const remote = await chosenOf(collector);
    const force = { remote, force: true, reason: 'x' };
    await expect(setVersionState(await collector.open(), target, force)).rejects.toMatchObject(
      denied,
    );
    const follower = await fresh('reader');
    const workspace = await follower.open();
    const choices = await chooseFetchRemotes(workspace, [origin], follower.root);
    expect(await fetchRegistry(workspace, choices, {})).toMatchObject({ records: 2 });
  });

  it('cleans up by the collector alone', async () => {
    const one = await project(await openAsRole('publisher'));
    one.write('data', 'one');
    await one.add('data');
    await one.push();
    const repository = (await one.open()).config.string('core.repository') ?? '';
    const collect = async (role: RoleName) => {
      const by = await project(await openAsRole(role));
      const workspace = await by.open();
      const remote = await workspace.surroundings.openRemote(origin, { base: by.root });
      const place = remotePlace(workspace, { name: origin, remote, isService: true });
      return cleanUp(workspace, place, { graceMs: 0, forget: [repository] });
    };
    await expect(collect('publisher')).rejects.toMatchObject({ code: 'remote-refused' });
    const { swept, warnings } = await collect('collector');
    expect(swept).toMatchObject({ packs: 1, roots: 1 });
    expect(warnings).toEqual([]);
    expect(await listKeys(owner, 'packs/')).toEqual([]);
  });

  async function fresh(role: RoleName): Promise<Project> {
    return project(await openAsRole(role));
  }

  it('is logged by all who act', async () => {
    const one = await fresh('publisher');
    one.write('bert/weights', 'v1');
    await one.add('bert');
    await register(await one.open(), { model: 'bert', version: 'v1' });
    const workspace = await one.open();
    const { tracked } = await findTargets(workspace, [], one.root);
    await pushWithVersions(workspace, tracked, await chosenOf(one), { registry: 'all' });
    const by = await fresh('promoter');
    const target = { model: 'bert', version: 'v1', environment: 'production' };
    await deploy(await by.open(), target, { remote: await chosenOf(by) });
    const problems: string[] = [];
    const onProblem = ({ message }: { message: string }) => void problems.push(message);
    const watcher = await (await fresh('reader')).open();
    const { lines, unlogged } = await checkAudit(watcher, owner, { onProblem });
    expect({ lines, unlogged, problems }).toEqual({ lines: 3, unlogged: [], problems: [] });
  });
});
