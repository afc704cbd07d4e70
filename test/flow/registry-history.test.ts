import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.ts';
import { readHistory, readLiveAt, readVersion } from '../../src/flow/registry-history.ts';
import { type EnvironmentEntry, formatEntry } from '../../src/registry/entry.ts';
import { entryKey } from '../../src/registry/keys.ts';
import { environmentLog, Registry, stateLog } from '../../src/registry/registry.ts';
import { seal } from '../../src/registry/sealed.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource } from '../../src/remote/remote.ts';
import { environmentDraft, madeRecord, stateDraft } from '../support/registry.ts';

const hour = (number: number): string => `2026-03-01T${String(number).padStart(2, '0')}:00:00.000Z`;
const failure = (code: ErrorCode, hint: RegExp) =>
  expect.objectContaining({ code, hint: expect.stringMatching(hint) });

const record = madeRecord('m', 'v1', {
  description: 'The first',
  metrics: { zeta: 1, alpha: 0.25 },
  metadata: { version: '1', model_name: 'm', zz: { b: [1, { a: null }] }, aa: 'x' },
});

/** v1 and v2 in staging and production: what a team does in a morning. */
async function madeHistory() {
  const place = memoryRemote();
  const registry = new Registry(place);
  await registry.createRecord(record);
  const second = madeRecord('m', 'v2');
  await registry.createRecord(second);
  const move = async (
    environment: string,
    version: 'v1' | 'v2',
    at: string,
    change: Partial<EnvironmentEntry> = {},
  ) => {
    const log = environmentLog('m', environment);
    const base = environmentDraft(version === 'v1' ? record : second, environment);
    await registry.append(log, { ...base, at, ...change }, await registry.last(log));
  };
  await move('staging', 'v1', hour(1));
  await move('production', 'v1', hour(2), { action: 'promote', from: 'staging' });
  await move('staging', 'v2', hour(3));
  const gate = { passed: false, score: 0.5, rival: 'v1' };
  await move('production', 'v2', hour(4), { action: 'promote', gate, forced: true, reason: 'Now' });
  await move('production', 'v1', hour(5), { action: 'rollback', reason: 'Bad' });
  return { place, registry, move };
}

describe('a history', () => {
  it('tells all environments, the newest entry first', async () => {
    const { registry } = await madeHistory();
    const { entries, total, model } = await readHistory(registry, 'm');
    expect([model, total]).toEqual(['m', 5]);
    expect(entries.map((one) => `${one.environment} ${one.number} ${one.version}`)).toEqual([
      'production 3 v1',
      'production 2 v2',
      'staging 2 v2',
      'production 1 v1',
      'staging 1 v1',
    ]);
    const stored = await registry.entry(environmentLog('m', 'production'), 2);
    expect(entries[1]).toEqual({ ...stored.value, sha256: stored.sha256 });
    expect(entries[1]).toMatchObject({ forced: true, reason: 'Now', gate: { score: 0.5 } });
  });

  it('keeps the order of the numbers where clocks differ', async () => {
    const { registry, move } = await madeHistory();
    await move('production', 'v2', hour(0));
    await move('staging', 'v1', hour(6));
    const { entries } = await readHistory(registry, 'm');
    expect(entries.map((one) => `${one.environment[0]}${one.number}`).join(' ')).toBe(
      's3 s2 s1 p4 p3 p2 p1',
    );
  });

  it('can be of one environment, and of the newest entries', async () => {
    const { registry } = await madeHistory();
    const { entries, total } = await readHistory(registry, 'm', {
      environment: 'production',
      limit: 2,
    });
    expect(entries.map(({ number }) => number)).toEqual([3, 2]);
    expect(total).toBe(3);
    await expect(readHistory(registry, 'm', { environment: 'produktion' })).rejects.toEqual(
      failure('unknown-environment', /^Did you mean production\?$/),
    );
    await expect(readHistory(registry, 'm', { environment: 'edge' })).rejects.toEqual(
      failure('unknown-environment', /production, staging/),
    );
    await expect(readHistory(registry, 'n')).rejects.toEqual(failure('unknown-model', /m\?$/));
  });

  it('is empty for a model that was never deployed', async () => {
    const registry = new Registry(memoryRemote());
    await registry.createRecord(record);
    expect(await readHistory(registry, 'm')).toEqual({ model: 'm', entries: [], total: 0 });
    expect(await readLiveAt(registry, 'm', Date.parse(hour(9)))).toEqual([]);
    await expect(readHistory(registry, 'm', { environment: 'staging' })).rejects.toEqual(
      failure('unknown-environment', /mstore deploy m@VERSION/),
    );
  });

  it('tells what was live at a time', async () => {
    const { registry } = await madeHistory();
    const at = async (iso: string, environment?: string) =>
      (await readLiveAt(registry, 'm', Date.parse(iso), environment)).map(
        (one) => `${one.environment} ${one.entry?.version ?? '-'}`,
      );
    expect(await at('2026-03-01T00:59:59.999Z')).toEqual(['production -', 'staging -']);
    expect(await at(hour(1))).toEqual(['production -', 'staging v1']);
    expect(await at(hour(4))).toEqual(['production v2', 'staging v2']);
    expect(await at(hour(23))).toEqual(['production v1', 'staging v2']);
    expect(await at(hour(3), 'production')).toEqual(['production v1']);
    await expect(at(hour(3), 'prod')).rejects.toEqual(failure('unknown-environment', /prod/));
  });

  it('names an entry that was changed, replaced or taken away', async () => {
    const { place, registry } = await madeHistory();
    const log = environmentLog('m', 'production');
    const key = entryKey(log, 2);
    const { value } = await registry.entry<EnvironmentEntry>(log, 2);
    const replace = async (bytes: Buffer) => {
      await place.delete(key);
      await place.create(key, bytesSource(bytes));
    };
    const named = (number: number) =>
      expect.objectContaining({
        code: 'corrupt-registry',
        exitCode: 5,
        message: expect.stringContaining(entryKey(log, number)),
      });
    // A whole new entry with a right digest of its own: the next one tells.
    await replace(formatEntry(seal({ ...value, by: 'Eve' })));
    await expect(readHistory(registry, 'm')).rejects.toEqual(named(3));
    await expect(readLiveAt(registry, 'm', Date.parse(hour(4)))).rejects.toEqual(named(3));
    await expect(readVersion(registry, 'm', 'v1')).rejects.toEqual(named(3));
    await replace(Buffer.from(formatEntry(seal(value)).toString().replace('Ann', 'Eve')));
    await expect(readHistory(registry, 'm', { limit: 1 })).rejects.toEqual(named(2));
    await place.delete(key);
    await expect(readHistory(registry, 'm')).rejects.toEqual(named(2));
    expect((await readHistory(registry, 'm', { environment: 'staging' })).total).toBe(2);
  });
});

