import * as path from 'node:path';
import { isMstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, valueText } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { programVersion } from '../base/version.ts';
import { readDataFile } from '../registry/data-file.ts';
import { formatEntry, type LogEntry, parseEntry } from '../registry/entry.ts';
import type { LogName } from '../registry/keys.ts';
import { flattenMetrics } from '../registry/metrics.ts';
import { formatRecord, parseRecord, type VersionRecord } from '../registry/record.ts';
import { type Sealed, seal } from '../registry/sealed.ts';
import { authorOf } from './author.ts';
import { contentOf } from './register.ts';
import { Importer, type ImportOptions, type ImportResult } from './registry-import.ts';
import { selectTracked, type Tracked, type TrackedSet, trackedInWorkspace } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What an import of a registry that was kept in a file has to know. */
export interface FileImport extends ImportOptions {
  /**
   * Where the data of the versions of a model is tracked: paths from the top of the workspace, with `{version}`
   * for the name of the version.
   */
  readonly paths?: ReadonlyMap<string, string>;
}

/** The place in a path where the version stands. */
const placeholder = '{version}';
const ownKeys = new Set([
  'version',
  'registered_at',
  'status',
  'description',
  'changelog',
  'metrics',
]);

/**
 * Takes a registry that was kept by hand in one JSON or YAML file, or that `registry export` wrote, into the
 * local registry. A version must have content: that of a tracked path, or what an exported record says.
 * @param file absolute path
 * @throws MstoreError `not-found`, `import-refused` also for a file that cannot be read, `objects-missing`
 */
export async function importRegistryFile(
  workspace: Workspace,
  file: string,
  options: FileImport = {},
): Promise<ImportResult> {
  const { registryFileBytesMax: bytesMax } = limits;
  const value = await readDataFile(file, { code: 'import-refused', bytesMax });
  const importer = await Importer.open(workspace, options);
  const one = new RegistryFile(workspace, importer, options, file, await authorOf(workspace));
  await one.plan(isJsonObject(value) ? value : {});
  return importer.finish();
}

class RegistryFile {
  readonly #workspace: Workspace;
  readonly #importer: Importer;
  readonly #options: FileImport;
  readonly #file: string;
  readonly #author: string;
  #set: TrackedSet | undefined;

  constructor(
    workspace: Workspace,
    importer: Importer,
    options: FileImport,
    file: string,
    author: string,
  ) {
    this.#workspace = workspace;
    this.#importer = importer;
    this.#options = options;
    this.#file = file;
    this.#author = author;
  }

  async plan(value: JsonObject): Promise<void> {
    const { models, deployments, records, history, states } = value;
    if (!isJsonObject(models)) {
      return this.#importer.problem(`${printable(this.#file)} has no object "models"`);
    }
    for (const [model, version, told] of this.#pairs('models', models)) {
      if (inside(records, model, version) === undefined) await this.#version(model, version, told);
    }
    for (const [model, version, record] of this.#pairs('records', records)) {
      await this.#record(model, version, record);
    }
    for (const [model, name, entries] of this.#pairs('states', states)) {
      await this.#log({ model, kind: 'states', name }, entries);
    }
    for (const [model, name, entries] of this.#pairs('history', history)) {
      await this.#log({ model, kind: 'environments', name }, entries);
    }
    for (const [model, environment, told] of this.#pairs('deployments', deployments)) {
      if (inside(history, model, environment) === undefined) {
        await this.#deployment(model, environment, told);
      }
    }
  }

