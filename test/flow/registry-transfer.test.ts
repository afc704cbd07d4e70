import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../src/base/errors.ts';
import { diffReferences } from '../../src/flow/diff-versions.ts';
import { deploy } from '../../src/flow/environments.ts';
import { fetch } from '../../src/flow/fetch.ts';
import { fetchRegistry, type RegistryFetchOptions } from '../../src/flow/fetch-registry.ts';
import { findFetchTargets } from '../../src/flow/fetch-targets.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { chooseFetchRemotes } from '../../src/flow/several-remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { chosenVersion, withFileLists } from '../../src/flow/version-content.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { parseRegistryKey } from '../../src/registry/keys.ts';
import type { RemotePruner, RemoteWriter } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { listKeys } from '../support/remote-bytes.ts';

const origin = 'memory://origin';

/** Workspaces that share one remote. */
async function hosts(count: number, shared?: RemotePruner) {
  const remote = shared ?? (await emptyRemote());
  const projects: Project[] = [];
  for (let i = 0; i < count; i++) {
    projects.push(await makePlainProject(withRemotes({ origin: remote })));
  }
  return { remote, projects };
}

async function addVersion(project: Project, name: string, text = name): Promise<void> {
  const [model = '', version = ''] = name.split('@');
  project.write('models/bert/weights', text);
  project.write('models/bert/config', '{}');
  await project.add('models/bert');
  await register(await project.open(), { model, version });
}

async function deployHere(project: Project, name: string, environment: string): Promise<void> {
  const [model = '', version = ''] = name.split('@');
  await deploy(await project.open(), { model, version, environment });
}

/** Pushes as the command does: without arguments all of the registry, else what they name. */
async function push(project: Project, ...args: string[]) {
  const workspace = await project.open();
  const { tracked, version } = await findTargets(workspace, args, project.root);
  const chosen = await chooseRemote(workspace, origin, project.root);
  return pushWithVersions(workspace, tracked, chosen, {
    registry: args.length === 0 ? 'all' : version,
  });
}

async function bring(project: Project, options: RegistryFetchOptions = {}) {
  const workspace = await project.open();
  return fetchRegistry(
    workspace,
    await chooseFetchRemotes(workspace, [origin], project.root),
    options,
  );
}

/** Brings what a reference names and writes it, as the command does. */
async function pull(project: Project, ...args: string[]) {
  const workspace = await project.open();
  const remotes = await chooseFetchRemotes(workspace, [origin], project.root);
  const parts = { cwd: project.root, remotes: async () => remotes };
  const { targets, registry } = await findFetchTargets(workspace, args, parts);
  await fetch(workspace, targets.tracked, remotes);
  const whole = targets.tracked.map((item) => withFileLists(workspace.store, item));
  return { targets, registry, whole, chosen: targets.version && chosenVersion(targets.version) };
}

async function names(place: RemoteWriter): Promise<string[]> {
  return listKeys(place, 'refs/');
}

async function namesHere(project: Project): Promise<string[]> {
  return names((await localRegistry(await project.open())).place);
}

const record = (version: string) => `refs/models/bert/versions/${version}.json`;
const entry = (environment: string, number: number) =>
  `refs/models/bert/environments/${environment}/${String(number).padStart(8, '0')}.json`;
const state = (version: string, number: number) =>
  `refs/models/bert/states/${version}/${String(number).padStart(8, '0')}.json`;

