import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { valueText } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { readConfigFile } from './config-file.ts';
import { configKeys, type KeyRule, remoteNamePattern } from './config-keys.ts';
import { type HandWritten, type HandWrittenTables, handWrittenTables } from './hand-written.ts';
import type { ConfigValue } from './toml-edit.ts';

/** The committed configuration file, in `.modelstore`. */
export const configName = 'config.toml';
/** Overrides of one machine, ignored by Git. */
export const localConfigName = 'config.local.toml';

/** The format of workspaces that this version reads and writes, `core.format`. */
const workspaceFormat = 1;

/** The keys of one remote, whether they are set or not. */
export function remoteKeys(name: string): string[] {
  const templates = Object.keys(configKeys).filter((key) => key.includes('.NAME.'));
  return templates.map((key) => key.replace('.NAME.', `.${name}.`));
}

/** Where a value comes from, strongest last. */
export type ConfigSource = 'config' | 'local' | 'environment';

/** One value of the configuration. */
export interface ConfigEntry {
  readonly key: string;
  readonly value: ConfigValue;
  readonly source: ConfigSource;
}

/** The merged configuration of a workspace. */
export class Config {
  readonly policies: HandWritten;
  readonly monitors: HandWritten;
  readonly signers: HandWritten;
  readonly trust: HandWritten;
  readonly #entries = new Map<string, ConfigEntry>();

  constructor(entries: Iterable<ConfigEntry>, tables: HandWrittenTables) {
    for (const entry of entries) this.#entries.set(entry.key, entry);
    this.policies = tables.policies;
    this.monitors = tables.monitors;
    this.signers = tables.signers;
    this.trust = tables.trust;
  }

