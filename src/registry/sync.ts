import { mapConcurrently } from '../base/concurrency.ts';
import type { Digest } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { bytesSource, type RemoteCallOptions, readObject } from '../remote/remote.ts';
import { parseEntry } from './entry.ts';
import {
  bytesMaxOf,
  entryKey,
  isLogKey,
  logPrefix,
  modelPrefix,
  modelsPrefix,
  parseRegistryKey,
  type RegistryKey,
  versionKey,
} from './keys.ts';
import { parseRecord } from './record.ts';
import type { Registry } from './registry.ts';
import { checkSignatureObject, corruptRegistry, missingInRegistry } from './sealed.ts';

/** What two places say differently of one thing; none of it is copied. */
export interface RegistryConflict {
  readonly kind: 'version' | 'history' | 'name';
  readonly model: string;
  /** The version or the environment. */
  readonly name: string;
  /** What differs, for people. */
  readonly text: string;
}

/** How two registries differ. Keys stand in the order in which they must be copied: records first. */
export interface RegistryDifference {
  readonly onlyFirst: readonly string[];
  readonly onlySecond: readonly string[];
  readonly conflicts: readonly RegistryConflict[];
  /** Keys of objects that both were found to have alike. */
  readonly same: readonly string[];
  /** Keys of entries that one of them lacks, while it has later ones of the same log. */
  readonly gaps: ReadonlySet<string>;
}

/** Options of {@link compareRegistries}. */
export interface CompareOptions extends RemoteCallOptions {
  /** Only this model; all by default. */
  readonly model?: string | undefined;
  /** Requests at once. */
  readonly jobs: number;
  /** Keys of objects that are known to be alike in both: objects never change. */
  readonly known?: ReadonlySet<string> | undefined;
}

/**
 * Compares two registries. Where both have something of one name it must be the same: a record is compared
 * with its namesake, a history by the last entry that both have, which carries the digests of all before it.
 * What differs is a conflict, and nothing of that version or history is to be copied. An entry that one of them
 * has lost is taken from the other.
 * @throws MstoreError `corrupt-registry`, also for an entry that both have lost
 */
export async function compareRegistries(
  first: Registry,
  second: Registry,
  options: CompareOptions,
): Promise<RegistryDifference> {
  const listed = await Promise.all([contents(first, options), contents(second, options)]);
  const [a, b] = listed.map(({ keys }) => keys) as [Set<string>, Set<string>];
  const [gaps, others] = listed.map(({ lost }) => lost) as [string[], string[]];
  refuseLost(first, gaps, b);
  refuseLost(second, others, a);
  const conflicts = new Map<string, RegistryConflict>();
  const same: string[] = [];
  const shared = lastShared(a, b).filter((key) => !options.known?.has(key));
  await mapConcurrently(shared, options.jobs, async (key) => {
    const [x, y] = await Promise.all([
      readChecked(first, key, options),
      readChecked(second, key, options),
    ]);
    if (x.sha256 === y.sha256) same.push(key);
    else conflicts.set(groupOf(key), conflictOf(key, first, second));
  });
  for (const { key, conflict } of nameConflicts(a, b)) conflicts.set(key, conflict);
  const only = (these: ReadonlySet<string>, those: ReadonlySet<string>) =>
    [...these]
      .filter((key) => !those.has(key) && !conflicts.has(groupOf(key)))
      .sort((x, y) => rank(x) - rank(y) || compareUtf8(x, y));
  return {
    onlyFirst: only(a, b),
    onlySecond: only(b, a),
    conflicts: [...new Set(conflicts.values())],
    same,
    gaps: new Set([...gaps, ...others]),
  };
}

/** Ends with the error of an entry that the other place has lost as well. */
function refuseLost(
  { place }: Registry,
  lost: readonly string[],
  other: ReadonlySet<string>,
): void {
  const key = lost.find((each) => !other.has(each));
  if (key !== undefined) throw missingInRegistry(`${place.location}/${key}`);
}

