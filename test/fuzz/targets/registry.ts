import { sha256 } from '../../../src/base/digest.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import {
  canonicalJson,
  isJsonObject,
  type JsonValue,
  parseJsonBytes,
} from '../../../src/base/json.ts';
import {
  type EnvironmentEntry,
  formatEntry,
  type LogEntry,
  parseEntry,
  type StateEntry,
} from '../../../src/registry/entry.ts';
import { formatGtoName, parseGtoName } from '../../../src/registry/gto.ts';
import {
  entryKey,
  type LogName,
  parseRegistryKey,
  signatureKey,
  versionKey,
} from '../../../src/registry/keys.ts';
import { formatRecord, parseRecord } from '../../../src/registry/record.ts';
import { parseFileReference, parseReference } from '../../../src/registry/reference.ts';
import { type Sealed, seal } from '../../../src/registry/sealed.ts';
import { compareVersions, latestOf } from '../../../src/registry/version-order.ts';
import { madeRecord } from '../../support/registry.ts';
import { type FuzzTarget, promise, refused, same } from '../target.ts';

const codes: readonly ErrorCode[] = ['corrupt-registry', 'newer-format'];
const name = { model: 'captioner', version: 'v1.0.0' };
const words = [
  '"mstore"',
  '"sha256"',
  '"record"',
  '"entry"',
  '"previous"',
  '"metrics"',
  '"content"',
];

/** Gives an object of the registry the digest of its document, so that what is behind it is reached. */
function resealed(bytes: Buffer, document: string): Buffer | undefined {
  try {
    const object = parseJsonBytes(bytes);
    if (!isJsonObject(object)) return undefined;
    const digest = sha256(canonicalJson(object[document] as JsonValue));
    return Buffer.from(JSON.stringify({ ...object, sha256: digest }));
  } catch {
    return undefined;
  }
}

/** Reads an object as it is, and with the right digest; what is accepted has one form. */
function sealedTarget<T extends object>(
  bytes: Buffer,
  document: string,
  parse: (given: Buffer) => Sealed<T>,
  format: (sealed: Sealed<T>) => Buffer,
): void {
  for (const given of [bytes, resealed(bytes, document)]) {
    const parsed = given && refused(codes, () => parse(given));
    if (parsed === undefined) continue;
    promise(
      parsed.sha256 === seal(parsed.value).sha256,
      'a document has the digest of its content',
    );
    const written = format(parsed);
    const again = parse(written);
    promise(again.sha256 === parsed.sha256, 'a document that is written and read is the same');
    promise(format(again).equals(written), 'a document has one form');
  }
}

export const record: FuzzTarget = {
  name: 'record',
  bytesMax: 64 * 1024,
  seeds: () => {
    const plain = madeRecord(name.model, name.version);
    const full = seal({
      ...plain.value,
      description: 'It says what it sees',
      changelog: ['First'],
      status: 'candidate',
      labels: { team: 'vision' },
      metrics: { loss: 0.25, 'eval.loss.0': 1 },
      metadata: { layers: [1, { a: null }] },
      source: { git: { commit: 'a'.repeat(40), dirty: false } },
    });
    return { plain: formatRecord(plain), full: formatRecord(full) };
  },
  words,
  run(bytes) {
    sealedTarget(bytes, 'record', (given) => parseRecord(given, 'there', name), formatRecord);
  },
};

const environments: LogName = { model: 'captioner', kind: 'environments', name: 'production' };
const states: LogName = { model: 'captioner', kind: 'states', name: 'v1.0.0' };

const base = {
  model: 'captioner',
  version: 'v1.0.0',
  number: 1,
  at: '2026-11-21T10:00:00.000Z',
  by: 'Ada <ada@example.org>',
  previous: null,
} as const;

const deployed: EnvironmentEntry = {
  ...base,
  environment: 'production',
  action: 'deploy',
  record: sha256('record'),
  gate: { passed: true, score: 0.5 },
};

const deprecated: StateEntry = {
  ...base,
  number: 2,
  previous: sha256('first'),
  state: 'deprecated',
};

export const entry: FuzzTarget = {
  name: 'entry',
  bytesMax: 64 * 1024,
  seeds: () => ({
    deployed: formatEntry(seal<LogEntry>(deployed)),
    deprecated: formatEntry(seal<LogEntry>(deprecated)),
  }),
  words: [...words, '"environment"', '"state"', '"gate"', '"action"'],
  run(bytes) {
    for (const log of [environments, states]) {
      for (const number of [1, 2]) {
        const parse = (given: Buffer) => parseEntry(given, 'there', log, number);
        sealedTarget(bytes, 'entry', parse, formatEntry);
      }
    }
  },
};

