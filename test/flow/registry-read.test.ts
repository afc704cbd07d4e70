import { describe, expect, it } from 'vitest';
import type { ErrorCode, MstoreError } from '../../src/base/errors.ts';
import { listModels, readVersions, registryToRead } from '../../src/flow/registry-read.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import type { VersionState } from '../../src/registry/entry.ts';
import { entryKey, versionKey } from '../../src/registry/keys.ts';
import type { VersionRecord } from '../../src/registry/record.ts';
import { environmentLog, Registry, stateLog } from '../../src/registry/registry.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { emptyRemote, makeProject, withRemotes } from '../support/flow-project.ts';
import { damage, flipAt } from '../support/flow-remote-check.ts';
import { environmentDraft, madeRecord, stateDraft } from '../support/registry.ts';

const day = (number: number): string => `2026-03-${String(number).padStart(2, '0')}T12:00:00.000Z`;
const failure = (code: ErrorCode, hint: RegExp) =>
  expect.objectContaining({ code, hint: expect.stringMatching(hint) });

/** A registry in memory, filled step by step. */
function madeRegistry(place: RemotePruner = memoryRemote()) {
  const registry = new Registry(place);
  return {
    registry,
    async version(model: string, version: string, change: Partial<VersionRecord> = {}) {
      await registry.createRecord(madeRecord(model, version, change));
    },
    async live(model: string, version: string, environment: string, at: string) {
      const log = environmentLog(model, environment);
      const draft = { ...environmentDraft(madeRecord(model, version), environment), at };
      await registry.append(log, draft, await registry.last(log));
    },
    async state(model: string, version: string, state: VersionState, at: string) {
      const log = stateLog(model, version);
      const draft = { ...stateDraft(model, version, state), at };
      await registry.append(log, draft, await registry.last(log));
    },
  };
}

describe('models', () => {
  it('are told with what is in use, what is the latest, what is live and when they changed', async () => {
    const { registry, version, live, state } = madeRegistry();
    for (const [i, name] of ['v1.0.0', 'v1.10.0', 'v1.9.0', 'v2.0.0-rc.1', 'v3.0.0'].entries()) {
      await version('ranker', name, { created: day(i + 1) });
    }
    await state('ranker', 'v3.0.0', 'deprecated', day(8));
    await state('ranker', 'v1.0.0', 'archived', day(7));
    await live('ranker', 'v1.9.0', 'staging', day(9));
    await live('ranker', 'v1.10.0', 'staging', day(10));
    await live('ranker', 'v1.9.0', 'production', day(6));
    await version('ocr', 'nightly', { created: day(20) });
    await version('gone', 'v1', { created: day(1) });
    await state('gone', 'v1', 'deleted', day(2));
    expect(await listModels(registry)).toEqual([
      { model: 'gone', versions: 0, retired: 1, latest: null, live: [], changed: day(2) },
      { model: 'ocr', versions: 1, retired: 0, latest: 'nightly', live: [], changed: day(20) },
      {
        model: 'ranker',
        versions: 4,
        retired: 1,
        latest: 'v1.10.0',
        live: [
          { environment: 'production', version: 'v1.9.0', since: day(6) },
          { environment: 'staging', version: 'v1.10.0', since: day(10) },
        ],
        changed: day(10),
      },
    ]);
    expect(await listModels(madeRegistry().registry)).toEqual([]);
  });
});

