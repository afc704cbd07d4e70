import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { resolveModel } from '../../src/mstore.ts';
import { DvcFixture } from '../support/dvc-repository.ts';
import { listText, md5Of } from '../support/dvc-text.ts';
import { git } from '../support/git.ts';
import { contentOf, type Importer, makeImporter } from '../support/importing.ts';

const weights = randomBytes(300_000);

let one: Importer;
let dvc: DvcFixture;

beforeEach(async () => {
  one = await makeImporter();
  dvc = new DvcFixture(one.root);
});

/** Expects an import to fail, and to leave nothing behind. */
async function refused(from: string, code: string, text: string | RegExp): Promise<void> {
  const failure = one.take(from, 'bad@v1');
  await expect(failure).rejects.toMatchObject({ code });
  await expect(failure).rejects.toThrow(text);
}

describe('import of a path of DVC', () => {
  it('takes a file of DVC 3 from the cache, without DVC, and says where it is from', async () => {
    const md5 = dvc.file('models/m.bin', weights, { more: ['isexec: true'] });
    const { record, bytesReceived, from } = await one.take('dvc:models/m.bin', 'm@v1');
    expect(bytesReceived).toBe(0);
    expect(from).toBe('dvc:models/m.bin');
    expect(record.value.source).toEqual({
      imported: {
        from,
        kind: 'dvc',
        path: 'models/m.bin',
        file: 'models/m.bin.dvc',
        hash: 'md5',
        md5,
      },
    });
    expect(await one.files('m@v1')).toEqual({ 'm.bin': contentOf(weights) });
    // The same by the name of its file, from a folder in the workspace.
    const cwd = dvc.at('models');
    expect(await one.take('dvc:m.bin.dvc', 'm@v1', { cwd })).toMatchObject({ created: false });
    expect((await one.take('dvc:m.bin', 'm@v2', { cwd })).from).toBe('dvc:models/m.bin');
  });

  it('takes a directory, one in it, and a file in it', async () => {
    const files = { 'a.txt': 'a', 'sub/b.bin': weights, 'sub/ü.txt': 'a', 'sub.txt': 'c' };
    dvc.folder('data', files);
    await one.take('dvc:data', 'd@v1');
    expect(await one.files('d@v1')).toEqual({ ...files, 'sub/b.bin': contentOf(weights) });
    const { record } = await one.take('dvc:data/sub', 'd@v2');
    expect(await one.files('d@v2')).toEqual({ 'b.bin': contentOf(weights), 'ü.txt': 'a' });
    expect(record.value.source).toMatchObject({ imported: { path: 'data/sub', output: 'data' } });
    await one.take('dvc:data/sub/ü.txt', 'd@v3');
    expect(await one.files('d@v3')).toEqual({ 'ü.txt': 'a' });
    await refused('dvc:data/nothing', 'not-found', 'holds no such file');
  });

  it('takes what DVC 2 wrote, ends of lines and all, beside what DVC 3 wrote', async () => {
    const hash = 'md5-dos2unix' as const;
    dvc.file('old.txt', 'a\r\nb\r\n', { hash, hashed: 'a\nb\n' });
    dvc.file('new.txt', 'a\r\nb\r\n');
    dvc.folder('data', { 'x.bin': weights, 'y.txt': 'y' }, { hash });
    const { record } = await one.take('dvc:old.txt', 'm@v1');
    expect(record.value.source).toMatchObject({
      imported: { hash, md5: md5Of('a\nb\n') },
    });
    expect(await one.files('m@v1')).toEqual({ 'old.txt': 'a\r\nb\r\n' });
    await one.take('dvc:new.txt', 'm@v2');
    await one.take('dvc:data', 'm@v3');
    expect(await one.files('m@v3')).toEqual({ 'x.bin': contentOf(weights), 'y.txt': 'y' });
    expect(fs.existsSync(dvc.at(`.dvc/cache/${md5Of('y').slice(0, 2)}`))).toBe(true);
  });

  it('takes an output of a pipeline, where its stage works', async () => {
    const md5 = dvc.object('made');
    dvc.write('p/dvc.yaml', 'stages:\n  train:\n    cmd: x\n    wdir: w\n    outs: [out.bin]\n');
    dvc.write(
      'p/dvc.lock',
      `schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: out.bin\n      hash: md5\n      md5: ${md5}\n      size: 4\n`,
    );
    const { record } = await one.take('dvc:p/w/out.bin', 'm@v1');
    expect(record.value.source).toMatchObject({ imported: { file: 'p/dvc.lock', stage: 'train' } });
    expect(await one.files('m@v1')).toEqual({ 'out.bin': 'made' });
  });

  it('takes a revision of Git, of which nothing is in the working tree any more', async () => {
    dvc.file('m.bin', 'one');
    const commit = dvc.commit('m@v1.0.0');
    dvc.file('m.bin', 'two');
    dvc.commit();
    fs.rmSync(dvc.at('m.bin.dvc'));
    const from = `dvc:m.bin#rev=${commit}`;
    const { record } = await one.take('dvc:m.bin#rev=m@v1.0.0', 'm@v1');
    expect(record.value.source).toMatchObject({
      imported: { from, commit, revision: 'm@v1.0.0', md5: md5Of('one') },
    });
    expect(await one.files('m@v1')).toEqual({ 'm.bin': 'one' });
    await refused('dvc:m.bin#rev=nowhere', 'unknown-ref', 'no revision nowhere');
    await refused('dvc:m.bin', 'not-found', 'DVC keeps nothing at m.bin');
    // The same commit by another name is the same; another one is not.
    expect(await one.take(from, 'm@v1')).toMatchObject({ created: false });
    await expect(one.take('dvc:m.bin#rev=main', 'm@v1')).rejects.toMatchObject({
      code: 'version-exists',
    });
  });

  it('names the commit where Git has the file of DVC as it is, and no other', async () => {
    git(one.root, 'remote', 'add', 'origin', 'https://ann:secret@example.com/m.git');
    dvc.file('m.bin', 'one');
    const importedOf = async (as: string) =>
      (await one.take('dvc:m.bin', as)).record.value.source?.['imported'];
    expect(await importedOf('m@v1')).not.toHaveProperty('commit');
    const commit = dvc.commit();
    expect(await importedOf('m@v2')).toMatchObject({
      commit,
      repository: 'https://example.com/m.git',
    });
    dvc.file('m.bin', 'two');
    expect(await importedOf('m@v3')).not.toHaveProperty('commit');
  });

  it('takes from another repository of this machine, by its own configuration', async () => {
    const other = await makeImporter();
    const there = new DvcFixture(other.root);
    there.objects = path.join(other.root, 'store');
    there.configure('[core]', 'remote = Here', '[\'remote "here"\']', 'url = ../store');
    there.folder('data', { a: 'a' });
    const { from } = await one.take(`dvc:${other.root}/data`, 'm@v1');
    expect(from).toBe(`dvc:${other.root}/data`);
    expect(await one.files('m@v1')).toEqual({ a: 'a' });
  });

  it('looks in the cache, in a remote, and in the working tree, and passes over damage', async () => {
    dvc.configure('[\'remote "r"\']', 'url = ../remote', '[core]', 'remote = r');
    const md5 = dvc.file('m.bin', weights);
    const place = dvc.place({ hash: 'md5', md5, isList: false });
    dvc.write('m.bin', weights);
    fs.rmSync(place);
    await one.take('dvc:m.bin', 'm@v1');
    dvc.write('m.bin', randomBytes(300_000));
    fs.rmSync(dvc.at('.modelstore/cache/dvc.json'));
    await refused('dvc:m.bin', 'not-found', /the remote r \(.*remote\)/);
    dvc.objects = dvc.at('remote');
    dvc.object(weights);
    expect(await one.take('dvc:m.bin', 'm@v2')).toMatchObject({ created: true });
  });

  it('receives nothing of what an earlier import stored', async () => {
    dvc.folder('data', { a: weights, b: 'b' });
    await one.take('dvc:data', 'm@v1');
    fs.rmSync(dvc.at('.dvc/cache/files/md5'), { recursive: true });
    await refused('dvc:data', 'not-found', 'the list of its files');
    // The list, and what is new, are all that is read.
    dvc.object(
      listText([
        { md5: md5Of('b'), relpath: 'b' },
        { md5: md5Of(weights), relpath: 'z' },
      ]),
      {},
      true,
    );
    const md5 = md5Of(
      listText([
        { md5: md5Of('b'), relpath: 'b' },
        { md5: md5Of(weights), relpath: 'z' },
      ]),
    );
    dvc.write('data.dvc', dvc.out('data', `${md5}.dir`, { nfiles: 2 }));
    expect(await one.take('dvc:data', 'm@v2')).toMatchObject({
      bytesReceived: 0,
      bytesNew: expect.any(Number),
    });
    expect(await one.files('m@v2')).toEqual({ b: 'b', z: contentOf(weights) });
  });

  it('resolves to a directory, and to a pin of the commit', async () => {
    dvc.folder('data', { a: 'a' });
    const commit = dvc.commit('v1');
    const env = { HOME: one.home };
    const options = { cwd: one.root, env };
    // What the store has under the name of DVC is found for a directory too.
    await one.take('dvc:data', 'm@v1');
    const fixed = await resolveModel('dvc:data#rev=v1', options);
    expect(fixed.exact).toBe(`dvc:data#rev=${commit}`);
    expect(fs.readFileSync(path.join(fixed.directory, 'a'), 'utf8')).toBe('a');
    const now = await resolveModel('dvc:data', options);
    expect(now.exact).toBe(`dvc:data#sha256=${now.tree}`);
    expect((await resolveModel(now.exact, options)).tree).toBe(fixed.tree);
    dvc.folder('data', { a: 'b' });
    await expect(resolveModel(`dvc:data#sha256=${'0'.repeat(64)}`, options)).rejects.toMatchObject({
      code: 'drift',
    });
  });

  it('finds what has changed since, at the branch that was asked for', async () => {
    dvc.folder('data', { a: 'a', b: 'b' });
    dvc.commit();
    await one.take('dvc:data', 'm@v1');
    await one.take('dvc:data#rev=main', 'm@v2');
    dvc.folder('data', { a: 'A', c: 'c' });
    expect((await one.refresh('m', 'v1')).changes).toEqual([
      { path: 'a', change: 'changed', size: 1, sizeBefore: 1 },
      { path: 'c', change: 'added', size: 1 },
      { path: 'b', change: 'removed', sizeBefore: 1 },
    ]);
    expect(await one.refresh('m', 'v2')).toMatchObject({ asked: 'dvc:data#rev=main', changes: [] });
    dvc.commit();
    expect((await one.refresh('m', 'v2')).changes).toHaveLength(3);
  });
});