export const registryKey: FuzzTarget = {
  name: 'registry-key',
  bytesMax: 1024,
  seeds: () => ({
    version: versionKey('captioner', 'v1.0.0'),
    entry: entryKey(environments, 1),
    state: entryKey(states, 99_999_999),
    signature: signatureKey('captioner', 'v1.0.0', sha256('')),
  }),
  words: [
    'refs/models/',
    'versions/',
    'environments/',
    'states/',
    'signatures/',
    '.json',
    '00000000',
    'latest',
  ],
  run(bytes) {
    const key = bytes.toString();
    const parsed = parseRegistryKey(key);
    if (parsed === undefined) return;
    const again =
      parsed.kind === 'versions'
        ? versionKey(parsed.model, parsed.name)
        : parsed.kind === 'signatures'
          ? signatureKey(parsed.model, parsed.name, parsed.sha256)
          : entryKey(parsed, parsed.number);
    same(again, key, 'a key is written as it was read');
  },
};

export const gtoTag: FuzzTarget = {
  name: 'gto-tag',
  bytesMax: 4096,
  seeds: () => ({
    register: 'captioner@v1.2.0',
    assign: 'captioner#prod#3',
    unassign: 'some/folder=captioner#prod!#4',
    pre: 'captioner@v1.2.0-rc.1+build.5!',
    deprecate: 'captioner@deprecated#7',
  }),
  words: ['@v', '#', '!', '=', '@deprecated', '-rc.1', '+b', '0.0.0'],
  run(bytes) {
    const parsed = parseGtoName(bytes.toString());
    if (parsed === undefined) return;
    const text = formatGtoName(parsed);
    same(parseGtoName(text), parsed, 'the name of a tag that is written and read is the same');
  },
};

export const reference: FuzzTarget = {
  name: 'reference',
  bytesMax: 8192,
  seeds: () => ({
    model: 'captioner@v1.0.0',
    git: 'git:HEAD~3',
    hf: 'hf:org/name@main',
    bucket: 's3://bucket/a/b',
    mlflow: 'mlflow:models:/name@alias',
    oci: `oci://host:5000/a/b:tag@sha256:${'0'.repeat(64)}`,
    file: 'captioner@v1:dir/file.bin',
    path: './a:b',
  }),
  words: [
    'git:',
    'local:',
    'hf:',
    's3://',
    'gs://',
    'mlflow:models:/',
    'dvc:',
    'oci://',
    '@latest',
    ':',
  ],
  run(bytes) {
    const text = bytes.toString();
    refused(['usage'], () => parseReference(text));
    refused(['usage'], () => parseFileReference(text));
  },
};

/** Versions that are compared with each other at once. */
const comparedMax = 12;

export const versionOrder: FuzzTarget = {
  name: 'version-order',
  bytesMax: 4096,
  seeds: () => ({
    numbers: 'v1.2.3\n1.2.3-rc.1\nv2\n1.4\n2026.01.05\nv1.2.3-1\nv1.2.3-a.1\nbest\nalpha',
    long: `${'9'.repeat(32)}.0.1\nv${'1'.repeat(33)}\n1-0\n1-00\n1-a-b`,
  }),
  words: ['v', '-rc.', '.0', '\n', '-'],
  run(bytes) {
    const lines = bytes.toString().split('\n').slice(0, comparedMax);
    const versions = lines.map((version, i) => ({ version, created: `2026-01-0${i % 3}` }));
    for (const a of versions) {
      for (const b of versions) {
        const order = Math.sign(compareVersions(a, b));
        promise(order === -Math.sign(compareVersions(b, a)), 'an order reads alike from both ends');
        for (const c of versions) {
          if (order > 0 || compareVersions(b, c) > 0) continue;
          promise(compareVersions(a, c) <= 0, 'what comes before one comes before those behind it');
        }
      }
    }
    const latest = latestOf(versions);
    promise(latest !== undefined && versions.includes(latest), 'the latest is one of them');
  },
};

export const canonical: FuzzTarget = {
  name: 'canonical-json',
  bytesMax: 64 * 1024,
  seeds: () => ({ values: '{"b":[1,-0,1e21,"é",null],"a":{"\\u0000":true}}', list: '[[[]]]' }),
  words: ['"__proto__":', '1e400', '\\ud800', '[[', '{"":'],
  run(bytes) {
    let value: JsonValue;
    try {
      value = parseJsonBytes(bytes) as JsonValue;
    } catch (error) {
      promise(
        error instanceof SyntaxError || error instanceof TypeError,
        'bad JSON is told as such',
      );
      return;
    }
    let text: string;
    try {
      text = canonicalJson(value);
    } catch (error) {
      promise(error instanceof RangeError, 'too many levels are told as such');
      promise(error.message === 'JSON with too many levels', 'levels are counted');
      return;
    }
    const again = canonicalJson(JSON.parse(text) as JsonValue);
    same(again, text, 'canonical JSON has one form');
  },
};