describe('all of a version', () => {
  it('is the record as it was registered, and where it was live', async () => {
    const { registry } = await madeHistory();
    const found = await readVersion(registry, 'm', 'production');
    expect(found.sha256).toBe(record.sha256);
    expect(JSON.stringify(found.record)).toBe(JSON.stringify(record.value));
    expect(found.states).toEqual([]);
    expect(found.live).toEqual([
      {
        environment: 'production',
        since: hour(5),
        until: null,
        number: 3,
        action: 'rollback',
        by: 'Ann',
        reason: 'Bad',
      },
      {
        environment: 'production',
        since: hour(2),
        until: hour(4),
        number: 1,
        action: 'promote',
        by: 'Ann',
      },
      {
        environment: 'staging',
        since: hour(1),
        until: hour(3),
        number: 1,
        action: 'deploy',
        by: 'Ann',
      },
    ]);
    const latest = await readVersion(registry, 'm', 'latest');
    expect(latest.record.version).toBe('v2');
    expect(latest.live.map(({ environment, until }) => [environment, until])).toEqual([
      ['staging', null],
      ['production', hour(5)],
    ]);
  });

  it('holds its states, and is there when it was deleted', async () => {
    const { registry } = await madeHistory();
    const log = stateLog('m', 'v1');
    const draft = { ...stateDraft('m', 'v1', 'archived'), reason: 'Old' };
    const { entry } = await registry.append(log, draft, undefined);
    const deleted = { ...stateDraft('m', 'v1', 'deleted'), reason: 'Wrong data' };
    await registry.append(log, deleted, entry);
    const { states, record: found } = await readVersion(registry, 'm', 'v1');
    expect(found.version).toBe('v1');
    expect(states.map(({ state, reason }) => [state, reason])).toEqual([
      ['archived', 'Old'],
      ['deleted', 'Wrong data'],
    ]);
  });

  it('is refused for names that are not there', async () => {
    const { registry } = await madeHistory();
    await expect(readVersion(registry, 'm', 'stagin')).rejects.toEqual(
      failure('unknown-version', /^Did you mean m@staging\? .*mstore fetch/),
    );
    await expect(readVersion(registry, 'mm', 'v1')).rejects.toEqual(
      failure('unknown-model', /^Did you mean m\?$/),
    );
  });
});
