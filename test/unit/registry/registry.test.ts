import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { findVersion } from '../../../src/registry/find.ts';
import { entryKey, versionKey } from '../../../src/registry/keys.ts';
import { formatRecord, parseRecord } from '../../../src/registry/record.ts';
import { environmentLog, Registry, stateLog } from '../../../src/registry/registry.ts';
import { seal } from '../../../src/registry/sealed.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../../src/remote/remote.ts';
import { counting } from '../../../src/remote/wrappers/counting.ts';
import { environmentDraft, madeRecord, stateDraft } from '../../support/registry.ts';
import { readObject } from '../../support/remote-bytes.ts';

const failure = (code: ErrorCode) => expect.objectContaining({ code });

/** Puts other bytes in the place of an object. */
async function replace(place: RemotePruner, key: string, bytes: Buffer): Promise<void> {
  await place.delete(key);
  await place.create(key, bytesSource(bytes));
}

async function withHistory(...versions: string[]) {
  const place = memoryRemote();
  const registry = new Registry(place);
  const log = environmentLog('m', 'production');
  let before: Awaited<ReturnType<typeof registry.append>>['entry'] | undefined;
  for (const version of versions) {
    const record = madeRecord('m', version);
    await registry.createRecord(record);
    const draft = environmentDraft(record, 'production');
    before = (await registry.append(log, draft, before)).entry;
  }
  return { place, registry, log };
}

describe('a version record', () => {
  const record = madeRecord('m', 'v1', { metrics: { acc: 0.5 }, metadata: { '10': 1, '9': 'ä' } });
  const name = { model: 'm', version: 'v1' };

  it('comes back as it was', () => {
    expect(parseRecord(formatRecord(record), 'here', name)).toEqual(record);
    expect(record.sha256).toBe(seal(structuredClone(record.value)).sha256);
  });

  it('is noticed when any of its bytes changes', () => {
    const bytes = formatRecord(record);
    let survived = 0;
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      try {
        // White space may change, and the name of a key that nobody reads.
        expect(parseRecord(changed, 'here', name)).toEqual(record);
        survived++;
      } catch (error) {
        expect(['corrupt-registry', 'newer-format']).toContain((error as { code: string }).code);
      }
    }
    expect(survived).toBeLessThan(bytes.length / 4);
  });

  it.each([
    ['a format to come', { mstore: 2 }, 'newer-format'],
    ['no format', { mstore: 'x' }, 'corrupt-registry'],
    ['no digest', { sha256: 'x' }, 'corrupt-registry'],
    ['no record', { record: 1 }, 'corrupt-registry'],
  ] as const)('is refused with %s', (_name, change, code) => {
    const object = { mstore: 1, sha256: record.sha256, record: record.value, ...change };
    const bytes = Buffer.from(JSON.stringify(object));
    expect(() => parseRecord(bytes, 'here', name)).toThrowError(failure(code));
  });

  it.each([
    ['another model', { model: 'other' }],
    ['a path that leaves', { content: { ...record.value.content, path: '../x' } }],
    ['an absolute path', { content: { ...record.value.content, path: '/x' } }],
    ['the folder of Git', { content: { ...record.value.content, path: '.git/hooks' } }],
    ['no digest of its content', { content: { ...record.value.content, sha256: 'x' } }],
    ['a negative size', { content: { ...record.value.content, size: -1 } }],
    ['no time', { created: 'yesterday' }],
    ['a metric that is a text', { metrics: { acc: 'good' } }],
    ['a changelog that is a text', { changelog: 'x' }],
  ])('is refused with %s, however well it is sealed', (_name, change) => {
    const sealed = seal({ ...record.value, ...(change as object) });
    expect(() => parseRecord(formatRecord(sealed), 'here', name)).toThrowError(
      failure('corrupt-registry'),
    );
  });

  it('is refused with levels without end', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const bytes = Buffer.from(
      `{"mstore":1,"sha256":"${sha256('')}","record":{"metadata":{"x":${deep}}}}`,
    );
    expect(() => parseRecord(bytes, 'here', name)).toThrowError(failure('corrupt-registry'));
  });
});

