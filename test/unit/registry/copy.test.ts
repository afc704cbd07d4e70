import { expect, it } from 'vitest';
import { MstoreError } from '../../../src/base/errors.ts';
import { entryKey, versionKey } from '../../../src/registry/keys.ts';
import { formatRecord, parseRecord } from '../../../src/registry/record.ts';
import { environmentLog, Registry } from '../../../src/registry/registry.ts';
import { copyRegistry } from '../../../src/registry/sync.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
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
