import * as fs from 'node:fs';
import * as path from 'node:path';
import { parse } from 'smol-toml';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { importRegistryFile } from '../../../src/flow/import-registry-file.ts';
import { initWorkspace } from '../../../src/flow/init.ts';
import { systemSurroundings } from '../../../src/flow/surroundings.ts';
import type { Workspace } from '../../../src/flow/workspace.ts';
import { readMetadata } from '../../../src/registry/metadata.ts';
import { parseMetricOptions, readMetrics } from '../../../src/registry/metrics.ts';
import { findPolicy, policyNames } from '../../../src/registry/policy.ts';
import { keyRule, parseValue, readConfig } from '../../../src/worktree/config.ts';
import { configKeys, parseLinkKinds } from '../../../src/worktree/config-keys.ts';
import { parseRate } from '../../../src/worktree/rate.ts';
import { editToml } from '../../../src/worktree/toml-edit.ts';
import {
  asFile,
  type FuzzTarget,
  fuzzFolder,
  joined,
  Parts,
  promise,
  refused,
  refusedLater,
  same,
} from '../target.ts';

const yamlWords = [
  ...[
    '- ',
    '? ',
    ': ',
    '&a ',
    '*a',
    '!!map ',
    '!!binary ',
    '<<: ',
    '|\n',
    '>-\n',
    '---\n',
    '...\n',
  ],
  ...['%YAML 1.1\n', '{', '[', '"', "'", '#', '\t', '.inf', '.nan', '0o17', '~'],
];

const dataSeeds = {
  json: '{"loss": 0.25, "eval": {"top": [0.5, 1e-3]}, "note": "text"}',
  yaml: 'loss: 0.25\neval:\n  top: [0.5, 1e-3]\n  "a.b": 2\nnote: |\n  text\n  more\n',
  aliases: 'a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: 2\n',
  flow: '{a: [1, 2, {b: 3}], "c": \'d\'}',
  kinds: 'date: 2026-01-01\nbig: 12345678901234567890\nhex: 0x1f\nnone: ~\nyes: true\n',
};

/** The names that say what a data file holds; without one its first character does. */
const dataNames = ['data.json', 'data.yaml', 'data'];

export const metrics: FuzzTarget = {
  name: 'metrics',
  bytesMax: 16 * 1024,
  seeds: () => dataSeeds,
  words: yamlWords,
  async run(bytes) {
    for (const name of dataNames) {
      const file = asFile(name, bytes);
      for (const numbersOnly of [false, true]) {
        const read = await refusedLater(['bad-metrics', 'too-large'], () =>
          readMetrics(file, { numbersOnly }),
        );
        const numbers = Object.entries(read?.metrics ?? {});
        promise(
          numbers.every(([, value]) => Number.isFinite(value)),
          'metrics are finite',
        );
      }
    }
    const options = bytes.toString().split('\n');
    refused(['bad-metrics', 'usage'], () => parseMetricOptions(options));
  },
};

export const metadata: FuzzTarget = {
  name: 'metadata',
  bytesMax: 16 * 1024,
  seeds: () => dataSeeds,
  words: yamlWords,
  async run(bytes) {
    for (const name of dataNames) {
      const file = asFile(name, bytes);
      const read = await refusedLater(['bad-metadata', 'too-large'], () => readMetadata(file));
      if (read === undefined) continue;
      const kept = JSON.stringify(read);
      same(JSON.stringify(JSON.parse(kept)), kept, 'metadata come back as they were read');
    }
  },
};

const configCodes: readonly ErrorCode[] = ['config-invalid', 'newer-format', 'too-large'];

/** Variables of the environment, each NAME=VALUE in a line. */
function environment(text: string): NodeJS.ProcessEnv {
  const pairs = text
    .split('\n')
    .map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]);
  return Object.fromEntries(pairs.filter(([name]) => name !== '')) as NodeJS.ProcessEnv;
}

const committed = `[core]
format = 1
repository = "${'0f'.repeat(16)}"
remote = "origin"

[remote.origin]
url = "s3://bucket/models"
path_style = true

[transfer]
jobs = 8
rate_limit = "20MB"

[policy.production]
compare_with = "best"
min_improvement = 0.01
lower_is_better = ["loss"]
weights = { loss = 0.5, "eval.f1" = 0.5 }

[policy.production.limits]
latency_ms = { max = 50 }

[policy."captioner@staging".regress]
eval.f1 = 0.1
`;

