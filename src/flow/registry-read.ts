import { mapConcurrently } from '../base/concurrency.ts';
import type { Digest } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import type { EnvironmentEntry, StateEntry, VersionState } from '../registry/entry.ts';
import type { VersionRecord } from '../registry/record.ts';
import { environmentLog, type ModelNames, type Registry, stateLog } from '../registry/registry.ts';
import type { Sealed } from '../registry/sealed.ts';
import { compareVersions, latestOf, latestRelease } from '../registry/version-order.ts';
import type { RemoteCallOptions } from '../remote/remote.ts';
import { readHeader } from '../store/remote-store.ts';
import { localRegistry, remoteRegistry } from './registry.ts';
import type { ChosenRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** Objects read at once. */
const readsAtOnce = 16;

/**
 * Opens the registry that is read: that of a remote, where one is chosen, else the local one. Of the two,
 * the other is not looked at.
 * @throws MstoreError `not-a-remote`
 */
export async function registryToRead(
  workspace: Workspace,
  remote: ChosenRemote | undefined,
  options: RemoteCallOptions = {},
): Promise<Registry> {
  if (remote === undefined) return localRegistry(workspace, options);
  await readHeader(remote.remote, options);
  return remoteRegistry(remote, options);
}

/** What is live in an environment. */
export interface LiveVersion {
  readonly environment: string;
  readonly version: string;
  /** When it became live, as ISO 8601 in UTC. */
  readonly since: string;
}

/** A model in short. */
export interface ModelSummary {
  readonly model: string;
  /** Number of versions that are active or deprecated. */
  readonly versions: number;
  /** Number of versions that were archived or deleted. */
  readonly retired: number;
  /** Null where no version is active. */
  readonly latest: string | null;
  /** Sorted by environment. */
  readonly live: readonly LiveVersion[];
  /** When a version, a state or an environment changed last, as ISO 8601 in UTC. */
  readonly changed: string;
}

/** What is done with objects that are damaged. */
export interface DamageOptions {
  /**
   * Told of each record, state and entry that cannot be used, which is left out; by default the first one is
   * thrown.
   */
  readonly onDamage?: ((error: MstoreError) => void) | undefined;
}

/**
 * Summarises all models, sorted by name; one of which nothing can be read is left out.
 * @throws MstoreError `corrupt-registry`
 */
export async function listModels(
  registry: Registry,
  options: DamageOptions = {},
): Promise<ModelSummary[]> {
  const models = await readModels(registry, await registry.names(), options);
  const readable = models.filter(({ versions, live }) => versions.length + live.length > 0);
  return readable.map(({ model, versions, states, live, unknown }) => {
    const used = versions.filter(({ version }) => isUsed(stateOf(states, version)));
    const times = [
      ...versions.map(({ created }) => created),
      ...[...states.values()].map(({ at }) => at),
      ...live.map(({ at }) => at),
    ];
    return {
      model,
      versions: used.length,
      retired: versions.length - used.length,
      latest: latestActive(versions, states, unknown) ?? null,
      live: live.map(({ environment, version, at }) => ({ environment, version, since: at })),
      changed: times.reduce((a, b) => (a < b ? b : a)),
    };
  });
}

/** What is listed of the record of a version. */
interface RecordSummary {
  readonly version: string;
  /** When it was registered, as ISO 8601 in UTC. */
  readonly created: string;
  readonly author: string;
  readonly path: string;
  readonly kind: 'file' | 'tree';
  /** Digest of the file, or of the tree that lists the directory. */
  readonly sha256: Digest;
  /** Bytes. */
  readonly size: number;
  /** Digest of the version's record. */
  readonly record: Digest;
  readonly description?: string;
  readonly status?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, number>>;
}

/** A version of a model in short. */
export interface VersionSummary extends RecordSummary {
  readonly state: VersionState;
  /** Environments in which it is live, sorted. */
  readonly live: readonly string[];
}

/** The versions of a model. */
export interface VersionList {
  readonly model: string;
  /** Null where no version is active. */
  readonly latest: string | null;
  readonly versions: readonly VersionSummary[];
  /** Number of versions that were archived or deleted, listed or not. */
  readonly retired: number;
}

/** Options of {@link readVersions}. */
export interface VersionListOptions extends DamageOptions {
  /** `version`, `created`, or the name of a metric; `version` by default. */
  readonly sort?: string | undefined;
  /** Turns the order around; versions without the metric stay last. */
  readonly reverse?: boolean;
  /** Also versions that were archived or deleted. */
  readonly all?: boolean;
  /** Metrics of which the lowest value comes first. */
  readonly lowerIsBetter?: ReadonlySet<string>;
}

/**
 * Lists the versions of a model: the latest, the newest, or those with the best value of the metric first.
 * One listing and one read for each version, state and environment, several at once.
 * @throws MstoreError `unknown-model`, `corrupt-registry`, `usage` for a metric that no version has
 */
export async function readVersions(
  registry: Registry,
  model: string,
  options: VersionListOptions = {},
): Promise<VersionList> {
  const names = await registry.namesOf(model);
  const [contents] = await readModels(registry, [names], options);
  const { states, live, unknown, ...found } = contents as ModelContents;
  const versions = found.versions.map(
    (summary): VersionSummary => ({
      ...summary,
      state: stateOf(states, summary.version),
      live: live
        .filter(({ version }) => version === summary.version)
        .map(({ environment }) => environment),
    }),
  );
  const listed = versions.filter(({ state }) => options.all === true || isUsed(state));
  return {
    model,
    latest: latestActive(found.versions, states, unknown) ?? null,
    versions: sortVersions(model, listed, options),
    retired: versions.filter(({ state }) => !isUsed(state)).length,
  };
}

function sortVersions(
  model: string,
  versions: readonly VersionSummary[],
  { sort = 'version', reverse = false, lowerIsBetter }: VersionListOptions,
): VersionSummary[] {
  const byVersion = [...versions].sort((a, b) => compareVersions(b, a));
  if (sort === 'version') return reverse ? byVersion.reverse() : byVersion;
  const turned = reverse ? -1 : 1;
  if (sort === 'created') {
    return byVersion.sort((a, b) => turned * compareUtf8(b.created, a.created));
  }
  const metricOf = ({ metrics }: VersionSummary): number | undefined =>
    Object.hasOwn(metrics, sort) ? metrics[sort] : undefined;
  if (!versions.some((version) => metricOf(version) !== undefined)) {
    throw unknownMetric(model, sort, versions);
  }
  return byVersion.sort((a, b) => {
    const [x, y] = [metricOf(a), metricOf(b)];
    if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? 1 : -1;
    return (lowerIsBetter?.has(sort) ? -turned : turned) * (y - x);
  });
}

function unknownMetric(
  model: string,
  metric: string,
  versions: readonly VersionSummary[],
): MstoreError {
  const known = [...new Set(versions.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  const near = nearest(metric, ['created', 'version', ...known]);
  const some = known.slice(0, 5).map(printable).join(', ');
  return new MstoreError(
    'usage',
    `No version of ${model} that is listed has a metric ${printable(metric)}`,
    {
      hint:
        near !== undefined
          ? `Did you mean ${printable(near)}?`
          : known.length === 0
            ? 'Sort by version or created'
            : `Sort by version, created, or a metric: ${some}${known.length > 5 ? ', …' : ''}`,
      details: { model, metric },
    },
  );
}

/** All that one listing and reads of single objects tell of a model. */
interface ModelContents {
  readonly model: string;
  readonly versions: readonly RecordSummary[];
  /** The last states, by version; a version in its first state has none. */
  readonly states: ReadonlyMap<string, StateEntry>;
  /** The last entries of the environments, sorted by environment. */
  readonly live: readonly EnvironmentEntry[];
  /** Versions whose record or state is damaged; nothing else is told of them. */
  readonly unknown: readonly string[];
}

/** Reads the records, states and live versions of models, all of them in one go. */
async function readModels(
  registry: Registry,
  all: readonly ModelNames[],
  { onDamage }: DamageOptions,
): Promise<ModelContents[]> {
  const unlessDamaged = async (read: () => Promise<void>, damaged: () => void): Promise<void> => {
    try {
      await read();
    } catch (error) {
      if (onDamage === undefined || !isMstoreError(error, 'corrupt-registry')) throw error;
      damaged();
      onDamage(error);
    }
  };
  const found = all.map(({ model }) => ({
    model,
    versions: [] as RecordSummary[],
    states: new Map<string, StateEntry>(),
    live: [] as EnvironmentEntry[],
    unknown: [] as string[],
  }));
  const reads = all.flatMap(({ model, versions, states, environments }, i) => {
    const into = found[i] as (typeof found)[number];
    return [
      ...[...environments].map(([name, number]) => () => {
        const log = environmentLog(model, name);
        const read = async () => {
          into.live.push((await registry.entry<EnvironmentEntry>(log, number)).value);
        };
        return unlessDamaged(read, () => {});
      }),
      ...[...states].map(([name, number]) => () => {
        const read = async () => {
          const { value } = await registry.entry<StateEntry>(stateLog(model, name), number);
          into.states.set(name, value);
        };
        return unlessDamaged(read, () => into.unknown.push(name));
      }),
      ...[...versions].map((version) => () => {
        const read = async () => {
          const records = await registry.records(model, [version]);
          into.versions.push(...records.map(summaryOf));
        };
        return unlessDamaged(read, () => into.unknown.push(version));
      }),
    ];
  });
  await mapConcurrently(reads, readsAtOnce, (read) => read());
  return found.map((one) => ({
    ...one,
    versions: one.versions.filter(({ version }) => !one.unknown.includes(version)),
    live: one.live.sort((a, b) => compareUtf8(a.environment, b.environment)),
  }));
}

/** Metadata may be large, and are not kept. */
function summaryOf({ value, sha256 }: Sealed<VersionRecord>): RecordSummary {
  const { version, created, author, content, description, status, labels, metrics } = value;
  return {
    version,
    created,
    author,
    path: content.path,
    kind: content.kind,
    sha256: content.sha256,
    size: content.size,
    record: sha256,
    ...(description === undefined ? {} : { description }),
    ...(status === undefined ? {} : { status }),
    ...(labels === undefined ? {} : { labels }),
    metrics,
  };
}

function stateOf(states: ReadonlyMap<string, StateEntry>, version: string): VersionState {
  return states.get(version)?.state ?? 'active';
}

function isUsed(state: VersionState): boolean {
  return state === 'active' || state === 'deprecated';
}

/** Where some versions are damaged, the names tell which is the latest, or nothing does. */
function latestActive(
  versions: readonly RecordSummary[],
  states: ReadonlyMap<string, StateEntry>,
  unknown: readonly string[],
): string | undefined {
  const active = versions.filter(({ version }) => stateOf(states, version) === 'active');
  if (unknown.length === 0) return latestOf(active)?.version;
  const latest = latestRelease([...active.map(({ version }) => version), ...unknown]);
  return unknown.includes(latest ?? '') ? undefined : latest;
}
