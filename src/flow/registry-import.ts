import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { EnvironmentEntry, LogEntry, StateEntry } from '../registry/entry.ts';
import type { LogName } from '../registry/keys.ts';
import { registryNameProblem } from '../registry/names.ts';
import type { VersionContent, VersionRecord } from '../registry/record.ts';
import { environmentLog, type ModelNames, type Registry, stateLog } from '../registry/registry.ts';
import { type Sealed, seal } from '../registry/sealed.ts';
import type { Pointer } from '../worktree/pointer.ts';
import { checkPresent } from './checkout.ts';
import { localRegistry } from './registry.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Options of an import. */
export interface ImportOptions {
  /** Takes what can be taken, and tells of the rest; else nothing is taken unless all can be. */
  readonly partial?: boolean;
  /** Finds out all, and changes nothing. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What an import did, or would do. */
export interface ImportResult {
  /** Versions that are new, as `MODEL@VERSION`. */
  readonly versions: readonly string[];
  /** Versions that were there already, with the same content. */
  readonly unchanged: readonly string[];
  /** New entries of histories. */
  readonly entries: ReadonlyArray<{
    readonly model: string;
    readonly environment: string;
    readonly version: string;
    readonly at: string;
  }>;
  /** New states of versions. */
  readonly states: ReadonlyArray<{
    readonly model: string;
    readonly version: string;
    readonly state: string;
  }>;
  /** What was left out, and why. */
  readonly leftOut: readonly string[];
  /** What was taken, but says less here than it did there. */
  readonly notes: readonly string[];
  readonly dryRun: boolean;
}

/** An event of a history elsewhere: from then on this version was live. */
export interface LiveEvent {
  readonly version: string;
  /** ISO 8601 in UTC. */
  readonly at: string;
  readonly by: string;
  readonly reason?: string;
}

type Draft<E extends LogEntry> = Omit<E, 'number' | 'previous'>;

function trackedOf({ path, kind, sha256, size, executable }: VersionContent): Tracked {
  const base = { path: path.slice(path.lastIndexOf('/') + 1), sha256, size, extra: {} };
  const pointer: Pointer =
    kind === 'tree'
      ? { ...base, kind }
      : { ...base, kind, ...(executable === undefined ? {} : { executable }) };
  return { path, pointer };
}

/**
 * Takes versions, states and histories of another registry into the local one. First everything is planned
 * and held against what is here, then it is written: records, states, histories. An import that was broken off
 * goes on when it is run again; what is here already stays as it is.
 */
export class Importer {
  readonly #workspace: Workspace;
  readonly #registry: Registry;
  readonly #options: ImportOptions;
  /** By `MODEL@VERSION`: what the version will be, or is. */
  readonly #records = new Map<string, Sealed<VersionRecord>>();
  readonly #names = new Map<string, ModelNames | undefined>();
  readonly #new: Array<Sealed<VersionRecord>> = [];
  readonly #unchanged: string[] = [];
  readonly #states: Array<Draft<StateEntry>> = [];
  readonly #entries: Array<Draft<EnvironmentEntry>> = [];
  readonly #logs: Array<{ readonly log: LogName; readonly entry: Sealed<LogEntry> }> = [];
  readonly #notes: string[] = [];
  readonly #problems: Array<{ readonly what: string; readonly error?: MstoreError }> = [];

  private constructor(workspace: Workspace, registry: Registry, options: ImportOptions) {
    this.#workspace = workspace;
    this.#registry = registry;
    this.#options = options;
  }

  /** Begins an import into the local registry. */
  static async open(workspace: Workspace, options: ImportOptions): Promise<Importer> {
    const registry = await localRegistry(workspace, { signal: options.signal });
    return new Importer(workspace, registry, options);
  }

  /** Notes something that cannot be imported. */
  problem(what: string, error?: MstoreError): void {
    this.#problems.push(error === undefined ? { what } : { what, error });
  }

  /** Notes something that cannot be said in a registry of ours. */
  note(what: string): void {
    this.#notes.push(what);
  }

