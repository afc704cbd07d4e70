import { describe, expect, it } from 'vitest';
import type { EnvironmentEntry } from '../../../src/registry/entry.ts';
import { entryKey, versionKey } from '../../../src/registry/keys.ts';
import { environmentLog, Registry, stateLog } from '../../../src/registry/registry.ts';
import { type Sealed, seal } from '../../../src/registry/sealed.ts';
import {
  compareRegistries,
  conflictError,
  copyRegistry,
  type RegistryConflict,
} from '../../../src/registry/sync.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { environmentDraft, madeRecord, stateDraft } from '../../support/registry.ts';
import { listKeys } from '../../support/remote-bytes.ts';

const options = { jobs: 4 };
const log = environmentLog('m', 'production');

/** Makes a history of so many entries, each of which follows the one before. */
function chain(count: number, by = 'Ann'): Array<Sealed<EnvironmentEntry>> {
  const draft = environmentDraft(madeRecord('m', 'v1'), 'production');
  const entries: Array<Sealed<EnvironmentEntry>> = [];
  for (let number = 1; number <= count; number++) {
    const previous = entries.at(-1)?.sha256 ?? null;
    entries.push(seal({ ...draft, by, number, previous }));
  }
  return entries;
}

/** A registry that holds some entries of a history, by their numbers. */
async function holding(
  name: string,
  entries: ReadonlyArray<Sealed<EnvironmentEntry>>,
  ...numbers: number[]
) {
  const registry = new Registry(memoryRemote(name));
  for (const number of numbers)
    await registry.createEntry(log, entries[number - 1] as Sealed<EnvironmentEntry>);
  return registry;
}

const keysOf = (...numbers: number[]) => numbers.map((number) => entryKey(log, number));

describe('entries that one of two places has lost', () => {
  it('are found as such, and copied from the other', async () => {
    const entries = chain(5);
    const here = await holding('here', entries, 1, 2, 3, 4, 5);
    const there = await holding('there', entries, 1, 4, 5);
    const found = await compareRegistries(here, there, options);
    expect(found).toMatchObject({ onlyFirst: keysOf(2, 3), onlySecond: [], conflicts: [] });
    expect([...found.gaps]).toEqual(keysOf(2, 3));
    const turned = await compareRegistries(there, here, options);
    expect(turned.onlySecond).toEqual(keysOf(2, 3));
    expect([...turned.gaps]).toEqual(keysOf(2, 3));
    await copyRegistry(here, there, found.onlyFirst, { ...options, gaps: found.gaps });
    expect(await there.history('m', 'production')).toEqual(entries);
  });

  it('are the first ones, too', async () => {
    const entries = chain(3);
    const here = await holding('here', entries, 1, 2, 3);
    const found = await compareRegistries(here, await holding('there', entries, 3), options);
    expect([...found.gaps]).toEqual(keysOf(1, 2));
  });

  it('are no gap where nothing comes behind them', async () => {
    const entries = chain(3);
    const here = await holding('here', entries, 1, 2, 3);
    const there = await holding('there', entries, 1);
    const found = await compareRegistries(here, there, options);
    expect(found.gaps.size).toBe(0);
    await copyRegistry(here, there, found.onlyFirst, options);
    expect(await there.history('m', 'production')).toEqual(entries);
  });

  it('are not put before an entry that does not follow them', async () => {
    const there = await holding('there', chain(3), 3);
    const here = await holding('here', chain(2, 'Eve'), 1, 2);
    const found = await compareRegistries(here, there, options);
    const copied = copyRegistry(here, there, found.onlyFirst, { ...options, gaps: found.gaps });
    await expect(copied).rejects.toMatchObject({
      code: 'corrupt-registry',
      message: expect.stringMatching(
        /there\/.*00000003\.json cannot be used: it does not follow the entry of the other place$/,
      ) as string,
    });
    expect(await listKeys(there.place)).toEqual(keysOf(1, 3));
  });

  it('are an error where the other has lost them as well', async () => {
    const entries = chain(4);
    const missing = {
      code: 'corrupt-registry',
      message: expect.stringMatching(
        /here\/.*00000003\.json cannot be used: it is missing/,
      ) as string,
    };
    const here = await holding('here', entries, 1, 2, 4);
    const there = await holding('there', entries, 1, 2);
    await expect(compareRegistries(here, there, options)).rejects.toMatchObject(missing);
    await expect(compareRegistries(there, here, options)).rejects.toMatchObject(missing);
  });

  it('are a thousand in a row, at most', async () => {
    const entries = chain(1_002);
    const here = await holding('here', entries, ...entries.map((_, i) => i + 1));
    const found = await compareRegistries(here, await holding('there', entries, 1_001), options);
    expect(found.gaps.size).toBe(1_000);
    const there = await holding('there', entries, 1_002);
    await expect(compareRegistries(here, there, options)).rejects.toMatchObject({
      message: expect.stringMatching(
        /there\/.*00000001\.json cannot be used: it is missing/,
      ) as string,
    });
  });
});

