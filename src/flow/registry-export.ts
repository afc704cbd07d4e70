import { compareUtf8 } from '../base/json.ts';
import type { LogEntry } from '../registry/entry.ts';
import type { VersionRecord } from '../registry/record.ts';
import { environmentLog, type ModelNames, type Registry, stateLog } from '../registry/registry.ts';
import { compareVersions } from '../registry/version-order.ts';

/** A version as teams write it by hand: its metrics stand beside the three names. */
export interface ExportedVersion {
  readonly version: string;
  readonly registered_at: string;
  readonly status: string;
  readonly [metric: string]: string | number;
}

/** What is live in an environment. */
export interface ExportedDeployment {
  readonly version: string;
  readonly deployed_at: string;
  readonly status: 'active';
}

type ByName<T> = Record<string, T>;

/**
 * A whole registry as one JSON document. `models` and `deployments` have the shape of the registries that teams
 * keep by hand; the rest is what such a file does not say, so that an import gives the same registry again.
 */
export interface ExportedRegistry {
  readonly models: ByName<ByName<ExportedVersion>>;
  readonly deployments: ByName<ByName<ExportedDeployment>>;
  readonly records: ByName<ByName<VersionRecord>>;
  readonly history: ByName<ByName<readonly LogEntry[]>>;
  readonly states: ByName<ByName<readonly LogEntry[]>>;
}

/**
 * Reads a whole registry. Versions that were deleted are in `records` and `states` alone. A metric that has
 * the name of one of the three texts stays in its record alone.
 */
export async function exportRegistry(registry: Registry): Promise<ExportedRegistry> {
  const parts = new Map<keyof ExportedRegistry, Array<[string, ByName<unknown>]>>();
  for (const names of await registry.names()) {
    const model = await exportModel(registry, names);
    for (const [key, value] of Object.entries(model) as Array<[keyof ExportedRegistry, object]>) {
      const found = parts.get(key) ?? [];
      parts.set(key, found);
      // A model of which nothing is to be said here has no place here.
      if (Object.keys(value).length > 0) found.push([names.model, value as ByName<unknown>]);
    }
  }
  const part = (key: keyof ExportedRegistry) => Object.fromEntries(parts.get(key) ?? []) as never;
  return {
    models: part('models'),
    deployments: part('deployments'),
    records: part('records'),
    history: part('history'),
    states: part('states'),
  };
}

async function exportModel(registry: Registry, names: ModelNames) {
  const { model } = names;
  const sealed = await registry.records(model, [...names.versions]);
  const records = sealed.map(({ value }) => value).sort(compareVersions);
  const states = await registry.states(names);
  const versions: Array<[string, ExportedVersion]> = [];
  for (const record of records) {
    const state = states.get(record.version) ?? 'active';
    if (state === 'deleted') continue;
    const status = state === 'active' ? (record.status ?? 'registered') : state;
    const { version, created: registered_at } = record;
    versions.push([version, { ...record.metrics, version, registered_at, status }]);
  }
  const deployments: Array<[string, ExportedDeployment]> = [];
  const history: Array<[string, readonly LogEntry[]]> = [];
  for (const environment of sorted(names.environments.keys())) {
    const entries = await registry.log(environmentLog(model, environment));
    const values = entries.map(({ value }) => value);
    const live = values.at(-1);
    if (live === undefined) continue;
    const { version, at: deployed_at } = live;
    deployments.push([environment, { version, deployed_at, status: 'active' }]);
    history.push([environment, values]);
  }
  const changes: Array<[string, readonly LogEntry[]]> = [];
  for (const version of sorted(names.states.keys())) {
    const entries = await registry.log(stateLog(model, version));
    changes.push([version, entries.map(({ value }) => value)]);
  }
  return {
    models: Object.fromEntries(versions),
    deployments: Object.fromEntries(deployments),
    records: Object.fromEntries(records.map((record) => [record.version, record])),
    history: Object.fromEntries(history),
    states: Object.fromEntries(changes),
  };
}

function sorted(names: Iterable<string>): string[] {
  return [...names].sort(compareUtf8);
}
