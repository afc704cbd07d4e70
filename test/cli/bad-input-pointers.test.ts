import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { formatTree, type TreeEntry, treeSize } from '../../src/base/tree.ts';
import { status } from '../../src/flow/status.ts';
import { BlobWriter } from '../../src/store/blob-writer.ts';
import { formatPointer, treePointer } from '../../src/worktree/pointer.ts';
import {
  type CliWorkspace,
  expectError,
  expectGood,
  expectNoLeftovers,
  expectRefused,
  filesBelow,
  makeWorkspace,
  snapshot,
} from '../support/cli.ts';
import { git } from '../support/git.ts';

const file = (path: string, text: string, size = text.length): TreeEntry => ({
  path,
  size,
  sha256: sha256(text),
});

/** A pointer that is well formed and right in itself, whatever its entries are. */
const listing = (...entries: TreeEntry[]): string => formatPointer(treePointer('bert', entries));

const restore = /Restore it from Git \("git checkout -- bert\.mstore"\), or add its file again/;
const good = (): string => listing(file('config.json', '{}'), file('vocab.txt', 'words'));

/** What is wrong with the pointer of `bert`, what it is then, and what is said about it. */
const damage: ReadonlyArray<
  readonly [what: string, text: () => string | Buffer, message: RegExp, code?: ErrorCode]
> = [
  ['cut short', () => good().slice(0, 100), /it is not UTF-8 JSON \(cut short or edited\?\)/],
  ['empty', () => '', /it is not UTF-8 JSON/],
  ['not UTF-8', () => Buffer.from(good().replace('vocab', 'voc\u00e4b'), 'latin1'), /not UTF-8/],
  ['no object', () => '[1]\n', /it is not a JSON object/],
  [
    'of a newer format',
    () => good().replace('"mstore": 1', '"mstore": 2'),
    /has format 2; this mstore reads 1/,
    'newer-format',
  ],
  [
    'named ..',
    () => good().replace('"path": "bert"', '"path": ".."'),
    /its path \.\. has the name \.\./,
  ],
  [
    'named by a path outside',
    () => good().replace('"path": "bert"', '"path": "../../etc"'),
    /its path \.\.\/\.\.\/etc has a slash in a name/,
  ],
  [
    'named by an absolute path',
    () => good().replace('"path": "bert"', '"path": "/etc"'),
    /its path \/etc has a slash in a name/,
  ],
  ['listing ..', () => listing(file('../up', '{}')), /the path \.\.\/up has the name \.\./],
  [
    'listing an absolute path',
    () => listing(file('/etc/motd', '{}')),
    /the path \/etc\/motd has an absolute path/,
  ],
  [
    'listing a path twice',
    () => listing(file('config.json', '{}'), file('config.json', 'words')),
    /config\.json is listed twice/,
  ],
  [
    'listing a file where a directory must be',
    () => listing(file('a', '{}'), file('a/b', 'words')),
    /a is a file where a directory must be/,
  ],
  [
    'listing names that differ only by case',
    () => listing(file('A', '{}'), file('a', 'words')),
    /A and a differ only by case or Unicode form/,
  ],
  [
    'listing a link that leaves',
    () => listing({ path: 'out', link: '../../etc/passwd' }),
    /the link out -> \.\.\/\.\.\/etc\/passwd leaves the directory/,
  ],
  [
    'listing a link that leaves through others',
    () =>
      listing(
        { path: 'a', link: 'b/..' },
        { path: 'b', link: 'd/e' },
        { path: 'z', link: 'a/../..' },
      ),
    /the link z -> a\/\.\.\/\.\. leaves the directory/,
  ],
  [
    'listing a file below a link',
    () => listing({ path: 'a', link: 'b' }, file('a/passwd', '{}')),
    /a is a file where a directory must be/,
  ],
  [
    'listing a loop of links',
    () => listing({ path: 'a', link: 'b' }, { path: 'b', link: 'a' }),
    /the link a -> b is part of a loop of links/,
  ],
  [
    'with a size that is not the sum of its files',
    () => good().replace('"size": 7,', '"size": 8,'),
    /the sizes of its files do not add up to its size/,
  ],
  [
    'with a negative size',
    () => good().replace('"size": 7,', '"size": -7,'),
    /its size is no size/,
  ],
  [
    'with a list that was edited',
    () => good().replace('vocab.txt', 'vokab.txt'),
    /its sha256 is not the digest of its list of files/,
  ],
];

