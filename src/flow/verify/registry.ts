import * as path from 'node:path';
import { Breather } from '../../base/abort.ts';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import type { EnvironmentEntry, LogEntry, StateEntry } from '../../registry/entry.ts';
import {
  entryKey,
  isLogKey,
  type LogName,
  logPrefix,
  modelsPrefix,
  parseRegistryKey,
  signatureKey,
  versionKey,
} from '../../registry/keys.ts';
import type { VersionContent } from '../../registry/record.ts';
import {
  environmentLog,
  type ModelNames,
  type Registry,
  stateLog,
} from '../../registry/registry.ts';
import type { Sealed } from '../../registry/sealed.ts';
import type { FindingNote, Findings } from './findings.ts';
import type { NamedContent } from './harm.ts';
import { foreign, isObjectFault } from './packs.ts';
import type { VerifiedPlace } from './place.ts';

/** Objects read at once. */
const readsAtOnce = 16;

/** Missing entries of one gap that are told one by one. */
const gapMax = 100;

/** What was found of a registry. */
export interface RegistryResult {
  /** Undefined where only some contents were asked for. */
  readonly registry: Registry | undefined;
  /** Records and entries that were read. */
  readonly objects: number;
  /** The content of each version that is not deleted. */
  readonly versions: readonly NamedContent[];
}

/**
 * Checks a registry: every record and entry against its digest, histories for gaps and broken chains, and what
 * entries say of records. One damaged object hides nothing of the others.
 */
export async function verifyRegistry(
  registry: Registry,
  { requests }: Pick<VerifiedPlace, 'requests'>,
  findings: Findings,
): Promise<RegistryResult> {
  const check = new RegistryCheck(registry, findings, requests.signal);
  const signatures: SignatureName[] = [];
  for await (const { key } of registry.place.list(modelsPrefix, requests)) {
    const named = parseRegistryKey(key);
    if (named === undefined) findings.add(foreign(key));
    else if (named.kind === 'signatures') signatures.push(named);
  }
  for (const names of await registry.names()) await check.model(names);
  await check.signatures(signatures);
  return { registry, objects: check.objects, versions: check.versions };
}

/** A signature of a version; `name` is the version. */
type SignatureName = { readonly model: string; readonly name: string; readonly sha256: Digest };

class RegistryCheck {
  objects = 0;
  readonly versions: NamedContent[] = [];
  readonly #registry: Registry;
  readonly #findings: Findings;
  readonly #breather: Breather;

  constructor(registry: Registry, findings: Findings, signal: AbortSignal | undefined) {
    this.#registry = registry;
    this.#findings = findings;
    this.#breather = new Breather(signal);
  }

