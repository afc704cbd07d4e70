import { describe, expect, it } from 'vitest';
import { validateFile } from '../../../src/validate/validate.ts';
import { callOf, globalOp, op } from '../../support/pickles.ts';
import { safetensorsFile, withHeader } from '../../support/safetensors.ts';
import { brokenRules, CountedSource, validateBytes } from '../../support/validate.ts';

const name = 'model.safetensors';
const data = Buffer.alloc(24);

/** A header with tensors `a` and `b` of 8 and 16 bytes, one of which is changed. */
function header(change: Record<string, unknown> = {}, more = ''): string {
  const a = { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...change };
  const b = { dtype: 'F16', shape: [2, 4], data_offsets: [8, 24] };
  return `{"a":${JSON.stringify(a)},"b":${JSON.stringify(b)}${more}}`;
}

const rulesOf = (bytes: Buffer): string[] => brokenRules(validateBytes(name, bytes));

describe('a whole safetensors file', () => {
  it('is ok, with its tensors told', () => {
    expect(validateBytes(name, withHeader(header(), data))).toMatchObject({
      format: 'safetensors',
      verdict: 'ok',
      findings: [],
      summary: { tensors: 2, parameters: 10, dtypes: { F16: 1, F32: 1 } },
    });
  });

  it.each([
    ['metadata', safetensorsFile([{ name: 'x', bytes: Buffer.alloc(3) }], 'text')],
    ['spaces behind the header', withHeader(`${header()}     `, data)],
    ['no tensors', withHeader('{}', Buffer.alloc(0))],
    [
      'a scalar and an empty tensor',
      withHeader(
        '{"s":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[1,1]}}',
        Buffer.alloc(1),
      ),
    ],
    [
      'half bytes',
      withHeader('{"q":{"dtype":"F4","shape":[6],"data_offsets":[0,3]}}', Buffer.alloc(3)),
    ],
    [
      'a tensor called __proto__',
      withHeader('{"__proto__":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}', Buffer.alloc(3)),
    ],
  ])('is ok with %s', (_, bytes) => {
    expect(validateBytes(name, bytes)).toMatchObject({ verdict: 'ok', findings: [] });
  });

  it('is read no further than its header, whatever its size', () => {
    const bytes = Buffer.from(
      withHeader(
        JSON.stringify({
          w: { dtype: 'U8', shape: [10 * 2 ** 30], data_offsets: [0, 10 * 2 ** 30] },
        }),
        Buffer.alloc(0),
      ),
    );
    const source = new CountedSource(name, bytes, bytes.length + 10 * 2 ** 30);
    expect(validateFile(source)).toMatchObject({
      verdict: 'ok',
      summary: { parameters: 10 * 2 ** 30 },
    });
    expect(source.bytesRead).toBeLessThan(200_000);
  });
});

