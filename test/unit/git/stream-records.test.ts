import { expect, it } from 'vitest';
import { batchReader, inParts, recordCutter } from '../../../src/git/stream-records.ts';

/** Cuts bytes into chunks of one length, so that every border is hit. */
function* chunks(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

it('cuts records the same way however the bytes arrive', () => {
  const bytes = Buffer.from('one\0\0three four\0ünï\0tail');
  for (let length = 1; length <= bytes.length; length++) {
    const records: string[] = [];
    const take = recordCutter(0, (record) => records.push(record.toString()) > 0);
    for (const chunk of chunks(bytes, length)) expect(take(chunk)).toBe(true);
    expect(records).toEqual(['one', '', 'three four', 'ünï']);
  }
});

it('stops when told, and at a record without end', () => {
  let count = 0;
  const take = recordCutter(0, () => ++count < 2);
  expect(take(Buffer.from('a\0b\0c\0'))).toBe(false);
  expect(count).toBe(2);
  const endless = recordCutter(0, () => true);
  expect(() => endless(Buffer.alloc(2 * 1024 * 1024, 1))).toThrow(
    expect.objectContaining({ code: 'git-failed' }),
  );
});

it('reads batches the same way however the bytes arrive', () => {
  const bytes = Buffer.from('a blob 5\nx\n\0yz\nb missing\nc blob 0\n\nd blob 1\n\n\n');
  for (let length = 1; length <= bytes.length; length++) {
    const seen: string[] = [];
    const take = batchReader({
      header: (words) => {
        seen.push(words.join(' '));
        return words[2] === undefined ? undefined : Number(words[2]);
      },
      content: (content) => seen.push(content.toString()),
    });
    for (const chunk of chunks(bytes, length)) take(chunk);
    expect(seen).toEqual(['a blob 5', 'x\n\0yz', 'b missing', 'c blob 0', '', 'd blob 1', '\n']);
  }
});

it('joins lines into parts', () => {
  expect([...inParts([], '\n')]).toEqual([]);
  expect([...inParts(['a', 'b'], '\n')]).toEqual(['a\nb\n']);
  const lines = Array.from({ length: 10_000 }, (_, i) => `line ${i}`);
  const parts = [...inParts(lines, '\0')];
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.join('')).toBe(`${lines.join('\0')}\0`);
});