  async model(names: ModelNames): Promise<void> {
    const deleted = await this.#states(names);
    const records = await this.#records(names, deleted);
    for (const environment of names.environments.keys()) {
      const log = environmentLog(names.model, environment);
      for (const [number, entry] of await this.#log(log)) {
        await this.#refers(
          entryKey(log, number),
          names.model,
          (entry as Sealed<EnvironmentEntry>).value,
          records,
        );
      }
    }
  }

  /** Checks that signatures are what they are named by; what they are worth is for those who trust somebody. */
  async signatures(names: readonly SignatureName[]): Promise<void> {
    await mapConcurrently(names, readsAtOnce, async ({ model, name, sha256 }) => {
      const key = signatureKey(model, name, sha256);
      await this.#read(key, `a signature of ${model}@${name}`, () =>
        this.#registry.signature(model, name, sha256),
      );
      if (this.#breather.due()) await this.#breather.turn();
    });
  }

  /** Checks the states of versions; returns the versions that are deleted, whose content may be gone. */
  async #states({ model, versions, states }: ModelNames): Promise<Set<string>> {
    const deleted = new Set<string>();
    for (const version of states.keys()) {
      const entries = [...(await this.#log(stateLog(model, version))).values()];
      if ((entries.at(-1)?.value as StateEntry | undefined)?.state === 'deleted')
        deleted.add(version);
      if (versions.has(version)) continue;
      const key = versionKey(model, version);
      const what = 'The record of a version is missing, and its states are there';
      this.#damaged(key, what).harm(`${model}@${version}`);
    }
    return deleted;
  }

  /** Reads the records of a model; one that cannot be read is undefined. */
  async #records(
    { model, versions }: ModelNames,
    deleted: ReadonlySet<string>,
  ): Promise<Map<string, Digest | undefined>> {
    const records = new Map<string, Digest | undefined>();
    await mapConcurrently([...versions], readsAtOnce, async (version) => {
      const key = versionKey(model, version);
      const record = await this.#read(key, `${model}@${version}`, () =>
        this.#registry.record(model, version),
      );
      records.set(version, record?.sha256);
      if (record !== undefined && !deleted.has(version))
        this.versions.push(contentNamed(`${model}@${version}`, record.value.content));
      if (this.#breather.due()) await this.#breather.turn();
    });
    return records;
  }

  /** Reads the entries of a log that are there, and notes gaps and broken chains. */
  async #log(log: LogName): Promise<Map<number, Sealed<LogEntry>>> {
    const { place } = this.#registry;
    const numbers: number[] = [];
    for await (const { key } of place.list(logPrefix(log))) {
      const named = parseRegistryKey(key);
      if (named !== undefined && isLogKey(named)) numbers.push(named.number);
    }
    const entries = new Map<number, Sealed<LogEntry>>();
    const harmed = nameOfLog(log);
    await mapConcurrently(numbers, readsAtOnce, async (number) => {
      const entry = await this.#read(entryKey(log, number), harmed, () =>
        this.#registry.entry<LogEntry>(log, number),
      );
      if (entry !== undefined) entries.set(number, entry);
      if (this.#breather.due()) await this.#breather.turn();
    });
    this.#chain(log, numbers, entries);
    return new Map([...entries].sort(([a], [b]) => a - b));
  }

  #chain(
    log: LogName,
    numbers: readonly number[],
    entries: ReadonlyMap<number, Sealed<LogEntry>>,
  ): void {
    let expected = 1;
    for (const number of numbers) {
      for (let gap = expected; gap < Math.min(number, expected + gapMax); gap++) {
        const what = `An entry of the history is missing: it goes on with ${number}`;
        this.#damaged(entryKey(log, gap), what).harm(nameOfLog(log));
      }
      expected = number + 1;
      const [before, entry] = [entries.get(number - 1), entries.get(number)];
      if (entry === undefined || (before === undefined && number > 1)) continue;
      if (entry.value.previous === (before?.sha256 ?? null)) continue;
      const what = 'The entry does not follow the one before it, which was replaced or changed';
      this.#damaged(entryKey(log, number), what).harm(nameOfLog(log));
    }
  }

  /** Compares what an entry of an environment says with the record of its version. */
  async #refers(
    key: string,
    model: string,
    { version, record, environment }: EnvironmentEntry,
    records: Map<string, Digest | undefined>,
  ): Promise<void> {
    // It may have been registered since the versions were listed.
    if (!records.has(version)) {
      const late = await this.#read(versionKey(model, version), `${model}@${version}`, () =>
        this.#registry.record(model, version),
      );
      if (late !== undefined) records.set(version, late.sha256);
    }
    const known = records.get(version);
    if (known === record || (known === undefined && records.has(version))) return;
    const what = records.has(version)
      ? `The record of ${model}@${version} is another one than that which was live in ${environment}`
      : `The record of ${model}@${version}, which was live in ${environment}, is missing`;
    this.#damaged(records.has(version) ? key : versionKey(model, version), what).harm(
      `${model}@${version}`,
    );
  }

  async #read<T>(
    key: string,
    harmed: string,
    read: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    try {
      const object = await read();
      if (object !== undefined) this.objects++;
      return object;
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-registry') && !isObjectFault(error)) throw error;
      const reason = error.message.slice(error.message.indexOf(': ') + 2);
      this.#damaged(key, `The object cannot be used: ${reason}`).harm(harmed);
      return undefined;
    }
  }

  #damaged(key: string, message: string): FindingNote {
    return this.#findings.add({
      kind: 'registry-damaged',
      severity: 'damage',
      code: 'corrupt-registry',
      key,
      message,
      hint: 'Run this command with --repair to take it from another copy of the registry',
    });
  }
}

/** The content of a version, or of what else names one by the members of a pointer. */
function contentNamed(
  name: string,
  { path: full, kind, sha256, size }: Pick<VersionContent, 'path' | 'kind' | 'sha256' | 'size'>,
): NamedContent {
  const pointer = { path: path.posix.basename(full), kind, sha256, size, extra: {} };
  return { name, item: { path: full, pointer } };
}

/** How people call a history. */
function nameOfLog({ model, kind, name }: LogName): string {
  return kind === 'environments'
    ? `the history of ${model} in ${name}`
    : `the states of ${model}@${name}`;
}
