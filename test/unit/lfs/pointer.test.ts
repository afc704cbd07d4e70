import { describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/base/digest.ts';
import { formatLfsPointer, parseLfsPointer } from '../../../src/lfs/pointer.ts';

const oid = '4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393' as Digest;
const text = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize 12345\n`;

describe('a pointer of Git LFS', () => {
  it('is written as Git LFS writes it', () => {
    expect(formatLfsPointer({ oid, size: 12345 })).toBe(text);
    expect(formatLfsPointer({ oid, size: 0 })).toBe('');
  });

  it('is read in the one form, and in those that Git LFS takes too', () => {
    const read = { oid, size: 12345, extensions: [] };
    expect(parseLfsPointer(Buffer.from(text))).toEqual({ ...read, canonical: true });
    const others = [
      text.trimEnd(),
      `\n\n  ${text}\n`,
      text.replaceAll('\n', '\r\n'),
      text.replace('\noid', '\n\noid'),
      text.replace('git-lfs.github.com', 'hawser.github.com'),
      text.replace('https://git-lfs.github.com/spec/v1', 'http://git-media.io/v/2'),
      text.replace('size 12345', 'size 0012345'),
    ];
    for (const one of others) {
      expect(parseLfsPointer(Buffer.from(one)), one).toEqual({ ...read, canonical: false });
    }
  });

  it('of an empty file is an empty file', () => {
    expect(parseLfsPointer(Buffer.alloc(0))).toMatchObject({ size: 0, canonical: true });
  });

  it('names its extensions', () => {
    const extended = text.replace('oid', `ext-0-foo sha256:${oid}\next-1-bar.b sha256:${oid}\noid`);
    expect(parseLfsPointer(Buffer.from(extended))).toMatchObject({
      size: 12345,
      extensions: ['foo', 'bar.b'],
      canonical: false,
    });
    const twice = text.replace('oid', `ext-0-foo sha256:${oid}\next-0-bar sha256:${oid}\noid`);
    expect(parseLfsPointer(Buffer.from(twice))).toBeUndefined();
  });

  it.each([
    ['another version', text.replace('spec/v1', 'spec/v2')],
    ['another order', `version https://git-lfs.github.com/spec/v1\nsize 1\noid sha256:${oid}\n`],
    ['a digest in capitals', text.replace(oid, oid.toUpperCase())],
    ['another hash', text.replace('sha256', 'sha1')],
    ['a negative size', text.replace('12345', '-1')],
    ['a size beyond what numbers hold', text.replace('12345', '9007199254740993')],
    ['a key more', `${text}x-note 1\n`],
    ['no size', text.replace(/size.*\n/, '')],
    ['1024 bytes', text + ' '.repeat(1024 - text.length)],
    ['a byte that is no UTF-8', Buffer.concat([Buffer.from(text), Buffer.from([0xff])])],
    ['a mark of the order of bytes', `\ufeff${text}`],
    ['something else', 'a file'],
  ])('is none with %s', (_, bytes) => {
    expect(parseLfsPointer(Buffer.from(bytes))).toBeUndefined();
  });
});