  /** This configuration with what the environment says of a remote that no file names yet. */
  withRemote(name: string, env: NodeJS.ProcessEnv): Config {
    const keys = remoteKeys(name).filter((key) => !key.endsWith('.url'));
    return new Config([...this.#entries.values(), ...environmentEntries(keys, env)], this);
  }

  /** All values, sorted by key. */
  entries(): ConfigEntry[] {
    return [...this.#entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  get(key: string): ConfigEntry | undefined {
    return this.#entries.get(key);
  }

  string(key: string): string | undefined {
    const value = this.#entries.get(key)?.value;
    return value === undefined ? undefined : String(value);
  }

  integer(key: string): number | undefined {
    const value = this.#entries.get(key)?.value;
    return typeof value === 'number' ? value : undefined;
  }

  boolean(key: string): boolean | undefined {
    const value = this.#entries.get(key)?.value;
    return typeof value === 'boolean' ? value : undefined;
  }

  /** Names and URLs of the remotes, sorted by name. */
  remotes(): Array<{ name: string; url: string }> {
    return this.entries().flatMap(({ key, value }) => {
      const match = /^remote\.([^.]+)\.url$/.exec(key);
      return match?.[1] === undefined ? [] : [{ name: match[1], url: String(value) }];
    });
  }
}

/** Splits a key into its parts and finds its rule. Remote names hold no dot. */
export function keyRule(key: string): KeyRule | undefined {
  const rule = configKeys[key];
  if (rule !== undefined && Object.hasOwn(configKeys, key)) return rule;
  const parts = key.split('.');
  const isRemote =
    parts.length === 3 && parts[0] === 'remote' && remoteNamePattern.test(parts[1] ?? '');
  return isRemote && Object.hasOwn(configKeys, `remote.NAME.${parts[2]}`)
    ? configKeys[`remote.NAME.${parts[2]}`]
    : undefined;
}

/**
 * Reads the configuration of a workspace: the committed file, the machine's own over it, the
 * environment (`MSTORE_SECTION_KEY`) over both. Keys that this version does not know are left alone.
 * @param folder the `.modelstore` folder
 */
export function readConfig(folder: string, env: NodeJS.ProcessEnv): Config {
  const committedFile = path.join(folder, configName);
  const localFile = path.join(folder, localConfigName);
  const [committed, local] = [readConfigFile(committedFile), readConfigFile(localFile)];
  const tables = handWrittenTables(committed, committedFile, { local, localFile });
  const entries: ConfigEntry[] = [
    ...flatten(committed, [], committedFile, 'config'),
    ...flatten(local, [], localFile, 'local'),
  ];
  const names = new Set(entries.map(({ key }) => key));
  for (const [key, rule] of Object.entries(configKeys)) {
    if (!key.includes('NAME') && !rule.readOnly) names.add(key);
  }
  for (const name of Object.keys(env)) {
    const remote = /^MSTORE_REMOTE_([A-Z0-9][A-Z0-9_]{0,63})_URL$/.exec(name)?.[1];
    // Where no file names the remote, the variable does: in small letters.
    const known = [...names].some((key) => environmentName(key) === name);
    if (remote !== undefined && !known) names.add(`remote.${remote.toLowerCase()}.url`);
  }
  for (const name of [...names].flatMap((key) => /^remote\.([^.]+)\.url$/.exec(key)?.[1] ?? [])) {
    for (const key of remoteKeys(name)) names.add(key);
  }
  entries.push(...environmentEntries(names, env));
  const config = new Config(entries, tables);
  const format = config.integer('core.format') ?? workspaceFormat;
  if (format <= workspaceFormat) return config;
  throw new MstoreError(
    'newer-format',
    `The workspace has format ${format}; this mstore reads ${workspaceFormat}`,
    { hint: 'Install a newer mstore', details: { path: folder, format } },
  );
}

function environmentEntries(keys: Iterable<string>, env: NodeJS.ProcessEnv): ConfigEntry[] {
  return [...keys].flatMap((key): ConfigEntry[] => {
    const where = environmentName(key);
    const text = env[where];
    if (text === undefined || text === '' || keyRule(key)?.readOnly) return [];
    return [{ key, value: parseValue(key, text, where), source: 'environment' }];
  });
}

/** The environment variable that sets a key. */
export function environmentName(key: string): string {
  return `MSTORE_${key.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;
}

/** Turns a text from the command line or the environment into the value of a key. */
export function parseValue(key: string, text: string, where: string): ConfigValue {
  const rule = keyRule(key);
  if (rule === undefined) throw unknownKey(key);
  const value = typedValue(rule, text);
  checkValue(key, rule, value, where);
  return value;
}

function typedValue(rule: KeyRule, text: string): ConfigValue {
  if (rule.type === 'integer' && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (rule.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

function checkValue(
  key: string,
  rule: KeyRule,
  value: unknown,
  where: string,
): asserts value is ConfigValue {
  const typed = rule.type === 'integer' ? Number.isSafeInteger(value) : typeof value === rule.type;
  if (typed && (rule.check?.(value as ConfigValue) ?? true)) return;
  throw new MstoreError(
    'config-invalid',
    `${key} cannot be ${printable(withoutPassword(valueText(value)))} (${where})`,
    {
      hint: rule.about,
      details: { key },
    },
  );
}

/** Takes user and password out of a URL, which is refused for them and must not show them. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//…@');
}

/** Builds the error of a key that does not exist, with all that do. */
export function unknownKey(key: string): MstoreError {
  return new MstoreError('unknown-key', `There is no configuration key ${printable(key)}`, {
    hint: `Keys: ${Object.keys(configKeys).join(', ')}`,
    details: { key },
  });
}

/** Names that a key has at most: what lies deeper is none of ours. */
const keyPartsMax = 3;

function flatten(
  table: object,
  above: readonly string[],
  file: string,
  source: ConfigSource,
): ConfigEntry[] {
  if (above.length === keyPartsMax) return [];
  return Object.entries(table).flatMap(([name, value]): ConfigEntry[] => {
    const names = [...above, name];
    const key = names.join('.');
    const rule = keyRule(key);
    if (rule !== undefined) {
      checkValue(key, rule, value, file);
      return [{ key, value, source }];
    }
    const nested = typeof value === 'object' && value !== null && !Array.isArray(value);
    return nested && !(value instanceof Date) ? flatten(value, names, file, source) : [];
  });
}
