import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import {
  type AuditLine,
  AuditLog,
  auditKey,
  formatLine,
  type NewLine,
  objectDigest,
  parseAuditKey,
  parseLine,
} from '../../../src/registry/audit.ts';
import { formatRecord } from '../../../src/registry/record.ts';
import { seal } from '../../../src/registry/sealed.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { counting } from '../../../src/remote/wrappers/counting.ts';
import { madeRecord } from '../../support/registry.ts';

const draft: NewLine = {
  at: '2026-01-02T03:04:05.678Z',
  by: 'Ann',
  tool: 'mstore 1.2.3',
  act: 'deploy',
  model: 'bert',
  version: 'v1',
  environment: 'production',
  objects: [{ key: 'refs/models/bert/versions/v1.json', sha256: sha256('it') }],
};
const first: AuditLine = { ...draft, number: 1, previous: null };

describe('keys of lines', () => {
  it('have folders of ten thousand', () => {
    expect(auditKey(1)).toBe('audit/0000/00000001.json');
    expect(auditKey(9_999)).toBe('audit/0000/00009999.json');
    expect(auditKey(10_000)).toBe('audit/0001/00010000.json');
    expect(auditKey(99_999_999)).toBe('audit/9999/99999999.json');
    expect([1, 10_000, 99_999_999].map((n) => parseAuditKey(auditKey(n)))).toEqual([
      1, 10_000, 99_999_999,
    ]);
  });

  it.each([
    'audit/0000/00000000.json',
    'audit/0001/00000001.json',
    'audit/0000/1.json',
    'audit/00000001.json',
    'audit/0000/00000001.json.1',
    'refs/0000/00000001.json',
  ])('are not %s', (key) => {
    expect(parseAuditKey(key)).toBeUndefined();
  });

  it.each([0, -1, 1.5, 100_000_000])('are not made of %s', (number) => {
    expect(() => auditKey(number)).toThrow(/Broken invariant/);
  });
});

describe('a line', () => {
  it('is read as it was written', () => {
    const line = seal(first);
    expect(parseLine(formatLine(line), 'it', 1)).toEqual(line);
  });

  it('may tell of an act of a later version', () => {
    const line = seal<AuditLine>({ ...first, act: 'teleport' });
    expect(parseLine(formatLine(line), 'it', 1)).toEqual(line);
  });

  it.each<readonly [string, object]>([
    ['a number of another place', { number: 2, previous: sha256('x') }],
    ['a first line with one before it', { previous: sha256('x') }],
    ['a time that is none', { at: 'yesterday' }],
    ['nobody', { by: 7 }],
    ['an act that is none', { act: 'Deploy it' }],
    ['a model that is no text', { model: ['bert'] }],
    ['objects without digests', { objects: [{ key: 'refs/a' }] }],
    ['objects whose names lead away', { objects: [{ key: '../a', sha256: sha256('x') }] }],
    ['objects below tmp', { objects: [{ key: 'tmp/a', sha256: sha256('x') }] }],
    ['too many objects', { objects: Array(257).fill({ key: 'a', sha256: sha256('x') }) }],
    ['counts that are none', { counts: { packs: 'many' } }],
  ])('is refused with %s', (_, change) => {
    const bytes = formatLine(seal({ ...first, ...change } as AuditLine));
    expect(() => parseLine(bytes, 'it', 1)).toThrow(
      expect.objectContaining({ code: 'corrupt-audit', exitCode: 5 }),
    );
  });

  it('is refused when one letter was changed', () => {
    const text = formatLine(seal(first)).toString().replace('Ann', 'Bob');
    expect(() => parseLine(Buffer.from(text), 'it', 1)).toThrow(/does not fit its digest/);
  });

  it('of a later format asks for a newer program', () => {
    const text = formatLine(seal(first)).toString().replace('"mstore": 1', '"mstore": 2');
    expect(() => parseLine(Buffer.from(text), 'it', 1)).toThrow(
      expect.objectContaining({ code: 'newer-format' }),
    );
  });
});

describe('the digest of a logged object', () => {
  const record = madeRecord('bert', 'v1');

  it('is that of its document, whatever is written beside it', () => {
    const object = JSON.parse(formatRecord(record).toString()) as object;
    expect(objectDigest(formatRecord(record))).toBe(record.sha256);
    expect(objectDigest(Buffer.from(JSON.stringify(object)))).toBe(record.sha256);
  });

  it('is that of its bytes where the document does not fit', () => {
    const bytes = Buffer.from(formatRecord(record).toString().replace('Ann', 'Bob'));
    expect(objectDigest(bytes)).toBe(sha256(bytes));
    expect(objectDigest(Buffer.from('no JSON'))).toBe(sha256('no JSON'));
  });
});

/** A remote whose log has so many lines. */
async function logOf(lines: number) {
  const place = memoryRemote('memory://log');
  for (let number = 1; number <= lines; number++) {
    await place.create(auditKey(number), bytesSource(Buffer.from('x')));
  }
  return place;
}

describe('the end of a log', () => {
  it.each([0, 1, 2, 3, 4, 7, 8, 9, 100, 1000])('is found behind %s lines', async (lines) => {
    const log = new AuditLog(await logOf(lines));
    for (const from of [0, 1, lines >> 1, lines].filter((number) => number <= lines)) {
      expect(await log.lastNumber(from)).toBe(lines);
    }
  });

  it('takes twice the logarithm of the distance in requests, and no listing', async () => {
    const place = counting(await logOf(20_000));
    expect(await new AuditLog(place).lastNumber(0)).toBe(20_000);
    expect(place.counts().stat.calls).toBeLessThan(32);
    const near = counting(place);
    expect(await new AuditLog(near).lastNumber(19_999)).toBe(20_000);
    expect(near.counts().stat.calls).toBeLessThan(5);
    expect(place.counts().list.calls).toBe(0);
  });
});

describe('appending', () => {
  it('chains lines of many writers, none lost', async () => {
    const place = memoryRemote('memory://log');
    const writers = Array.from({ length: 20 }, (_, i) => ({ ...draft, by: `writer ${i}` }));
    const lines = await Promise.all(
      writers.map((one) => new AuditLog(place).append(one, undefined)),
    );
    expect(lines.map(({ value }) => value.number).sort((a, b) => a - b)).toEqual(
      writers.map((_, i) => i + 1),
    );
    const log = new AuditLog(place);
    const read = await Promise.all(writers.map((_, i) => log.line(i + 1)));
    expect(new Set(read.map(({ value }) => value.by)).size).toBe(20);
    for (const [i, line] of read.entries()) {
      expect(line.value.previous).toBe(read[i - 1]?.sha256 ?? null);
    }
  });

  it('begins a log once', async () => {
    const place = memoryRemote('memory://log');
    const begun = await Promise.all(
      ['a', 'b', 'c'].map((by) => new AuditLog(place).begin({ ...draft, by, act: 'begin' })),
    );
    expect(new Set(begun.map(({ sha256: digest }) => digest)).size).toBe(1);
    expect(await new AuditLog(place).lastNumber(0)).toBe(1);
  });

  it('does not go on behind a line that cannot be read', async () => {
    const place = memoryRemote('memory://log');
    await place.create(auditKey(1), bytesSource(Buffer.from('garbage')));
    await expect(new AuditLog(place).append(draft, undefined)).rejects.toMatchObject({
      code: 'corrupt-audit',
    });
  });
});
