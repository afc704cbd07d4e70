import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import type { EnvironmentEntry, VersionState } from './entry.ts';
import { latestName } from './names.ts';
import type { VersionRecord } from './record.ts';
import type { ModelNames, Registry } from './registry.ts';
import { corruptRegistry, type Sealed } from './sealed.ts';
import { latestOf, latestRelease } from './version-order.ts';

/** A version that a reference led to. */
export interface FoundVersion {
  readonly record: Sealed<VersionRecord>;
  readonly state: VersionState;
  /** The environment by which it was found, or `latest`. */
  readonly by?: string;
  /** The entry that made it live there. */
  readonly entry?: Sealed<EnvironmentEntry>;
}

/**
 * Finds the version that `model@selector` names: a version, an environment, or `latest`, which is the last of
 * the versions that are active and no pre-releases. A version that was deleted is not found.
 * @throws MstoreError `unknown-model`, `unknown-version`
 */
export async function findVersion(
  registry: Registry,
  model: string,
  selector: string,
): Promise<FoundVersion> {
  const names = await registry.namesOf(model);
  if (selector === latestName) return findLatest(registry, names);
  const isVersion = names.versions.has(selector);
  if (isVersion && names.environments.has(selector)) {
    throw new MstoreError(
      'ambiguous-ref',
      `${model}@${selector} is both a version and an environment in ${registry.place.location}`,
      {
        hint: 'Two hosts gave the name at once; name the version by its digest or register it anew under another name',
        details: { model, name: selector },
      },
    );
  }
  if (isVersion) return readVersion(registry, names, selector);
  const live = names.environments.has(selector) ? await registry.live(model, selector) : undefined;
  if (live === undefined) throw unknownVersion(registry, names, selector);
  const found = await readVersion(registry, names, live.value.version);
  if (found.record.sha256 === live.value.record) return { ...found, by: selector, entry: live };
  throw corruptRegistry(
    `${registry.place.location}: ${model}@${live.value.version}`,
    `${selector} was moved to a record with another digest than the one that is there`,
  );
}

async function findLatest(registry: Registry, names: ModelNames): Promise<FoundVersion> {
  const states = await registry.states(names);
  const active = [...names.versions].filter((name) => (states.get(name) ?? 'active') === 'active');
  const release = latestRelease(active);
  // Of thousands of versions one is read, unless their names do not tell which.
  const records = await registry.records(names.model, release === undefined ? active : [release]);
  const latest = latestOf(records.map(({ value }) => value));
  const record = records.find(({ value }) => value === latest);
  if (record !== undefined) return { record, state: 'active', by: latestName };
  throw new MstoreError('unknown-version', `${names.model} has no version in use`, {
    hint: `Register one: mstore register ${names.model}@v1.0.0 PATH`,
    details: { model: names.model },
  });
}

async function readVersion(
  registry: Registry,
  names: ModelNames,
  version: string,
): Promise<FoundVersion> {
  const { model } = names;
  const [record, state] = await Promise.all([
    registry.record(model, version),
    names.states.has(version) ? registry.state(model, version) : ('active' as const),
  ]);
  if (record === undefined || state === 'deleted') throw unknownVersion(registry, names, version);
  return { record, state };
}

function unknownVersion(registry: Registry, names: ModelNames, selector: string): MstoreError {
  const { model, versions, environments } = names;
  const known = [...versions, ...environments.keys()].filter((name) => name !== selector);
  const near = nearest(selector, known);
  return new MstoreError(
    'unknown-version',
    `${model} has no version or environment ${printable(selector)} in ${registry.place.location}`,
    {
      hint:
        near === undefined
          ? `Run "mstore versions ${model}" to see them, or "mstore fetch" for those of the remote`
          : `Did you mean ${model}@${near}? Versions that the remote alone has come with "mstore fetch"`,
      details: { model, name: selector },
    },
  );
}
