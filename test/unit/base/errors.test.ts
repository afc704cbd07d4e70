import { describe, expect, it } from 'vitest';
import { Breather, throwIfAborted } from '../../../src/base/abort.ts';
import {
  digestFromRaw,
  digestToRaw,
  isDigest,
  parseDigest,
  sha256,
  sha256Raw,
} from '../../../src/base/digest.ts';
import {
  errorCodes,
  exitCodeOf,
  fromSystemError,
  invariant,
  isMstoreError,
  MstoreError,
  systemCode,
} from '../../../src/base/errors.ts';

describe('digests', () => {
  it('are those of sha256sum', () => {
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(sha256('abc')).toBe(abc);
    expect(sha256Raw(Buffer.from('abc')).toString('hex')).toBe(abc);
    expect(digestFromRaw(Buffer.concat([Buffer.alloc(3), digestToRaw(sha256('abc'))]), 3)).toBe(
      abc,
    );
  });

  it('have one form', () => {
    const digest = sha256('x');
    expect(isDigest(digest)).toBe(true);
    for (const other of [digest.toUpperCase(), digest.slice(1), `${digest}0`, `${digest}\n`, 7]) {
      expect(isDigest(other)).toBe(false);
      expect(() => parseDigest(other, 'the name')).toThrow(/Expected the name to be/);
    }
    expect(parseDigest(digest)).toBe(digest);
  });
});

describe('errors', () => {
  it('have stable exit codes', () => {
    expect(exitCodeOf('usage')).toBe(2);
    expect(exitCodeOf('not-found')).toBe(3);
    expect(exitCodeOf('objects-missing')).toBe(4);
    expect(exitCodeOf('corrupt-pack')).toBe(5);
    expect(exitCodeOf('would-overwrite')).toBe(6);
    expect(exitCodeOf('remote-unreachable')).toBe(8);
    expect(exitCodeOf('interrupted')).toBe(130);
    for (const code of errorCodes) expect(exitCodeOf(code)).toBeGreaterThan(0);
    expect(new MstoreError('locked', 'x').exitCode).toBe(1);
  });

  it.each([
    ['ENOSPC', 'no-space'],
    ['EDQUOT', 'no-space'],
    ['EROFS', 'read-only'],
    ['EACCES', 'permission-denied'],
    ['ENOENT', 'not-found'],
    ['ENAMETOOLONG', 'bad-name'],
    ['EIO', 'io'],
  ])('of the system become ours: %s is %s', (system, code) => {
    const cause = Object.assign(new Error(`${system}: reason`), { code: system });
    const error = fromSystemError(cause, 'writing x');
    expect(isMstoreError(error)).toBe(true);
    expect(error).toMatchObject({
      code,
      cause,
      message: expect.stringMatching(/^Failed writing x/),
    });
  });

  it('that are none of the system pass through', () => {
    const mistake = new TypeError('x');
    expect(fromSystemError(mistake, 'y')).toBe(mistake);
    const ours = new MstoreError('locked', 'x');
    expect(fromSystemError(ours, 'y')).toBe(ours);
    expect([{ code: 'A' }, { code: 1 }, null, 'A'].map(systemCode)).toEqual([
      'A',
      undefined,
      undefined,
      undefined,
    ]);
    expect(isMstoreError(ours, 'locked')).toBe(true);
    expect(isMstoreError(ours, 'io')).toBe(false);
    expect(() => invariant(false, 'x')).toThrow(/Broken invariant: x/);
  });
});

describe('aborting', () => {
  it('ends work with the error interrupted', async () => {
    const controller = new AbortController();
    throwIfAborted(undefined);
    throwIfAborted(controller.signal);
    const breather = new Breather(controller.signal, 0);
    expect(breather.due()).toBe(true);
    setImmediate(() => controller.abort());
    const interrupted = expect.objectContaining({ code: 'interrupted' }) as Error;
    await expect(breather.turn().then(() => breather.turn())).rejects.toThrow(interrupted);
    expect(() => throwIfAborted(controller.signal)).toThrow(interrupted);
    expect(new Breather(undefined, 10_000).due()).toBe(false);
  });
});