describe('a copy of a registry', () => {
  it('is of one model where only that one is compared', async () => {
    const here = await holding('here', []);
    for (const model of ['a', 'b']) await here.createRecord(madeRecord(model, 'v1'));
    const there = new Registry(memoryRemote('there'));
    const found = await compareRegistries(here, there, { ...options, model: 'b' });
    expect(found.onlyFirst).toEqual([versionKey('b', 'v1')]);
  });

  it('leaves out what comes after damage of a model, and no other model', async () => {
    const here = new Registry(memoryRemote('here'));
    for (const model of ['a', 'b']) {
      await here.createRecord(madeRecord(model, 'v2'));
      await here.append(stateLog(model, 'v2'), stateDraft(model, 'v2', 'archived'), undefined);
    }
    await here.place.create(versionKey('a', 'v1'), bytesSource(Buffer.from('{}')));
    const there = new Registry(memoryRemote('there'));
    const { onlyFirst } = await compareRegistries(here, there, options);
    await expect(copyRegistry(here, there, onlyFirst, options)).rejects.toMatchObject({
      code: 'corrupt-registry',
      message: expect.stringContaining('a/versions/v1.json') as string,
    });
    expect(await listKeys(there.place)).toEqual([
      versionKey('a', 'v2'),
      entryKey(stateLog('b', 'v2'), 1),
      versionKey('b', 'v2'),
    ]);
  });

  it('ends well where another writer has copied the same meanwhile', async () => {
    const here = new Registry(memoryRemote('here'));
    const there = new Registry(memoryRemote('there'));
    for (const registry of [here, there]) await registry.createRecord(madeRecord('m', 'v1'));
    await copyRegistry(here, there, [versionKey('m', 'v1')], options);
    expect(await listKeys(there.place)).toEqual([versionKey('m', 'v1')]);
  });

  it('does not take what is no key for one', async () => {
    const { here, there } = { here: await holding('here', []), there: await holding('there', []) };
    await expect(copyRegistry(here, there, ['refs/models/x'], options)).rejects.toMatchObject({
      code: 'internal',
    });
  });
});

describe('the error of a conflict', () => {
  const conflict = (kind: RegistryConflict['kind'], name: string): RegistryConflict => ({
    kind,
    model: 'm',
    name,
    text: `About ${name}`,
  });

  it('tells of the first, and how many there are', () => {
    expect(conflictError([conflict('version', 'v1')])).toMatchObject({
      code: 'version-exists',
      message: 'About v1',
      hint: expect.stringContaining('under another version') as string,
      details: { conflicts: ['m@v1'] },
    });
    const three = ['a', 'b', 'c'].map((name) => conflict('history', name));
    expect(conflictError(three)).toMatchObject({
      code: 'histories-differ',
      message: 'About a (and 2 more such)',
      hint: expect.stringContaining('mstore history') as string,
      details: { conflicts: ['m@a', 'm@b', 'm@c'] },
    });
  });
});