/** Options of {@link copyRegistry}. */
export interface CopyOptions extends RemoteCallOptions {
  /** Requests at once. */
  readonly jobs: number;
  /** Keys of entries that are put before later ones of their log. */
  readonly gaps?: ReadonlySet<string> | undefined;
  /** Told of each object that was created, with the digest that it carries. */
  readonly onCreated?: ((key: string, sha256: Digest) => void) | undefined;
}

/**
 * Copies objects of a registry, each checked on its way. The entries of one log are copied in their order. Of a
 * model of which something is damaged, what comes after it in the order of copying is left out; all other models
 * are copied first.
 * @param keys as {@link compareRegistries} gives them, of what `from` alone has
 * @throws MstoreError `histories-differ`, `version-exists` when another writer took a name meanwhile,
 * `corrupt-registry`
 */
export async function copyRegistry(
  from: Registry,
  to: Registry,
  keys: readonly string[],
  options: CopyOptions,
): Promise<void> {
  const groups = new Map<string, string[]>();
  for (const key of keys) {
    const group = groups.get(groupOf(key)) ?? [];
    groups.set(groupOf(key), [...group, key]);
  }
  const damaged = new Map<string, MstoreError>();
  for (const wanted of [0, 1, 2, 3]) {
    const chosen = [...groups.values()].filter(
      ([key = '']) => rank(key) === wanted && !damaged.has(parsed(key).model),
    );
    await mapConcurrently(chosen, options.jobs, async (group) => {
      try {
        await copyGroup(from, to, group, options);
      } catch (error) {
        if (!isMstoreError(error, 'corrupt-registry')) throw error;
        damaged.set(parsed(group[0] as string).model, error);
      }
    });
  }
  const [first] = damaged.values();
  if (first !== undefined) throw first;
}

/** Copies a record, or the next entries of a log. */
async function copyGroup(
  from: Registry,
  to: Registry,
  keys: readonly string[],
  options: CopyOptions,
): Promise<void> {
  let before: Digest | undefined;
  for (const key of keys) {
    const named = parsed(key);
    if (before === undefined && isLogKey(named) && named.number > 1) {
      before = (await to.entry(named, named.number - 1)).sha256;
    }
    const { bytes, sha256, previous } = await readChecked(from, key, options);
    if (isLogKey(named) && previous !== (before ?? null)) {
      throw conflictError([conflictOf(key, from, to)]);
    }
    before = sha256;
    if (options.gaps?.has(key)) await checkFollower(to, key, sha256, options);
    if ((await to.place.create(key, bytesSource(bytes), options)) === 'created') {
      options.onCreated?.(key, sha256);
      continue;
    }
    if ((await readChecked(to, key, options)).sha256 === sha256) continue;
    throw conflictError([conflictOf(key, from, to)]);
  }
}

/** Checks that the entry behind a gap, where it is there, was written after this one. */
async function checkFollower(
  { place }: Registry,
  key: string,
  sha256: Digest,
  options: RemoteCallOptions,
): Promise<void> {
  const named = parsed(key);
  if (!isLogKey(named)) return;
  const next = entryKey(named, named.number + 1);
  if ((await place.stat(next, options)) === undefined) return;
  if ((await readChecked({ place }, next, options)).previous === sha256) return;
  throw corruptRegistry(
    `${place.location}/${next}`,
    'it does not follow the entry of the other place',
  );
}

/** Makes the error of what two places say differently. */
export function conflictError(conflicts: readonly RegistryConflict[]): MstoreError {
  const [first] = conflicts;
  const code = first?.kind === 'version' ? 'version-exists' : 'histories-differ';
  const more = conflicts.length > 1 ? ` (and ${conflicts.length - 1} more such)` : '';
  return new MstoreError(code, `${first?.text ?? ''}${more}`, {
    hint:
      first?.kind === 'version'
        ? 'Register yours under another version, then run "mstore fetch --take-history", which sets yours aside; what is on the remote stays as it is'
        : 'Look at both with "mstore history", with and without --remote; "mstore fetch --take-history" sets the local one aside',
    details: {
      conflicts: conflicts.map(({ model, name }) => `${model}@${name}`),
    },
  });
}

/** Entries in a row that a log may have lost; more are no loss of single objects. */
const lostMax = 1000;

