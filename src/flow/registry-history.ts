import type { Digest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import type { EnvironmentAction, EnvironmentEntry, StateEntry } from '../registry/entry.ts';
import { findVersion } from '../registry/find.ts';
import type { VersionRecord } from '../registry/record.ts';
import { type ModelNames, type Registry, stateLog } from '../registry/registry.ts';
import type { Sealed } from '../registry/sealed.ts';
import { liveAt } from '../registry/timeline.ts';

/** An entry of the history of an environment, as it is stored, with its digest. */
export interface HistoryEntry extends EnvironmentEntry {
  readonly sha256: Digest;
}

/** What {@link readHistory} found. */
export interface ModelHistory {
  readonly model: string;
  /** The newest one first; those of one environment stand in the order of their numbers. */
  readonly entries: readonly HistoryEntry[];
  /** Number of all entries, of which `limit` may have left some out. */
  readonly total: number;
}

/** Options of {@link readHistory}. */
export interface HistoryOptions {
  /** This environment alone. */
  readonly environment?: string | undefined;
  /** Most entries that are returned; all of them are read and checked. */
  readonly limit?: number | undefined;
}

/**
 * Reads the history of the environments of a model. Each entry is checked against the digest that the next
 * one holds.
 * @throws MstoreError `unknown-model`, `unknown-environment`, `corrupt-registry`
 */
export async function readHistory(
  registry: Registry,
  model: string,
  { environment, limit }: HistoryOptions = {},
): Promise<ModelHistory> {
  const histories = await readHistories(registry, await registry.namesOf(model), environment);
  const entries = newestFirst([...histories.values()]);
  return { model, entries: entries.slice(0, limit), total: entries.length };
}

/** What was live in an environment at a time. */
export interface LiveThen {
  readonly environment: string;
  /** The entry that made it live; null where nothing was live yet. */
  readonly entry: HistoryEntry | null;
}

/**
 * Finds what was live at a time in each environment of a model, or in one, by the clocks of the hosts that
 * wrote the entries.
 * @param at milliseconds since 1970-01-01 UTC
 * @throws MstoreError `unknown-model`, `unknown-environment`, `corrupt-registry`
 */
export async function readLiveAt(
  registry: Registry,
  model: string,
  at: number,
  environment?: string,
): Promise<LiveThen[]> {
  const histories = await readHistories(registry, await registry.namesOf(model), environment);
  return [...histories].map(([name, entries]) => ({
    environment: name,
    entry: (liveAt(entries, at) as HistoryEntry | undefined) ?? null,
  }));
}

/** A time for which a version was live in an environment. */
export interface LivePeriod {
  readonly environment: string;
  /** When it became live, as ISO 8601 in UTC. */
  readonly since: string;
  /** When another version took its place; null while it is live. */
  readonly until: string | null;
  /** Number of the entry that made it live. */
  readonly number: number;
  readonly action: EnvironmentAction;
  readonly by: string;
  readonly reason?: string;
}

/** Everything that the registry knows of a version. */
export interface VersionDetails {
  /** Digest of the record. */
  readonly sha256: Digest;
  /** The record, as it was registered. */
  readonly record: VersionRecord;
  /** The state it was brought to last, with all before it: the first one first; empty in the first state. */
  readonly states: readonly StateEntry[];
  /** Where it is and was live, the newest one first. */
  readonly live: readonly LivePeriod[];
}

/**
 * Reads everything of a version. One that was deleted is found by its own name, so that one can see who
 * deleted it and why.
 * @param selector a version, an environment whose version is meant, or `latest`
 * @throws MstoreError `unknown-model`, `unknown-version`, `corrupt-registry`
 */
export async function readVersion(
  registry: Registry,
  model: string,
  selector: string,
): Promise<VersionDetails> {
  const names = await registry.namesOf(model);
  const record = await chooseRecord(registry, names, selector);
  const { version } = record.value;
  const [states, histories] = await Promise.all([
    registry.log<StateEntry>(stateLog(model, version)),
    readHistories(registry, names),
  ]);
  return {
    sha256: record.sha256,
    record: record.value,
    states: states.map(({ value }) => value),
    live: [...histories.values()].flatMap((entries) => periodsOf(version, entries)).sort(byRecency),
  };
}

async function chooseRecord(
  registry: Registry,
  { model, versions, environments }: ModelNames,
  selector: string,
): Promise<Sealed<VersionRecord>> {
  if (versions.has(selector) && !environments.has(selector)) {
    const [record] = await registry.records(model, [selector]);
    return record as Sealed<VersionRecord>;
  }
  return (await findVersion(registry, model, selector)).record;
}

function periodsOf(version: string, entries: readonly HistoryEntry[]): LivePeriod[] {
  return entries.flatMap((entry, i) => {
    if (entry.version !== version) return [];
    const { environment, at, number, action, by, reason } = entry;
    const until = entries[i + 1]?.at ?? null;
    const period = { environment, since: at, until, number, action, by };
    return [reason === undefined ? period : { ...period, reason }];
  });
}

/** What is live stands first, then what was live last. */
function byRecency(a: LivePeriod, b: LivePeriod): number {
  if ((a.until === null) !== (b.until === null)) return a.until === null ? -1 : 1;
  return compareUtf8(b.until ?? '', a.until ?? '') || compareUtf8(b.since, a.since);
}

/** Reads the histories of environments, sorted by their names, the first entries first. */
async function readHistories(
  registry: Registry,
  { model, environments }: ModelNames,
  only?: string,
): Promise<Map<string, HistoryEntry[]>> {
  const known = [...environments.keys()].sort(compareUtf8);
  if (only !== undefined && !environments.has(only)) throw neverLive(model, only, known);
  const histories = new Map<string, HistoryEntry[]>();
  // One after the other: each reads many entries at once.
  for (const environment of only === undefined ? known : [only]) {
    const entries = await registry.history(model, environment);
    histories.set(
      environment,
      entries.map(({ sha256, value }) => ({ ...value, sha256 })),
    );
  }
  return histories;
}

function neverLive(model: string, environment: string, known: readonly string[]): MstoreError {
  const near = nearest(environment, known);
  return new MstoreError(
    'unknown-environment',
    `Nothing of ${model} was ever live in ${printable(environment)}`,
    {
      hint:
        near !== undefined
          ? `Did you mean ${near}?`
          : known.length === 0
            ? `No version of it was deployed yet: mstore deploy ${model}@VERSION --env ENVIRONMENT`
            : `Its environments: ${known.join(', ')}`,
      details: { model, environment },
    },
  );
}

/**
 * Joins histories by time. Clocks of hosts differ: within one history the numbers decide, whatever the
 * times say.
 */
function newestFirst(histories: ReadonlyArray<readonly HistoryEntry[]>): HistoryEntry[] {
  const rest = histories.map((entries) => [...entries]);
  const joined: HistoryEntry[] = [];
  for (;;) {
    let newest: HistoryEntry[] | undefined;
    for (const entries of rest) {
      const at = entries.at(-1)?.at;
      if (at !== undefined && at > (newest?.at(-1)?.at ?? '')) newest = entries;
    }
    const entry = newest?.pop();
    if (entry === undefined) return joined;
    joined.push(entry);
  }
}