describe('a pointer that cannot be used is refused with nothing touched', () => {
  const cases = damage.map(([what, text, message, code]) => ({ what, text, message, code }));
  test.each(cases)('$what', async ({ text, message, code = 'corrupt-pointer' }) => {
    const ws = await withBert();
    ws.write('bert.mstore', text());
    const expected = {
      code,
      message: new RegExp(`^The pointer bert\\.mstore (?:cannot be used: )?.*${message.source}`),
      hint: code === 'newer-format' ? /Install a newer mstore/ : restore,
    };
    await expectRefused(ws, ['checkout', '--force'], expected);
    const { paths } = await status(await ws.open());
    expect(paths).toMatchObject([
      { path: 'other.onnx', state: 'unchanged' },
      { path: 'bert', state: 'broken', error: { code } },
    ]);
  });

  test('by every command that reads it; the others go on', async () => {
    const ws = await withBert();
    await ws.push();
    ws.write('bert.mstore', good().slice(0, 100));
    const expected = { code: 'corrupt-pointer', message: /bert\.mstore/, hint: restore } as const;
    for (const line of ['pull', 'diff', 'checkout bert', 'push bert', 'checkout --to ../out']) {
      await expectRefused(ws, line.split(' '), expected);
    }
    expect(fs.existsSync(ws.at('../out'))).toBe(false);
    ws.remove('other.onnx');
    await ws.ok('checkout', 'other.onnx');
    await ws.ok('pull', 'other.onnx');
    // As the hint says, adding the files again makes the pointer anew.
    await ws.ok('add', 'bert');
    expect(ws.read('bert.mstore').toString()).toBe(good());
    await expectGood(ws);
  });

  test('fetch, push and ls go on with the others, and fail', async () => {
    const ws = await withBert();
    await ws.push();
    ws.write('new.onnx', 'new');
    await ws.add('new.onnx');
    ws.write('bert.mstore', good().slice(0, 100));
    const expected = { code: 'corrupt-pointer', message: /bert\.mstore/, hint: restore } as const;
    const pushed = await ws.run('--json', 'push');
    expectError(pushed, expected);
    expect(pushed.json).toMatchObject({ packsSent: 1, paths: 2 });
    expect(filesBelow(`${ws.remote}/packs`)).toHaveLength(2);
    const text = await ws.run('push');
    expect(text.code).toBe(5);
    expect(text.stderr).toMatch(/error: The pointer bert\.mstore .*\[corrupt-pointer\]\nhint: /);
    expect(text.stderr).toMatch(/origin has everything already/);

    fs.rmSync(`${ws.store}/packs`, { recursive: true });
    const fetched = await ws.run('--json', 'fetch');
    expectError(fetched, expected);
    expect(fetched.json).toMatchObject({ chunksFetched: 2, paths: 2 });
    ws.remove('new.onnx');
    await ws.ok('checkout', 'new.onnx', 'other.onnx');

    const listed = await ws.run('--json', 'ls');
    expectError(listed, expected);
    expect(listed.json.paths?.map(({ path }) => path)).toEqual(['new.onnx', 'other.onnx']);
  });

  test('of a newer format also by add, which would lose what it says', async () => {
    const ws = await withBert();
    ws.write('bert.mstore', good().replace('"mstore": 1', '"mstore": 2'));
    await expectRefused(ws, ['add', 'bert'], {
      code: 'newer-format',
      message: /has format 2/,
      hint: /newer mstore/,
    });
  });

  test('huge', async () => {
    const ws = await withBert();
    fs.truncateSync(ws.at('bert.mstore'), 17 * 1024 * 1024);
    await expectRefused(ws, ['checkout'], {
      code: 'too-large',
      message: /bert\.mstore holds 17825792 bytes; at most 16777216 are read/,
      hint: /Such files are small/,
    });
    await expectBroken(ws, 'too-large');
  });

  test('of another name than that beside it', async () => {
    const ws = await withBert();
    fs.renameSync(ws.at('bert.mstore'), ws.at('albert.mstore'));
    await expectRefused(ws, ['checkout'], {
      code: 'corrupt-pointer',
      message: /albert\.mstore speaks of bert, not of albert beside it/,
      hint: /Was it renamed/,
    });
    // The hint works.
    fs.renameSync(ws.at('bert'), ws.at('albert'));
    ws.write('albert.mstore', good().replace('"path": "bert"', '"path": "albert"'));
    await expectGood(ws);
  });
});

