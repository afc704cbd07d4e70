import { describe, expect, it } from 'vitest';
import { validateFile } from '../../../src/validate/validate.ts';
import {
  type GgufOptions,
  type GgufTensor,
  ggufFile,
  ggufText,
  ggufTexts,
  ggufU32,
  u32,
  u64,
} from '../../support/gguf.ts';
import { brokenRules, CountedSource, validateBytes } from '../../support/validate.ts';

const architecture = { 'general.architecture': ggufText('llama') };
const tensors: GgufTensor[] = [
  { name: 'a', bytes: Buffer.alloc(64), type: 0, shape: [4, 4] },
  { name: 'b', bytes: Buffer.alloc(36), type: 2, shape: [32, 2] },
];

function file(change: Partial<GgufOptions> = {}, list = tensors): Buffer {
  return ggufFile(list, { ...change, metadata: { ...architecture, ...change.metadata } });
}

const validate = (bytes: Buffer) => validateBytes('m.gguf', bytes);
const rulesOf = (bytes: Buffer): string[] => brokenRules(validate(bytes));

describe('a whole GGUF file', () => {
  it('is ok, with its tensors told', () => {
    expect(validate(file())).toMatchObject({
      format: 'gguf',
      verdict: 'ok',
      findings: [],
      summary: {
        version: '3',
        architecture: 'llama',
        tensors: 2,
        parameters: 80,
        dtypes: { F32: 1, Q4_0: 1 },
      },
    });
  });

  it.each([
    ['version 2', file({ version: 2 })],
    ['another alignment', file({ alignment: 64 })],
    [
      'arrays',
      file({
        metadata: {
          t: ggufTexts(['a', 'bc']),
          f: { type: 9, bytes: Buffer.concat([u32(6), u64(1), u32(0)]) },
        },
      }),
    ],
    ['no tensors', file({}, [])],
  ])('is ok with %s', (_, bytes) => {
    expect(validate(bytes)).toMatchObject({ verdict: 'ok', findings: [] });
  });

  it('tells of a chat template, which is no fault', () => {
    const result = validate(file({ metadata: { 'tokenizer.chat_template': ggufText('{{ x }}') } }));
    expect(brokenRules(result)).toEqual(['chat-template']);
    expect(result.verdict).toBe('ok');
  });
});

describe('a broken GGUF file', () => {
  const bad = (change: Partial<GgufTensor>): Buffer =>
    file({}, [{ ...(tensors[0] as GgufTensor), ...change }, tensors[1] as GgufTensor]);
  const twice = Buffer.concat([
    ...[Buffer.from('GGUF'), u32(3), u64(0), u64(2)],
    ...[u64(1), Buffer.from('k'), u32(4), u32(1), u64(1), Buffer.from('k'), u32(4), u32(1)],
  ]);
  const cases: Array<[string, string, Buffer]> = [
    ['version 1', 'gguf-version', file({ version: 1 })],
    ['version 4', 'gguf-version', file({ version: 4 })],
    ['too many tensors', 'gguf-header', file({ tensorCount: 2n ** 62n })],
    ['too many values', 'gguf-header', file({ valueCount: 2n ** 40n })],
    ['a header that is cut short', 'gguf-header', file().subarray(0, 60)],
    ['a key twice', 'gguf-key', twice],
    ['an empty key', 'gguf-key', file({ metadata: { '': ggufU32(1) } })],
    ['a type that is none', 'gguf-value', file({ metadata: { x: { type: 13, bytes: u32(0) } } })],
    [
      'arrays of arrays',
      'gguf-value',
      file({ metadata: { x: { type: 9, bytes: Buffer.concat([u32(9), u64(0)]) } } }),
    ],
    [
      'an array beyond the file',
      'gguf-header',
      file({ metadata: { x: { type: 9, bytes: Buffer.concat([u32(10), u64(2 ** 40)]) } } }),
    ],
    [
      'an alignment of 3',
      'gguf-alignment',
      file({ metadata: { 'general.alignment': ggufU32(3) } }),
    ],
    [
      'an alignment that is a text',
      'gguf-alignment',
      file({ metadata: { 'general.alignment': ggufText('32') } }),
    ],
    ['a name twice', 'gguf-tensor', bad({ name: 'b' })],
    ['a name of 64 bytes', 'gguf-tensor', bad({ name: 'x'.repeat(64) })],
    ['five dimensions', 'gguf-tensor', bad({ shape: [2, 2, 2, 2, 1] })],
    ['rows that are no whole blocks', 'gguf-tensor', bad({ type: 2, shape: [33] })],
    ['a shape that overflows', 'gguf-tensor', bad({ shape: [2 ** 40, 2 ** 40] })],
    ['a hole between tensors', 'gguf-offset', bad({ bytes: Buffer.alloc(128) })],
    ['an offset of its own', 'gguf-offset', bad({ offset: 32 })],
    ['too little data', 'gguf-end', file().subarray(0, -40)],
  ];
  it.each(cases)('has %s', (_, rule, bytes) => {
    const result = validate(bytes);
    expect(brokenRules(result)).toContain(rule);
    expect(result.verdict).toBe('invalid');
  });

  it('has more tensors than are read, though there is room', () => {
    const start = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(2_000_000), u64(0)]);
    const source = new CountedSource('m.gguf', start, 100_000_000);
    expect(brokenRules(validateFile(source))).toEqual(['gguf-header']);
    expect(source.bytesRead).toBeLessThan(200_000);
  });

  it('has what is only a warning', () => {
    expect(rulesOf(bad({ type: 99 }))).toContain('gguf-type');
    expect(rulesOf(ggufFile(tensors))).toEqual(['gguf-architecture']);
    expect(rulesOf(file().subarray(0, -4))).toEqual(['gguf-padding']);
    const big = Buffer.from(file());
    big.writeUInt32BE(3, 4);
    expect(rulesOf(big)).toEqual(['gguf-endian']);
    expect(validate(big).verdict).toBe('warning');
  });
});