export const config: FuzzTarget = {
  name: 'config',
  bytesMax: 32 * 1024,
  seeds: () => ({
    full: joined(
      committed,
      '[checkout]\nlink = "reflink,copy"\n',
      'MSTORE_REMOTE_X_URL=/a\nMSTORE_TRANSFER_JOBS=3',
    ),
    nested: 'a.b.c = [{ d = 1 }, 2026-01-01T00:00:00Z]\n[[x.y]]\nz = 1\n[x.y.w]\n',
    unknown: '[remote."a b"]\nurl = "x"\n[policy]\nx = 1\n',
  }),
  words: [
    '[policy.',
    '[remote.',
    '[[',
    '"""',
    "'''",
    ' = ',
    'inf',
    'nan',
    '{ min = ',
    '1979-05-27',
    '@production',
  ],
  run(bytes) {
    const parts = new Parts(bytes);
    const folder = path.dirname(asFile('config/config.toml', parts.part()));
    asFile('config/config.local.toml', parts.part());
    const env = environment(parts.text());
    const read = refused(configCodes, () => readConfig(folder, env));
    if (read === undefined) return;
    read.remotes();
    for (const { key } of read.entries()) promise(keyRule(key) !== undefined, 'all keys are known');
    const { value, file } = read.policies;
    refused(['config-invalid'], () => policyNames(value, file));
    for (const model of ['captioner', 'other']) {
      refused(['config-invalid'], () => findPolicy(value, file, model, 'production'));
    }
  },
};

const editedKeys = [
  ['core', 'remote'],
  ['remote', 'origin', 'url'],
  ['transfer', 'jobs'],
  ['checkout', 'link'],
] as const;

export const tomlEdit: FuzzTarget = {
  name: 'toml-edit',
  bytesMax: 16 * 1024,
  seeds: () => ({
    full: committed,
    odd: '# top\n[ "core" ] # here\nremote="a"#b\r\n[remote.origin]\r\n',
  }),
  words: ['[core]\n', '[remote.origin]\n', 'url = "', '"""', "'", '#', '\r\n', '[[core]]'],
  run(bytes) {
    const text = bytes.toString();
    try {
      parse(text);
    } catch {
      // It is parsed before it is edited: `mstore config` refuses it.
      return;
    }
    for (const keys of editedKeys) {
      const key = keys.join('.');
      const value = key === 'transfer.jobs' ? 4 : 'a "b" #c';
      const edited = refused(['config-invalid'], () => editToml(text, keys, value));
      if (edited !== undefined) same(valueIn(edited, keys), value, 'a key that was set is set');
      const removed = refused(['config-invalid'], () => editToml(text, keys, undefined));
      if (removed !== undefined)
        same(valueIn(removed, keys), undefined, 'a key that was removed is gone');
    }
  },
};

function valueIn(text: string, keys: readonly string[]): unknown {
  let value: unknown = parse(text);
  for (const key of keys) value = (value as Record<string, unknown> | undefined)?.[key];
  return value;
}

export const configValue: FuzzTarget = {
  name: 'config-value',
  bytesMax: 4096,
  seeds: () => ({
    rate: '20MB/s',
    url: 'https://user:secret@host:9000/',
    integer: '-9007199254740993',
    name: 'Ada Lovelace <ada@example.org>',
    list: 'reflink, copy',
  }),
  words: ['://', '@', 'off', 'true', 'MiB', ','],
  run(bytes) {
    const text = bytes.toString();
    for (const key of Object.keys(configKeys)) {
      const named = key.replace('NAME', 'origin');
      refused(['config-invalid'], () => parseValue(named, text, 'there'));
    }
    parseLinkKinds(text);
    const rate = parseRate(text);
    promise(rate === undefined || rate > 0, 'a rate is above 0');
  },
};

const registryFileSeed = JSON.stringify({
  models: {
    captioner: {
      'v1.0.0': {
        registered_at: '2026-01-31T12:00:00Z',
        status: 'good',
        description: 'First',
        changelog: ['a'],
        metrics: { loss: 0.5 },
        accuracy: 0.9,
      },
    },
  },
  deployments: { captioner: { production: { version: 'v1.0.0', deployed_at: '2026-02-01' } } },
  states: { captioner: { 'v1.0.0': [] } },
});

let workspace: Promise<Workspace> | undefined;

/** A workspace without Git; an import that changes nothing leaves it as it is. */
async function importWorkspace(): Promise<Workspace> {
  const root = path.join(fuzzFolder(), 'workspace');
  fs.mkdirSync(root, { recursive: true });
  return (await initWorkspace(root, { git: false }, systemSurroundings({}))).workspace;
}

export const registryFile: FuzzTarget = {
  name: 'registry-file',
  bytesMax: 32 * 1024,
  seeds: () => ({
    json: registryFileSeed,
    yaml: 'models:\n  captioner:\n    v1: {registered_at: 2026-01-31}\ndeployments:\n  captioner: {}\n',
  }),
  words: [
    '"models"',
    '"deployments"',
    '"records"',
    '"history"',
    '"states"',
    '"version"',
    ...yamlWords,
  ],
  async run(bytes) {
    workspace ??= importWorkspace();
    const opened = await workspace;
    const file = asFile('registry', bytes);
    for (const partial of [false, true]) {
      await refusedLater(['import-refused', 'too-large'], () =>
        importRegistryFile(opened, file, { dryRun: true, partial }),
      );
    }
  },
};
