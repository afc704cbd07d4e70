import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { valueText } from '../base/json.ts';
import { pathProblem, printable } from '../base/names.ts';
import { readConfigFile } from './config-file.ts';
import { encryptionKeys } from './encryption-keys.ts';
import { type HandWritten, type HandWrittenTables, handWrittenTables } from './hand-written.ts';
import { parseRate, rateAbout } from './rate.ts';
import type { ConfigValue } from './toml-edit.ts';

/** The committed configuration file, in `.modelstore`. */
export const configName = 'config.toml';
/** Overrides of one machine, ignored by Git. */
export const localConfigName = 'config.local.toml';

/** The format of workspaces that this version reads and writes, `core.format`. */
const workspaceFormat = 1;

/** How a key of the configuration is checked; `NAME` stands for the name of a remote. */
export interface KeyRule {
  readonly type: 'string' | 'integer' | 'boolean';
  readonly about: string;
  readonly readOnly?: true;
  readonly check?: (value: ConfigValue) => boolean;
}

/** Most transfers that may run at once. */
export const jobsMax = 256;

/** Every key that this version knows, for `mstore config` and its documentation. */
export const configKeys: Readonly<Record<string, KeyRule>> = {
  'core.format': { type: 'integer', about: 'Format of the workspace', readOnly: true },
  'core.repository': {
    type: 'string',
    about:
      'Identity of the repository in its remotes, 32 hexadecimal digits that "mstore init" draws',
    readOnly: true,
    // It is a part of paths, in shared stores and in remotes.
    check: (value) => /^[0-9a-f]{32}$/.test(String(value)),
  },
  'core.remote': { type: 'string', about: 'Name of the default remote' },
  'core.author': {
    type: 'string',
    about: 'Who stands in records of versions and deployments: one line, of the form Name <mail>',
    check: (value) => /^\S(?:\P{Cc}{0,254}\S)?$/u.test(String(value)),
  },
  'core.model': {
    type: 'string',
    about: 'Model that is meant where a version or an environment is named without one',
    check: (value) => /^[a-z0-9][a-z0-9._-]*$/.test(String(value)),
  },
  'core.git': {
    type: 'string',
    about: 'How Git is read: auto, binary or isomorphic',
    check: (value) => ['auto', 'binary', 'isomorphic'].includes(String(value)),
  },
  'registry.lifecycle': {
    type: 'string',
    about: 'Environments in the order of a promotion, joined by commas without spaces',
    check: (value) => /^[a-z0-9][a-z0-9._-]*(?:,[a-z0-9][a-z0-9._-]*)*$/.test(String(value)),
  },
  'registry.rollback_window': {
    type: 'integer',
    about: 'Versions that each environment keeps to go back to, 0 to 1000',
    check: (value) => Number(value) >= 0 && Number(value) <= 1000,
  },
  'store.path': {
    type: 'string',
    about: 'Folder of the local store, to share one between workspaces',
    check: (value) => String(value).trim() !== '',
  },
  'store.compression': {
    type: 'string',
    about: 'Whether new chunks are compressed: off, or auto where it saves 5 % or more',
    check: (value) => ['off', 'auto'].includes(String(value)),
  },
  'checkout.link': {
    type: 'string',
    about: 'How files are placed, in order of preference: copy, reflink, hardlink, symlink',
    check: (value) => parseLinkKinds(String(value)) !== undefined,
  },
  'transfer.jobs': {
    type: 'integer',
    about: `Transfers at once, 1 to ${jobsMax}`,
    check: (value) => Number(value) >= 1 && Number(value) <= jobsMax,
  },
  'transfer.rate_limit': {
    type: 'string',
    about: rateAbout,
    check: (value) => parseRate(String(value)) !== undefined,
  },
  'push.remotes': {
    type: 'string',
    about: 'Names of the remotes that push sends to, joined by commas without spaces',
    check: (value) => isNameList(String(value)),
  },
  'fetch.remotes': {
    type: 'string',
    about: 'Names of the remotes that fetch and pull ask, in that order, joined by commas',
    check: (value) => isNameList(String(value)),
  },
  'validate.policy': {
    type: 'string',
    about: 'What is done about invalid and dangerous files: allow, warn or deny',
    check: (value) => ['allow', 'warn', 'deny'].includes(String(value)),
  },
  'publish.card': {
    type: 'string',
    about: 'Template of the model cards that publish writes, from the top of the workspace',
    check: (value) => pathProblem(String(value)) === undefined,
  },
  'publish.experiment': {
    type: 'string',
    about:
      'Name of the experiment in MLflow; {date}, {model}, {version} and {LABEL} stand for those of a version',
  },
  'remote.NAME.url': {
    type: 'string',
    about: 'Where a remote is: a directory, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or https://HOST',
  },
  'remote.NAME.endpoint': {
    type: 'string',
    about: 'URL of a service that speaks S3 or as Cloud Storage, of the form https://HOST:PORT',
    check: (value) => /^https?:\/\/[^/@?#\s]+\/?$/.test(String(value)),
  },
  'remote.NAME.region': {
    type: 'string',
    about: 'Region of the bucket, for s3://',
    check: (value) => /^[A-Za-z0-9-]+$/.test(String(value)),
  },
  'remote.NAME.rate_limit': {
    type: 'string',
    about: 'The same for this remote',
    check: (value) => parseRate(String(value)) !== undefined,
  },
  'remote.NAME.path_style': {
    type: 'boolean',
    about: 'Whether the bucket is in the path of requests, not in the host name: true or false',
  },
  'remote.NAME.profile': {
    type: 'string',
    about: 'Profile of the shared AWS configuration to take credentials from',
  },
  'remote.NAME.storage_class': {
    type: 'string',
    about:
      'Storage class of new objects, one that is read at once, such as STANDARD_IA or NEARLINE',
    check: (value) => /^[A-Z][A-Z0-9_]*$/.test(String(value)),
  },
  'remote.NAME.sse': {
    type: 'string',
    about: 'Encryption of new objects by the service: s3 (its own keys) or kms',
    check: (value) => ['s3', 'kms'].includes(String(value)),
  },
  'remote.NAME.sse_key': {
    type: 'string',
    about:
      'Id or ARN of the key for sse = "kms", for gs:// its resource name; without it the default key of the bucket',
  },
  'remote.NAME.project': {
    type: 'string',
    about: 'Project that pays for requests to gs:// with requester_pays',
    check: (value) => /^[a-z0-9.:-]+$/.test(String(value)),
  },
  'remote.NAME.requester_pays': {
    type: 'boolean',
    about: 'Whether whoever asks pays for transfers: true or false',
  },
  'remote.NAME.anonymous': {
    type: 'boolean',
    about: 'Whether requests are not signed, to read a public bucket: true or false',
  },
  'remote.NAME.accept_races': {
    type: 'boolean',
    about:
      'Whether to use a service without conditional writes, where a later writer may win: true or false',
  },
  ...encryptionKeys,
};

/** The keys of one remote, whether they are set or not. */
export function remoteKeys(name: string): string[] {
  const templates = Object.keys(configKeys).filter((key) => key.includes('.NAME.'));
  return templates.map((key) => key.replace('.NAME.', `.${name}.`));
}

/** Ways to place a file in the workspace. */
export const linkKinds = ['copy', 'reflink', 'hardlink', 'symlink'] as const;
export type LinkKind = (typeof linkKinds)[number];

/** Parses a list of ways like `reflink, copy`; undefined when it holds another word. */
export function parseLinkKinds(text: string): LinkKind[] | undefined {
  const kinds = text.split(',').map((kind) => kind.trim());
  return kinds.every((kind) => linkKinds.includes(kind as LinkKind))
    ? (kinds as LinkKind[])
    : undefined;
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
  readonly #entries = new Map<string, ConfigEntry>();

  constructor(entries: Iterable<ConfigEntry>, tables: HandWrittenTables) {
    for (const entry of entries) this.#entries.set(entry.key, entry);
    this.policies = tables.policies;
    this.monitors = tables.monitors;
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

/** The name a remote may have. */
export const remoteNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

function isNameList(text: string): boolean {
  return text.split(',').every((name) => remoteNamePattern.test(name));
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