describe('versions', () => {
  async function ranker() {
    const made = madeRegistry();
    const { version, state, live } = made;
    await version('ranker', 'v1.0.0', { created: day(5), metrics: { acc: 0.8, loss: 0.3 } });
    await version('ranker', 'v1.10.0', { created: day(1), metrics: { acc: 0.95 } });
    await version('ranker', 'v1.9.0', { created: day(3), metrics: { loss: 0.1 } });
    await version('ranker', 'v1.2.0', { created: day(2), metrics: { acc: 0.99, old: 1 } });
    await version('ranker', 'v1.3.0', { created: day(4) });
    await state('ranker', 'v1.2.0', 'archived', day(6));
    await state('ranker', 'v1.3.0', 'deleted', day(6));
    await state('ranker', 'v1.9.0', 'deprecated', day(6));
    await live('ranker', 'v1.9.0', 'staging', day(7));
    await live('ranker', 'v1.9.0', 'production', day(7));
    return made;
  }

  it.each([
    ['the latest first', {}, 'v1.10.0 v1.9.0 v1.0.0'],
    ['the other way round', { reverse: true }, 'v1.0.0 v1.9.0 v1.10.0'],
    ['archived and deleted ones too', { all: true }, 'v1.10.0 v1.9.0 v1.3.0 v1.2.0 v1.0.0'],
    ['the newest first', { sort: 'created' }, 'v1.0.0 v1.9.0 v1.10.0'],
    ['the oldest first', { sort: 'created', reverse: true }, 'v1.10.0 v1.9.0 v1.0.0'],
    ['the highest metric first', { sort: 'acc' }, 'v1.10.0 v1.0.0 v1.9.0'],
    ['the lowest metric first', { sort: 'acc', reverse: true }, 'v1.0.0 v1.10.0 v1.9.0'],
    [
      'those without the metric last, the latest first',
      { sort: 'acc', all: true },
      'v1.2.0 v1.10.0 v1.0.0 v1.9.0 v1.3.0',
    ],
  ])('stand in order: %s', async (_name, options, expected) => {
    const { versions } = await readVersions((await ranker()).registry, 'ranker', options);
    expect(versions.map(({ version }) => version).join(' ')).toBe(expected);
  });

  it('are told with state, environments and what was registered', async () => {
    const { registry } = await ranker();
    const list = await readVersions(registry, 'ranker');
    expect(list).toMatchObject({ model: 'ranker', latest: 'v1.10.0', retired: 2 });
    const { value, sha256 } = madeRecord('ranker', 'v1.9.0', {
      created: day(3),
      metrics: { loss: 0.1 },
    });
    expect(list.versions[1]).toEqual({
      version: 'v1.9.0',
      state: 'deprecated',
      live: ['production', 'staging'],
      created: day(3),
      author: 'Ann',
      ...{ path: 'models/m', kind: 'tree', sha256: value.content.sha256, size: 5 },
      record: sha256,
      metrics: { loss: 0.1 },
    });
  });

  it('are refused an order by a metric that none of them has', async () => {
    const { registry } = await ranker();
    const by = (sort: string) => readVersions(registry, 'ranker', { sort });
    await expect(by('los')).rejects.toEqual(failure('usage', /^Did you mean loss\?$/));
    await expect(by('creatd')).rejects.toEqual(failure('usage', /^Did you mean created\?$/));
    await expect(by('bleu')).rejects.toEqual(failure('usage', /^Sort by .* metric: acc, loss$/));
    // An archived version alone has it.
    await expect(by('old')).rejects.toEqual(failure('usage', /metric/));
    await expect(by('__proto__')).rejects.toEqual(failure('usage', /metric/));
    await expect(by('toString')).rejects.toEqual(failure('usage', /metric/));
  });

  it('of a model that is not there are refused, with the nearest name', async () => {
    const { registry } = await ranker();
    await expect(readVersions(registry, 'rankr')).rejects.toEqual(
      failure('unknown-model', /^Did you mean ranker\?$/),
    );
  });

  it('name an object that is damaged', async () => {
    const place = memoryRemote();
    const { registry, version } = madeRegistry(place);
    await version('ranker', 'v1');
    await version('ranker', 'v2');
    const key = versionKey('ranker', 'v2');
    await place.delete(key);
    await place.create(key, bytesSource(Buffer.from('{"mstore": 1}')));
    const named = expect.objectContaining({
      code: 'corrupt-registry',
      message: expect.stringContaining(key),
    });
    await expect(readVersions(registry, 'ranker')).rejects.toEqual(named);
    await expect(listModels(registry)).rejects.toEqual(named);
  });

  it('are listed without those that are damaged, where these are told', async () => {
    const place = memoryRemote();
    const { registry, version, live, state } = madeRegistry(place);
    for (const name of ['v1.0.0', 'v1.1.0', 'v1.2.0']) await version('ranker', name);
    await live('ranker', 'v1.0.0', 'staging', day(1));
    await live('ranker', 'v1.0.0', 'production', day(1));
    await state('ranker', 'v1.1.0', 'deleted', day(2));
    await version('lost', 'v1');
    const damaged = [
      versionKey('lost', 'v1'),
      entryKey(environmentLog('ranker', 'staging'), 1),
      entryKey(stateLog('ranker', 'v1.1.0'), 1),
      versionKey('ranker', 'v1.2.0'),
    ];
    for (const key of damaged) await damage(place, key, flipAt(100));
    const told: string[] = [];
    const onDamage = ({ message }: MstoreError): void => void told.push(message);
    const [ranker, ...others] = await listModels(registry, { onDamage });
    expect(others).toEqual([]);
    // The latest by its name is one of those, so that none is called the latest.
    expect(ranker).toMatchObject({ versions: 1, retired: 0, latest: null });
    expect(ranker?.live.map(({ environment }) => environment)).toEqual(['production']);
    expect(damaged.every((key) => told.some((text) => text.includes(key)))).toBe(true);
    expect(told).toHaveLength(4);
    const { versions } = await readVersions(registry, 'ranker', { all: true, onDamage });
    expect(versions.map(({ version: name }) => name)).toEqual(['v1.0.0']);
  });

  it('call that the latest which is so whatever the damaged ones are', async () => {
    const place = memoryRemote();
    const { registry, version } = madeRegistry(place);
    for (const name of ['v1.0.0', 'v1.1.0']) await version('ranker', name);
    await damage(place, versionKey('ranker', 'v1.0.0'), flipAt(100));
    expect(await readVersions(registry, 'ranker', { onDamage: () => {} })).toMatchObject({
      latest: 'v1.1.0',
    });
  });

  it('are one listing and one read each, several at once', async () => {
    const calls = { now: 0, most: 0 };
    const memory = memoryRemote();
    const made = madeRegistry(memory);
    for (let i = 0; i < 2000; i++) await made.version('ranker', `v1.${i}.0`);
    await made.live('ranker', 'v1.7.0', 'production', day(1));
    await made.state('ranker', 'v1.3.0', 'deprecated', day(1));
    const slow: RemotePruner = {
      ...memory,
      async *get(key, range, options) {
        calls.most = Math.max(calls.most, ++calls.now);
        await new Promise((resolve) => setImmediate(resolve));
        yield* memory.get(key, range, options);
        calls.now--;
      },
    };
    const counted = counting(slow);
    const { versions } = await readVersions(new Registry(counted), 'ranker', { sort: 'version' });
    expect(versions).toHaveLength(2000);
    const { get, list, stat } = counted.counts();
    expect([list.calls, get.calls, stat.calls]).toEqual([1, 2002, 0]);
    expect(calls.most).toBe(16);
  });
});

describe('the registry of a remote', () => {
  it('is read without the local one', async () => {
    const place = await emptyRemote();
    await madeRegistry(place).version('ranker', 'v1');
    const project = await makeProject(withRemotes({ origin: place }));
    const workspace = await project.open();
    const chosen = await chooseRemote(workspace, 'memory://origin', project.root);
    const there = await registryToRead(workspace, chosen);
    expect(await listModels(there)).toMatchObject([{ model: 'ranker' }]);
    expect(await listModels(await registryToRead(workspace, undefined))).toEqual([]);
  });

  it('must be one', async () => {
    const project = await makeProject(withRemotes({ origin: memoryRemote() }));
    const workspace = await project.open();
    const chosen = await chooseRemote(workspace, 'memory://origin', project.root);
    await expect(registryToRead(workspace, chosen)).rejects.toEqual(
      failure('not-a-remote', /Check the path/),
    );
  });
});