/** Lists the keys of a registry, and those of entries that are missing before others of their log. */
async function contents(
  { place }: Registry,
  { model, signal }: CompareOptions,
): Promise<{ readonly keys: Set<string>; readonly lost: string[] }> {
  const keys = new Set<string>();
  const lost: string[] = [];
  let log = '';
  let count = 0;
  for await (const { key } of place.list(model === undefined ? modelsPrefix : modelPrefix(model), {
    signal,
  })) {
    const named = parseRegistryKey(key);
    if (named === undefined) continue;
    if (isLogKey(named)) {
      const group = groupOf(key);
      count = group === log ? count + 1 : 1;
      log = group;
      if (named.number - count > lostMax) {
        throw missingInRegistry(`${place.location}/${entryKey(named, count)}`);
      }
      for (; count < named.number; count++) lost.push(entryKey(named, count));
    }
    keys.add(key);
  }
  return { keys, lost };
}

/** Of what both have, the keys that have to be compared. */
function lastShared(a: ReadonlySet<string>, b: ReadonlySet<string>): string[] {
  const last = new Map<string, string>();
  // Keys are sorted: the last one of a log has the highest number. A signature has the digest of its bytes as its name.
  for (const key of a)
    if (b.has(key) && parsed(key).kind !== 'signatures') last.set(groupOf(key), key);
  return [...last.values()];
}

/** Finds names that stand for a version on one side and for an environment on the other. */
function nameConflicts(
  a: ReadonlySet<string>,
  b: ReadonlySet<string>,
): Array<{ readonly key: string; readonly conflict: RegistryConflict }> {
  const named = [...new Set([...a, ...b])].map(parsed);
  const full = ({ model, name }: RegistryKey): string => `${model}@${name}`;
  const versions = new Set(named.filter(({ kind }) => kind === 'versions').map(full));
  const taken = named.filter((key) => key.kind === 'environments' && versions.has(full(key)));
  return taken.flatMap(({ model, name }) => {
    const text = `${model}@${name} is a version in one place and an environment in the other`;
    const conflict = { kind: 'name', model, name, text } as const;
    return [
      { key: versionKey(model, name), conflict },
      { key: logPrefix({ model, kind: 'environments', name }), conflict },
    ];
  });
}

function conflictOf(key: string, from: Registry, to: Registry): RegistryConflict {
  const { model, kind, name } = parsed(key);
  const places = `${from.place.location} and ${to.place.location}`;
  if (kind === 'versions') {
    const text = `${model}@${name} is another version in ${from.place.location} than in ${to.place.location}`;
    return { kind: 'version', model, name, text };
  }
  const of = kind === 'environments' ? 'the environment' : 'the version';
  const text = `The histories of ${of} ${name} of ${model} differ between ${places}`;
  return { kind: 'history', model, name, text };
}

/** Reads an object and checks that it is what its key says. */
async function readChecked(
  { place }: Pick<Registry, 'place'>,
  key: string,
  options: RemoteCallOptions,
): Promise<{ bytes: Buffer; sha256: Digest; previous: Digest | null }> {
  const named = parsed(key);
  const where = `${place.location}/${key}`;
  const bytes = await readObject(place, key, bytesMaxOf(key), options);
  if (named.kind === 'signatures') {
    checkSignatureObject(bytes, where, named.sha256);
    return { bytes, sha256: named.sha256, previous: null };
  }
  if (named.kind === 'versions') {
    const name = { model: named.model, version: named.name };
    return { bytes, sha256: parseRecord(bytes, where, name).sha256, previous: null };
  }
  const { sha256, value } = parseEntry(bytes, where, named, named.number);
  return { bytes, sha256, previous: value.previous };
}

/** What belongs together: the entries of one log; all else stands by itself. */
function groupOf(key: string): string {
  const named = parsed(key);
  return isLogKey(named) ? logPrefix(named) : key;
}

function rank(key: string): number {
  // Whoever asks for signatures of what is live finds them when it is.
  return { versions: 0, signatures: 1, states: 2, environments: 3 }[parsed(key).kind];
}

function parsed(key: string): RegistryKey {
  const named = parseRegistryKey(key);
  if (named === undefined) throw new MstoreError('internal', `No key of a registry: ${key}`);
  return named;
}
