import * as fs from 'node:fs';
import * as path from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../src/base/errors.ts';
import { limits } from '../../src/base/limits.ts';
import { parseTree } from '../../src/base/tree.ts';
import { openGit } from '../../src/git/open.ts';
import { parseTagContent } from '../../src/git/tag-object.ts';
import { decodeBytes } from '../../src/pack/codec.ts';
import { parseData } from '../../src/registry/data-file.ts';
import { readMetadata } from '../../src/registry/metadata.ts';
import { readMetrics } from '../../src/registry/metrics.ts';
import { parseRecord } from '../../src/registry/record.ts';
import { parseHeader } from '../../src/store/header.ts';
import { readConfig } from '../../src/worktree/config.ts';
import { parsePointer } from '../../src/worktree/pointer.ts';
import { commitFiles, git, gitTestEnv, gitWithInput, makeRepo } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

/*
 * Input of little size that asks for much: each has to end in an error of its own, or in a result, within
 * the time of a test. Where a parser were not bounded, it would take minutes or all memory.
 */

function written(name: string, text: string): string {
  const file = path.join(tempFolder(), name);
  fs.writeFileSync(file, text);
  return file;
}

/** Resolves to the error that work ends with; undefined where it ends well. */
async function failure(work: () => unknown): Promise<unknown> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('chunks that unpack to more than they say', () => {
  const zeros = deflateRawSync(Buffer.alloc(256 * 1024 * 1024));

  it('are given up at the length that they say', () => {
    const before = process.memoryUsage().arrayBuffers;
    expect(decodeBytes(zeros, 'deflate', 1000)).toBeUndefined();
    expect(decodeBytes(zeros, 'deflate', 16 * 1024 * 1024)).toBeUndefined();
    for (const [encoding, count] of [['planes2', 2] as const, ['planes4', 4] as const]) {
      const lengths = Buffer.alloc(count * 4);
      for (let i = 0; i < count; i++) lengths.writeUInt32LE(i === 0 ? zeros.length : 0, i * 4);
      expect(decodeBytes(Buffer.concat([lengths, zeros]), encoding, 1_000_000)).toBeUndefined();
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(128 * 1024 * 1024);
  });
});

/** Ten names, each of which stands ten times for the one before: 10^levels values. */
function aliasBomb(levels: number): string {
  const lines = ['a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]'];
  for (let i = 1; i < levels; i++) {
    lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`);
  }
  return `${lines.join('\n')}\n`;
}

describe('aliases of YAML that stand for trees without end', () => {
  it.each([
    ['of ten levels', aliasBomb(10)],
    ['that hold themselves', 'a: &a [*a]\n'],
    ['that hold themselves by merging', 'a: &a\n  <<: *a\n  b: 1\n'],
  ])('end in an error: %s', async (_, text) => {
    const file = written('x.yaml', text);
    for (const work of [
      () => readMetrics(file),
      () => readMetrics(file, { numbersOnly: true }),
      () => readMetadata(file),
    ]) {
      const error = await failure(work);
      expect(isMstoreError(error, 'bad-metrics', 'bad-metadata', 'too-large'), String(error)).toBe(
        true,
      );
    }
  });
});

describe('values in each other beyond all reason', () => {
  const depth = 200_000;
  const lists = '['.repeat(depth) + ']'.repeat(depth);
  const objects = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

  it.each([
    ['lists', lists],
    ['objects', objects],
    ['an object of lists', `{"a":${lists}}`],
    ['records', `{"mstore":1,"sha256":"${'0'.repeat(64)}","record":{"a":${lists}}}`],
    [
      'pointers',
      `{"mstore":1,"path":"a","kind":"tree","sha256":"${'0'.repeat(64)}","size":1,"files":${lists}}`,
    ],
  ])('are an error of whatever reads them: %s', async (_, text) => {
    const bytes = Buffer.from(text);
    const readers: Array<() => unknown> = [
      () => parsePointer(bytes, 'x'),
      () => parseTree(bytes),
      () => parseHeader(bytes, 'x'),
      () => parseRecord(bytes, 'x', { model: 'm', version: 'v' }),
      () => readMetadata(written('x.json', text)),
      () => readMetrics(written('x.json', text)),
    ];
    for (const read of readers) {
      const error = await failure(read);
      expect(isMstoreError(error) && error.code !== 'internal', String(error)).toBe(true);
    }
  });

  it('are an error in YAML and TOML', async () => {
    const yaml = Buffer.from('['.repeat(20_000));
    const error = await failure(() => parseData(yaml, 'x.yaml', 'bad-metadata'));
    expect(isMstoreError(error, 'bad-metadata'), String(error)).toBe(true);
    const folder = tempFolder();
    // As deep as a configuration can be.
    const levels = limits.configBytesMax / 2 - 20;
    for (const text of [
      `a = ${'['.repeat(levels)}${']'.repeat(levels)}`,
      `${'a.'.repeat(levels)}b = 1`,
      `[${'a.'.repeat(levels)}b]\n`,
    ]) {
      fs.writeFileSync(path.join(folder, 'config.toml'), text);
      const found = await failure(() => readConfig(folder, {}));
      // What no key stands for is left alone, however deep it is.
      const fine = found === undefined || isMstoreError(found, 'config-invalid');
      expect(fine, `${text.slice(0, 20)}: ${found}`).toBe(true);
    }
  });
});

describe('text that takes a pattern of regular expressions long', () => {
  const head = (tagger: string) =>
    `object ${'0'.repeat(40)}\ntype commit\ntag v\n${tagger}\n\nA tag\n`;

  it.each([
    ['opening brackets', '<'.repeat(200_000)],
    ['closing brackets', '>'.repeat(200_000)],
    ['pairs of brackets', '<>'.repeat(200_000)],
    ['brackets and spaces', ' <> '.repeat(100_000)],
    ['spaces', `${' '.repeat(200_000)}x`],
  ])('is read at once as the author of a tag: %s', (_, text) => {
    const { message } = parseTagContent(Buffer.from(head(`tagger ${text} 1 +0000`)));
    expect(message).toBe('A tag');
  });

  it('is read at once as the message of a tag', () => {
    const bars = '-----BEGIN PGP '.repeat(50_000);
    expect(parseTagContent(Buffer.from(head('tagger A <a@b> 1 +0000') + bars)).message).not.toBe(
      '',
    );
  });

  it('does not keep the tags of a repository from being read', async () => {
    const root = makeRepo();
    const commit = commitFiles(root, { a: '1' });
    const text = `object ${commit}\ntype commit\ntag evil\ntagger ${'<'.repeat(100_000)} 1 +0000\n\nx\n`;
    const oid = gitWithInput(
      root,
      text,
      'hash-object',
      '-t',
      'tag',
      '--literally',
      '-w',
      '--stdin',
    );
    git(root, 'update-ref', 'refs/tags/evil', oid);
    for (const prefer of ['binary', 'isomorphic'] as const) {
      const repo = await openGit(root, { prefer, env: gitTestEnv });
      const found = await repo?.annotatedTags(() => true);
      expect(found).toMatchObject([{ name: 'evil', commit, tagger: undefined }]);
    }
  });

  it('does not keep the author from being found without git', async () => {
    const root = makeRepo();
    commitFiles(root, { a: '1' });
    git(root, 'checkout', '-q', '-b', 'a'.repeat(200));
    const pattern = `${'*a'.repeat(30)}b`;
    fs.appendFileSync(
      path.join(root, '.git/config'),
      `[includeIf "onbranch:${pattern}"]\n\tpath = other\n[user]\n\tname = a${' '.repeat(200_000)}b\n\temail = a@b\n`,
    );
    const { GIT_AUTHOR_NAME: _name, GIT_AUTHOR_EMAIL: _mail, ...env } = gitTestEnv;
    const repo = await openGit(root, { prefer: 'isomorphic', env });
    expect(await repo?.identity()).toContain('<a@b>');
  });
});