describe('a broken safetensors file', () => {
  const cases: Array<[string, string, Buffer]> = [
    ['too short', 'safetensors-length', Buffer.from('abc')],
    ['a length above the limit', 'safetensors-length', withHeader('{}', data, 100_000_001n)],
    ['a length beyond the file', 'safetensors-length', withHeader('{}', data, 1000n)],
    ['a length beyond all numbers', 'safetensors-length', withHeader('{}', data, 2n ** 63n)],
    ['another first byte', 'safetensors-header', withHeader(` ${header()}`, data)],
    ['no JSON', 'safetensors-header', withHeader('{"a":', data)],
    ['no UTF-8', 'safetensors-header', withHeader(Buffer.from([0x7b, 0x22, 0xff, 0x22]), data)],
    ['too many levels', 'safetensors-header', withHeader(`{"a":${'['.repeat(5000)}`, data)],
    [
      'a key twice',
      'safetensors-duplicate',
      withHeader(header({}, ',"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'), data),
    ],
    [
      'a key twice, with an escape',
      'safetensors-duplicate',
      withHeader(header({}, ',"\\u0061":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'), data),
    ],
    [
      'metadata that are no texts',
      'safetensors-metadata',
      withHeader(header({}, ',"__metadata__":{"x":{"y":"z"}}'), data),
    ],
    [
      'metadata that are a list',
      'safetensors-metadata',
      withHeader(header({}, ',"__metadata__":[]'), data),
    ],
    ['no dtype', 'safetensors-entry', withHeader(header({ dtype: 7 }), data)],
    ['a negative length', 'safetensors-entry', withHeader(header({ shape: [-2] }), data)],
    ['a shape of fractions', 'safetensors-entry', withHeader(header({ shape: [0.5] }), data)],
    [
      'an end before the start',
      'safetensors-entry',
      withHeader(header({ data_offsets: [8, 0] }), data),
    ],
    ['three offsets', 'safetensors-entry', withHeader(header({ data_offsets: [0, 8, 9] }), data)],
    ['a shape that needs more', 'safetensors-size', withHeader(header({ shape: [3] }), data)],
    [
      'a shape that overflows',
      'safetensors-size',
      withHeader(header({ shape: [2 ** 52, 2 ** 52] }), data),
    ],
    [
      'bits that are no bytes',
      'safetensors-size',
      withHeader(header({ dtype: 'F4', shape: [15] }), data),
    ],
    ['a hole', 'safetensors-gap', withHeader(header({ shape: [1], data_offsets: [4, 8] }), data)],
    [
      'an overlap',
      'safetensors-overlap',
      withHeader(header({ shape: [3], data_offsets: [0, 12] }), data),
    ],
    ['bytes at its end', 'safetensors-end', withHeader(header(), Buffer.alloc(25))],
    ['too little data', 'safetensors-end', withHeader(header(), Buffer.alloc(23))],
  ];
  it.each(cases)('has %s', (_, rule, bytes) => {
    const result = validateBytes(name, bytes);
    expect(brokenRules(result)).toContain(rule);
    expect(result.verdict).toBe('invalid');
  });

  it('has an unknown dtype, which is a warning', () => {
    const result = validateBytes(name, withHeader(header({ dtype: 'F128' }), data));
    expect(brokenRules(result)).toEqual(['safetensors-dtype']);
    expect(result.verdict).toBe('warning');
    expect(rulesOf(withHeader(header({ dtype: 'F128', data_offsets: [1, 8] }), data))).toContain(
      'safetensors-gap',
    );
  });

  it('may have a shape of a million lengths, which are not multiplied', () => {
    const long = header({ shape: Array.from({ length: 1_000_000 }, () => 2 ** 53 - 1) });
    expect(rulesOf(withHeader(long, data))).toEqual(['safetensors-size']);
    const endless = header({ dtype: 'F128', shape: Array.from({ length: 50 }, () => 2 ** 53 - 1) });
    const { summary } = validateBytes(name, withHeader(endless, data));
    expect(summary.parameters).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('may have more values than are parsed', () => {
    const many = `{"a":[${'{},'.repeat(6_000_000)}{}]}`;
    const result = validateBytes(name, withHeader(many, data));
    expect(brokenRules(result)).toEqual(['not-read-to-end']);
  });

  it('may be a pickle as well', () => {
    // The length is the first opcode: a text, which ends behind the opening brace.
    const start = Buffer.from([0x58, 4, 0, 0, 0, 0, 0, 0, 0x7b]);
    const call = callOf(globalOp('os', 'system'));
    const bytes = Buffer.concat([start, call, op.stop, Buffer.alloc(0x458)]);
    const result = validateBytes(name, bytes);
    expect(result).toMatchObject({ format: 'safetensors', verdict: 'dangerous' });
    expect(brokenRules(result)).toContain('pickle-hidden');
  });

  it('says where', () => {
    const { findings } = validateBytes(name, withHeader(header({ shape: [3] }), data));
    expect(findings[0]).toMatchObject({ where: 'tensor "a"' });
  });
});

describe('shards', () => {
  const shard = (tensor: string): Buffer =>
    safetensorsFile([{ name: tensor, bytes: Buffer.alloc(4) }]);
  const index = (map: object, size = 8): Buffer =>
    Buffer.from(JSON.stringify({ metadata: { total_size: size }, weight_map: map }));
  const files = { 'm-1.safetensors': shard('a'), 'm-2.safetensors': shard('b') };
  const map = { a: 'm-1.safetensors', b: 'm-2.safetensors' };
  const indexName = 'model.safetensors.index.json';
  const rules = (bytes: Buffer, around?: Record<string, Buffer>): string[] =>
    brokenRules(validateBytes(indexName, bytes, around));

  it('are ok where all is there', () => {
    expect(validateBytes(indexName, index(map), files)).toMatchObject({
      format: 'shard-index',
      verdict: 'ok',
      summary: { tensors: 2, files: ['m-1.safetensors', 'm-2.safetensors'] },
    });
    expect(rules(index(map))).toEqual([]);
  });

  it('are wrong where something is missing', () => {
    expect(rules(index(map), { 'm-1.safetensors': shard('a') })).toEqual(['shards-file']);
    expect(rules(index({ ...map, c: 'm-2.safetensors' }), files)).toEqual(['shards-tensor']);
    expect(rules(index({ a: 'm-1.safetensors', x: 'm-2.safetensors' }), files)).toEqual([
      'shards-tensor',
    ]);
    expect(rules(index(map, 9), files)).toEqual(['shards-size']);
    expect(rules(Buffer.from('{"weight_map":{"a":1}}'))).toEqual(['shards-index']);
  });

  it.each(['../m-1.safetensors', '/etc/passwd', 'a/b', 'a\\b', '..', ''])(
    'may not lie at %j',
    (file) => {
      const result = validateBytes(indexName, index({ a: file }), files);
      expect(brokenRules(result)).toContain('shards-path');
      expect(result.verdict).toBe('dangerous');
    },
  );
});
