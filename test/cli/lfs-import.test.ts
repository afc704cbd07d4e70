import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { formatLfsPointer } from '../../src/lfs/pointer.ts';
import { mstoreHere } from '../support/cli-printed.ts';
import { projectAt } from '../support/flow-project.ts';
import { git } from '../support/git.ts';
import { askAgent, putLfsObject } from '../support/lfs.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const weights = xorshiftBytes(1, 700_000);
const vocabulary = Buffer.from('some words\n');

/** A repository as Git LFS leaves it: pointers in Git, contents in the working tree, objects beside. */
async function repository() {
  const top = tempFolder();
  const root = path.join(top, 'work');
  fs.mkdirSync(root);
  git(root, 'init', '-q');
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await mstoreHere(root, args);
    const document = args.includes('--json') ? JSON.parse(stdout) : undefined;
    return { code, stdout, stderr, document };
  };
  const ok = async (...args: string[]) => {
    const result = await run(...args);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    return result;
  };
  const at = (name: string) => path.join(root, name);
  const write = (name: string, bytes: Buffer | string): void => {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true });
    fs.writeFileSync(at(name), bytes);
  };
  /** Commits a pointer, keeps the object, and leaves the content in the working tree. */
  const track = (name: string, bytes: Buffer, pointer?: string): void => {
    const object = { oid: sha256(bytes), bytes };
    putLfsObject(root, object);
    write(name, pointer ?? formatLfsPointer({ oid: object.oid, size: bytes.length }));
    if (name.endsWith('model.bin')) fs.chmodSync(at(name), 0o755);
    git(root, 'add', name);
    git(root, 'commit', '-q', '-m', `Add ${name}`);
    write(name, bytes);
  };
  await ok('init');
  await ok('remote', 'add', 'origin', '../remote');
  write('.gitattributes', '*.mstore text eol=lf\n*.bin filter=lfs diff=lfs merge=lfs -text\n');
  write('bert/config.json', '{}');
  fs.symlinkSync('config.json', at('bert/link.json'));
  write('bert/empty.txt', '');
  git(root, 'add', '-A');
  git(root, 'commit', '-q', '-m', 'First');
  track('bert/model.bin', weights);
  return { top, root, run, ok, at, write, track };
}