  /** Checks a name; one that cannot be is a problem. */
  isName(kind: 'model' | 'version' | 'environment', name: string, what: string): boolean {
    const wrong = registryNameProblem(kind, name);
    if (wrong !== undefined) {
      const kinds = kind === 'environment' ? 'an environment' : `a ${kind}`;
      this.problem(`${printable(what)}: ${printable(name)} cannot name ${kinds}: ${wrong}`);
    }
    return wrong === undefined;
  }

  /** Takes a version that is registered here for what it is. */
  async keep(model: string, version: string): Promise<void> {
    const here = await this.#registry.record(model, version);
    if (here === undefined) return;
    this.#records.set(`${model}@${version}`, here);
    this.#unchanged.push(`${model}@${version}`);
  }

  /** Plans a version. What it holds must be in the local store. */
  async version(record: VersionRecord): Promise<void> {
    const { model, version } = record;
    const name = `${model}@${version}`;
    const here = await this.#registry.record(model, version);
    if (here !== undefined) {
      if (here.value.content.sha256 !== record.content.sha256) {
        this.problem(`${name} is registered here with other content`);
        return;
      }
      this.#records.set(name, here);
      this.#unchanged.push(name);
      return;
    }
    const names = await this.#namesOf(model);
    if (names?.environments.has(version)) {
      this.problem(`${name}: ${version} is an environment of ${model} here`);
      return;
    }
    try {
      checkPresent(this.#workspace.store, [trackedOf(record.content)]);
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      this.problem(`${name}: ${error.message}`, error);
      return;
    }
    const sealed = seal(record);
    this.#records.set(name, sealed);
    this.#new.push(sealed);
  }

  /** Plans that a version is out of use. */
  async deprecate(model: string, version: string, by: LiveEvent): Promise<void> {
    if (!this.#records.has(`${model}@${version}`)) return;
    if ((await this.#registry.state(model, version)) !== 'active') return;
    const { at, reason } = by;
    this.#states.push({
      ...{ model, version, state: 'deprecated', at, by: by.by },
      ...(reason === undefined ? {} : { reason }),
    });
  }

  /**
   * Plans the history of an environment. What is here of it must be its beginning, version by version; who
   * moved it and when may differ, as one and the same event is told by several tools.
   */
  async history(model: string, environment: string, events: readonly LiveEvent[]): Promise<void> {
    const what = `${environment} of ${model}`;
    const names = await this.#namesOf(model);
    const isVersion =
      names?.versions.has(environment) || this.#records.has(`${model}@${environment}`);
    if (isVersion) return this.problem(`${what}: it is a version of ${model}`);
    const told = events.filter((event, i) => event.version !== events[i - 1]?.version);
    const lacking = told.find(({ version }) => !this.#records.has(`${model}@${version}`));
    if (lacking !== undefined) {
      return this.problem(`${what}: ${model}@${printable(lacking.version)} cannot be imported`);
    }
    const here = (await this.#registry.history(model, environment)).map(({ value }) => value);
    const known = here.filter((entry, i) => entry.version !== here[i - 1]?.version);
    const shorter = Math.min(known.length, told.length);
    for (let i = 0; i < shorter; i++) {
      const [a, b] = [known[i]?.version, told[i]?.version];
      if (a !== b) return this.problem(`${what}: entry ${i + 1} is ${a} here, and ${b} there`);
    }
    for (const { version, at, by, reason } of told.slice(shorter)) {
      const record = this.#records.get(`${model}@${version}`)?.sha256;
      if (record === undefined) continue;
      this.#entries.push({
        ...{ model, environment, action: 'deploy', version, record, at, by },
        ...(reason === undefined ? {} : { reason }),
      });
    }
  }

  /**
   * Plans a log that is to be here entry by entry as it is there, with all digests.
   * @param entries the first one first
   */
  async log(log: LogName, entries: ReadonlyArray<Sealed<LogEntry>>): Promise<void> {
    const what = `${log.name} of ${log.model}`;
    const here = await this.#registry.log(log);
    for (const [i, entry] of entries.entries()) {
      const known = here[i]?.sha256 ?? entry.sha256;
      const before = entries[i - 1]?.sha256 ?? null;
      if (known !== entry.sha256)
        return this.problem(`${what}: entry ${i + 1} is another one here`);
      if (entry.value.previous !== before || entry.value.number !== i + 1) {
        return this.problem(`${what}: entry ${i + 1} does not follow the one before it`);
      }
      const name = `${log.model}@${entry.value.version}`;
      const record = this.#records.get(name)?.sha256;
      if (record === undefined) return this.problem(`${what}: ${name} cannot be imported`);
      if ('record' in entry.value && entry.value.record !== record) {
        return this.problem(`${what}: ${name} has another record here, with the same content`);
      }
    }
    this.#logs.push(...entries.slice(here.length).map((entry) => ({ log, entry })));
  }

  /**
   * Writes what was planned.
   * @throws MstoreError `import-refused` for what cannot be imported, unless the rest alone was asked for;
   * `lost-race`
   */
  async finish(): Promise<ImportResult> {
    const { partial = false, dryRun = false } = this.#options;
    if (this.#problems.length > 0 && !partial) throw this.#refused();
    if (!dryRun) await this.#write();
    const copied = this.#logs.map(({ entry }) => entry.value);
    const nameOf = ({ value }: Sealed<VersionRecord>) => `${value.model}@${value.version}`;
    return {
      versions: this.#new.map(nameOf),
      unchanged: this.#unchanged,
      entries: [...this.#entries, ...copied].flatMap((entry) => {
        if (!('environment' in entry)) return [];
        const { model, environment, version, at } = entry;
        return [{ model, environment, version, at }];
      }),
      states: [...this.#states, ...copied].flatMap((entry) =>
        'state' in entry
          ? [{ model: entry.model, version: entry.version, state: entry.state }]
          : [],
      ),
      leftOut: this.#problems.map(({ what }) => what),
      notes: this.#notes,
      dryRun,
    };
  }

  async #write(): Promise<void> {
    this.#workspace.store.prepareWriting();
    for (const record of this.#new) {
      const { model, version } = record.value;
      const outcome = await this.#registry.createRecord(record);
      const there = outcome === 'created' ? record : await this.#registry.record(model, version);
      if (there?.sha256 !== record.sha256) throw lostRace(model, version);
    }
    for (const { log, entry } of this.#logs) {
      const outcome = await this.#registry.createEntry(log, entry);
      if (outcome === 'exists') throw lostRace(log.model, log.name);
    }
    for (const state of this.#states)
      await this.#append(stateLog(state.model, state.version), state);
    for (const entry of this.#entries) {
      await this.#append(environmentLog(entry.model, entry.environment), entry);
    }
  }

  async #append<E extends LogEntry>(log: LogName, draft: Draft<E>): Promise<void> {
    const before = await this.#registry.last<E>(log);
    const { outcome } = await this.#registry.append<E>(log, draft as never, before);
    if (outcome === 'exists') throw lostRace(log.model, log.name);
  }

  /** One listing a model: what is planned does not change it. */
  async #namesOf(model: string): Promise<ModelNames | undefined> {
    if (!this.#names.has(model)) this.#names.set(model, (await this.#registry.names(model))[0]);
    return this.#names.get(model);
  }

  #refused(): MstoreError {
    const whats = this.#problems.map(({ what }) => what);
    const more = whats.length > 5 ? `\n… and ${whats.length - 5} more` : '';
    const same = this.#problems.every(({ error }) => error?.code === 'objects-missing');
    return new MstoreError(
      same ? 'objects-missing' : 'import-refused',
      `Nothing was imported, as not all can be:\n${whats.slice(0, 5).join('\n')}${more}`,
      {
        hint: same
          ? 'Get the data first ("mstore fetch --all-versions"), or take the rest with --partial'
          : 'Mend what is named, or take the rest with --partial',
        details: { problems: whats },
      },
    );
  }
}

function lostRace(model: string, name: string): MstoreError {
  return new MstoreError('lost-race', `Somebody changed ${name} of ${model} meanwhile`, {
    hint: 'Run the import again: it goes on where it stopped',
    details: { model, name },
  });
}
