import { sha256 } from '../../src/base/digest.ts';
import type { EnvironmentEntry, StateEntry, VersionState } from '../../src/registry/entry.ts';
import type { VersionRecord } from '../../src/registry/record.ts';
import type { NewEntry } from '../../src/registry/registry.ts';
import { type Sealed, seal } from '../../src/registry/sealed.ts';

const at = '2026-01-02T03:04:05.678Z';

/** Makes the record of a version of nothing in particular. */
export function madeRecord(
  model: string,
  version: string,
  change: Partial<VersionRecord> = {},
): Sealed<VersionRecord> {
  const content = {
    path: 'models/m',
    kind: 'tree',
    sha256: sha256(`${model} ${version}`),
    size: 5,
  } as const;
  const base = { model, version, content, created: at, author: 'Ann', tool: 'test', metrics: {} };
  return seal({ ...base, ...change });
}

/** Makes what an entry says that makes a version live. */
export function environmentDraft(
  { sha256: record, value: { model, version } }: Sealed<VersionRecord>,
  environment: string,
): NewEntry<EnvironmentEntry> {
  return { model, environment, action: 'deploy', version, record, at, by: 'Ann' };
}

/** Makes what an entry says that brings a version to a state. */
export function stateDraft(
  model: string,
  version: string,
  state: VersionState,
): NewEntry<StateEntry> {
  return { model, version, state, at, by: 'Ann' };
}
