import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../../src/base/errors.ts';
import { limits } from '../../../src/base/limits.ts';
import { parseAsked } from '../../../src/flow/resolve/asked.ts';
import { formatLock, parseLock, readLock, writePin } from '../../../src/flow/resolve/lock-file.ts';
import { tempFolder } from '../../support/temp.ts';

const digest = (digit: string) => digit.repeat(64);
const commit = 'c'.repeat(40);
const record = digest('a');
const tree = digest('b');
const version = { exact: `bert@v1#sha256=${record}`, tree, size: 7, record };

/** A document with one pin, as text. */
function lockOf(name: string, pin: object, more: object = {}): string {
  return JSON.stringify({ mstore: 1, references: { [name]: pin }, ...more });
}

function problemOf(text: string): string {
  try {
    parseLock(Buffer.from(text), 'models.lock');
    return 'none';
  } catch (error) {
    if (!isMstoreError(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

describe('a lock file', () => {
  it('of the fixture is read, and written in the same bytes', () => {
    const bytes = fs.readFileSync(path.resolve('test/fixtures/lock-1/models.lock'));
    const { pins, document } = parseLock(bytes, 'models.lock');
    expect([...pins.keys()]).toEqual(['bert@production', 'hf:org/bert@main']);
    expect(pins.get('bert@production')?.size).toBe(200_007);
    expect(formatLock(document)).toBe(bytes.toString());
  });

  it('pins each kind of reference to what is exact and of the same place', () => {
    const hub = { exact: `hf:org/bert@${commit}`, tree, size: 1 };
    const good: Array<[string, object]> = [
      ['bert@production', version],
      ['production', version],
      [`bert@v1#sha256=${record}`, version],
      ['main', { exact: `git:${commit}`, tree, size: 1 }],
      ['git:main', { exact: `git:${digest('c')}`, tree, size: 1 }],
      ['models/bert', { exact: `./models/bert#sha256=${tree}`, tree, size: 1 }],
      ['./x', { exact: `./x#sha256=${tree}`, tree, size: 1 }],
      ['hf:org/bert', hub],
      ['hf:org/bert@main', hub],
      ['s3://b/f', { exact: `s3://b/f#sha256=${tree}`, tree, size: 1 }],
      ['gs://b/f', { exact: `gs://b/f#sha256=${tree}`, tree, size: 1 }],
      ['local:../m', { exact: `local:../m#sha256=${tree}`, tree, size: 0 }],
      [
        `https://h.example/m#sha256=${record}`,
        { exact: `https://h.example/m#sha256=${record}`, tree, size: 1 },
      ],
    ];
    for (const [name, pin] of good) expect(problemOf(lockOf(name, pin)), name).toBe('none');
  });

  it('is refused where a pin leads elsewhere, or may change', () => {
    const bad: Array<[string, object, string]> = [
      [
        'bert@production',
        { ...version, exact: `other@v1#sha256=${record}` },
        'cannot be pinned to',
      ],
      ['bert@production', { ...version, exact: 'bert@v1' }, 'cannot be pinned to'],
      [
        'bert@production',
        { ...version, exact: `local:/etc#sha256=${tree}` },
        'cannot be pinned to',
      ],
      ['bert@production', { ...version, record: digest('d') }, 'has a record that'],
      ['bert@production', { exact: version.exact, tree, size: 7 }, 'has a record that'],
      [`bert@v1#sha256=${tree}`, version, 'cannot be pinned to'],
      ['hf:org/bert', { exact: 'hf:org/bert@main', tree, size: 1 }, 'cannot be pinned to'],
      ['hf:org/bert', { exact: `hf:other/bert@${commit}`, tree, size: 1 }, 'cannot be pinned to'],
      [
        'hf:org/bert',
        { exact: `hf:org/bert@${commit}`, tree, size: 1, record },
        'has a record that',
      ],
      ['s3://b/f', { exact: `s3://b/g#sha256=${tree}`, tree, size: 1 }, 'cannot be pinned to'],
      ['s3://b/f', { exact: `s3://b/f#sha256=${record}`, tree, size: 1 }, 'has a tree that'],
      [
        'local:a',
        { exact: `local:../../etc#sha256=${tree}`, tree, size: 1 },
        'cannot be pinned to',
      ],
      ['main', { exact: `hf:org/bert@${commit}`, tree, size: 1 }, 'cannot be pinned to'],
      ['', version, 'holds what is no reference'],
      ['bert@production', { ...version, exact: '' }, 'holds what is no reference'],
      ['https://h.example/m', version, 'holds what is no reference'],
      ['bert@production', { ...version, tree: 'b' }, 'has a tree that is no digest'],
      ['bert@production', { ...version, size: -1 }, 'has a size that is none'],
      ['bert@production', { ...version, size: 1.5 }, 'has a size that is none'],
      ['bert@production', { ...version, exact: 7 }, 'has no exact reference'],
      ['bert@production', [], 'is pinned to no object'],
      [
        `https://h.example/m?token=1#sha256=${record}`,
        { exact: `https://h.example/m#sha256=${record}`, tree, size: 1 },
        'is not written as in a lock file',
      ],
    ];
    for (const [name, pin, text] of bad) {
      const problem = problemOf(lockOf(name, pin));
      expect(problem, name).toMatch(/^corrupt-lock: /);
      expect(problem, name).toContain(text);
    }
  });

  it('is refused where it is no such file at all', () => {
    const cases: Record<string, string> = {
      '': 'corrupt-lock: The lock file models.lock cannot be used: it is not UTF-8 JSON',
      '[]': 'corrupt-lock: The lock file models.lock cannot be used: it is no JSON object of few levels',
      '{}': 'corrupt-lock: The lock file models.lock cannot be used: it has no format number',
      '{"mstore":1}':
        'corrupt-lock: The lock file models.lock cannot be used: it has no references',
      '{"mstore":1,"references":[]}':
        'corrupt-lock: The lock file models.lock cannot be used: it has no references',
      '{"mstore":2,"references":{}}': 'newer-format: models.lock has format 2; this mstore reads 1',
      '{"mstore":1,"references":{"__proto__":{}}}':
        'corrupt-lock: The lock file models.lock cannot be used: it has a key __proto__',
      '{"mstore":1,"references":{},"x":[{"__proto__":1}]}':
        'corrupt-lock: The lock file models.lock cannot be used: it has a key __proto__',
      '<<<<<<< HEAD\n{}\n=======\n':
        'corrupt-lock: The lock file models.lock cannot be used: a merge left its marks in it',
    };
    for (const [text, problem] of Object.entries(cases))
      expect(problemOf(text), text).toBe(problem);
    expect(problemOf(`{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`)).toContain('few levels');
    expect(problemOf(' '.repeat(limits.lockFileBytesMax + 1))).toMatch(/^too-large/);
    const names = ['constructor', 'toString', 'hasOwnProperty'];
    for (const name of names) expect(problemOf(lockOf(name, version)), name).toBe('none');
    expect(parseLock(Buffer.from('{"mstore":1,"references":{}}'), 'x').pins.get('toString')).toBe(
      undefined,
    );
  });

  it('is read and written whole by many at once, with what is not known kept', async () => {
    const file = path.join(tempFolder(), 'models.lock');
    const kept = { ...version, note: 'ours', z: { b: 1, a: 2 } };
    fs.writeFileSync(file, lockOf('bert@production', kept, { team: 'vision' }));
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => {
        const hub = { exact: `hf:org/m${i}@${commit}`, tree, size: i } as never;
        return writePin(file, parseAsked(`hf:org/m${i}`), hub, false);
      }),
    );
    const { pins, document } = readLock(file);
    expect(pins.size).toBe(21);
    expect(document['team']).toBe('vision');
    expect((document['references'] as Record<string, unknown>)['bert@production']).toEqual(kept);
    expect(fs.readFileSync(file, 'utf8')).toBe(formatLock(document));
    expect(fs.readdirSync(path.dirname(file))).toEqual(['models.lock']);

    const moved = { ...version, size: 8 } as never;
    const asked = parseAsked('bert@production');
    expect((await writePin(file, asked, moved, false)).pin.size).toBe(7);
    expect((await writePin(file, asked, moved, true)).before?.size).toBe(7);
    const after = readLock(file).document['references'] as Record<string, unknown>;
    expect(after['bert@production']).toEqual({ ...kept, size: 8 });
  });

  it('is no link, and nothing that cannot be read again is written', async () => {
    const folder = tempFolder();
    const file = path.join(folder, 'models.lock');
    fs.symlinkSync(path.join(folder, 'elsewhere'), file);
    expect(() => readLock(file)).toThrow(/symbolic link/);
    fs.rmSync(file);
    const wrong = { ...version, exact: 'bert@v1' } as never;
    await expect(writePin(file, parseAsked('bert@production'), wrong, false)).rejects.toMatchObject(
      {
        code: 'corrupt-lock',
      },
    );
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it('has one form, whatever the order in which pins came', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/), { maxLength: 8 });
    fc.assert(
      fc.property(names, fc.nat(), (all, turn) => {
        const pin = (name: string) => ({ exact: `hf:o/${name}@${commit}`, tree, size: 1 });
        const entries = all.map((name) => [`hf:o/${name}`, pin(name)] as const);
        const turned = entries.map((_, i) => entries[(i + turn) % entries.length] as never);
        const one = { mstore: 1, references: Object.fromEntries(entries) };
        const other = { references: Object.fromEntries(turned), mstore: 1 };
        expect(formatLock(other)).toBe(formatLock(one));
        expect(parseLock(Buffer.from(formatLock(one)), 'x').pins.size).toBe(all.length);
      }),
    );
  });
});