describe('mstore import lfs --as', () => {
  it('takes a version with all files of a directory, and where they come from', async () => {
    const { ok, run, root, top, track, at } = await repository();
    git(root, 'tag', 'v1');
    track('bert/model.bin', xorshiftBytes(2, 1000));
    const taken = await ok('import', 'lfs', 'bert', '--as', 'bert@v1', '--rev', 'v1', '--json');
    expect(taken.document).toMatchObject({ created: true, files: 3, bytes: weights.length + 2 });
    expect(taken.document.record.source.imported).toEqual({
      from: `lfs:bert@${git(root, 'rev-parse', 'v1')}`,
      kind: 'lfs',
      commit: git(root, 'rev-parse', 'v1'),
      path: 'bert',
    });
    const out = path.join(top, 'out');
    await ok('checkout', 'bert@v1', '--to', out);
    expect(fs.readdirSync(out).sort()).toEqual([
      'config.json',
      'empty.txt',
      'link.json',
      'model.bin',
    ]);
    expect(fs.readFileSync(path.join(out, 'model.bin')).equals(weights)).toBe(true);
    expect(fs.readlinkSync(path.join(out, 'link.json'))).toBe('config.json');
    // The working tree is as it was.
    expect(fs.readFileSync(at('bert/model.bin')).length).toBe(1000);
    const again = await ok('import', 'lfs', 'bert', '--as', 'bert@v1', '--rev', 'v1', '--json');
    expect(again.document.created).toBe(false);
    const other = await run('import', 'lfs', 'bert', '--as', 'bert@v1', '--json');
    expect(other.document.error.code).toBe('version-exists');
    const one = await ok('import', 'lfs', 'bert/model.bin', '--as', 'bert@v2', '--json');
    expect(one.document).toMatchObject({ files: 1, bytes: 1000 });
    const refreshed = await run('import', 'bert@v2', '--refresh');
    expect(refreshed.stderr).toContain('is from a commit of this repository');
  });

  it('gets what is not here from the remote of the agent', async () => {
    const { root, ok, run } = await repository();
    const { open } = projectAt(root);
    const oid = sha256(weights);
    const file = path.join(root, '.git/lfs/objects', oid.slice(0, 2), oid.slice(2, 4), oid);
    const init = { event: 'init', operation: 'upload', remote: 'origin', concurrent: false };
    const upload = { event: 'upload', oid, size: weights.length, path: file };
    await askAgent(open, [init, upload], { cwd: root });
    fs.rmSync(file);
    const taken = await ok('import', 'lfs', 'bert', '--as', 'bert@v1', '--json');
    expect(taken.document.bytesReceived).toBe(weights.length + 2);
    fs.rmSync(path.join(root, '.modelstore/store'), { recursive: true });
    fs.rmSync(path.join(root, '../remote/packs'), { recursive: true });
    const absent = await run('import', 'lfs', 'bert', '--as', 'bert@v2', '--json');
    expect(absent.document.error).toMatchObject({
      code: 'objects-missing',
      hint: expect.stringContaining('git lfs fetch --all'),
    });
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, Buffer.alloc(weights.length));
    const damaged = await run('import', 'lfs', 'bert', '--as', 'bert@v2', '--json');
    expect(damaged.document.error).toMatchObject({
      code: 'corrupt-source',
      hint: expect.stringContaining('git lfs fsck'),
    });
    expect((await run('show', 'bert@v2')).code).toBe(3);
  });

  it('refuses what it cannot take', async () => {
    const { run, track, write, root } = await repository();
    write('other/readme.txt', 'plain');
    git(root, 'add', 'other');
    git(root, 'commit', '-q', '-m', 'Other');
    const oid = sha256('x');
    track(
      'ext/a.bin',
      Buffer.from('x'),
      formatLfsPointer({ oid, size: 1 }).replace('oid', `ext-0-crypt sha256:${oid}\noid`),
    );
    const codeOf = async (...args: string[]) =>
      (await run('import', 'lfs', ...args, '--json')).document.error?.code;
    expect(await codeOf('other', '--as', 'm@v1')).toBe('not-found');
    expect(await codeOf('nowhere', '--as', 'm@v1')).toBe('not-found');
    expect(await codeOf('bert', '--as', 'm@v1', '--rev', 'nothing')).toBe('unknown-ref');
    expect(await codeOf('bert', 'other', '--as', 'm@v1')).toBe('usage');
    expect(await codeOf('bert', '--rev', 'HEAD')).toBe('usage');
    expect(await codeOf('--refresh')).toBe('usage');
    expect(await codeOf('ext', '--as', 'm@v1')).toBe('unsupported-file-type');
    expect(await codeOf('ext')).toBe('unsupported-file-type');
    expect(await codeOf('--as', 'm@v1', '--exclude', 'ext/')).toBeUndefined();
    expect((await run('import', 'local:.', 'path', '--as', 'm@v1')).stderr).toContain('import lfs');
  });
});