  /** Lists the values two levels down, with both names. */
  *#pairs(
    key: string,
    value: JsonValue | undefined,
  ): Generator<[model: string, name: string, value: JsonValue]> {
    if (value === undefined) return;
    if (!isJsonObject(value)) return this.#importer.problem(`"${key}" is no object`);
    for (const [model, inner] of Object.entries(value)) {
      if (!this.#importer.isName('model', model, key)) continue;
      if (!isJsonObject(inner)) {
        this.#importer.problem(`${key}: ${model} is no object`);
        continue;
      }
      const kind = key === 'deployments' || key === 'history' ? 'environment' : 'version';
      for (const [name, found] of Object.entries(inner)) {
        if (this.#importer.isName(kind, name, `${key} of ${model}`)) yield [model, name, found];
      }
    }
  }

  async #version(model: string, version: string, told: JsonValue): Promise<void> {
    const name = `${model}@${version}`;
    const fail = (what: string) => this.#importer.problem(`${name}: ${what}`);
    if (!isJsonObject(told)) return fail('it is no object');
    if (valueText(told['version'] ?? version) !== version) return fail('it says another version');
    const created = this.#time(told['registered_at']);
    if (created === undefined) return fail('its registered_at is no time of ISO 8601');
    const tracked = this.#tracked(model, version, fail);
    if (tracked === undefined) return;
    const numbers = metricsOf(told, name, fail);
    if (numbers === undefined) return;
    const { status, description, changelog } = told;
    const lines = Array.isArray(changelog) ? changelog.filter(isText) : [];
    await this.#importer.version({
      model,
      version,
      content: contentOf(tracked),
      created,
      author: this.#author,
      tool: `mstore ${programVersion()}`,
      metrics: numbers.metrics,
      ...(isText(description) ? { description } : {}),
      ...(lines.length > 0 ? { changelog: lines } : {}),
      ...(isText(status) ? { status } : {}),
      // What has no place of its own is not lost.
      ...(numbers.isAll ? {} : { metadata: told }),
      source: { imported: { file: path.basename(this.#file) } },
    });
  }

  #tracked(model: string, version: string, fail: (what: string) => void): Tracked | undefined {
    const pattern = this.#options.paths?.get(model);
    if (pattern === undefined) {
      fail(`nothing says where its data is; name it with --path-of ${model}=PATH/${placeholder}`);
      return undefined;
    }
    const where = pattern.replaceAll(placeholder, version);
    try {
      this.#set ??= trackedInWorkspace(this.#workspace);
      const found = selectTracked(this.#set, [where]);
      const exact = found.find((tracked) => tracked.path === where);
      if (exact === undefined) fail(`${printable(where)} is not tracked itself`);
      return exact;
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      fail(`${error.message}; add it first ("mstore add")`);
      return undefined;
    }
  }

  /** Reads an exported record as one that lies in a registry is read. */
  async #record(model: string, version: string, told: JsonValue): Promise<void> {
    const where = `${this.#file}: record ${model}@${version}`;
    const sealed = this.#checked(where, () => {
      const bytes = formatRecord(seal(asObject(told)) as unknown as Sealed<VersionRecord>);
      return parseRecord(bytes, where, { model, version });
    });
    if (sealed !== undefined) await this.#importer.version(sealed.value);
  }

  async #log(log: LogName, told: JsonValue): Promise<void> {
    const where = `${this.#file}: ${log.kind} of ${log.model}: ${log.name}`;
    if (!Array.isArray(told)) return this.#importer.problem(`${printable(where)} is no list`);
    const entries = this.#checked(where, () =>
      told.map((one, i) => {
        const bytes = formatEntry(seal(asObject(one)) as unknown as Sealed<LogEntry>);
        return parseEntry(bytes, where, log, i + 1);
      }),
    );
    if (entries !== undefined) await this.#importer.log(log, entries);
  }

  #checked<T>(where: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (isMstoreError(error)) this.#importer.problem(error.message);
      else if (error instanceof RangeError)
        this.#importer.problem(`${printable(where)}: ${error.message}`);
      else throw error;
      return undefined;
    }
  }

  async #deployment(model: string, environment: string, told: JsonValue): Promise<void> {
    const fail = (what: string) => this.#importer.problem(`${environment} of ${model}: ${what}`);
    if (!isJsonObject(told)) return fail('it is no object');
    const { version, deployed_at, status } = told;
    if (!isText(version)) return fail('it names no version');
    const at = this.#time(deployed_at);
    if (at === undefined) return fail('its deployed_at is no time of ISO 8601');
    const said = isText(status) ? ` (${status})` : '';
    const reason = `Imported from ${path.basename(this.#file)}${said}`;
    await this.#importer.history(model, environment, [{ version, at, by: this.#author, reason }]);
  }

  /** Reads a time; one without a zone is taken for UTC, a missing one for now. */
  #time(value: JsonValue | undefined): string | undefined {
    if (value === undefined || value === null) {
      return new Date(this.#workspace.surroundings.clock.now()).toISOString();
    }
    const match =
      /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)\s?(Z|[+-]\d\d:?\d\d)?)?$/.exec(
        valueText(value),
      );
    if (match === null) return undefined;
    const [, day, time = '00:00', zone = 'Z'] = match;
    const [clock, fraction = '0'] = time.split('.');
    const full = new Date(`${day}T${clock}${zone.replace(/(\d\d)(\d\d)$/, '$1:$2')}`);
    if (Number.isNaN(full.getTime())) return undefined;
    const milliseconds = Number(fraction.padEnd(3, '0').slice(0, 3));
    const iso = new Date(full.getTime() + milliseconds).toISOString();
    // A zone may lead out of the years that have four digits, which no record can say.
    return /^\d{4}-/.test(iso) ? iso : undefined;
  }
}

/** Reads the numbers beside the names of our own, and those below `metrics`. */
function metricsOf(
  told: JsonObject,
  name: string,
  fail: (what: string) => void,
): { metrics: Record<string, number>; isAll: boolean } | undefined {
  const beside = Object.fromEntries(Object.entries(told).filter(([key]) => !ownKeys.has(key)));
  const below = told['metrics'];
  try {
    const found = [beside, isJsonObject(below) ? below : {}]
      .filter((part) => holdsNumber(part))
      .map((part) => flattenMetrics(part, name, { numbersOnly: true }));
    const metrics: Record<string, number> = {};
    for (const part of found) {
      const twice = Object.keys(part.metrics).find((key) => Object.hasOwn(metrics, key));
      if (twice !== undefined) fail(`it gives the metric ${printable(twice)} twice`);
      if (twice !== undefined) return undefined;
      Object.assign(metrics, part.metrics);
    }
    const isAll = Object.keys(beside).every((key) => typeof beside[key] === 'number');
    return { metrics, isAll };
  } catch (error) {
    if (!isMstoreError(error)) throw error;
    fail(error.message);
    return undefined;
  }
}

function holdsNumber(value: JsonValue | undefined, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'number';
  return (
    depth < limits.metricsDepthMax &&
    Object.values(value).some((one) => holdsNumber(one, depth + 1))
  );
}

function inside(value: JsonValue | undefined, ...path: string[]): JsonValue | undefined {
  let found: JsonValue | undefined = value;
  for (const key of path) {
    found = isJsonObject(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  }
  return found;
}

function asObject(value: JsonValue): JsonObject {
  return isJsonObject(value) ? value : {};
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
