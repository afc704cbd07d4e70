import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { IgnoreRules } from '../../../src/base/ignore-rules.ts';
import { parseGitConfig } from '../../../src/git/config-file.ts';
import { readIndex } from '../../../src/git/index-file.ts';
import { findLayout, type GitLayout } from '../../../src/git/layout.ts';
import { parseCommit, parseTree, readShallow } from '../../../src/git/objects.ts';
import { listReferences, readHead, readReference } from '../../../src/git/refs.ts';
import { formatRevision, isReferenceName, parseRevision } from '../../../src/git/revision.ts';
import { batchReader, recordCutter } from '../../../src/git/stream-records.ts';
import { formatTag, parseTag, parseTagContent } from '../../../src/git/tag-object.ts';
import {
  asFile,
  type FuzzTarget,
  fuzzFolder,
  joined,
  Parts,
  promise,
  refused,
  same,
} from '../target.ts';

const oid = 'ab'.repeat(20);

export const gitTag: FuzzTarget = {
  name: 'git-tag',
  bytesMax: 64 * 1024,
  seeds: () => ({
    plain: formatTag({
      name: 'captioner@v1.0.0',
      commit: oid,
      tagger: { name: 'Ada', mail: 'ada@example.org' },
      seconds: 1_700_000_000,
      message: 'First\n\nMore',
    }),
    signed: `object ${oid}\ntype commit\ntag v1\ntagger A <a> 1 +0000\n\nm\n-----BEGIN PGP SIGNATURE-----\nx\n`,
    old: `object ${oid}\ntype commit\ntag v1\n\nno tagger`,
  }),
  words: ['tagger ', ' <', '> ', '\n\n', ' +0000', '-----BEGIN PGP SIGNATURE-----'],
  run(bytes) {
    const commit = refused(['git-failed'], () => parseTag(oid, bytes));
    const content = parseTagContent(bytes);
    const { tagger, seconds, message } = content;
    if (commit === undefined || tagger === undefined) return;
    const written = formatTag({ name: 'v1', commit, tagger, seconds, message });
    const again = parseTagContent(written);
    same(
      formatTag({ name: 'v1', commit, ...again, tagger: again.tagger ?? tagger }),
      written,
      'a tag has one form',
    );
  },
};

export const gitObject: FuzzTarget = {
  name: 'git-object',
  bytesMax: 64 * 1024,
  seeds: () => ({
    tree: Buffer.concat([
      Buffer.from('100644 a\0'),
      Buffer.alloc(20, 1),
      Buffer.from('40000 b\0'),
      Buffer.alloc(20, 2),
    ]),
    commit: `tree ${oid}\nparent ${oid}\nparent ${oid}\nauthor A <a> 1 +0000\n\nm`,
  }),
  words: ['tree ', 'parent ', '\0', '100644 '],
  run(bytes) {
    const lines = refused(['git-failed'], () => parseTree(oid, bytes)) ?? [];
    promise(lines.length * 22 <= bytes.length, 'no more lines than there is room for');
    const links = refused(['git-failed'], () => parseCommit(oid, bytes));
    promise(links?.parents.every((id) => /^[0-9a-f]{40}$/.test(id)) ?? true, 'parents are ids');
  },
};

/** A path of the longest that systems take, with what an entry holds beside it. */
const indexPathBytesMax = 4096;

function indexBytes(version: number, entries: readonly string[]): Buffer {
  const head = Buffer.alloc(12);
  head.write('DIRC', 0, 'latin1');
  head.writeUInt32BE(version, 4);
  head.writeUInt32BE(entries.length, 8);
  const rows = entries.map((name) => {
    const fixed = Buffer.alloc(62);
    fixed.writeUInt32BE(0o100644, 24);
    fixed.writeUInt16BE(name.length, 60);
    const text = Buffer.from(name);
    if (version === 4) return Buffer.concat([fixed, Buffer.from([0]), text, Buffer.alloc(1)]);
    return Buffer.concat([fixed, text, Buffer.alloc(8 - ((62 + text.length) % 8))]);
  });
  return withSum(
    Buffer.concat([head, ...rows, Buffer.from('TREE\0\0\0\0', 'latin1'), Buffer.alloc(20)]),
  );
}

