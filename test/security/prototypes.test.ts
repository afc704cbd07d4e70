import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { canonicalJson, type JsonObject, parseJsonBytes } from '../../src/base/json.ts';
import { checkEntries } from '../../src/base/tree.ts';
import { parseData } from '../../src/registry/data-file.ts';
import { readMetadata } from '../../src/registry/metadata.ts';
import { flattenMetrics } from '../../src/registry/metrics.ts';
import { findPolicy } from '../../src/registry/policy.ts';
import { formatRecord, parseRecord } from '../../src/registry/record.ts';
import { readConfig } from '../../src/worktree/config.ts';
import { readConfigFile } from '../../src/worktree/config-file.ts';
import { formatPointer, parsePointer } from '../../src/worktree/pointer.ts';
import { editToml } from '../../src/worktree/toml-edit.ts';
import { makeWorkspace } from '../support/cli.ts';
import { madeRecord } from '../support/registry.ts';
import { tempFolder } from '../support/temp.ts';

/** Names that objects have without anybody giving them one. */
const inherited = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
];

afterEach(() => {
  const plain: Record<string, unknown> = {};
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(plain['polluted']).toBeUndefined();
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(ownAtStart);
});

const ownAtStart = Reflect.ownKeys(Object.prototype).length;
const digest = sha256('x');

function written(name: string, text: string): string {
  const file = path.join(tempFolder(), name);
  fs.writeFileSync(file, text);
  return file;
}

describe.each(inherited)('the key %s', (key) => {
  const evil = `{"${key}":{"polluted":true,"sha256":"${digest}"}}`;

  it('is an ordinary one in JSON, and written as it was read', async () => {
    const value = parseJsonBytes(Buffer.from(evil)) as JsonObject;
    expect(Object.keys(value)).toEqual([key]);
    expect(canonicalJson(value)).toBe(evil);
    const metadata = await readMetadata(written('m.json', evil));
    expect(JSON.stringify(metadata)).toBe(evil);
  });

  it.each([
    `${JSON.stringify('KEY')}:\n  polluted: true\n`,
    'a: &x\n  KEY:\n    polluted: true\nb:\n  <<: *x\n',
    '? KEY\n: polluted: true\n',
  ])('sets nothing by way of YAML', async (text) => {
    const yaml = Buffer.from(text.replaceAll('KEY', key));
    const value = (await parseData(yaml, 'x.yaml', 'bad-metadata')) as Record<string, unknown>;
    for (const one of [value, ...Object.values(value)] as object[]) {
      expect(Object.getPrototypeOf(one)).toBe(Object.prototype);
    }
  });

  it('sets nothing by way of TOML, and does not stand for a remote', () => {
    const text = `[${key}]\npolluted = true\n\n["${key}".polluted]\nx = 1\n`;
    const folder = tempFolder();
    for (const one of [
      `[${key}]\npolluted = true\n`,
      `[remote.${key}]\nurl = "./x"\n`,
      `[remote."${key}".${key}]\npolluted = true\n`,
      `${key}.${key}.polluted = true\n`,
    ]) {
      fs.writeFileSync(path.join(folder, 'config.toml'), one);
      const config = readConfig(folder, { [`MSTORE_REMOTE_${key.toUpperCase()}_URL`]: './y' });
      expect(config.get(key)).toBeUndefined();
      for (const { name } of config.remotes()) expect(typeof name).toBe('string');
      expect(parseable(editToml(one, ['core', 'model'], 'm'))).toBe(true);
    }
    expect(() => readConfigFile(written('c.toml', text))).toThrow();
  });

  it('is kept in pointers, and no key of an entry of a tree', () => {
    const pointer = `{"mstore":1,"path":"a","kind":"file","sha256":"${digest}","size":1,"${key}":{"polluted":true}}`;
    const parsed = parsePointer(Buffer.from(pointer), 'a.mstore');
    expect(JSON.parse(formatPointer(parsed))).toEqual(JSON.parse(pointer));
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
    const entry: unknown = JSON.parse(`{"path":"a","size":1,"sha256":"${digest}","${key}":{}}`);
    expect(() => checkEntries([entry])).toThrow('unknown key');
    // What an entry does not have itself, it does not have.
    const lacking: unknown = JSON.parse(`{"path":"a","__proto__":{"sha256":"${digest}","size":1}}`);
    expect(() => checkEntries([lacking])).toThrow();
  });

  it('is an ordinary one in records of the registry', () => {
    const more = JSON.parse(`{"labels":{"${key}":"text"},"metadata":${evil}}`) as object;
    const bytes = formatRecord(madeRecord('m', 'v1', more));
    const { value } = parseRecord(bytes, 'x', { model: 'm', version: 'v1' });
    expect(Object.keys(value.labels ?? {})).toEqual([key]);
    expect(JSON.stringify(value.metadata)).toBe(evil);
  });

  it('names a metric, or is refused', () => {
    const value: unknown = JSON.parse(`{"${key}":1,"loss":2}`);
    if (key === '__proto__') {
      expect(() => flattenMetrics(value, 'x')).toThrow('keeps for itself');
      return;
    }
    expect(Object.entries(flattenMetrics(value, 'x').metrics)).toContainEqual([key, 1]);
    const table: unknown = JSON.parse(`{"production":{"limits":{"${key}":{"min":1}}}}`);
    expect(findPolicy(table, 'x', 'm', 'production')?.limits).toEqual([{ metric: key, min: 1 }]);
    expect(findPolicy({}, 'x', 'm', key)).toBeUndefined();
  });
});

function parseable(text: string): boolean {
  return readConfigFile(written('config.toml', text)) !== undefined;
}

describe('models, environments and metrics with the names of what objects inherit', () => {
  it('go through a whole life', async () => {
    const ws = await makeWorkspace();
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    const name = 'constructor@constructor';
    for (const refused of [
      ['versions', 'constructor'],
      ['show', name],
      ['history', 'constructor'],
    ]) {
      expect((await ws.run(...refused)).code).toBe(3);
    }
    await ws.ok('register', name, 'model.bin', '--metric', 'toString=1', '--label', '__proto__=x');
    await ws.ok('push');
    expect((await ws.run('show', 'valueof@constructor')).code).toBe(3);
    await ws.ok('deploy', name, '--env', 'prototype', '--reason', '__proto__');
    const shown = await ws.ok('show', 'constructor@prototype', '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({
      record: { metrics: { toString: 1 }, labels: JSON.parse('{"__proto__":"x"}') },
    });
    const lines = await ws.ok('versions', 'constructor', '--sort', 'toString');
    expect(lines.stdout).toMatch(/toString/);
    expect((await ws.run('versions', 'constructor', '--sort', 'valueOf')).code).not.toBe(0);
    const exported = await ws.ok('registry', 'export');
    ws.write('registry.json', exported.stdout);
    await ws.ok('registry', 'import', 'registry.json');
  });
});
