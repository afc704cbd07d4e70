import { describe, expect, it } from 'vitest';
import type { MstoreError } from '../../src/base/errors.ts';
import { entryKey, type LogName, versionKey } from '../../src/registry/keys.ts';
import { environmentLog, Registry } from '../../src/registry/registry.ts';
import { seal } from '../../src/registry/sealed.ts';
import { compareRegistries, copyRegistry } from '../../src/registry/sync.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import { damage, flipAt } from '../support/flow-remote-check.ts';
import { environmentDraft, madeRecord } from '../support/registry.ts';
import { listKeys } from '../support/remote-bytes.ts';

const log: LogName = environmentLog('demo', 'production');
const jobs = 4;

/** Registers versions of a model and makes one live after the other. */
async function fill(
  place: RemotePruner,
  model: string,
  versions: readonly string[],
): Promise<void> {
  const registry = new Registry(place);
  const own = environmentLog(model, 'production');
  for (const version of versions) {
    const record = madeRecord(model, version);
    await registry.createRecord(record);
    await registry.append(own, environmentDraft(record, 'production'), await registry.last(own));
  }
}

/** Two registries with the same five entries. */
async function twins(): Promise<{ a: RemotePruner; b: RemotePruner }> {
  const [a, b] = [memoryRemote('memory://a'), memoryRemote('memory://b')];
  await fill(a, 'demo', ['v1', 'v2', 'v3', 'v4', 'v5']);
  await bring(a, b);
  return { a, b };
}

/** Copies what the second place lacks. */
async function bring(from: RemotePruner, to: RemotePruner): Promise<void> {
  const [first, second] = [new Registry(from), new Registry(to)];
  const { onlyFirst, gaps } = await compareRegistries(first, second, { jobs });
  await copyRegistry(first, second, onlyFirst, { jobs, gaps });
}

const isDamage = (message: RegExp) =>
  expect.objectContaining({
    code: 'corrupt-registry',
    message: expect.stringMatching(message),
    hint: expect.stringMatching(/mstore fetch.*mstore push/),
  });

describe('an entry of a history that one place has lost', () => {
  it.each([[1], [3], [5], [2, 3, 4]])('comes from the other: %i %i %i', async (...lost) => {
    const { a, b } = await twins();
    for (const number of lost) await b.delete(entryKey(log, number));
    await bring(a, b);
    expect(await listKeys(b)).toEqual(await listKeys(a));
    expect(await new Registry(b).history('demo', 'production')).toHaveLength(5);
  });

  it('is named when both have lost it', async () => {
    const { a, b } = await twins();
    for (const place of [a, b]) await place.delete(entryKey(log, 2));
    await expect(bring(a, b)).rejects.toEqual(isDamage(/00000002\.json .* it is missing$/));
  });

  it('is not replaced by one that the entry behind it does not follow', async () => {
    const { a, b } = await twins();
    await b.delete(entryKey(log, 2));
    await a.delete(entryKey(log, 2));
    const first = await new Registry(a).entry(log, 1);
    const draft = { ...environmentDraft(madeRecord('demo', 'v1'), 'production'), by: 'Eve' };
    await new Registry(a).createEntry(log, seal({ ...draft, number: 2, previous: first.sha256 }));
    await expect(bring(a, b)).rejects.toEqual(isDamage(/00000003\.json .* does not follow/));
    expect(await b.stat(entryKey(log, 2))).toBeUndefined();
  });

  it('is not looked for without an end', async () => {
    const { a, b } = await twins();
    await b.create(entryKey(log, 99_999_999), bytesSource(Buffer.from('{}')));
    await expect(bring(a, b)).rejects.toEqual(isDamage(/00000006\.json .* it is missing$/));
  });
});

describe('a record that is damaged', () => {
  it('keeps back what belongs to its model, and nothing else', async () => {
    const [from, to] = [memoryRemote(), memoryRemote()];
    for (const model of ['alpha', 'demo', 'omega']) await fill(from, model, ['v1', 'v2']);
    await damage(from, versionKey('demo', 'v2'), flipAt(80));
    let thrown: MstoreError | undefined;
    await bring(from, to).catch((error: MstoreError) => {
      thrown = error;
    });
    expect(thrown).toEqual(isDamage(/demo\/versions\/v2\.json/));
    const names = await new Registry(to).names();
    expect(
      names.map(({ model, versions, environments }) => [model, versions.size, environments.size]),
    ).toEqual([
      ['alpha', 2, 1],
      ['demo', 1, 0],
      ['omega', 2, 1],
    ]);
  });
});