/** Gives an index the checksum of its bytes. */
function withSum(bytes: Buffer): Buffer {
  const body = bytes.subarray(0, Math.max(0, bytes.length - 20));
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

/** A Git directory in the folder of the fuzzer; its files are the inputs. */
function layoutAt(folder: string): GitLayout {
  const root = path.join(fuzzFolder(), folder);
  const gitDir = path.join(root, '.git');
  fs.mkdirSync(path.join(gitDir, 'objects'), { recursive: true });
  fs.mkdirSync(path.join(gitDir, 'refs/heads'), { recursive: true });
  return {
    root,
    gitDir,
    commonDir: gitDir,
    mainRoot: undefined,
    objectFormat: 'sha1',
    refStorage: 'files',
    partialClone: false,
    worktreeConfig: false,
    alternates: false,
    ignoreCase: false,
    fileMode: true,
    symlinks: true,
  };
}

export const gitIndex: FuzzTarget = {
  name: 'git-index',
  bytesMax: 64 * 1024,
  seeds: () => ({
    two: indexBytes(2, ['a', 'models/b.bin']),
    three: indexBytes(3, ['a']),
    four: indexBytes(4, ['a', 'b/c']),
    empty: indexBytes(2, []),
  }),
  words: ['DIRC', 'TREE', 'link', 'sdir'],
  run(bytes) {
    const layout = layoutAt('index-repository');
    for (const given of [bytes, withSum(bytes)]) {
      asFile('index-repository/.git/index', given);
      const entries = refused(['git-failed'], () => readIndex(layout)) ?? [];
      promise(entries.length * 62 <= bytes.length, 'no more entries than there is room for');
      const held = entries.reduce((sum, entry) => sum + entry.path.length, 0);
      promise(held <= entries.length * indexPathBytesMax, 'paths have a bound');
    }
  },
};

export const gitConfig: FuzzTarget = {
  name: 'git-config',
  bytesMax: 64 * 1024,
  seeds: () => ({
    usual:
      '[core]\n\tbare = false\n[remote "origin"]\n\turl = "a\\"b" ; c\n[user] name = A \\\n B # x\n',
    flags: '[a "b\\\\c"]\nx\n[include]\npath = ~/x\n',
  }),
  words: ['[', '"]', '\\\n', '=', '#', ';', '\\"', '\r\n'],
  run(bytes) {
    for (const [key, value] of parseGitConfig(bytes.toString())) {
      promise(key.includes('.'), 'a key has a section');
      promise(
        key.length + value.length <= bytes.length + 4,
        'a setting is not longer than its file',
      );
    }
  },
};

/** Hands bytes on in pieces of lengths that the sizes give, over and over. */
function inPieces(bytes: Buffer, sizes: readonly number[], take: (piece: Buffer) => boolean): void {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1);
    if (!take(bytes.subarray(at, at + size))) return;
    at += size;
  }
}

function recordsOf(bytes: Buffer, sizes: readonly number[]): string[] {
  const found: string[] = [];
  inPieces(
    bytes,
    sizes,
    recordCutter(0, (record) => found.push(record.toString('hex')) < 1000),
  );
  return found;
}

/** Contents in the stream that are taken. */
const contentBytesMax = 64 * 1024;

function contentsOf(bytes: Buffer, sizes: readonly number[]): string[] {
  const found: string[] = [];
  const sink = {
    header(words: readonly string[]): number | undefined {
      found.push(words.join(' '));
      const size = Number(words[2]);
      return Number.isInteger(size) && size >= 0 && size <= contentBytesMax ? size : undefined;
    },
    content: (content: Buffer) => void found.push(content.toString('hex')),
  };
  inPieces(bytes, sizes, batchReader(sink));
  return found;
}

