import { MstoreError } from '../base/errors.ts';
import { compareUtf8, isJsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { registryNameProblem } from './names.ts';

/** Says what is wrong with the name of a table for an environment, `ENVIRONMENT` or `MODEL@ENVIRONMENT`. */
function environmentTableProblem(name: string): string | undefined {
  const at = name.indexOf('@');
  const environment = registryNameProblem('environment', name.slice(at + 1));
  return at === -1 ? environment : (registryNameProblem('model', name.slice(0, at)) ?? environment);
}

/** Tells whether a value of the configuration is a table. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return isJsonObject(value) && !(value instanceof Date);
}

/** Levels of names that a metric may have. */
const nestingMax = 32;

/** A place in the tables of the configuration that are written by hand, with what checks of values have in common. */
export class ConfigPart {
  readonly #key: string;
  readonly #file: string;

  constructor(key: string, file: string) {
    this.#key = key;
    this.#file = file;
  }

  inner(name: string): ConfigPart {
    const quoted = /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
    return new ConfigPart(`${this.#key}.${quoted}`, this.#file);
  }

  invalid(problem: string, hint: string): MstoreError {
    const key = printable(this.#key);
    return new MstoreError('config-invalid', `${key} ${problem} (${this.#file})`, {
      hint,
      details: { key, path: this.#file },
    });
  }

  table(value: unknown): Readonly<Record<string, unknown>> {
    if (isTable(value)) return value;
    throw this.invalid('is no table', `Write [${this.#key}]`);
  }

  /** Reads tables by the names of environments, or of models in them. */
  perEnvironment<T>(
    value: unknown,
    parse: (name: string, value: unknown, part: ConfigPart) => T,
  ): Map<string, T> {
    const found = new Map<string, T>();
    for (const [name, table] of Object.entries(this.table(value))) {
      const problem = environmentTableProblem(name);
      if (problem !== undefined) {
        const hint = `Write [${this.#key}.production] for all models, [${this.#key}."caption_model@production"] for one of them`;
        throw this.invalid(`${printable(name)} names no environment: ${problem}`, hint);
      }
      found.set(name, parse(name, table, this.inner(name)));
    }
    return found;
  }

  /**
   * Makes sure that a table of an environment has known keys alone.
   * @param name of the environment, or of a model in it
   */
  checkKeys(
    table: Readonly<Record<string, unknown>>,
    name: string,
    known: readonly string[],
  ): void {
    const key = Object.keys(table).find((one) => !known.includes(one));
    if (key === undefined) return;
    const near = nearest(key, known);
    const dotted = `${name}.${key}`;
    const [root] = this.#key.split('.');
    const keys = `Keys: ${known.join(', ')}`;
    const hint =
      near !== undefined
        ? `Did you mean ${near}?`
        : isTable(table[key]) && environmentTableProblem(dotted) === undefined
          ? `${keys}. If ${dotted} is an environment, write [${root}."${dotted}"]`
          : keys;
    throw this.invalid(`has no key ${printable(key)}`, hint);
  }

  number(value: unknown): number {
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.invalid('is no finite number', 'Write a number such as 0.25');
  }

  /** Returns numbers by the names of their metrics, sorted. */
  numbers(value: unknown): Array<[string, number]> {
    return this.leaves(value, () => false).map(([name, leaf]) => [
      name,
      this.inner(name).number(leaf),
    ]);
  }

  /**
   * Returns what stands in a table by the names of metrics, sorted. TOML reads `eval.loss = 1` without
   * quotes as a table in a table; here, as in files of metrics, it is the metric `eval.loss`.
   */
  leaves(value: unknown, isLeaf: (table: object) => boolean): Array<[string, unknown]> {
    const found = new Map<string, unknown>();
    const visit = (inner: unknown, path: readonly string[]): void => {
      if (path.length > nestingMax) throw this.invalid('has too many levels', 'Flatten it');
      const name = path.join('.');
      if (
        path.length === 0 ||
        (isTable(inner) && Object.keys(inner).length > 0 && !isLeaf(inner))
      ) {
        const table = (path.length === 0 ? this : this.inner(name)).table(inner);
        for (const [key, below] of Object.entries(table)) visit(below, [...path, key]);
      } else if (found.has(name)) {
        throw this.inner(name).invalid('stands twice', 'Remove one of the two');
      } else found.set(name, inner);
    };
    visit(value, []);
    if (found.size === 0) throw this.invalid('is empty', 'Name metrics, or take it out');
    return [...found].sort(([a], [b]) => compareUtf8(a, b));
  }
}
