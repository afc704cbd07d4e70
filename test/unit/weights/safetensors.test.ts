import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findHardCuts } from '../../../src/weights/hard-cuts.ts';
import { readSafetensorsLayout } from '../../../src/weights/safetensors.ts';
import { runs } from '../../support/runs.ts';
import { safetensorsFile, withHeader } from '../../support/safetensors.ts';

function reader(bytes: Buffer) {
  return {
    size: bytes.length,
    read: (offset: number, length: number) => bytes.subarray(offset, offset + length),
  };
}

const layoutOf = (bytes: Buffer) => readSafetensorsLayout(reader(bytes));
const cutsOf = (bytes: Buffer, min: number) => findHardCuts(reader(bytes), min);
const data = Buffer.alloc(100);
const tensor = (offsets: unknown) => JSON.stringify({ t: { data_offsets: offsets } });

describe('readSafetensorsLayout', () => {
  it('finds the tensors', () => {
    const file = safetensorsFile([
      { name: 'a', bytes: Buffer.alloc(10) },
      { name: 'b', bytes: Buffer.alloc(0) },
      { name: 'c', bytes: Buffer.alloc(30) },
    ]);
    const start = file.length - 40;
    expect(layoutOf(file)).toEqual({
      dataStart: start,
      tensors: [
        { name: 'a', start, end: start + 10 },
        { name: 'b', start: start + 10, end: start + 10 },
        { name: 'c', start: start + 10, end: start + 40 },
      ],
    });
  });

  it('accepts white space behind the object and a tensor called __proto__', () => {
    expect(layoutOf(withHeader('{}      ', data))).toEqual({ dataStart: 16, tensors: [] });
    const odd = withHeader('{"__proto__":{"data_offsets":[0,9]}}', data);
    expect(layoutOf(odd)?.tensors.map(({ name }) => name)).toEqual(['__proto__']);
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['nine bytes', withHeader('{', Buffer.alloc(0))],
    ['a header longer than the file', withHeader('{}', data, 200n)],
    ['a header of 2^64-1 bytes', withHeader('{}', data, 2n ** 64n - 1n)],
    ['a header above 16 MiB', withHeader(`{}${' '.repeat(16 * 1024 * 1024)}`, data)],
    ['a list', withHeader('[1,2]', data)],
    ['white space in front', withHeader(' {}', data)],
    ['JSON cut short', withHeader('{"a":', data)],
    ['bytes that are not UTF-8', withHeader(Buffer.from('7b22ff223a317d', 'hex'), data)],
    ['two objects', withHeader('{}{}', data)],
    ['a tensor that is a number', withHeader('{"t":1}', data)],
    ['a tensor without offsets', withHeader('{"t":{}}', data)],
    ['one offset', withHeader(tensor([1]), data)],
    ['three offsets', withHeader(tensor([1, 2, 3]), data)],
    ['offsets that are text', withHeader(tensor(['0', '1']), data)],
    ['a fraction', withHeader(tensor([0, 1.5]), data)],
    ['offsets above 2^53', withHeader('{"t":{"data_offsets":[0,1e300]}}', data)],
    ['offsets out of order', withHeader(tensor([5, 4]), data)],
    ['a negative offset', withHeader(tensor([-1, 4]), data)],
    ['an end behind the file', withHeader(tensor([0, 101]), data)],
    ['a header nested without end', withHeader(`{"t":${'['.repeat(100_000)}`, data)],
  ])('passes over %s', (_, bytes) => {
    expect(layoutOf(bytes)).toBeUndefined();
    expect(cutsOf(bytes, 1)).toEqual([]);
  });

  it('passes over a file that ends while it is read', () => {
    const file = safetensorsFile([{ name: 'a', bytes: Buffer.alloc(10) }]);
    const short = {
      size: file.length,
      read: (at: number, n: number) => file.subarray(at, at + n - 1),
    };
    expect(readSafetensorsLayout(short)).toBeUndefined();
  });

  it('never throws, and finds only cuts inside the file', () => {
    const offsets = fc.tuple(fc.integer({ min: -2, max: 150 }), fc.integer({ min: -2, max: 150 }));
    const header = fc.oneof(
      fc
        .dictionary(fc.string(), fc.record({ data_offsets: offsets }))
        .map((v) => JSON.stringify(v)),
      fc.json(),
      fc.string().map((text) => `{${text}`),
    );
    const file = fc
      .tuple(header, fc.nat(200), fc.option(fc.bigInt({ min: 0n, max: 300n }), { nil: undefined }))
      .map(([json, length, claim]) => withHeader(json, Buffer.alloc(length), claim));
    fc.assert(
      fc.property(fc.oneof(file, fc.uint8Array().map(Buffer.from)), fc.nat(50), (bytes, min) => {
        const cuts = cutsOf(bytes, min);
        for (const [i, cut] of cuts.entries()) {
          expect(cut).toBeGreaterThan(i === 0 ? 0 : (cuts[i - 1] as number));
          expect(cut).toBeLessThan(bytes.length);
        }
      }),
      runs(500),
    );
  });
});

describe('findHardCuts', () => {
  it('cuts behind the header and at both ends of tensors that are large enough', () => {
    const file = safetensorsFile([
      { name: 'small', bytes: Buffer.alloc(9) },
      { name: 'large', bytes: Buffer.alloc(10) },
      { name: 'tail', bytes: Buffer.alloc(9) },
    ]);
    const start = file.length - 28;
    expect(cutsOf(file, 10)).toEqual([start, start + 9, start + 19]);
    expect(cutsOf(file, 11)).toEqual([start]);
  });

  it('leaves out the end of the file and names no offset twice', () => {
    const file = safetensorsFile([
      { name: 'a', bytes: Buffer.alloc(10) },
      { name: 'b', bytes: Buffer.alloc(10) },
    ]);
    const start = file.length - 20;
    expect(cutsOf(file, 10)).toEqual([start, start + 10]);
    expect(cutsOf(withHeader('{}', Buffer.alloc(0)), 1)).toEqual([]);
  });

  it('sorts the cuts of tensors that overlap or stand in any order', () => {
    const header = '{"b":{"data_offsets":[40,90]},"a":{"data_offsets":[10,60]}}';
    const start = 8 + header.length;
    const cuts = cutsOf(withHeader(header, Buffer.alloc(100)), 1);
    expect(cuts.map((cut) => cut - start)).toEqual([0, 10, 40, 60, 90]);
  });
});
