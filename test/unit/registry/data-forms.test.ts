import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import { parseData, readDataFile } from '../../../src/registry/data-file.ts';
import { tempFolder } from '../../support/temp.ts';

const parse = (name: string, text: string | Buffer): Promise<unknown> =>
  parseData(Buffer.from(text), name, 'bad-metrics');

describe('the form of a data file', () => {
  it.each([
    ['a.yaml', '{a: 1}'],
    ['a.YML', '{a: 1}'],
    ['a.yml', ' {a: 1}'],
    ['a', 'a: 1'],
    ['a.txt', 'a: 1 # [{'],
  ])('is YAML in %s: %s', async (name, text) => {
    expect(await parse(name, text)).toEqual({ a: 1 });
  });

  it.each([
    ['a.json', 'a: 1'],
    ['a.JSON', 'a: 1'],
    ['a', '{a: 1}'],
    ['a', ' \n\t{a: 1}'],
    ['a.txt', '[a]'],
  ])('is JSON in %s: %s', async (name, text) => {
    await expect(parse(name, text)).rejects.toMatchObject({
      code: 'bad-metrics',
      message: expect.stringMatching(/ is not valid JSON: (?!it holds)/) as string,
      hint: 'Correct the file, or write it anew',
      details: { path: name },
    });
  });

  it('is told by the name of a number that is none', async () => {
    for (const [text, found] of [
      ['{"a": NaN}', 'NaN'],
      ['[-Infinity]', '-Infinity'],
      ['{"a":[1,Infinity]}', 'Infinity'],
    ])
      await expect(parse('a.json', text as string)).rejects.toMatchObject({
        message: `a.json is not valid JSON: it holds ${found}`,
        hint: expect.stringContaining('Look at what wrote it') as string,
      });
    for (const text of ['{"a": NaNs}', '{"a": xNaN}', '{'])
      await expect(parse('a.json', text)).rejects.not.toMatchObject({
        message: expect.stringContaining('holds') as string,
      });
  });

  it('is UTF-8', async () => {
    await expect(parse('a.json', Buffer.from([0x22, 0xff, 0x22]))).rejects.toMatchObject({
      code: 'bad-metrics',
      message: 'a.json is not UTF-8',
      hint: 'Write the file in UTF-8',
    });
  });

  it('is JSON where there is more of it than YAML may have', async () => {
    const long = `a: ${'x'.repeat(limits.yamlBytesMax)}`;
    await expect(parse('a.yaml', long)).rejects.toMatchObject({
      code: 'too-large',
      hint: 'Write it in JSON',
      details: { path: 'a.yaml', size: long.length },
    });
  });

  it('has no name twice, at any place', async () => {
    for (const [name, text] of [
      ['a.json', '{"a": 1, "b": 2, "a": 3}'],
      ['a.json', '{"b": {"c": 1}, "d": [{}, {"a": 1, "a": 1}]}'],
      ['a.yaml', 'a: 1\nb: 2\na: 3\n'],
      ['a.yaml', 'b: {c: 1}\nd: [{}, {a: 1, a: 1}]\n'],
    ] as const)
      await expect(parse(name, text)).rejects.toMatchObject({
        code: 'bad-metrics',
        message: `${name} names a twice`,
        hint: expect.stringContaining('remove one') as string,
      });
    for (const text of ['{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}', '{"a": "a", "b": "a"}'])
      for (const name of ['a.json', 'a.yaml'])
        expect(await parse(name, text)).toEqual(JSON.parse(text));
  });

  it('has no names that are none in YAML', async () => {
    await expect(parse('a.yaml', '[a, b]: 1')).rejects.toMatchObject({
      message: expect.stringContaining('a name is a list, a mapping or an alias') as string,
    });
  });

  it('is not that of a file which is missing', async () => {
    const file = path.join(tempFolder(), 'none');
    await expect(readDataFile(file, { code: 'bad-metrics', bytesMax: 5 })).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('Check the path') as string,
      details: { path: file },
    });
  });
});
