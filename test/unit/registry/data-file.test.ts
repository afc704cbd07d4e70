import { describe, expect, it } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import { parseData } from '../../../src/registry/data-file.ts';

const parse = (name: string, text: string): Promise<unknown> =>
  parseData(Buffer.from(text), name, 'bad-metadata');

describe('a data file in JSON', () => {
  it('may hold a text that is longer than any pattern reaches', async () => {
    const long = 'a\\"'.repeat(6_000_000);
    const value = (await parse('a.json', `{"a": "${long}", "b": 1}`)) as { a: string; b: number };
    expect([value.a.length, value.b]).toEqual([12_000_000, 1]);
    await expect(parse('a.json', `{"a": "${long}", "a": 1}`)).rejects.toMatchObject({
      message: 'a.json names a twice',
    });
  });

  it('tells names from texts, whatever signs stand in them', async () => {
    const text = '{"a\\\\": ":", "\\"b": "{\\\\", "c": {"a\\\\": "}"}}';
    expect(await parse('a.json', text)).toEqual({ 'a\\': ':', '"b': '{\\', c: { 'a\\': '}' } });
    await expect(parse('a.json', '{"a": "\\\\", "\\u0061": ""}')).rejects.toMatchObject({
      message: 'a.json names a twice',
    });
  });
});

describe('a data file in YAML', () => {
  it('is read up to its first fault', async () => {
    const faults = 'a: b: c\n'.repeat(1_000);
    await expect(parse('a.yaml', faults)).rejects.toMatchObject({
      message: expect.stringMatching(/ at line 1, column 4$/),
    });
  });

  it('has a bound of its own, as its parser needs more memory than that of JSON', async () => {
    const long = `a: ${'x'.repeat(limits.yamlBytesMax)}`;
    await expect(parse('a.yaml', long)).rejects.toMatchObject({ code: 'too-large' });
    await expect(parse('a.yaml', long.slice(0, limits.yamlBytesMax))).resolves.toHaveProperty('a');
  });

  it('has no more parts than its parser has memory for', async () => {
    await expect(parse('a.yaml', ':\n'.repeat(130_000))).rejects.toMatchObject({
      message: expect.stringMatching(
        /: There are more than 250000 names, values and signs at line /,
      ),
    });
  });

  it('has levels, as many as a document of a registry', async () => {
    const deep = (levels: number) => `a: ${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`;
    await expect(parse('a.yaml', deep(200))).resolves.toHaveProperty('a');
    for (const text of [deep(300), '? '.repeat(10_000), '['.repeat(10_000), '{'.repeat(10_000)]) {
      await expect(parse('a.yaml', text)).rejects.toMatchObject({
        message: expect.stringMatching(/: There are more than 200 levels at line 1, column \d+$/),
      });
    }
  });
});