describe('a push of versions', () => {
  it('sends their data first, then records, states and histories', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects as [Project];
    await addVersion(one, 'bert@v1');
    await addVersion(one, 'bert@v2');
    await deployHere(one, 'bert@v1', 'production');
    await deployHere(one, 'bert@v2', 'production');
    await register(await one.open(), { model: 'bert', version: 'v3' });
    await setVersionState(
      await one.open(),
      { model: 'bert', version: 'v3', state: 'deprecated' },
      {},
    );
    const order: string[] = [];
    const watched: RemotePruner = {
      ...remote,
      create(key, source, options) {
        order.push(key);
        return remote.create(key, source, options);
      },
    };
    const workspace = await one.open(withRemotes({ origin: watched }));
    const { tracked } = await findTargets(workspace, [], one.root);
    const chosen = await chooseRemote(workspace, origin, one.root);
    const { result, conflicts } = await pushWithVersions(workspace, tracked, chosen, {
      registry: 'all',
    });
    expect(conflicts).toEqual([]);
    expect(result.recordsSent).toBe(6);
    const refs = order.filter((key) => key.startsWith('refs/'));
    expect(order.slice(-7, -1)).toEqual(refs);
    expect(order.at(-1)).toBe('audit/0000/00000002.json');
    expect(refs.map((key) => parseRegistryKey(key)?.kind)).toEqual([
      ...['versions', 'versions', 'versions'],
      'states',
      ...['environments', 'environments'],
    ]);
    const roots = await listKeys(remote, 'roots/');
    expect(roots).toHaveLength(2);
    const again = await push(one);
    expect(again.result).toMatchObject({ recordsSent: 0, bytesSent: 0 });
  });

  it('keeps data that no pointer names any more, as a root of its own', async () => {
    const { remote, projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1', 'first');
    const { record: first } = await register(await one.open(), { model: 'bert', version: 'v1' });
    one.write('models/bert/weights', 'not registered');
    await one.add('models/bert');
    await push(one);
    const texts: string[] = [];
    for (const key of await listKeys(remote, 'roots/')) {
      for await (const block of remote.get(key)) texts.push(Buffer.from(block).toString());
    }
    expect(texts.filter((text) => text.includes(first.value.content.sha256))).toHaveLength(1);
    const { whole } = await pull(two, 'bert@v1');
    expect(whole).toMatchObject([
      {
        path: 'models/bert',
        pointer: { files: [{ path: 'config' }, { path: 'weights', size: 5 }] },
      },
    ]);
  });

  it('of one version sends that and its states, no history and no other version', async () => {
    const { remote, projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1');
    await addVersion(one, 'bert@v2');
    await deployHere(one, 'bert@v1', 'production');
    await setVersionState(
      await one.open(),
      { model: 'bert', version: 'v1', state: 'deprecated' },
      { force: true, reason: 'A test' },
    );
    const { result } = await push(one, 'production');
    expect(result.recordsSent).toBe(2);
    expect(await names(remote)).toEqual([state('v1', 1), record('v1')]);
    expect((await pull(two, 'bert@v1')).targets.version).toMatchObject({ state: 'deprecated' });
    await expect(pull(two, 'bert@v2')).rejects.toMatchObject({ code: 'unknown-version' });
  });

  it('sends no data of a version that was deleted', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects as [Project];
    await addVersion(one, 'bert@v1', 'to be deleted');
    await setVersionState(
      await one.open(),
      { model: 'bert', version: 'v1', state: 'deleted' },
      { force: true, reason: 'A test' },
    );
    one.write('models/bert/weights', 'another');
    await one.add('models/bert');
    fs.rmSync(path.join((await one.open()).store.folder, 'packs'), { recursive: true });
    one.write('models/bert/weights', 'another one');
    await one.add('models/bert');
    const { result } = await push(one);
    expect(result.recordsSent).toBe(2);
    expect(await names(remote)).toEqual([state('v1', 1), record('v1')]);
  });

  it('of nothing registered costs no request more than before', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects as [Project];
    one.write('model', 'x');
    await one.add('model');
    const plain = await one.push();
    expect('recordsSent' in plain).toBe(false);
    const workspace = await one.open();
    const counted = counting(remote);
    const chosen = { name: 'origin', remote: counted };
    const { tracked } = await findTargets(workspace, [], one.root);
    await pushWithVersions(workspace, tracked, chosen, { registry: 'all' });
    const all = counted.counts();
    const alone = counting(remote);
    await pushWithVersions(workspace, tracked, { name: 'origin', remote: alone });
    expect(all).toEqual(alone.counts());
  });
});

