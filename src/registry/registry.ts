import { mapConcurrently } from '../base/concurrency.ts';
import { type Digest, sha256 as digestOf } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { compareUtf8, type JsonObject } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteWriter,
  readObject,
} from '../remote/remote.ts';
import {
  type EnvironmentEntry,
  formatEntry,
  type LogEntry,
  parseEntry,
  type StateEntry,
  type VersionState,
} from './entry.ts';
import {
  entryKey,
  isLogKey,
  type LogName,
  logPrefix,
  modelPrefix,
  modelsPrefix,
  parseRegistryKey,
  signatureKey,
  signaturesPrefix,
  versionKey,
} from './keys.ts';
import { registryNameProblem } from './names.ts';
import { formatRecord, parseRecord, type VersionRecord } from './record.ts';
import {
  checkSignatureObject,
  corruptRegistry,
  missingInRegistry,
  type Sealed,
  seal,
} from './sealed.ts';

/** Objects read at once. */
const readsAtOnce = 16;

/** The names of a model, as one listing gives them. */
export interface ModelNames {
  readonly model: string;
  /** Unordered; deleted ones are among them. */
  readonly versions: ReadonlySet<string>;
  /** Numbers of the last entries, by environment. */
  readonly environments: ReadonlyMap<string, number>;
  /** Numbers of the last states, by version; a version in its first state has none. */
  readonly states: ReadonlyMap<string, number>;
}

/** What a new entry says, beside its place in the log. */
export type NewEntry<E extends LogEntry> = Omit<E, 'number' | 'previous'>;

/**
 * The registry in one place: the local store, or a remote. Everything in it is created once and never
 * changed; what changes is the number of entries. Nothing is kept in memory, so every answer is as
 * fresh as the place.
 */
export class Registry {
  readonly place: RemoteWriter;
  readonly #options: RemoteCallOptions;

  constructor(place: RemoteWriter, options: RemoteCallOptions = {}) {
    this.place = place;
    this.#options = options;
  }

