import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import {
  flattenMetrics,
  joinMetrics,
  metricOf,
  parseMetricOptions,
  readMetrics,
} from '../../../src/registry/metrics.ts';
import { tempFolder } from '../../support/temp.ts';

function fileWith(name: string, content: string | Uint8Array): string {
  const file = path.join(tempFolder(), name);
  fs.writeFileSync(file, content);
  return file;
}

const fails = (code: string, message: RegExp, hint: RegExp = /./) =>
  expect.objectContaining({
    code,
    message: expect.stringMatching(message) as string,
    hint: expect.stringMatching(hint) as string,
  }) as Error;

describe('readMetrics', () => {
  it('joins the names of nested values by dots, in JSON and YAML alike', async () => {
    const json = '{"eval": {"loss": [0.25, 2e-1]}, "bleu4": 0.31, "top 5": 1}';
    const yaml = '# of run 7\nbleu4: 0.31\ntop 5: 1\neval:\n  loss:\n    - 0.25\n    - 2.0e-01\n';
    const metrics = { bleu4: 0.31, 'eval.loss.0': 0.25, 'eval.loss.1': 0.2, 'top 5': 1 };
    for (const file of [
      fileWith('m.json', json),
      fileWith('m.yaml', yaml),
      fileWith('m.yml', yaml),
      fileWith('m.yaml', json),
      fileWith('metrics', `\n ${json}`),
      fileWith('metrics', yaml),
      fileWith('m.json', `\ufeff${json}`),
    ]) {
      const read = await readMetrics(file);
      expect(read).toEqual({ metrics, leftOut: [] });
      expect(Object.keys(read.metrics)).toEqual(Object.keys(metrics));
    }
  });

  it.each([
    ['m.json', '{"run": "a1", "when": "2025-01-01", "ok": true, "lr": null, "bleu": 1}'],
    ['m.yaml', 'run: a1\nwhen: 2025-01-01\nok: true\nlr: ~\nbleu: 1\n'],
    ['m.yaml', '%YAML 1.1\n---\nrun: a1\nwhen: 2025-01-01\nok: yes\nlr: ~\nbleu: 1\n'],
  ])('leaves out what is no number only where asked to: %s', async (name, text) => {
    const file = fileWith(name, text);
    expect(await readMetrics(file, { numbersOnly: true })).toEqual({
      metrics: { bleu: 1 },
      leftOut: ['lr', 'ok', 'run', 'when'],
    });
    await expect(readMetrics(file)).rejects.toThrow(
      fails('bad-metrics', /run in .* is a text instead of a number/),
    );
  });

  it('names the kind of what is no number', async () => {
    const values = { true: 'true', null: 'null', '"x"': 'a text', '"0.5"': 'a text' };
    for (const [value, kind] of Object.entries(values)) {
      await expect(readMetrics(fileWith('m.json', `{"a": {"b": ${value}}}`))).rejects.toThrow(
        fails('bad-metrics', new RegExp(`a\\.b in .* is ${kind} instead`)),
      );
    }
    await expect(
      readMetrics(fileWith('m.yaml', '%YAML 1.1\n---\na: 2025-01-01\n')),
    ).rejects.toThrow(fails('bad-metrics', /is a date instead/));
  });

  it.each([
    ['m.json', '{"bleu": NaN}', /not valid JSON: it holds NaN/],
    ['m.json', '{"bleu": [1, -Infinity]}', /not valid JSON: it holds -Infinity/],
    ['m.json', '{"bleu": 1e999}', /bleu in .* is not a finite number/],
    ['m.json', '{"bleu": "nan"}', /bleu in .* is not a finite number/],
    ['m.yaml', 'bleu: .nan', /bleu in .* is not a finite number/],
    ['m.yaml', 'bleu: .NaN', /bleu in .* is not a finite number/],
    ['m.yaml', 'bleu: NaN', /bleu in .* is not a finite number/],
    ['m.yaml', 'a: {b: [-.inf]}', /a\.b\.0 in .* is not a finite number/],
    ['m.yaml', 'bleu: inf', /bleu in .* is not a finite number/],
  ])('never leaves out a number that is none: %s %s', async (name, text, message) => {
    const file = fileWith(name, text);
    const hint = /neither compared nor stored/;
    await expect(readMetrics(file)).rejects.toThrow(fails('bad-metrics', message, hint));
    await expect(readMetrics(file, { numbersOnly: true })).rejects.toThrow(
      fails('bad-metrics', message, hint),
    );
  });

  it.each([
    ['m.json', '{"a": {"b": 1}, "a.b": 1}', /names a\.b twice/],
    ['m.json', '{"a": 1, "b": {"a": 2}, "\\u0061": 1}', /names a twice/],
    ['m.json', '{"x": [{"a": 1, "b": "a\\": {", "a": 2}]}', /names a twice/],
    ['m.json', '{"a": [1], "a.0": 2}', /names a\.0 twice/],
    ['m.yaml', 'a: 1\nb: 2\na: 1\n', /names a twice/],
    ['m.yaml', '1: 2\n"1": 3\n', /names 1 twice/],
  ])('refuses a name that stands twice: %s %s', async (name, text, message) => {
    await expect(readMetrics(fileWith(name, text), { numbersOnly: true })).rejects.toThrow(
      fails('bad-metrics', message),
    );
  });

  it('takes a name once in each of several objects', async () => {
    const text = '{"a": {"f1": 1, "s": "f1\\": {"}, "b": [{"f1": 2}, {"f1": 3}], "f1": 4}';
    const { metrics } = await readMetrics(fileWith('m.json', text), { numbersOnly: true });
    expect(metrics).toEqual({ 'a.f1': 1, 'b.0.f1': 2, 'b.1.f1': 3, f1: 4 });
  });

  it.each([
    ['m.json', '{"a": 1', /is not valid JSON: /],
    ['m.json', '', /is not valid JSON: /],
    ['m.json', '{"a": "\u0007', /is not valid JSON: /],
    ['m.yaml', 'a: "x\n', /is not valid YAML: Missing closing "quote at line 2, column 1$/],
    ['m.yaml', 'a: b\n c: [1\n', /is not valid YAML: Nested mappings .* at line 1, column 4$/],
    ['m.yaml', '%a\n---\nb: 1\n', /is not valid YAML: Unknown directive %a at line 1, column 1$/],
    ['m.yaml', 'a: 1\n---\nb: 2\n', /is not valid YAML: Source contains multiple documents/],
    ['m.yaml', 'a: *b\n', /is not valid YAML: Unresolved alias/],
    ['m.yaml', '? [1, 2]\n: 3\n', /is not valid YAML: a name is a list/],
    ['m.yaml', 'a: !!python/object:numpy.float64 [1]\n', /is not valid YAML: Unresolved tag/],
    ['m.json', '[1, 2]', /does not map names to numbers/],
    ['m.json', '3', /does not map names to numbers/],
    ['m.yaml', '', /does not map names to numbers/],
    ['m.yaml', 'just a text\n', /does not map names to numbers/],
    ['m.json', '{}', /holds no numbers/],
    ['m.json', '{"a": {}, "b": []}', /holds no numbers/],
    ['m.json', '{"": 1}', /a metric with an empty part/],
    ['m.json', '{"a": {"": 1}}', /a metric with an empty part/],
    ['m.json', '{"a\\u001b[2J": 1}', /a metric with a control character: a\\u\{1b\}/],
    ['m.json', '{"\\ud800": 1}', /a metric with a control character/],
    ['m.json', '{" a": 1}', /a metric with a space at an end/],
    ['m.json', '{"__proto__": 1}', /a name that JavaScript keeps/],
  ])('refuses %s %j', async (name, text, message) => {
    const refused = readMetrics(fileWith(name, text), { numbersOnly: true });
    await expect(refused).rejects.toThrow(fails('bad-metrics', message));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    await expect(refused).rejects.not.toThrow(/[\u0000-\u001f]/);
  });

  it('refuses what is not UTF-8, not there, or no file', async () => {
    const utf16 = Buffer.from('\ufeff{"a": 1}', 'utf16le');
    await expect(readMetrics(fileWith('m.json', utf16))).rejects.toThrow(
      fails('bad-metrics', /is not UTF-8/),
    );
    await expect(readMetrics(path.join(tempFolder(), 'none.json'))).rejects.toThrow(
      fails('not-found', /There is no file/),
    );
    await expect(readMetrics(tempFolder())).rejects.toMatchObject({ code: 'io' });
  });

  it('bounds the file, its values, its depth and its names', async () => {
    const many = Array.from({ length: limits.metricsMax }, (_, i) => `"m${i}": 1`);
    const deep = `${'{"a":'.repeat(limits.metricsDepthMax + 1)}1${'}'.repeat(limits.metricsDepthMax + 1)}`;
    const laughs = [
      'a: &a [1,1,1,1,1,1,1,1,1]',
      ...[...'bcdefghi'].map(
        (c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefgh'[i]}`).join()}]`,
      ),
    ];
    for (const [name, text, code] of [
      ['m.json', `{${many.join()}}`, 'too-large'],
      ['m.json', deep, 'too-large'],
      ['m.json', `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, 'too-large'],
      ['m.yaml', `a: ${'['.repeat(20_000)}`, 'bad-metrics'],
      ['m.yaml', laughs.join('\n'), 'bad-metrics'],
      ['m.yaml', 'a: &x [*x]\n', 'too-large'],
      ['m.json', `{"${'é'.repeat(limits.metricNameBytesMax / 2 + 1)}": 1}`, 'bad-metrics'],
      ['m.json', ' '.repeat(limits.metricsBytesMax + 1), 'too-large'],
    ] as const) {
      await expect(readMetrics(fileWith(name, text)), text.slice(0, 40)).rejects.toMatchObject({
        code,
      });
    }
    const { metrics } = await readMetrics(fileWith('m.json', `{${many.slice(1).join()}}`));
    expect(Object.keys(metrics)).toHaveLength(limits.metricsMax - 1);
  });

  it('drops the sign of a zero, which JSON does not keep', () => {
    const { metrics } = flattenMetrics({ a: -0 }, 'results');
    expect(Object.is(metrics['a'], 0)).toBe(true);
  });
});

describe('parseMetricOptions', () => {
  it('takes numbers in decimal notation, the name before the last equals sign', () => {
    expect(
      parseMetricOptions(['b=-1', 'a.c=.5', 'k=v=3e-2', 'top 5=+4.', 'zero=-0']),
    ).toStrictEqual({ 'a.c': 0.5, b: -1, 'k=v': 0.03, 'top 5': 4, zero: 0 });
    expect(parseMetricOptions([])).toEqual({});
  });

  it.each([
    ['bleu', 'usage', /^--metric cannot be bleu$/],
    ['=1', 'usage', /^--metric cannot be =1$/],
    ['a..b=1', 'usage', /cannot be a\.\.b=1/],
    ['a\u001b=1', 'usage', /cannot be a\\u\{1b\}=1/],
    ['bleu=', 'bad-metrics', /no finite number/],
    ['bleu=0x10', 'bad-metrics', /no finite number/],
    ['bleu= 1', 'bad-metrics', /no finite number/],
    ['bleu=nan', 'bad-metrics', /no finite number/],
    ['bleu=Infinity', 'bad-metrics', /no finite number/],
    ['bleu=1e999', 'bad-metrics', /no finite number/],
    ['bleu=1,5', 'bad-metrics', /no finite number/],
  ])('refuses %j', (text, code, message) => {
    expect(() => parseMetricOptions([text])).toThrow(fails(code, message));
  });

  it('refuses a name that comes twice', () => {
    expect(() => parseMetricOptions(['a=1', 'b=2', 'a=1'])).toThrow(
      fails('bad-metrics', /names a twice/),
    );
  });
});

describe('joinMetrics', () => {
  it('joins and sorts by the bytes of names, and refuses a name that both have', () => {
    const joined = joinMetrics({ b: 1, '\u{1f600}': 5 }, { a: 2, '\uffe0': 4 });
    expect(Object.keys(joined)).toEqual(['a', 'b', '\uffe0', '\u{1f600}']);
    expect(() => joinMetrics({ a: 1 }, { a: 1 })).toThrow(fails('bad-metrics', /a is given twice/));
  });
});

describe('metricOf', () => {
  it('finds what is there and nothing by accident', () => {
    expect(metricOf({ a: 0 }, 'a')).toBe(0);
    expect(metricOf({ a: 0 }, 'toString')).toBeUndefined();
    expect(metricOf({ a: 0 }, '__proto__')).toBeUndefined();
  });
});