describe('what is wrong with a repository of DVC', () => {
  it('is that bytes are not those of their name', async () => {
    for (const hash of ['md5', 'md5-dos2unix'] as const) {
      const md5 = dvc.file('m.bin', weights, { hash });
      const place = dvc.place({ hash, md5, isList: false });
      const damaged = Buffer.from(weights);
      damaged[7] = (damaged[7] ?? 0) ^ 1;
      fs.writeFileSync(place, damaged);
      await refused('dvc:m.bin', 'corrupt-source', /files\/md5\/|..\/.* is damaged/);
      fs.writeFileSync(place, weights.subarray(1));
      await refused('dvc:m.bin', 'corrupt-source', /damaged/);
    }
  });

  it('is that a list is not that of its name, or says what no version may hold', async () => {
    const md5 = dvc.folder('data', { a: 'a' });
    const place = dvc.place({ hash: 'md5', md5, isList: true });
    fs.writeFileSync(place, '[]');
    await refused('dvc:data', 'corrupt-source', 'not those of its name');
    for (const relpath of ['../a', '/a', 'a\\b', '.git/config']) {
      const list = dvc.object(listText([{ md5: md5Of('a'), relpath }]), {}, true);
      dvc.write('data.dvc', dvc.out('data', `${list}.dir`));
      await refused('dvc:data', 'corrupt-source', 'an entry of it');
    }
    // One file where case does not count.
    const twins = dvc.object(
      listText(['A', 'a'].map((relpath) => ({ md5: md5Of('a'), relpath }))),
      {},
      true,
    );
    dvc.write('data.dvc', dvc.out('data', `${twins}.dir`));
    await refused('dvc:data', 'corrupt-source', /case/);
  });

  it('is that totals differ from what is there', async () => {
    const md5 = dvc.folder('data', { a: 'a' });
    dvc.write('data.dvc', dvc.out('data', `${md5}.dir`, { nfiles: 2 }));
    await refused('dvc:data', 'corrupt-source', 'says 2 files, and its list has 1');
    dvc.write('data.dvc', dvc.out('data', `${md5}.dir`, { size: 2 }));
    await refused('dvc:data', 'corrupt-source', 'says 2 bytes, and 1 were found');
  });

  it.each<[string, string, string, string]>([
    ['YAML that is none', 'outs: [', 'corrupt-source', 'is not valid YAML'],
    ['a name twice', 'outs: []\nouts: []', 'corrupt-source', 'names outs twice'],
    [
      'aliases that make much of little',
      `${[...'abcdefgh']
        .map(
          (name, i, all) =>
            `${name}: &${name} [${Array(9)
              .fill(i === 0 ? 'x' : `*${all[i - 1]}`)
              .join(', ')}]`,
        )
        .join('\n')}\nouts: *h`,
      'corrupt-source',
      'alias',
    ],
    ['a tag of Python', 'outs: !!python/object:os.system [x]', 'corrupt-source', 'Unresolved tag'],
    ['too much', `outs: []\n${'#'.repeat(4 * 1024 * 1024)}`, 'too-large', 'at most'],
    [
      'an output of a bucket',
      'outs:\n- path: s3://b/k\n  etag: x',
      'unsupported-source',
      'outside',
    ],
    [
      'versions of a bucket',
      'outs:\n- path: m.bin\n  cloud:\n    r: {etag: x, version_id: y}',
      'unsupported-source',
      'versions of a bucket',
    ],
    ['nothing stored', 'outs:\n- path: m.bin', 'unsupported-source', 'not stored it yet'],
  ])('is %s', async (_, text, code, what) => {
    dvc.write('m.bin.dvc', text);
    await refused('dvc:m.bin.dvc', code, what);
  });

  it('is no harm to other outputs', async () => {
    dvc.write('broken.dvc', 'outs: [');
    dvc.file('m.bin', 'm');
    expect(await one.take('dvc:m.bin', 'm@v1')).toMatchObject({ created: true });
    await refused('dvc:other', 'corrupt-source', 'broken.dvc');
  });

  it.each([
    ['url = ssh://host/path', 'unsupported-source', 'ssh://'],
    ['url = azure://container/path', 'unsupported-source', 'azure://'],
    ['url = https://host/path', 'unsupported-source', 'https://'],
    ['url = s3://bucket/x\nversion_aware = true', 'unsupported-source', 'version_aware'],
    ['url = gs://bucket/x\nworktree = true', 'unsupported-source', 'worktree'],
    ['profile = x', 'config-invalid', 'no url'],
    ['url = s3://bucket/x\naccess_key_id = x', 'config-invalid', 'secret_access_key'],
    ['url = s3://bucket/x\ncredentialpath = nowhere', 'config-invalid', 'no such file'],
  ])('is a remote that cannot be read: %s', async (lines, code, what) => {
    dvc.configure('[core]', 'remote = r', '[\'remote "r"\']', lines);
    dvc.file('m.bin', 'm');
    // What the cache has needs no remote.
    expect(await one.take('dvc:m.bin', 'm@v1')).toMatchObject({ created: true });
    dvc.file('n.bin', 'n');
    fs.rmSync(dvc.at('.dvc/cache/files/md5'), { recursive: true });
    await refused('dvc:n.bin', code, what);
  });

  it('is a remote that nobody set up, and data that was never pushed', async () => {
    dvc.file('m.bin', 'm', { more: ['remote: other'] });
    fs.rmSync(dvc.at('.dvc/cache/files/md5'), { recursive: true });
    await refused('dvc:m.bin', 'unknown-remote', 'no remote other');
    dvc.file('m.bin', 'm');
    fs.rmSync(dvc.at('.dvc/cache/files/md5'), { recursive: true });
    await refused('dvc:m.bin', 'not-found', 'no remote is set');
  });

  it('is that there is none', async () => {
    const folder = path.join(one.home, 'empty');
    fs.mkdirSync(folder);
    await refused(`dvc:${folder}/m.bin`, 'not-found', 'lies in no repository of DVC');
    dvc.write(
      'two.dvc',
      `outs:\n- path: a\n  md5: ${md5Of('a')}\n- path: b\n  md5: ${md5Of('b')}\n`,
    );
    await refused('dvc:two.dvc', 'usage', '2 outputs: a, b');
    const plain = new DvcFixture(path.join(one.home, 'plain'));
    await refused(`dvc:${plain.root}/m.bin#rev=v1`, 'no-git', 'no Git repository');
  });
});