describe('a pointer whose sizes do not fit the stored bytes', () => {
  const hint = /Restore it from Git/;

  test.each([
    ['of a file', 'other.onnx', /gives 6 bytes to [0-9a-f]{64}, which has 5$/],
    ['of a file in a directory', 'bert', /gives 3 bytes to [0-9a-f]{64}, which has 2$/],
    ['of one blob, two sizes', 'bert', /gives both 3 and 2 bytes to [0-9a-f]{64}$/],
  ])('%s', async (what, tracked, message) => {
    const ws = await withBert();
    await ws.push();
    if (tracked === 'bert') {
      const wrong = file('config.json', '{}', 3);
      const same = what.startsWith('of one') ? [file('copy.json', '{}')] : [];
      ws.write('bert.mstore', listing(wrong, ...same, file('vocab.txt', 'words')));
      // The tree itself is in the store: only the size is wrong.
      await storeTree(ws, [wrong, ...same, file('vocab.txt', 'words')]);
    } else {
      ws.write(
        'other.onnx.mstore',
        ws.read('other.onnx.mstore').toString().replace('"size": 5', '"size": 6'),
      );
    }
    const expected = { code: 'corrupt-pointer', message, hint } as const;
    const lines = ['checkout --force', 'push', 'checkout --to ../out', 'pull'];
    for (const line of what === 'of a file' ? lines : lines.slice(0, 2)) {
      await expectRefused(ws, line.split(' '), expected);
    }
    const { paths } = await status(await ws.open());
    expect(paths.find(({ path }) => path === tracked)?.state).not.toBe('unchanged');
    expect(fs.existsSync(ws.at('../out'))).toBe(false);
  });

  test('of a directory without a list', async () => {
    const ws = await withBert();
    const entries = [file('config.json', '{}'), file('vocab.txt', 'words')];
    const sha = await storeTree(ws, entries);
    ws.write(
      'bert.mstore',
      formatPointer({ kind: 'tree', path: 'bert', sha256: sha, size: 8, extra: {} }),
    );
    await expectRefused(ws, ['checkout'], {
      code: 'corrupt-pointer',
      message: /its size is 8, that of its files 7/,
      hint,
    });
    await expectBroken(ws, 'corrupt-pointer');
  });
});

test('a list of files in the store that leads outside is refused', async () => {
  const ws = await withBert();
  const entries = [file('../../up', '{}')];
  const sha = await storeTree(ws, entries);
  const size = treeSize(entries);
  ws.write(
    'bert.mstore',
    formatPointer({ kind: 'tree', path: 'bert', sha256: sha, size, extra: {} }),
  );
  for (const line of ['checkout --force', 'checkout --to ../a/b/out']) {
    await expectRefused(ws, line.split(' '), {
      code: 'corrupt-tree',
      message: /list of files of a tree cannot be used: the path \.\.\/\.\.\/up has the name \.\./,
      hint: /Fetch the version again/,
    });
  }
  await expectBroken(ws, 'corrupt-tree');
});

test('a merge conflict inside is named, and both ways out work', async () => {
  const ws = await withBert();
  commit(ws);
  git(ws.root, 'branch', 'side');
  ws.write('bert/vocab.txt', 'mine');
  await ws.add('bert');
  commit(ws);
  git(ws.root, 'checkout', '-q', 'side');
  await ws.ok('checkout');
  ws.write('bert/vocab.txt', 'theirs');
  await ws.add('bert');
  commit(ws);
  expect(() => git(ws.root, 'merge', '-q', 'main')).toThrow();
  expect(ws.read('bert.mstore').toString()).toContain('<<<<<<<');

  const expected = {
    code: 'merge-conflict',
    message: /^The pointer bert\.mstore has an unresolved merge conflict$/,
    hint: /git checkout --ours -- .*--theirs/,
  } as const;
  for (const line of ['checkout --force', 'pull', 'push bert', 'checkout bert']) {
    await expectRefused(ws, line.split(' '), expected);
  }
  await expectBroken(ws, 'merge-conflict');

  git(ws.root, 'checkout', '--theirs', '--', 'bert.mstore');
  await ws.ok('checkout', 'bert');
  expect(ws.read('bert/vocab.txt').toString()).toBe('mine');
  git(ws.root, 'checkout', '-m', '--', 'bert.mstore');
  await expectBroken(ws, 'merge-conflict');
  ws.write('bert/vocab.txt', 'merged');
  await ws.ok('add', 'bert');
  await expectGood(ws);
});

/** A workspace with a tracked directory and a tracked file. */
async function withBert(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  ws.write('bert/config.json', '{}');
  ws.write('bert/vocab.txt', 'words');
  ws.write('other.onnx', 'other');
  await ws.add('bert', 'other.onnx');
  return ws;
}

function commit(ws: CliWorkspace): void {
  git(ws.root, 'add', '-A');
  git(ws.root, 'commit', '-q', '-m', 'A commit');
}

async function storeTree(ws: CliWorkspace, entries: readonly TreeEntry[]) {
  const writer = new BlobWriter((await ws.open()).store);
  const digest = await writer.addBytes(formatTree(entries));
  await writer.finish();
  return digest;
}

/** Checks that the status names the pointer of `bert` as broken, and tells of the others all the same. */
async function expectBroken(ws: CliWorkspace, code: ErrorCode): Promise<void> {
  const before = snapshot(ws);
  const { code: exit, json, stderr } = await ws.run('--json', 'status');
  expect(exit, stderr).toBe(5);
  const states = Object.fromEntries((json.paths ?? []).map((path) => [path.path, path]));
  expect(states['bert']).toMatchObject({ state: 'broken', error: { code } });
  expect(states['other.onnx']?.state).toBe('unchanged');
  expect(snapshot(ws)).toEqual(before);
  expectNoLeftovers(ws);
}
