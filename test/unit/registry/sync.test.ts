import { describe, expect, it } from 'vitest';
import { entryKey, versionKey } from '../../../src/registry/keys.ts';
import { environmentLog, Registry, stateLog } from '../../../src/registry/registry.ts';
import { compareRegistries, conflictError, copyRegistry } from '../../../src/registry/sync.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { environmentDraft, madeRecord, stateDraft } from '../../support/registry.ts';
import { listKeys, readObject } from '../../support/remote-bytes.ts';

const options = { jobs: 4 };

async function pair() {
  const [here, there] = ['here', 'there'].map((name) => new Registry(memoryRemote(name)));
  return { here: here as Registry, there: there as Registry };
}

async function deployIn(registry: Registry, model: string, ...versions: string[]): Promise<void> {
  const log = environmentLog(model, 'production');
  for (const version of versions) {
    const record = madeRecord(model, version);
    await registry.createRecord(record);
    const before = await registry.live(model, 'production');
    await registry.append(log, environmentDraft(record, 'production'), before);
  }
}

/** Copies in both directions, as a fetch and a push do. */
async function bringTogether(here: Registry, there: Registry) {
  const found = await compareRegistries(here, there, options);
  await copyRegistry(there, here, found.onlySecond, options);
  await copyRegistry(here, there, found.onlyFirst, options);
  return found;
}

describe('two registries', () => {
  it('become the same where each has something of its own', async () => {
    const { here, there } = await pair();
    await deployIn(here, 'a', 'v1', 'v2');
    await deployIn(there, 'b', 'v1');
    await there.append(stateLog('b', 'v1'), stateDraft('b', 'v1', 'deprecated'), undefined);
    const found = await bringTogether(here, there);
    expect(found.conflicts).toEqual([]);
    // What is named comes before what names it.
    expect(found.onlyFirst).toEqual([
      versionKey('a', 'v1'),
      versionKey('a', 'v2'),
      entryKey(environmentLog('a', 'production'), 1),
      entryKey(environmentLog('a', 'production'), 2),
    ]);
    const keys = await listKeys(here.place);
    expect(await listKeys(there.place)).toEqual(keys);
    for (const key of keys) {
      expect(await readObject(here.place, key)).toEqual(await readObject(there.place, key));
    }
    const again = await compareRegistries(here, there, options);
    expect([...again.onlyFirst, ...again.onlySecond, ...again.conflicts]).toEqual([]);
  });

  it('leave alone what both say differently, and copy the rest', async () => {
    const { here, there } = await pair();
    await deployIn(here, 'm', 'v1');
    await bringTogether(here, there);
    await deployIn(here, 'm', 'v2');
    await deployIn(there, 'm', 'v3', 'v4');
    await here.createRecord(madeRecord('m', 'v9', { metrics: { acc: 1 } }));
    await there.createRecord(madeRecord('m', 'v9'));
    const before = await listKeys(there.place, environmentPrefix);
    const found = await bringTogether(here, there);
    expect(found.conflicts.map(({ kind, name }) => [kind, name]).sort()).toEqual([
      ['history', 'production'],
      ['version', 'v9'],
    ]);
    expect(await listKeys(there.place, environmentPrefix)).toEqual(before);
    for (const version of ['v2', 'v3', 'v4']) {
      expect(await here.record('m', version)).toEqual(await there.record('m', version));
    }
    expect(conflictError(found.conflicts)).toMatchObject({ exitCode: 6 });
  });

  it('refuse a name that is a version here and an environment there', async () => {
    const { here, there } = await pair();
    await deployIn(here, 'm', 'v1');
    await there.createRecord(madeRecord('m', 'production'));
    const found = await bringTogether(here, there);
    expect(found.conflicts).toMatchObject([{ kind: 'name', model: 'm', name: 'production' }]);
    expect(await there.live('m', 'production')).toBeUndefined();
    expect(await here.record('m', 'production')).toBeUndefined();
  });

  it('need not read again what was found alike', async () => {
    const { here, there } = await pair();
    await deployIn(here, 'm', 'v1', 'v2');
    await bringTogether(here, there);
    const first = await compareRegistries(here, there, options);
    expect(first.same).toHaveLength(3);
    const known = new Set(first.same);
    expect((await compareRegistries(here, there, { ...options, known })).same).toEqual([]);
  });

  it('do not take over a history whose entries do not follow each other', async () => {
    const { here, there } = await pair();
    await deployIn(there, 'm', 'v1', 'v2');
    const log = environmentLog('m', 'production');
    const other = new Registry(memoryRemote('other'));
    await deployIn(other, 'm', 'v7', 'v2');
    // A second entry that is right by itself, and follows another first one.
    const bytes = await readObject(other.place, entryKey(log, 2));
    await (there.place as ReturnType<typeof memoryRemote>).delete(entryKey(log, 2));
    await there.place.create(entryKey(log, 2), bytesSource(bytes));
    await expect(bringTogether(here, there)).rejects.toMatchObject({ code: 'histories-differ' });
    expect(await listKeys(here.place, environmentPrefix)).toEqual([entryKey(log, 1)]);
  });

  it('are not copied to who lost the race meanwhile', async () => {
    const { here, there } = await pair();
    await deployIn(here, 'm', 'v1');
    const found = await compareRegistries(here, there, options);
    await there.createRecord(madeRecord('m', 'v1', { metrics: { acc: 1 } }));
    await expect(copyRegistry(here, there, found.onlyFirst, options)).rejects.toMatchObject({
      code: 'version-exists',
    });
    expect(await there.live('m', 'production')).toBeUndefined();
  });
});

const environmentPrefix = 'refs/models/m/environments/';
