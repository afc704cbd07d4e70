import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { contentHash } from '../../../src/dvc/content-hash.ts';
import type { DvcHash } from '../../../src/dvc/object-key.ts';
import { md5Of } from '../../support/dvc-text.ts';

const mebibyte = 1024 * 1024;

/** Hashes bytes in blocks of a size, which may not matter. */
function isNamed(hash: DvcHash, bytes: Buffer, md5: string, block = 65_537): boolean {
  const check = contentHash(hash);
  for (let at = 0; at < bytes.length; at += block) check.update(bytes.subarray(at, at + block));
  return check.is(md5);
}

/** The rule of DVC, written down once more: in parts of a MiB, each with an answer to whether it is text. */
function naive(bytes: Buffer, isText: (part: Buffer, first: Buffer) => boolean): string {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += mebibyte) {
    const part = bytes.subarray(at, at + mebibyte);
    const text = part.toString('latin1');
    parts.push(isText(part, bytes.subarray(0, 512)) ? text.replaceAll('\r\n', '\n') : text);
  }
  return md5Of(Buffer.from(parts.join(''), 'latin1'));
}

const asText = (block: Buffer): boolean => !block.subarray(0, 512).includes(0);

describe('the names that DVC gives bytes', () => {
  it('are the MD5 of the bytes since DVC 3, whatever they look like', () => {
    const text = Buffer.from('a\r\nb\r\n');
    expect(isNamed('md5', text, md5Of(text))).toBe(true);
    expect(isNamed('md5', text, md5Of('a\nb\n'))).toBe(false);
    expect(isNamed('md5', Buffer.alloc(0), md5Of(''))).toBe(true);
  });

  it('leave the carriage returns of text out before', () => {
    const text = Buffer.from('a\r\nb\r\r\nc\r');
    expect(isNamed('md5-dos2unix', text, md5Of('a\nb\r\nc\r'))).toBe(true);
    // A file that was hashed where it lay, in a bucket.
    expect(isNamed('md5-dos2unix', text, md5Of(text))).toBe(true);
    expect(isNamed('md5-dos2unix', text, md5Of('a\nb\nc\r'))).toBe(false);
    expect(isNamed('md5-dos2unix', Buffer.alloc(0), md5Of(''))).toBe(true);
  });

  it.each([
    ['a NUL', Buffer.from('a\0\r\n'), false],
    [
      '31 of 100 bytes that no text has',
      Buffer.from(`${'x'.repeat(67)}\r\n${'\x01'.repeat(31)}`),
      false,
    ],
    ['30 of 100', Buffer.from(`${'x'.repeat(68)}\r\n${'\x01'.repeat(30)}`), true],
    ['a DEL among few', Buffer.from('\x7f\r\n'), false],
  ])('take %s for what it is', (_, bytes, isText) => {
    const unix = Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
    expect(isNamed('md5-dos2unix', bytes, md5Of(unix))).toBe(isText);
    expect(isNamed('md5-dos2unix', bytes, md5Of(bytes))).toBe(true);
  });

  it('look at each MiB, or at the first alone, as releases did', () => {
    const text = Buffer.from('line\r\n'.repeat(mebibyte / 4));
    const binary = Buffer.concat([Buffer.from([0]), randomBytes(1000), Buffer.from('\r\n')]);
    for (const bytes of [
      Buffer.concat([text.subarray(0, mebibyte), binary]),
      Buffer.concat([binary, Buffer.alloc(mebibyte - binary.length), text]),
      // A pair that is cut between two parts stays.
      Buffer.concat([Buffer.alloc(mebibyte - 1, 'x'), Buffer.from('\r\n\r\n')]),
      text,
    ]) {
      const early = naive(bytes, (_, first) => asText(first));
      const late = naive(bytes, (part) => asText(part));
      for (const block of [1, 3 * mebibyte, 65_537].slice(bytes.length > 10_000 ? 1 : 0)) {
        expect(isNamed('md5-dos2unix', bytes, early, block)).toBe(true);
        expect(isNamed('md5-dos2unix', bytes, late, block)).toBe(true);
      }
      const changed = Buffer.from(bytes);
      changed[mebibyte + 3] = 0x41 + ((changed[mebibyte + 3] ?? 0) % 2);
      expect(isNamed('md5-dos2unix', changed, late)).toBe(changed.equals(bytes));
    }
  });
});
