import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { invariant } from '../../../src/base/errors.ts';
import { readIndex } from '../../../src/git/index-file.ts';
import { findLayout } from '../../../src/git/layout.ts';
import { commitFiles, git, makeRepo } from '../../support/git.ts';

function indexOf(root: string) {
  const layout = findLayout(root);
  invariant(layout !== undefined, 'a repository');
  return readIndex(layout);
}

function madeRepo(): string {
  const root = makeRepo();
  const long = `${'d'.repeat(200)}/${'f'.repeat(200)}`;
  const names = ['a', 'a/b', 'ab', 'abc', 'abcdefg', 'abcdefgh', 'ü', long];
  commitFiles(root, Object.fromEntries(names.map((name) => [name === 'a' ? 'A' : name, name])));
  return root;
}

describe('the index', () => {
  it.each(['2', '3', '4'])('is read in version %s', (version) => {
    const root = madeRepo();
    fs.writeFileSync(path.join(root, 'promised'), '');
    // A flag of version 3 makes Git write it.
    if (version !== '2') git(root, 'add', '-N', 'promised');
    git(root, 'update-index', '--index-version', version, '--force-write-index');
    const bytes = fs.readFileSync(path.join(root, '.git/index'));
    expect(bytes.readUInt32BE(4)).toBe(Number(version));
    const lines = git(root, '-c', 'core.quotePath=false', 'ls-files', '--stage').split('\n');
    const read = indexOf(root);
    expect(
      read.map(({ mode, oid, stage, path: name }) => `${mode} ${oid} ${stage}\t${name}`),
    ).toEqual(lines);
    expect(read.filter((entry) => entry.intentToAdd)).toHaveLength(version === '2' ? 0 : 1);
    const { size, mtimeNs, ctimeNs } = fs.statSync(path.join(root, 'abc'), { bigint: true });
    const entry = read.find((each) => each.path === 'abc');
    expect(entry).toMatchObject({ size: Number(size), mtimeNs, ctimeNs, unwatched: false });
  });

  it('is refused when it is damaged or incomplete', () => {
    const root = madeRepo();
    const file = path.join(root, '.git/index');
    const bytes = fs.readFileSync(file);
    const summed = (body: Buffer) =>
      Buffer.concat([body, createHash('sha1').update(body).digest()]);
    const body = bytes.subarray(0, -20);
    const changed = Buffer.from(bytes);
    changed[100] = (changed[100] ?? 0) ^ 1;
    const newer = Buffer.from(body);
    newer.writeUInt32BE(5, 4);
    const more = Buffer.from(body);
    more.writeUInt32BE(1_000_000, 8);
    const damages: Array<[Buffer, RegExp]> = [
      [changed, /checksum/],
      [bytes.subarray(0, 20), /no known form/],
      [Buffer.alloc(0), /no known form/],
      [summed(newer), /no known form/],
      [summed(more), /ends within an entry/],
      [summed(body.subarray(0, 80)), /ends within an entry/],
    ];
    for (const [damaged, reason] of damages) {
      fs.writeFileSync(file, damaged);
      expect(() => indexOf(root)).toThrow(
        expect.objectContaining({ code: 'git-failed', message: expect.stringMatching(reason) }),
      );
    }
    // Git leaves out the sum when it is told to.
    fs.writeFileSync(file, Buffer.concat([body, Buffer.alloc(20)]));
    expect(indexOf(root)).toHaveLength(8);
  });

  it('is refused when entries are elsewhere', () => {
    const root = madeRepo();
    git(root, 'update-index', '--split-index');
    expect(() => indexOf(root)).toThrow(/uses the extension link/);
  });
});
