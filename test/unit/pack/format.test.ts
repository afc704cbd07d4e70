import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256, sha256Raw } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import {
  FooterBuilder,
  type PackRow,
  parseFooter,
  parseTrailer,
  trailerBytes,
} from '../../../src/pack/format.ts';
import { readChunk } from '../../../src/pack/reader.ts';
import { runs } from '../../support/runs.ts';

function footerBytes(rows: ReadonlyArray<Partial<PackRow>>): Buffer {
  const builder = new FooterBuilder();
  let offset = 0;
  for (const [i, row] of rows.entries()) {
    const full = { offset, storedLength: 10, rawLength: 10, encoding: 0, ...row };
    builder.add(sha256Raw(Buffer.from([i])), full);
    offset += full.storedLength;
  }
  return builder.finish().bytes;
}

/** Changes a good footer in place of the builder, which checks what it makes. */
function patched(patch: (bytes: Buffer) => void, rows = 3): Buffer {
  const bytes = Buffer.from(footerBytes(Array.from({ length: rows }, () => ({}))));
  patch(bytes);
  return bytes;
}

const rowAt = (row: number, field: number) => 16 + row * 52 + field;

describe('parseFooter', () => {
  it.each<[string, Buffer]>([
    ['no bytes', Buffer.alloc(0)],
    ['only a head, cut short', Buffer.from('MSTOREFT\x01\0\0\0')],
    ['another magic', patched((b) => b.write('MSTOREPK'))],
    ['version 0', patched((b) => b.writeUInt32LE(0, 8))],
    ['a count above its rows', patched((b) => b.writeUInt32LE(4, 12))],
    ['a count below its rows', patched((b) => b.writeUInt32LE(2, 12))],
    ['the largest count', patched((b) => b.writeUInt32LE(0xffffffff, 12))],
    ['a byte too many', Buffer.concat([patched(() => {}), Buffer.alloc(1)])],
    ['a first offset that is not 0', patched((b) => b.writeUInt32LE(1, rowAt(0, 32)))],
    ['a gap', patched((b) => b.writeUInt32LE(11, rowAt(1, 32)))],
    ['an overlap', patched((b) => b.writeUInt32LE(9, rowAt(1, 32)))],
    ['an offset above 2^53', patched((b) => b.writeUInt32LE(0xffffffff, rowAt(1, 36)))],
    ['a raw chunk of two lengths', patched((b) => b.writeUInt32LE(11, rowAt(2, 44)))],
    [
      'an empty chunk',
      patched((b) => {
        b.writeUInt32LE(0, rowAt(2, 40));
        b.writeUInt32LE(0, rowAt(2, 44));
      }),
    ],
    [
      'a chunk above 16 MiB',
      patched((b) => {
        b.writeUInt32LE(16 * 1024 * 1024 + 1, rowAt(2, 40));
        b.writeUInt32LE(16 * 1024 * 1024 + 1, rowAt(2, 44));
      }),
    ],
    ['an encoding that saves nothing', patched((b) => b.writeUInt32LE(1, rowAt(2, 48)))],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseFooter(bytes)).toThrow(
      expect.objectContaining({ code: 'corrupt-pack' }) as Error,
    );
  });

  it('accepts what it builds, an empty pack included', () => {
    for (const rows of [0, 1, 64, 65, 300]) {
      const bytes = footerBytes(Array.from({ length: rows }, () => ({})));
      expect(parseFooter(bytes, sha256(bytes)).count).toBe(rows);
    }
  });

  it('accepts the largest chunk, and encoded chunks it cannot read', () => {
    const largest = { storedLength: 16 * 1024 * 1024, rawLength: 16 * 1024 * 1024 };
    const encoded = { storedLength: 5, rawLength: 10, encoding: 77 };
    const footer = parseFooter(footerBytes([largest, encoded]));
    expect(footer.row(1)).toMatchObject(encoded);
    const read = (encoding: number) =>
      readChunk(Buffer.alloc(5), { encoding, rawLength: 10 }, footer.bytes, 16, 'a pack');
    expect(() => read(77)).toThrow(
      expect.objectContaining({
        code: 'newer-format',
        message: expect.stringContaining('77') as string,
      }) as Error,
    );
    expect(() => read(4)).toThrow(/encoding number 4/);
    expect(() => read(2)).toThrow(expect.objectContaining({ code: 'corrupt-chunk' }) as Error);
  });

  it('asks for a newer version before it looks at anything else', () => {
    const bytes = patched((b) => {
      b.writeUInt32LE(2, 8);
      b.writeUInt32LE(0, rowAt(2, 40));
    });
    expect(() => parseFooter(bytes)).toThrow(
      expect.objectContaining({ code: 'newer-format' }) as Error,
    );
  });

  it('checks the name that is expected', () => {
    const bytes = footerBytes([{}]);
    expect(() => parseFooter(bytes, sha256('another'))).toThrow(/another digest/);
  });

  it('never fails but by its own errors, and accepts only what formats to the same bytes', () => {
    const mutation = fc.tuple(fc.nat(171), fc.nat(255));
    fc.assert(
      fc.property(fc.array(mutation, { maxLength: 4 }), (mutations) => {
        const bytes = patched((b) => {
          for (const [at, value] of mutations) b[at] = value;
        });
        try {
          const footer = parseFooter(bytes);
          const builder = new FooterBuilder();
          for (let row = 0; row < footer.count; row++) {
            builder.add(Buffer.from(footer.chunk(row), 'hex'), footer.row(row));
          }
          expect(builder.finish().bytes.equals(bytes)).toBe(true);
        } catch (error) {
          if (!isMstoreError(error, 'corrupt-pack', 'newer-format')) throw error;
        }
      }),
      runs(500),
    );
  });
});

describe('parseTrailer', () => {
  const footer = parseFooter(footerBytes([{}, {}]));
  const good = footer.trailer();
  const size = footer.packBytes;

  it('finds the footer', () => {
    expect(parseTrailer(good, size)).toEqual({
      footerStart: 20,
      footerLength: footer.bytes.length,
      id: footer.id,
    });
  });

  it.each<[string, (bytes: Buffer) => void]>([
    ['another magic', (b) => b.write('x')],
    ['version 0', (b) => b.writeUInt32LE(0, 8)],
    ['a reserved field that is not zero', (b) => b.writeUInt32LE(1, 12)],
    ['a footer longer than the file', (b) => b.writeUInt32LE(size, 16)],
    ['a footer longer than any', (b) => b.writeBigUInt64LE(2n ** 64n - 1n, 16)],
  ])('refuses %s', (_, patch) => {
    const bytes = Buffer.from(good);
    patch(bytes);
    expect(() => parseTrailer(bytes, size)).toThrow(
      expect.objectContaining({ code: 'corrupt-pack' }) as Error,
    );
  });

  it('refuses other lengths than its own', () => {
    for (const length of [0, trailerBytes - 1]) {
      expect(() => parseTrailer(good.subarray(0, length), size)).toThrow(/trailer/);
    }
  });
});
