import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findHardCuts } from '../../src/weights/hard-cuts.ts';
import { readOnnxExternalData } from '../../src/weights/onnx.ts';
import { ggufFile, ggufFloats, ggufText, ggufTexts } from '../support/gguf.ts';
import { externalTensor, field, nodeProto, onnxModel, tensorProto } from '../support/onnx.ts';
import { runs } from '../support/runs.ts';
import { safetensorsFile } from '../support/safetensors.ts';
import { expectCuts, readerOf } from '../support/weights.ts';
import { zipFile } from '../support/zip.ts';

const mib = 1024 * 1024;
const names = fc.string({ maxLength: 20 });
const blob = fc.tuple(fc.nat(255), fc.nat(300)).map(([fill, n]) => Buffer.alloc(n, fill));
const parts = fc.array(fc.record({ name: names, bytes: blob }), { maxLength: 6 });
const byte = fc.nat(255);

const gguf = fc
  .tuple(parts, fc.dictionary(names, fc.array(names, { maxLength: 30 })), fc.nat(3))
  .map(([tensors, texts, shift]) => {
    const metadata = Object.entries(texts).map(([key, list]) => [key, ggufTexts(list)] as const);
    const fixed = { note: ggufText('text'), floats: ggufFloats(Buffer.alloc(4 * 40)) };
    return ggufFile(tensors, {
      metadata: { ...Object.fromEntries(metadata), ...fixed },
      alignment: 32 << shift,
    });
  });

const onnx = fc.tuple(parts, fc.array(names, { maxLength: 5 })).map(([tensors, nodes]) => {
  const attribute = (bytes: Buffer) =>
    Buffer.concat([field(1, 'a'), field(6, [field(5, tensorProto({ name: 'i', bytes }))])]);
  return onnxModel([
    ...nodes.map((name) => field(1, nodeProto(name, [attribute(Buffer.alloc(name.length * 9))]))),
    ...tensors.map((tensor) => field(5, tensorProto(tensor))),
    ...nodes.map((location) => field(5, externalTensor('e', { location, offset: '7' }))),
  ]);
});

const zip = fc
  .tuple(
    parts,
    fc.record({ wide: fc.boolean(), comment: names, alignment: fc.constantFrom(1, 64) }),
  )
  .map(([members, options]) => zipFile(members, options));

const safetensors = fc
  .uniqueArray(fc.record({ name: names, bytes: blob }), { selector: ({ name }) => name })
  .map((tensors) => safetensorsFile(tensors));

/** Bytes written over a file, with a liking for its start and its end, and the end cut off or grown. */
const mutated = (file: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      file,
      fc.array(
        fc.tuple(
          fc.nat(),
          fc.constantFrom('start', 'end', 'any'),
          fc.array(byte, { maxLength: 9 }),
        ),
        { maxLength: 5 },
      ),
      fc.constantFrom(0, 0, 0, -1, -20, 3),
    )
    .map(([original, edits, grown]) => {
      const bytes = Buffer.from(original);
      for (const [where, near, content] of edits) {
        const range = near === 'any' ? bytes.length : Math.min(80, bytes.length);
        const at = range === 0 ? 0 : where % range;
        Buffer.from(content).copy(bytes, near === 'end' ? bytes.length - range + at : at);
      }
      const rest = bytes.subarray(0, Math.max(0, bytes.length + Math.min(0, grown)));
      return Buffer.concat([rest, Buffer.alloc(Math.max(0, grown), 1)]);
    });

/** What only looks like one of the formats by its first bytes. */
const starts = fc
  .tuple(
    fc.constantFrom('GGUF\x03\0\0\0', 'GGUF\x02\0\0\0', 'PK\x03\x04', '\x08\x08:', '\x08', ''),
    fc.uint8Array({ maxLength: 300 }),
  )
  .map(([start, rest]) => Buffer.concat([Buffer.from(start, 'latin1'), rest]));

describe('readers of model headers', () => {
  const good = fc.oneof(gguf, onnx, zip, safetensors);

  it('find valid cuts, and never throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.oneof(good, mutated(good), starts), fc.nat(150), (bytes, min) => {
        const file = readerOf(bytes);
        expectCuts(findHardCuts(file, min), bytes.length);
        // A zip archive may be read as its tail, its directory and its local headers.
        expect(file.counts.bytes).toBeLessThanOrEqual(4 * bytes.length + 64);
        for (const { location, offset, length } of readOnnxExternalData(readerOf(bytes))) {
          expect(location).not.toBe('');
          expect(Number.isSafeInteger(offset) && offset >= 0).toBe(true);
          if (length !== undefined) expect(Number.isSafeInteger(length) && length >= 0).toBe(true);
        }
      }),
      runs(1500),
    );
  });

  it('give no more cuts than a file has room for, save in safetensors', () => {
    fc.assert(
      fc.property(
        fc.oneof(mutated(fc.oneof(gguf, onnx, zip)), gguf, onnx, zip),
        fc.integer({ min: 1, max: 150 }),
        (bytes, min) => {
          const cuts = findHardCuts(readerOf(bytes), min);
          expect(cuts.length).toBeLessThanOrEqual(2 * Math.floor(bytes.length / min) + 1);
        },
      ),
      runs(500),
    );
  });

  it('find all large parts of whole files', () => {
    fc.assert(
      fc.property(parts, fc.integer({ min: 20, max: 150 }), (tensors, min) => {
        const formats = [
          ggufFile(tensors, { alignment: 32 }),
          onnxModel(tensors.map((tensor) => field(5, tensorProto(tensor)))),
          zipFile(tensors),
        ];
        for (const file of formats) {
          const cuts = [0, ...findHardCuts(readerOf(file), min), file.length];
          const found = cuts.slice(1).map((cut, i) => file.subarray(cuts[i], cut));
          for (const { bytes } of tensors) {
            if (bytes.length < min) continue;
            expect(found.some((part) => part.equals(bytes))).toBe(true);
          }
        }
      }),
      runs(200),
    );
  });

  it('take little work for a header that claims much', () => {
    const claims: Buffer[] = [
      ggufFile([], { tensorCount: 2n ** 20n, valueCount: 2n ** 20n }),
      ggufFile([], { metadata: { a: ggufTexts(Array.from({ length: 500_000 }, () => '')) } }),
      Buffer.concat([Buffer.from([8, 8, 0x3a, 0]), Buffer.alloc(mib, Buffer.from([0x10, 0]))]),
      Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), Buffer.alloc(mib, 'PK\x05\x06')]),
    ];
    for (const bytes of claims) {
      const file = readerOf(bytes);
      expectCuts(findHardCuts(file, 128 * 1024), bytes.length);
      expect(file.counts.reads).toBeLessThan(64);
      expect(file.counts.bytes).toBeLessThan(2 * bytes.length + 4096);
    }
  });
});
