import { describe, expect, it } from 'vitest';
import { readGgufLayout } from '../../../src/weights/gguf.ts';
import { findHardCuts } from '../../../src/weights/hard-cuts.ts';
import {
  type GgufTensor,
  ggufFile,
  ggufFloats,
  ggufString,
  ggufText,
  ggufTexts,
  ggufU32,
  u32,
  u64,
} from '../../support/gguf.ts';
import { readerOf } from '../../support/weights.ts';

const cutsOf = (bytes: Buffer, min: number) => findHardCuts(readerOf(bytes), min);
const layoutOf = (bytes: Buffer) => readGgufLayout(readerOf(bytes), 1000);
const tensor = (name: string, length: number, more: Partial<GgufTensor> = {}): GgufTensor => ({
  name,
  bytes: Buffer.alloc(length),
  ...more,
});

describe('readGgufLayout', () => {
  it.each([2, 3])('finds data and tensors in version %d', (version) => {
    const file = ggufFile([tensor('a', 40), tensor('b', 0), tensor('c', 64)], {
      version,
      metadata: { 'general.architecture': ggufText('llama'), 'llama.block_count': ggufU32(2) },
    });
    const start = file.length - 128;
    expect(start % 32).toBe(0);
    const layout = layoutOf(file);
    expect(layout?.dataStart).toBe(start);
    const sorted = [...(layout?.tensors ?? [])].sort((a, b) => a.start - b.start || a.end - b.end);
    expect(sorted).toEqual([
      { start, end: start + 40 },
      { start: start + 64, end: start + 64 },
      { start: start + 64, end: start + 128 },
    ]);
  });

  it('takes the alignment from the metadata', () => {
    const file = ggufFile([tensor('a', 100), tensor('b', 100)], { alignment: 256 });
    const start = file.length - 512;
    expect(start % 256).toBe(0);
    expect(cutsOf(file, 100)).toEqual([start, start + 100, start + 256, start + 356]);
  });

  it('knows the sizes of quantised tensors', () => {
    const q4 = tensor('a', 18 * 8, { type: 2, shape: [64, 4] });
    const q6 = tensor('b', 210 * 3, { type: 14, shape: [256, 3, 1, 1] });
    const bf16 = tensor('c', 2, { type: 30, shape: [] });
    const layout = layoutOf(ggufFile([q4, q6, bf16]));
    const lengths = layout?.tensors.map(({ start, end }) => end - start);
    expect(lengths?.sort((x, y) => x - y)).toEqual([2, 144, 630]);
  });

  it('lets a tensor of unknown type end where the next one starts, or with the file', () => {
    const tensors = [tensor('b', 64, { type: 99 }), tensor('a', 40), tensor('c', 96, { type: 99 })];
    const file = ggufFile(tensors);
    const start = file.length - 224;
    expect(cutsOf(file, 60)).toEqual([start, start + 64, start + 128]);
    const same = ggufFile([
      tensor('a', 64, { type: 99, offset: 0 }),
      tensor('b', 64, { type: 99, offset: 0 }),
    ]);
    expect(layoutOf(same)?.tensors).toEqual([
      { start: same.length - 128, end: same.length },
      { start: same.length - 128, end: same.length },
    ]);
  });

  it('finds large metadata values behind what counts them', () => {
    const tokens = Array.from({ length: 300 }, (_, i) => `token ${i}`);
    const text = 'x'.repeat(1000);
    const metadata = {
      'tokenizer.ggml.tokens': ggufTexts(tokens),
      'tokenizer.ggml.scores': ggufFloats(Buffer.alloc(1200, 7)),
      'tokenizer.ggml.few': ggufFloats(Buffer.alloc(996)),
      'tokenizer.chat_template': ggufText(text),
      'general.flag': { type: 7, bytes: Buffer.from([1]) },
    };
    const file = ggufFile([tensor('a', 2000)], { metadata });
    const values = layoutOf(file)?.values ?? [];
    const strings = Buffer.concat(tokens.map(ggufString));
    expect(values.map(({ start, end }) => file.subarray(start, end))).toEqual([
      strings,
      Buffer.alloc(1200, 7),
      Buffer.from(text),
    ]);
    expect(cutsOf(file, 1000)).toHaveLength(8);
  });

  const one = [tensor('a', 64)];
  const head = (...parts: Buffer[]) => Buffer.concat([Buffer.from('GGUF'), ...parts]);
  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['the magic alone', Buffer.from('GGUF')],
    ['another magic', Buffer.concat([Buffer.from('GGML'), ggufFile(one).subarray(4)])],
    ['version 1', ggufFile(one, { version: 1 })],
    ['version 4', ggufFile(one, { version: 4 })],
    ['the other byte order', ggufFile(one, { version: 0x03000000 })],
    ['2^64-1 tensors', ggufFile(one, { tensorCount: 2n ** 64n - 1n })],
    ['2^20 tensors that are not there', ggufFile(one, { tensorCount: 2n ** 20n })],
    ['too many tensors', ggufFile(one, { tensorCount: 2n ** 20n + 1n })],
    ['2^40 values', ggufFile(one, { valueCount: 2n ** 40n })],
    ['a key longer than the file', head(u32(3), u64(0), u64(1), u64(1000))],
    ['a value of unknown type', ggufFile(one, { metadata: { a: { type: 13, bytes: u64(0) } } })],
    [
      'an array of unknown type',
      ggufFile(one, { metadata: { a: { type: 9, bytes: Buffer.concat([u32(13), u64(0)]) } } }),
    ],
    [
      'an array of arrays',
      ggufFile(one, { metadata: { a: { type: 9, bytes: Buffer.concat([u32(9), u64(1)]) } } }),
    ],
    [
      'an array longer than the file',
      ggufFile(one, {
        metadata: { a: { type: 9, bytes: Buffer.concat([u32(0), u64(2n ** 53n - 1n)]) } },
      }),
    ],
    ['an alignment of 0', ggufFile(one, { metadata: { 'general.alignment': ggufU32(0) } })],
    ['an alignment of 48', ggufFile(one, { metadata: { 'general.alignment': ggufU32(48) } })],
    [
      'an alignment that is text',
      ggufFile(one, { metadata: { 'general.alignment': ggufText('32') } }),
    ],
    ['an alignment beyond the file', ggufFile(one, { alignment: 64 }).subarray(0, 110)],
    ['five dimensions', ggufFile([tensor('a', 64, { shape: [64, 1, 1, 1, 1] })])],
    ['elements beyond 2^53', ggufFile([tensor('a', 64, { shape: [2 ** 40, 2 ** 40] })])],
    ['a row that is no multiple of a block', ggufFile([tensor('a', 64, { type: 2, shape: [33] })])],
    ['a tensor that ends behind the file', ggufFile([tensor('a', 64, { shape: [65] })])],
    [
      'a tensor that starts behind the file',
      ggufFile([tensor('a', 64, { offset: 128, type: 99 })]),
    ],
  ])('passes over %s', (_, bytes) => {
    expect(layoutOf(bytes)).toBeUndefined();
    expect(cutsOf(bytes, 1)).toEqual([]);
  });

  it('reads a large header in few reads, and none above 64 MiB', () => {
    const tokens = Array.from({ length: 100_000 }, (_, i) => `a token of some length ${i}`);
    const file = readerOf(ggufFile(one, { metadata: { tokens: ggufTexts(tokens) } }));
    expect(readGgufLayout(file, 1000)?.values).toHaveLength(1);
    expect(file.counts.reads).toBeLessThan(30);
    const huge = { tokens: ggufFloats(Buffer.alloc(64 * 1024 * 1024)) };
    const large = readerOf(ggufFile(one, { metadata: huge }));
    expect(readGgufLayout(large, 1000)).toBeUndefined();
    expect(large.counts.bytes).toBeLessThan(64 * 1024);
  });

  it('takes only the first of tensors that overlap', () => {
    const tensors = [
      tensor('a', 100),
      tensor('b', 100, { offset: 50 }),
      tensor('c', 100, { offset: 100 }),
    ];
    const file = ggufFile(tensors);
    const start = file.length - 3 * 128;
    expect(cutsOf(file, 100)).toEqual([start, start + 100, start + 200]);
  });
});