describe('registries that differ', () => {
  it('are told after all else was sent, and nothing that speaks of what differs is', async () => {
    const { remote, projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1', 'ours');
    await push(one);
    await addVersion(two, 'bert@v1', 'theirs');
    await deployHere(two, 'bert@v1', 'staging');
    await addVersion(two, 'bert@v2', 'more');
    await deployHere(two, 'bert@v2', 'production');
    const { result, conflicts } = await push(two);
    expect(conflicts.map(({ kind, name }) => [kind, name])).toEqual([
      ['version', 'v1'],
      ['history', 'staging'],
    ]);
    expect(result.recordsSent).toBe(2);
    expect(await names(remote)).toEqual([entry('production', 1), record('v1'), record('v2')]);
    await expect(push(two, 'bert@v1')).rejects.toMatchObject({
      code: 'version-exists',
      exitCode: 6,
      hint: expect.stringContaining('--take-history'),
    });
    expect((await push(two, 'bert@v2')).conflicts).toEqual([]);
  });

  it('are brought together by taking what the remote has; ours is set aside', async () => {
    const { projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1');
    await addVersion(one, 'bert@v2');
    await push(one);
    await bring(two);
    for (const [project, names] of [
      [one, ['v1', 'v2']],
      [two, ['v2']],
    ] as const) {
      await pull(project, 'bert@v1');
      await pull(project, 'bert@v2');
      for (const name of names) await deployHere(project, `bert@${name}`, 'production');
    }
    await push(one);
    await expect(pull(two, 'production')).rejects.toMatchObject({
      code: 'histories-differ',
      exitCode: 6,
      hint: expect.stringContaining('--take-history'),
    });
    const { conflicts } = await bring(two);
    expect(conflicts).toHaveLength(1);
    const before = await namesHere(two);
    const ours = fs.readFileSync(
      path.join((await two.open()).store.folder, entry('production', 1)),
    );
    const taken = await bring(two, { takeHistory: true });
    expect(taken).toMatchObject({ conflicts: [], records: 2 });
    const folder = taken.setAside ?? '';
    expect(path.relative((await two.open()).store.folder, folder)).toMatch(/^set-aside\/\d{8}T/);
    expect(fs.readFileSync(path.join(folder, entry('production', 1)))).toEqual(ours);
    expect(await namesHere(two)).toEqual([...before, entry('production', 2)].sort());
    expect((await pull(two, 'production')).chosen).toMatchObject({ version: 'v2' });
    expect((await bring(two, { takeHistory: true })).setAside).toBeUndefined();
  });

  it('of one version are brought together in the same way, with what spoke of it', async () => {
    const { projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1', 'ours');
    await deployHere(one, 'bert@v1', 'production');
    await push(one);
    await addVersion(two, 'bert@v1', 'theirs');
    await deployHere(two, 'bert@v1', 'staging');
    expect(await bring(two)).toMatchObject({ records: 0 });
    expect(await namesHere(two)).toEqual([entry('staging', 1), record('v1')]);
    const { setAside = '', records } = await bring(two, { takeHistory: true });
    expect(records).toBe(2);
    expect(await namesHere(two)).toEqual([entry('production', 1), record('v1')]);
    for (const key of [entry('staging', 1), record('v1')]) {
      expect(fs.existsSync(path.join(setAside, key)), key).toBe(true);
    }
    expect((await pull(two, 'bert@production')).whole).toMatchObject([{ pointer: { size: 6 } }]);
  });

  it('are noticed after the store was lost and made anew', async () => {
    const { projects } = await hosts(1);
    const [one] = projects as [Project];
    await addVersion(one, 'bert@v1', 'first');
    await push(one);
    await push(one);
    fs.rmSync((await one.open()).store.folder, { recursive: true });
    await addVersion(one, 'bert@v1', 'second');
    const { conflicts } = await push(one);
    expect(conflicts).toMatchObject([{ kind: 'version', name: 'v1' }]);
  });

  it('by a race have one winner, and all else of the loser is sent', async () => {
    const { remote, projects } = await hosts(4);
    await Promise.all(
      projects.map(async (project, i) => {
        await addVersion(project, 'bert@v1', `by ${i}`);
        await addVersion(project, `bert@own-${i}`, `own ${i}`);
        await deployHere(project, `bert@own-${i}`, 'production');
      }),
    );
    const outcomes = await Promise.all(projects.map((project) => push(project)));
    const kinds = outcomes.map(({ conflicts }) => conflicts.map(({ kind }) => kind).sort());
    expect(kinds.filter((kind) => !kind.includes('version'))).toHaveLength(1);
    expect(kinds.filter((kind) => !kind.includes('history'))).toHaveLength(1);
    expect(await names(remote)).toEqual([
      entry('production', 1),
      ...['own-0', 'own-1', 'own-2', 'own-3', 'v1'].map(record),
    ]);
    for (let i = 0; i < 4; i++) {
      const [reader] = (await hosts(1, remote)).projects as [Project];
      expect((await pull(reader, `bert@own-${i}`)).whole).toHaveLength(1);
    }
  });
});

describe('a fetch of versions', () => {
  it('asks the remote what is live now', async () => {
    const { projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1', 'first');
    await deployHere(one, 'bert@v1', 'production');
    await push(one);
    for (const reference of ['bert@production', 'production', 'v1', 'bert@latest']) {
      expect((await pull(two, reference)).chosen, reference).toMatchObject({ version: 'v1' });
    }
    await addVersion(one, 'bert@v2', 'second');
    await deployHere(one, 'bert@v2', 'production');
    await push(one);
    const { chosen, whole, registry } = await pull(two, 'production');
    expect(chosen).toMatchObject({ version: 'v2', environment: 'production' });
    expect(whole).toMatchObject([{ pointer: { size: 8 } }]);
    expect(registry).toMatchObject({ remote: origin, records: 2, answered: true });
    expect((await pull(two, 'latest')).chosen).toMatchObject({ version: 'v2' });
  });

  it('says what the remote says, also where this host has gone on and not pushed yet', async () => {
    const { projects } = await hosts(1);
    const [one] = projects as [Project];
    await addVersion(one, 'bert@v1');
    await deployHere(one, 'bert@v1', 'production');
    await push(one);
    await addVersion(one, 'bert@v2');
    await deployHere(one, 'bert@v2', 'production');
    expect((await pull(one, 'production')).chosen).toMatchObject({ version: 'v1' });
    expect((await pull(one, 'bert@latest')).chosen).toMatchObject({ version: 'v1' });
    expect((await pull(one, 'bert@v2')).chosen).toMatchObject({ version: 'v2' });
  });

  it('takes what never changes from here where no remote answers, and nothing else', async () => {
    const { projects } = await hosts(1);
    const [one] = projects as [Project];
    await addVersion(one, 'bert@v1');
    await deployHere(one, 'bert@v1', 'production');
    await push(one);
    const workspace = await one.open();
    const error = new MstoreError('remote-unreachable', 'It is away');
    const parts = { cwd: one.root, remotes: async () => [{ name: 'away', error }] };
    const find = (text: string) => findFetchTargets(workspace, [text], parts);
    const { targets, registry } = await find('bert@v1');
    expect(targets.version?.record.value.version).toBe('v1');
    expect(registry).toMatchObject({ answered: false, failures: [{ remote: 'away', error }] });
    for (const text of ['bert@production', 'production', 'bert@latest', 'other@v1', 'v9']) {
      await expect(find(text), text).rejects.toBe(error);
    }
    const none = { cwd: one.root, remotes: async () => [] };
    const alone = await findFetchTargets(workspace, ['production'], none);
    expect(alone.targets.version?.record.value.version).toBe('v1');
  });

  it('of the registry alone brings no data, and a comparison says what to fetch', async () => {
    const { projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await addVersion(one, 'bert@v1');
    await addVersion(one, 'bert@v2');
    await push(one);
    await pull(two, 'bert@v1');
    const diff = async () =>
      diffReferences(
        await two.open(),
        await findTargets(await two.open(), ['v1'], two.root),
        await findTargets(await two.open(), ['v2'], two.root),
      );
    await expect(diff()).rejects.toMatchObject({
      code: 'objects-missing',
      hint: 'Run "mstore fetch bert@v2" to get it',
    });
    await pull(two, 'v2');
    expect((await diff()).paths).toHaveLength(1);
  });

  it('passes over a remote without a registry, for one listing', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects as [Project];
    await addVersion(one, 'bert@v1');
    await push(one);
    const empty = counting(await emptyRemote());
    const [two] = (await hosts(1)).projects as [Project];
    const workspace = await two.open();
    const choices = [
      { name: 'empty', remote: empty },
      { name: 'origin', remote: counting(remote) },
    ];
    const brought = await fetchRegistry(workspace, choices);
    expect(brought).toMatchObject({ remote: 'origin', records: 1, failures: [] });
    expect(empty.counts().list.calls).toBe(1);
    expect(empty.counts().get.calls).toBe(0);
    expect(await fetchRegistry(workspace, choices.slice(0, 1))).toEqual({
      records: 0,
      conflicts: [],
      failures: [],
      answered: true,
    });
  });
});
