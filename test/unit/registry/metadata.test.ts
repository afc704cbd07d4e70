import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import { metricsOf, readMetadata } from '../../../src/registry/metadata.ts';
import { formatRecord, parseRecord } from '../../../src/registry/record.ts';
import { madeRecord } from '../../support/registry.ts';
import { tempFolder } from '../../support/temp.ts';

function read(text: string, extension = 'json') {
  const file = path.join(tempFolder(), `file.${extension}`);
  fs.writeFileSync(file, text);
  return readMetadata(file);
}

const levels = (count: number) => `{"a": ${'['.repeat(count - 1)}${']'.repeat(count - 1)}}`;

describe('a metadata file', () => {
  it('comes back as it is, in the same order', async () => {
    const value = { '10': null, b: [1.5, -3, 'x', true, { c: [] }], a: { d: 9007199254740991 } };
    const text = JSON.stringify(value);
    expect(JSON.stringify(await read(text))).toBe(text);
    expect(await read('a: 1\nb:\n  - c: null\n', 'yaml')).toEqual({ a: 1, b: [{ c: null }] });
    expect(await read('{"a": 1e21, "b": -1e22}')).toEqual({ a: 1e21, b: -1e22 });
  });

  it.each([
    ['a list', '[1]', 'does not map names to values', 'Write {"NAME": VALUE}'],
    ['a text', '"x"', 'does not map names to values', 'NAME: VALUE'],
    ['null', 'null', 'does not map names to values', 'NAME: VALUE'],
    [
      'an integer of 54 bits',
      '{"a": {"b": 9007199254740993}}',
      'more than 53 bits at a.b',
      'quotes',
    ],
    ['a negative one', '{"a": [1, -9007199254740992]}', 'more than 53 bits at a.1', 'quotes'],
    ['a number that is none', '{"a": 1e999}', 'holds the number Infinity at a', 'quotes'],
    ['too many levels', levels(202), 'holds more than 200 levels', 'quotes'],
  ])('may not hold %s', async (_, text, problem, hint) => {
    await expect(read(text)).rejects.toMatchObject({
      code: 'bad-metadata',
      message: expect.stringContaining(problem) as string,
      hint: expect.stringContaining(hint) as string,
      details: { path: expect.stringContaining('file.json') as string },
    });
  });

  it('may have as many levels as fit into a record', async () => {
    const metadata = await read(levels(200));
    const record = madeRecord('m', 'v1', { metadata });
    expect(parseRecord(formatRecord(record), 'here', record.value)).toEqual(record);
    await expect(read(levels(201))).rejects.toMatchObject({ code: 'bad-metadata' });
    await expect(read(levels(200).replace('[]', '[1]'))).rejects.toMatchObject({
      code: 'bad-metadata',
    });
  });

  it('may hold dates only as texts', async () => {
    await expect(read('a: !!timestamp 2026-01-01\n', 'yaml')).rejects.toMatchObject({
      code: 'bad-metadata',
    });
  });

  it('holds a bounded number of values', async () => {
    const list = (count: number) => `{"a": [${Array.from({ length: count }, () => 0).join()}]}`;
    // The file and the list are values themselves.
    await expect(read(list(limits.metricsMax - 2))).resolves.toHaveProperty('a');
    await expect(read(list(limits.metricsMax - 1))).rejects.toMatchObject({
      code: 'bad-metadata',
      message: expect.stringContaining('more than 10000 values') as string,
    });
  });

  it('has a bounded size, and must be there', async () => {
    const file = path.join(tempFolder(), 'none.json');
    await expect(readMetadata(file)).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('Check the path') as string,
      details: { path: file },
    });
    const long = `{"a": "${'x'.repeat(limits.metadataBytesMax)}"}`;
    await expect(read(long)).rejects.toMatchObject({ code: 'too-large' });
  });
});

describe('metrics in metadata', () => {
  it('are the numbers below metrics', () => {
    expect(metricsOf({ metrics: { a: { b: 1 }, c: 'text' } }, 'f')).toEqual({ 'a.b': 1 });
  });

  it.each([[undefined], [{}], [{ metrics: {} }], [{ metrics: 1 }], [{ metrics: ['a'] }]])(
    'are none in %j',
    (metadata) => {
      expect(metricsOf(metadata, 'f')).toEqual({});
    },
  );
});
