import { expect, it } from 'vitest';
import { MstoreError } from '../../../src/base/errors.ts';
import { entryKey, versionKey } from '../../../src/registry/keys.ts';
import { formatRecord, parseRecord } from '../../../src/registry/record.ts';
import { environmentLog, Registry } from '../../../src/registry/registry.ts';
import { compareRegistries, copyRegistry } from '../../../src/registry/sync.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { environmentDraft, madeRecord } from '../../support/registry.ts';
import { listKeys } from '../../support/remote-bytes.ts';

it('a copy of a registry ends where the network does', async () => {
  const [here, there] = [new Registry(memoryRemote('here')), new Registry(memoryRemote('there'))];
  const keys = ['a', 'b'].map((model) => versionKey(model, 'v1'));
  for (const model of ['a', 'b']) await here.createRecord(madeRecord(model, 'v1'));
  const { get } = here.place;
  here.place.get = (key, ...rest) => {
    if (key === keys[0]) throw new MstoreError('remote-unreachable', 'No network');
    return get(key, ...rest);
  };
  await expect(copyRegistry(here, there, keys, { jobs: 1 })).rejects.toMatchObject({
    code: 'remote-unreachable',
  });
  expect(await listKeys(there.place)).toEqual([]);
});

it('a copy tells which history does not go on from what is there', async () => {
  const log = environmentLog('m', 'production');
  const [here, there] = [new Registry(memoryRemote('here')), new Registry(memoryRemote('there'))];
  for (const registry of [here, there]) {
    const draft = environmentDraft(madeRecord('m', 'v1'), 'production');
    const by = registry.place.location;
    const { entry } = await registry.append(log, { ...draft, by }, undefined);
    await registry.append(log, draft, entry);
  }
  await expect(copyRegistry(here, there, [entryKey(log, 2)], { jobs: 1 })).rejects.toMatchObject({
    code: 'histories-differ',
    message: 'The histories of the environment production of m differ between here and there',
  });
});

it('a record has a time of four digits for the year', () => {
  const record = madeRecord('m', 'v1', { created: '+012026-01-02T03:04:05.678Z' });
  expect(() => parseRecord(formatRecord(record), 'here', record.value)).toThrow(
    /its created is no time/,
  );
});

it('what is no object of a registry is passed over where two are compared', async () => {
  const [here, there] = [new Registry(memoryRemote('here')), new Registry(memoryRemote('there'))];
  await here.place.create('refs/models/readme', bytesSource(Buffer.from('x')));
  await here.createRecord(madeRecord('m', 'v1'));
  const { onlyFirst } = await compareRegistries(here, there, { jobs: 1 });
  expect(onlyFirst).toEqual([versionKey('m', 'v1')]);
});

it('a log has at most 99,999,999 entries', () => {
  const log = environmentLog('m', 'production');
  expect(entryKey(log, 99_999_999)).toContain('/99999999.json');
  expect(() => entryKey(log, 100_000_000)).toThrow('the number of an entry');
});