describe('a registry', () => {
  it('lists its names', async () => {
    const { registry } = await withHistory('v1', 'v2');
    await registry.append(stateLog('m', 'v1'), stateDraft('m', 'v1', 'archived'), undefined);
    await registry.createRecord(madeRecord('a', 'v1'));
    expect((await registry.names()).map(({ model }) => model)).toEqual(['a', 'm']);
    const names = await registry.namesOf('m');
    expect([...names.versions]).toEqual(['v1', 'v2']);
    expect([...names.environments]).toEqual([['production', 2]]);
    expect([...(await registry.states(names))]).toEqual([['v1', 'archived']]);
    await expect(registry.namesOf('n')).rejects.toThrowError(failure('unknown-model'));
  });

  it('gives a place in a log to one writer', async () => {
    const { registry, log } = await withHistory('v1');
    const live = await registry.live('m', 'production');
    const draft = (version: string) => environmentDraft(madeRecord('m', version), 'production');
    const outcomes = await Promise.all(
      ['v2', 'v3', 'v4'].map((version) => registry.append(log, draft(version), live)),
    );
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    const [won] = outcomes.filter(({ outcome }) => outcome === 'created');
    for (const { entry } of outcomes) expect(entry).toEqual(won?.entry);
    expect(await registry.history('m', 'production')).toHaveLength(2);
  });

  it('finds versions by name, by environment and as the latest', async () => {
    const { registry } = await withHistory('v1', 'v3', 'v2');
    const found = async (name: string) => (await findVersion(registry, 'm', name)).record.value;
    expect((await found('v1')).version).toBe('v1');
    expect((await found('production')).version).toBe('v2');
    expect((await found('latest')).version).toBe('v3');
    await registry.append(stateLog('m', 'v3'), stateDraft('m', 'v3', 'deleted'), undefined);
    expect((await found('latest')).version).toBe('v2');
    await expect(found('v3')).rejects.toThrowError(failure('unknown-version'));
    await expect(found('v4')).rejects.toThrowError(failure('unknown-version'));
    await expect(found('produktion')).rejects.toMatchObject({
      hint: expect.stringContaining('m@production'),
    });
  });
});

describe('the latest of many versions', () => {
  it('is found by reading one record, where names tell which it is', async () => {
    const remote = counting(memoryRemote());
    const registry = new Registry(remote);
    for (let n = 0; n < 20; n++) await registry.createRecord(madeRecord('m', `v1.${n}.0`));
    const { record } = await findVersion(registry, 'm', 'latest');
    expect(record.value.version).toBe('v1.19.0');
    expect(remote.counts().get.calls).toBe(1);
  });
});

describe('a history that somebody changed', () => {
  it('is noticed where an entry was replaced', async () => {
    const { place, registry, log } = await withHistory('v1', 'v2', 'v3');
    const entry = await registry.entry(log, 2);
    const forged = seal({ ...entry.value, by: 'nobody' });
    const bytes = (await readObject(place, entryKey(log, 2))).toString();
    const text = bytes.replace(entry.sha256, forged.sha256).replace(entry.value.by, 'nobody');
    await replace(place, entryKey(log, 2), Buffer.from(text));
    // The entry is right by itself; the next one tells.
    expect((await registry.entry(log, 2)).value.by).toBe('nobody');
    await expect(registry.history('m', 'production')).rejects.toThrowError(
      failure('corrupt-registry'),
    );
  });

  it('is noticed where an entry is missing', async () => {
    const { place, registry, log } = await withHistory('v1', 'v2', 'v3');
    await place.delete(entryKey(log, 2));
    await expect(registry.live('m', 'production')).rejects.toMatchObject({
      code: 'corrupt-registry',
      message: expect.stringContaining('00000002.json cannot be used: it is missing'),
    });
  });

  it('is noticed where an entry stands in the place of another one', async () => {
    const { place, registry, log } = await withHistory('v1', 'v2');
    const bytes = await readObject(place, entryKey(log, 1));
    await replace(place, entryKey(log, 2), bytes);
    await expect(registry.live('m', 'production')).rejects.toThrowError(
      failure('corrupt-registry'),
    );
  });

  it('is noticed where the record of what is live was replaced', async () => {
    const { place, registry } = await withHistory('v1');
    const other = madeRecord('m', 'v1', { metrics: { acc: 1 } });
    await replace(place, versionKey('m', 'v1'), formatRecord(other));
    await expect(findVersion(registry, 'm', 'production')).rejects.toThrowError(
      failure('corrupt-registry'),
    );
  });
});