describe('mstore import lfs', () => {
  it('puts pointers of mstore in the place of those of Git LFS, and keeps every byte', async () => {
    const { ok, root, at, track, write } = await repository();
    write(
      '.gitattributes',
      `${fs.readFileSync(at('.gitattributes'), 'utf8')}bert/vocab.txt filter=lfs -text\n`,
    );
    git(root, 'commit', '-q', '-m', 'Attributes', '.gitattributes');
    track('bert/vocab.txt', vocabulary);
    track('other.bin', Buffer.from('stays'));
    // One of them was never checked out.
    write('bert/vocab.txt', formatLfsPointer({ oid: sha256(vocabulary), size: vocabulary.length }));
    const done = await ok('import', 'lfs', 'bert', '--json');
    expect(done.document).toMatchObject({
      paths: ['bert/model.bin', 'bert/vocab.txt'],
      bytes: weights.length + vocabulary.length,
      attributesRemoved: [{ file: '.gitattributes', text: 'bert/vocab.txt filter=lfs -text' }],
      attributesLeft: [],
    });
    expect(fs.readFileSync(at('bert/model.bin')).equals(weights)).toBe(true);
    expect(fs.readFileSync(at('bert/vocab.txt')).equals(vocabulary)).toBe(true);
    expect(fs.readFileSync(at('.gitattributes'), 'utf8')).not.toContain('vocab');
    git(root, 'rm', '-q', '--cached', '--', ...done.document.paths);
    git(root, '-c', 'filter.lfs.clean=cat', 'add', 'bert', '.gitattributes');
    expect(git(root, 'diff', '--cached', '--name-status')).toBe(
      [
        'M\t.gitattributes',
        'A\tbert/.gitignore',
        'D\tbert/model.bin',
        'A\tbert/model.bin.mstore',
        'D\tbert/vocab.txt',
        'A\tbert/vocab.txt.mstore',
      ].join('\n'),
    );
    git(root, 'commit', '-q', '-m', 'Over');
    expect((await ok('status', '--json')).document.paths).toMatchObject([
      { path: 'bert/model.bin', state: 'unchanged' },
      { path: 'bert/vocab.txt', state: 'unchanged' },
    ]);
    await ok('push');
  });

  it('says which pattern fits nothing more', async () => {
    const { ok } = await repository();
    const { stderr } = await ok('import', 'lfs');
    expect(stderr).toContain('Took over 1 file of Git LFS');
    expect(stderr).toContain('Fits nothing more in .gitattributes: *.bin filter=lfs');
    expect(stderr).toContain('git rm -q --cached -- bert/model.bin');
  });

  it('touches nothing where a file was changed, or a pointer would go to Git LFS', async () => {
    const { run, ok, at, write, root } = await repository();
    write('bert/model.bin', 'an edit');
    const changed = await run('import', 'lfs', 'bert', '--json');
    expect(changed.document.error).toMatchObject({
      code: 'would-overwrite',
      details: { paths: ['bert/model.bin'] },
    });
    expect(fs.readFileSync(at('bert/model.bin'), 'utf8')).toBe('an edit');
    write('bert/model.bin', weights);
    write('.gitattributes', 'bert/** filter=lfs diff=lfs merge=lfs -text\n');
    const taken = await run('import', 'lfs', 'bert', '--json');
    expect(taken.document.error).toMatchObject({
      code: 'usage',
      details: { path: 'bert/model.bin.mstore' },
    });
    expect(fs.existsSync(at('bert/model.bin.mstore'))).toBe(false);
    fs.appendFileSync(at('.gitattributes'), '*.mstore !filter !diff !merge text eol=lf\n');
    await ok('import', 'lfs', 'bert');
    expect(git(root, 'check-attr', 'filter', 'bert/model.bin.mstore')).toMatch(/unspecified$/);
  });
});

describe('mstore export --lfs', () => {
  it('leaves objects, pointers and attributes in a repository', async () => {
    const { ok, run, top } = await repository();
    await ok('import', 'lfs', 'bert', '--as', 'bert@v1');
    const other = path.join(top, 'other');
    fs.mkdirSync(other);
    git(other, 'init', '-q');
    const out = path.join(other, 'models/bert');
    const done = await ok(
      'export',
      'bert@v1',
      '--to',
      out,
      '--lfs',
      '*.bin',
      '--lfs',
      'a b',
      '--json',
    );
    expect(done.document.lfs).toEqual({
      objects: 1,
      bytes: weights.length,
      storage: path.join(other, '.git/lfs'),
    });
    const oid = sha256(weights);
    expect(fs.readFileSync(path.join(out, 'model.bin'), 'utf8')).toBe(
      formatLfsPointer({ oid, size: weights.length }),
    );
    expect(fs.statSync(path.join(out, 'config.json')).size).toBe(2);
    expect(fs.readFileSync(path.join(out, '.gitattributes'), 'utf8')).toBe(
      '*.bin filter=lfs diff=lfs merge=lfs -text\na[[:space:]]b filter=lfs diff=lfs merge=lfs -text\n',
    );
    const object = path.join(other, '.git/lfs/objects', oid.slice(0, 2), oid.slice(2, 4), oid);
    expect(fs.readFileSync(object).equals(weights)).toBe(true);
    expect(fs.readdirSync(path.join(other, '.git/lfs/tmp'))).toEqual([]);
    // What was exported is what an import takes.
    const again = await ok('export', 'bert@v1', '--to', out, '--force', '--lfs', '*', '--json');
    expect(again.document.lfs.objects).toBe(2);
    expect(fs.statSync(path.join(out, 'empty.txt')).size).toBe(0);

    const codeOf = async (...args: string[]) =>
      (await run('export', 'bert@v1', ...args, '--json')).document.error?.code;
    expect(await codeOf('--to', path.join(top, 'plain'), '--lfs', '*.bin')).toBe('no-git');
    expect(await codeOf('--to', path.join(other, 'x'), '--lfs', '*.onnx')).toBe('not-found');
    expect(await codeOf('--to', path.join(other, 'x'), '--lfs', '!a')).toBe('usage');
    expect(fs.existsSync(path.join(other, 'x'))).toBe(false);
  });
});