  /** Lists the names of all models, or of one, sorted by model. */
  async names(model?: string): Promise<ModelNames[]> {
    const found = new Map<string, MutableNames>();
    const prefix = model === undefined ? modelsPrefix : modelPrefix(model);
    for await (const { key } of this.place.list(prefix, this.#options)) {
      const named = parseRegistryKey(key);
      if (named === undefined) continue;
      const names = found.get(named.model) ?? newNames(named.model);
      found.set(named.model, names);
      if (named.kind === 'versions') names.versions.add(named.name);
      // Keys come in the order of their numbers.
      else if (isLogKey(named)) names[named.kind].set(named.name, named.number);
    }
    return [...found.values()].sort((a, b) => compareUtf8(a.model, b.model));
  }

  /**
   * Lists the names of a model.
   * @throws MstoreError `unknown-model`
   */
  async namesOf(model: string): Promise<ModelNames> {
    if (registryNameProblem('model', model) === undefined) {
      const [names] = await this.names(model);
      if (names !== undefined) return names;
    }
    const near = nearest(
      model,
      (await this.names()).map((names) => names.model),
    );
    throw new MstoreError(
      'unknown-model',
      `There is no model ${printable(model)} in ${this.place.location}`,
      {
        hint:
          near === undefined
            ? 'Run "mstore models" to see them, or "mstore fetch" for those of the remote'
            : `Did you mean ${near}?`,
        details: { model },
      },
    );
  }

  /** Reads the record of a version; undefined when it was never registered. */
  async record(model: string, version: string): Promise<Sealed<VersionRecord> | undefined> {
    const key = versionKey(model, version);
    const bytes = await this.#read(key);
    return bytes && parseRecord(bytes, this.#where(key), { model, version });
  }

  /** Reads the records of versions, in the order given. */
  async records(
    model: string,
    versions: readonly string[],
  ): Promise<ReadonlyArray<Sealed<VersionRecord>>> {
    const records = new Array<Sealed<VersionRecord>>(versions.length);
    await mapConcurrently([...versions.keys()], readsAtOnce, async (i) => {
      const version = versions[i] as string;
      const record = await this.record(model, version);
      if (record === undefined) throw this.#gone(versionKey(model, version));
      records[i] = record;
    });
    return records;
  }

  /** Reads the entry of a log that counts: undefined where there is none. */
  async last<E extends LogEntry>(log: LogName): Promise<Sealed<E> | undefined> {
    const number = await this.lastNumber(log);
    return number === 0 ? undefined : this.entry<E>(log, number);
  }

  /**
   * Reads one entry.
   * @throws MstoreError `corrupt-registry`
   */
  async entry<E extends LogEntry>(log: LogName, number: number): Promise<Sealed<E>> {
    const key = entryKey(log, number);
    const bytes = await this.#read(key);
    if (bytes === undefined) throw this.#gone(key);
    return parseEntry(bytes, this.#where(key), log, number) as Sealed<E>;
  }

  /**
   * Reads a whole log, the first entry first, and checks that each entry holds the digest of the one before.
   * @throws MstoreError `corrupt-registry`
   */
  async log<E extends LogEntry>(log: LogName): Promise<Array<Sealed<E>>> {
    const count = await this.lastNumber(log);
    const entries = new Array<Sealed<E>>(count);
    await mapConcurrently([...entries.keys()], readsAtOnce, async (i) => {
      entries[i] = await this.entry<E>(log, i + 1);
    });
    for (let i = 1; i < count; i++) {
      const [before, entry] = [entries[i - 1], entries[i]];
      if (entry?.value.previous === before?.sha256) continue;
      throw corruptRegistry(
        this.#where(entryKey(log, i + 1)),
        'it does not follow the entry before it, which was replaced or changed',
      );
    }
    return entries;
  }

  /** Reads what is live in an environment; undefined where nothing ever was. */
  live(model: string, environment: string): Promise<Sealed<EnvironmentEntry> | undefined> {
    return this.last<EnvironmentEntry>({ model, kind: 'environments', name: environment });
  }

  /** Reads the history of an environment, the first entry first. */
  history(model: string, environment: string): Promise<Array<Sealed<EnvironmentEntry>>> {
    return this.log<EnvironmentEntry>({ model, kind: 'environments', name: environment });
  }

  /** Reads the state of a version. */
  async state(model: string, version: string): Promise<VersionState> {
    const last = await this.last<StateEntry>({ model, kind: 'states', name: version });
    return last?.value.state ?? 'active';
  }

  /** Reads the states of all versions that have ever had another one than `active`. */
  async states({ model, states }: ModelNames): Promise<Map<string, VersionState>> {
    const found = new Map<string, VersionState>();
    await mapConcurrently([...states], readsAtOnce, async ([name, number]) => {
      const { value } = await this.entry<StateEntry>({ model, kind: 'states', name }, number);
      found.set(name, value.state);
    });
    return found;
  }

  /**
   * Stores the record of a version.
   * @returns `exists` when another record, or this one, has the name
   */
  createRecord(record: Sealed<VersionRecord>): Promise<'created' | 'exists'> {
    const key = versionKey(record.value.model, record.value.version);
    return this.place.create(key, bytesSource(formatRecord(record)), this.#options);
  }

  /**
   * Appends an entry to a log.
   * @param after the entry that was the last one when this one was decided on
   * @param sign makes the signature that the entry carries
   * @returns the entry, or what took its place first
   */
  async append<E extends LogEntry>(
    log: LogName,
    draft: NewEntry<E>,
    after: Sealed<LogEntry> | undefined,
    sign?: (entry: Sealed<E>) => Promise<JsonObject>,
  ): Promise<{ readonly outcome: 'created' | 'exists'; readonly entry: Sealed<E> }> {
    const number = (after?.value.number ?? 0) + 1;
    const plain = seal({ ...draft, number, previous: after?.sha256 ?? null } as unknown as E);
    const entry = sign === undefined ? plain : { ...plain, signature: await sign(plain) };
    const outcome = await this.createEntry(log, entry);
    return outcome === 'created'
      ? { outcome, entry }
      : { outcome, entry: await this.entry<E>(log, number) };
  }

  /** Makes sure that what was read so far is durable: before it is reported as done. */
  async settle(): Promise<void> {
    await this.place.settle?.(this.#options);
  }

  /** Stores an entry as it is, at its place. */
  createEntry(log: LogName, entry: Sealed<LogEntry>): Promise<'created' | 'exists'> {
    const key = entryKey(log, entry.value.number);
    return this.place.create(key, bytesSource(formatEntry(entry)), this.#options);
  }

  /** Lists the digests of the signatures of a version, sorted. */
  async signatures(model: string, version: string): Promise<Digest[]> {
    const found: Digest[] = [];
    const prefix = signaturesPrefix(model, version);
    for await (const { key } of this.place.list(prefix, this.#options)) {
      const named = parseRegistryKey(key);
      if (named?.kind === 'signatures') found.push(named.sha256);
    }
    return found;
  }

  /**
   * Reads a signature, whatever it is worth.
   * @throws MstoreError `corrupt-registry` when its bytes are not those that it is named by
   */
  async signature(model: string, version: string, sha256: Digest): Promise<Buffer> {
    const key = signatureKey(model, version, sha256);
    const bytes = await this.#read(key, limits.signatureBytesMax);
    if (bytes === undefined) throw this.#gone(key);
    checkSignatureObject(bytes, this.#where(key), sha256);
    return bytes;
  }

  /** Stores a signature. */
  createSignature(model: string, version: string, bytes: Buffer): Promise<'created' | 'exists'> {
    const key = signatureKey(model, version, digestOf(bytes));
    return this.place.create(key, bytesSource(bytes), { ...this.#options, contentKey: true });
  }

  /** Returns the number of the last entry of a log, 0 where there is none; a gap before it is damage. */
  async lastNumber(log: LogName): Promise<number> {
    let count = 0;
    for await (const { key } of this.place.list(logPrefix(log), this.#options)) {
      const named = parseRegistryKey(key);
      if (named === undefined || !isLogKey(named)) continue;
      count++;
      if (named.number !== count) throw this.#gone(entryKey(log, count));
    }
    return count;
  }

  async #read(
    key: string,
    bytesMax: number = limits.registryObjectBytesMax,
  ): Promise<Buffer | undefined> {
    try {
      return await readObject(this.place, key, bytesMax, this.#options);
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  #where(key: string): string {
    return `${this.place.location}/${key}`;
  }

  #gone(key: string): MstoreError {
    return missingInRegistry(this.#where(key));
  }
}

interface MutableNames extends ModelNames {
  readonly versions: Set<string>;
  readonly environments: Map<string, number>;
  readonly states: Map<string, number>;
}

function newNames(model: string): MutableNames {
  return { model, versions: new Set(), environments: new Map(), states: new Map() };
}

/** The log of an environment. */
export function environmentLog(model: string, environment: string): LogName {
  return { model, kind: 'environments', name: environment };
}

/** The log of the states of a version. */
export function stateLog(model: string, version: string): LogName {
  return { model, kind: 'states', name: version };
}