export const gitStream: FuzzTarget = {
  name: 'git-stream',
  bytesMax: 16 * 1024,
  seeds: () => ({
    records: Buffer.from([3, 1, 7, ...Buffer.from('a\0bc\0\0tail')]),
    batch: Buffer.from([
      1,
      9,
      2,
      ...Buffer.from(`${oid} blob 3\nabc\n${oid} missing\n${oid} tree 0\n\n`),
    ]),
  }),
  words: [' blob 5\n', ' missing\n', '\0'],
  run(bytes) {
    const parts = new Parts(bytes);
    const sizes = [parts.byte(), parts.byte(), parts.byte()];
    const rest = parts.rest();
    const whole = [rest.length || 1];
    same(recordsOf(rest, sizes), recordsOf(rest, whole), 'records are alike whatever the pieces');
    same(
      contentsOf(rest, sizes),
      contentsOf(rest, whole),
      'contents are alike whatever the pieces',
    );
  },
};

export const gitRefs: FuzzTarget = {
  name: 'git-refs',
  bytesMax: 16 * 1024,
  seeds: () => ({
    branch: joined(
      'ref: refs/heads/main\n',
      `${oid}\n`,
      `# pack-refs\n${oid} refs/tags/v1\n^${oid}\n`,
      '[core]\n',
      oid,
    ),
    detached: joined(`${oid}\n`, 'ref: HEAD', '', '[extensions]\nrefstorage = reftable\n', ''),
  }),
  words: ['ref: ', 'refs/heads/', 'refs/tags/', '../', 'HEAD', oid],
  run(bytes) {
    const parts = new Parts(bytes);
    const layout = layoutAt('repository');
    for (const name of [
      'HEAD',
      'refs/heads/main',
      'packed-refs',
      'config',
      'shallow',
      'commondir',
    ]) {
      const content = parts.part();
      // An empty file of these means something else than none.
      if (name === 'commondir' && content.length === 0)
        fs.rmSync(path.join(layout.gitDir, name), { force: true });
      else asFile(`repository/.git/${name}`, content);
    }
    const codes = ['git-failed', 'not-found'] as const;
    const found = refused(codes, () => findLayout(layout.root));
    for (const one of found === undefined ? [layout] : [layout, found]) {
      refused(codes, () => readHead(one));
      refused(codes, () => readReference(one, 'refs/heads/main'));
      const references = refused(codes, () => listReferences(one)) ?? [];
      promise(
        references.every(({ oid: id }) => /^[0-9a-f]{40}$/.test(id)),
        'references hold ids',
      );
      readShallow(one.commonDir);
    }
  },
};

export const gitRevision: FuzzTarget = {
  name: 'git-revision',
  bytesMax: 4096,
  seeds: () => ({ steps: 'HEAD~3^2', at: '@^', name: 'refs/heads/a-b', id: oid }),
  words: ['~', '^', '@{', '..', '.lock', '/'],
  run(bytes) {
    const parsed = parseRevision(bytes.toString());
    if (parsed === undefined) return;
    promise(isReferenceName(parsed.base), 'a revision starts with a name');
    const text = formatRevision(parsed);
    promise(!text.startsWith('-'), 'a revision is no option');
    same(parseRevision(text), parsed, 'a revision that is written and read is the same');
  },
};

export const ignoreFile: FuzzTarget = {
  name: 'ignore-file',
  bytesMax: 4096,
  seeds: () => ({
    usual: joined(
      '*.log\n!keep.log\n/build/\n**/temp\na/**/b\n\\#x\n',
      '# none\n',
      'a/x/b',
      'build/a.log',
    ),
    classes: joined('[a-c]?.[!x]\n*.{a,b}\n[[:alpha:]]\n\\[\n[\n', 'x\n', 'b1.y', 'é.log'),
  }),
  words: ['**', '*', '!', '[', ']', '\\', '/', '?', '[a-', '[^', '{', '}', '(', '+', '|', '$'],
  run(bytes) {
    const parts = new Parts(bytes);
    const [top, below] = [parts.text(), parts.text()];
    const rules = new IgnoreRules((folder) =>
      folder === '' ? top : folder === 'a' ? below : undefined,
    );
    for (const relative of [parts.text(), parts.text(), 'a/b/c.bin']) {
      const names = relative.split('/');
      if (names.some((name) => name === '' || name === '.' || name === '..')) continue;
      for (const isFolder of [false, true]) {
        const judge = () =>
          refused(['too-large'], () => rules.ignoresWithParents(relative, isFolder));
        const first = judge();
        promise(judge() === first, 'a path is judged alike twice');
      }
    }
  },
};
