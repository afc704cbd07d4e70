import { describe, expect, it } from 'vitest';
import { independentOf } from '../../../src/registry/dependents.ts';
import { entryKey, versionKey } from '../../../src/registry/keys.ts';
import { environmentLog, Registry, stateLog } from '../../../src/registry/registry.ts';
import type { RegistryConflict } from '../../../src/registry/sync.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { environmentDraft, madeRecord, stateDraft } from '../../support/registry.ts';

const production = environmentLog('m', 'production');
const staging = environmentLog('m', 'staging');
const keys = [
  versionKey('m', 'v2'),
  entryKey(stateLog('m', 'v1'), 1),
  entryKey(stateLog('m', 'v2'), 1),
  entryKey(production, 1),
  entryKey(production, 2),
  entryKey(staging, 1),
];

/** A registry in which v1 was live in production before v2, which is in staging as well. */
async function madeRegistry(): Promise<Registry> {
  const registry = new Registry(memoryRemote('here'));
  for (const version of ['v1', 'v2']) {
    await registry.createRecord(madeRecord('m', version));
    const draft = stateDraft('m', version, 'archived');
    await registry.append(stateLog('m', version), draft, undefined);
    const live = await registry.live('m', 'production');
    await registry.append(
      production,
      environmentDraft(madeRecord('m', version), 'production'),
      live,
    );
  }
  await registry.append(staging, environmentDraft(madeRecord('m', 'v2'), 'staging'), undefined);
  return registry;
}

function conflict(kind: RegistryConflict['kind'], name: string): RegistryConflict {
  return { kind, model: 'm', name, text: '' };
}

describe('logs that speak of a version which is another one elsewhere', () => {
  it('are held back as a whole, and others are not', async () => {
    const registry = await madeRegistry();
    const found = await independentOf(registry, keys, [conflict('version', 'v1')], 2);
    expect(found.keys).toEqual([
      versionKey('m', 'v2'),
      entryKey(stateLog('m', 'v2'), 1),
      entryKey(staging, 1),
    ]);
    expect(found.conflicts.map(({ kind, model, name }) => [kind, model, name]).sort()).toEqual([
      ['history', 'm', 'production'],
      ['history', 'm', 'v1'],
    ]);
    for (const { text } of found.conflicts) expect(text).toMatch(/^The history of .* of m in here/);
  });

  it('are none where histories alone differ', async () => {
    const registry = await madeRegistry();
    const conflicts = [conflict('history', 'v1'), conflict('history', 'v2')];
    expect(await independentOf(registry, keys, conflicts, 2)).toEqual({ keys, conflicts: [] });
    expect(await independentOf(registry, keys, [], 2)).toEqual({ keys, conflicts: [] });
  });
});
