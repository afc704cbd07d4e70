import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { treeDigest } from '../../src/base/tree.ts';
import { HubServer } from '../support/hub-server.ts';
import { contentOf, makeImporter } from '../support/importing.ts';
import { callOf, globalOp, pickleOf } from '../support/pickles.ts';
import { tempFolder } from '../support/temp.ts';
import { zipFile } from '../support/zip.ts';

const large = randomBytes(400_000);

function folderWith(files: Record<string, string | Buffer>): string {
  const folder = path.join(tempFolder(), 'model');
  for (const [name, bytes] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), bytes);
  }
  return folder;
}

describe('import of a directory', () => {
  it('takes files, links, empty directories and the right to run, whatever ignore files say', async () => {
    const folder = folderWith({ 'a/weights.bin': large, run: 'echo', '.gitignore': '*' });
    fs.chmodSync(path.join(folder, 'run'), 0o755);
    fs.symlinkSync('a/weights.bin', path.join(folder, 'link'));
    fs.mkdirSync(path.join(folder, 'empty'));
    const one = await makeImporter();
    const { record, bytesReceived } = await one.take(`local:${folder}`, 'm@v1');
    expect(bytesReceived).toBe(0);
    expect(record.value.source).toEqual({
      imported: expect.objectContaining({ kind: 'local', folder }),
    });
    expect(await one.files('m@v1')).toEqual({
      'a/weights.bin': contentOf(large),
      run: 'echo',
      '.gitignore': '*',
      link: contentOf(large),
    });
  });

  it('does as the policy of validation says, before a version is there', async () => {
    const evil = pickleOf(2, callOf(globalOp('os', 'system')));
    const folder = folderWith({ 'a.txt': 'a', 'weights.pkl': evil });
    const one = await makeImporter({ env: { MSTORE_VALIDATE_POLICY: 'deny' } });
    await expect(one.take(`local:${folder}`, 'm@v1')).rejects.toMatchObject({
      code: 'validation-refused',
      message: expect.stringContaining('weights.pkl is dangerous'),
      hint: expect.stringContaining('leave the file out with --exclude'),
    });
    const { created } = await one.take(`local:${folder}`, 'm@v1', { exclude: ['*.pkl'] });
    expect(created).toBe(true);
    expect(await one.files('m@v1')).toEqual({ 'a.txt': 'a' });
    const other = await makeImporter();
    const { warnings } = await other.take(`local:${folder}`, 'm@v1');
    expect(warnings).toEqual([expect.stringContaining('weights.pkl is dangerous')]);
  });

  it('starts relative names from the current folder, and says what is not there', async () => {
    const one = await makeImporter();
    const folder = folderWith({ 'a.txt': 'a' });
    await one.take('local:model', 'm@v1', { cwd: path.dirname(folder) });
    await expect(one.take('local:nowhere', 'm@v2')).rejects.toMatchObject({ code: 'not-found' });
    await expect(one.take(`local:${folder}/a.txt`, 'm@v2')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('is no directory'),
    });
    await expect(one.take('local:', 'm@v2')).rejects.toMatchObject({ code: 'usage' });
  });

  it('refuses another content under the same version, and finds what has changed', async () => {
    const one = await makeImporter();
    const folder = folderWith({ a: '1', b: '2', c: '3' });
    await one.take(`local:${folder}`, 'm@v1');
    expect(await one.take(`local:${folder}`, 'm@v1')).toMatchObject({ created: false });
    fs.writeFileSync(path.join(folder, 'a'), 'x');
    fs.rmSync(path.join(folder, 'c'));
    fs.writeFileSync(path.join(folder, 'd'), '44');
    expect((await one.refresh('m', 'v1')).changes).toEqual([
      { path: 'a', change: 'changed', size: 1, sizeBefore: 1 },
      { path: 'd', change: 'added', size: 2 },
      { path: 'c', change: 'removed', sizeBefore: 1 },
    ]);
    await expect(one.take(`local:${folder}`, 'm@v1')).rejects.toMatchObject({
      code: 'version-exists',
    });
  });

  it('finds a file that is changed while the others are read', async () => {
    const folder = folderWith({ 'a.txt': 'a', 'b.txt': 'b' });
    const one = await makeImporter({
      more: {
        openRemote: async (url, options) => {
          fs.writeFileSync(path.join(folder, 'a.txt'), 'changed');
          const { openRemote } = await import('../../src/remote/open.ts');
          return openRemote(url, options);
        },
      },
    });
    await expect(one.take(`local:${folder}`, 'm@v1')).rejects.toMatchObject({
      code: 'source-changed',
    });
  });

  it('finds a file that is gone, or longer, when its turn comes', async () => {
    for (const spoil of [
      (file: string) => fs.rmSync(file),
      (file: string) => fs.appendFileSync(file, 'more'),
    ]) {
      const folder = folderWith({ 'a.txt': 'a', 'b.txt': 'b' });
      let opened = 0;
      const one = await makeImporter({
        more: {
          openRemote: async (url, options) => {
            // The first is the registry's, before the directory is listed.
            if (++opened === 2) spoil(path.join(folder, 'b.txt'));
            const { openRemote } = await import('../../src/remote/open.ts');
            return openRemote(url, options);
          },
        },
      });
      await expect(one.take(`local:${folder}`, 'm@v1')).rejects.toMatchObject({
        code: 'source-changed',
        message: expect.stringContaining('b.txt'),
      });
      expect(opened).toBeGreaterThan(1);
    }
  });

  it('goes where the model is already, where it is told, or below models', async () => {
    const one = await makeImporter();
    const folder = folderWith({ a: '1' });
    const pathOf = async (as: string, more = {}): Promise<string> =>
      (await one.take(`local:${folder}`, as, more)).record.value.content.path;
    expect(await pathOf('first@v1')).toBe('models/first');
    expect(await pathOf('second@v1', { path: 'weights/second' })).toBe('weights/second');
    expect(await pathOf('second@v2')).toBe('weights/second');
    await expect(pathOf('third@v1', { path: '.git/x' })).rejects.toMatchObject({ code: 'usage' });
    await expect(pathOf('Third@v1')).rejects.toMatchObject({ code: 'bad-name' });
  });
});

type Entry = readonly [header: Partial<Header> & { readonly name: string }, body?: string | Buffer];

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const [header, body] of entries) archive.entry(header, body ?? '');
  archive.finalize();
  const blocks: Buffer[] = [];
  for await (const block of archive) blocks.push(block as Buffer);
  return Buffer.concat(blocks);
}

/** A zip archive that Python wrote into a pipe, with sizes behind the members, and its members packed but for one. */
const packed = fs.readFileSync(new URL('../fixtures/web/streamed.zip', import.meta.url));

function changedAt(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** A server with one file behind an address. */
async function webWith(bytes: Buffer, name: string) {
  const hub = await HubServer.start();
  const commit = hub.commit('web', { [name]: bytes });
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const address = `${hub.endpoint}/web/resolve/${commit}/${encodeURIComponent(name)}`;
  return { hub, address, reference: `${address}#sha256=${sha256}` };
}

describe('import of an address', () => {
  it('takes one file, and forgets what stands behind the question mark', async () => {
    const { reference, address } = await webWith(large, 'model.onnx');
    const one = await makeImporter();
    const result = await one.take(reference.replace('#', '?sig=secret#'), 'm@v1');
    expect(await one.files('m@v1')).toEqual({ 'model.onnx': contentOf(large) });
    expect(result.from).toBe(reference);
    expect(JSON.stringify(result)).not.toContain('secret');
    expect(result.record.value.source).toMatchObject({ imported: { kind: 'https', url: address } });
  });

  it('takes what is in an archive, packed or not', async () => {
    const bytes = await tar([
      [{ name: './', type: 'directory' }],
      [{ name: './a/weights.bin' }, large],
      [{ name: './run', mode: 0o755 }, 'echo'],
      [{ name: './link', type: 'symlink', linkname: 'a/weights.bin' }],
      [{ name: './empty/', type: 'directory' }],
      [{ name: './a/', type: 'directory' }],
    ]);
    const expected = { 'a/weights.bin': contentOf(large), run: 'echo', link: contentOf(large) };
    const one = await makeImporter();
    for (const [at, name, whole] of [
      ['m@v1', 'm.tar', bytes],
      ['m@v2', 'm.tar.gz', gzipSync(bytes)],
      ['m@v3', 'm.tgz', gzipSync(bytes)],
    ] as const) {
      const { reference } = await webWith(whole, name);
      await one.take(reference, at);
      expect(await one.files(at)).toEqual(expected);
    }
    expect(one.kept()).toEqual([]);
  });

  it('refuses bytes that are not those of the digest', async () => {
    const { reference, hub } = await webWith(large, 'model.onnx');
    const one = await makeImporter();
    hub.faults = [{ at: '/cdn/', how: 'wrong-bytes', times: 9 }];
    await expect(one.take(reference, 'm@v1')).rejects.toMatchObject({ code: 'corrupt-source' });
    const { reference: other } = await webWith(gzipSync(large), 'm.tgz');
    const wrong = other.replace(/.{8}$/, '00000000');
    await expect(one.take(wrong, 'm@v1')).rejects.toMatchObject({ code: 'corrupt-source' });
  });

  it.each<[string, Entry[]]>([
    ['a path outside', [[{ name: '../x' }, 'x']]],
    ['an absolute path', [[{ name: '/x' }, 'x']]],
    ['the folder of Git', [[{ name: '.git/hooks/x' }, 'x']]],
    [
      'a link that leads outside',
      [[{ name: 'a' }, 'a'], [{ name: 'l', type: 'symlink', linkname: '../../x' }]],
    ],
    [
      'a file behind a link',
      [[{ name: 'l', type: 'symlink', linkname: '.' }], [{ name: 'l/x' }, 'x']],
    ],
    ['a hard link', [[{ name: 'a' }, 'a'], [{ name: 'b', type: 'link', linkname: 'a' }]]],
    ['a device', [[{ name: 'd', type: 'character-device' }]]],
    [
      'a file twice',
      [
        [{ name: 'a' }, 'a'],
        [{ name: 'a' }, 'b'],
      ],
    ],
    ['nothing', []],
  ])('refuses an archive with %s', async (_, entries) => {
    const { reference } = await webWith(gzipSync(await tar(entries)), 'm.tar.gz');
    const one = await makeImporter();
    await expect(one.take(reference, 'm@v1')).rejects.toMatchObject({
      code: expect.stringMatching(/^corrupt-/),
    });
    expect(one.kept()).toEqual([]);
  });

  it('refuses what is no archive, and what is packed too far', async () => {
    const one = await makeImporter();
    const { reference: noise } = await webWith(large, 'm.tar');
    await expect(one.take(noise, 'm@v1')).rejects.toMatchObject({ code: 'corrupt-package' });
    const bomb = gzipSync(Buffer.alloc(300 * 1024 * 1024));
    const { reference } = await webWith(bomb, 'm.tar.gz');
    await expect(one.take(reference, 'm@v1')).rejects.toMatchObject({ code: 'corrupt-package' });
  });

  it('takes what is in a zip archive, as programs write it', async () => {
    const { reference } = await webWith(packed, 'm.ZIP');
    const one = await makeImporter();
    const { record } = await one.take(reference, 'm@v1');
    const weights = 'w'.repeat(300_000);
    expect(await one.files('m@v1')).toEqual({
      'a/weights.bin': contentOf(weights),
      'labels ü.txt': 'cat\n',
      run: 'echo',
      zero: '',
    });
    const file = (name: string, text: string) => ({
      path: name,
      size: text.length,
      sha256: sha256(text),
    });
    const entries = [
      file('a/weights.bin', weights),
      { path: 'empty', directory: true } as const,
      file('labels ü.txt', 'cat\n'),
      { ...file('run', 'echo'), executable: true } as const,
      file('zero', ''),
    ];
    expect(record.value.content.sha256).toBe(treeDigest(entries));
    expect(one.kept()).toEqual([]);
  });

  it.each<[string, Buffer]>([
    ['a path outside', zipFile([{ name: '../x', bytes: Buffer.from('x') }])],
    ['the folder of Git', zipFile([{ name: '.git/hooks/x', bytes: Buffer.from('x') }])],
    ['a file twice', zipFile(['1', '2'].map((text) => ({ name: 'a', bytes: Buffer.from(text) })))],
    ['bytes before it', Buffer.concat([Buffer.from('PK'), packed])],
    ['a changed byte that is packed', changedAt(packed, packed.indexOf('weights.bin') + 40)],
    ['a changed byte that is stored', changedAt(packed, packed.indexOf('cat'))],
    ['its end cut off', packed.subarray(0, -30)],
    ['no member', zipFile([])],
    ['nothing of a zip archive', large],
  ])('refuses a zip archive with %s', async (_, bytes) => {
    const { reference } = await webWith(bytes, 'm.zip');
    const one = await makeImporter();
    await expect(one.take(reference, 'm@v1')).rejects.toMatchObject({ code: 'corrupt-source' });
    expect(one.kept()).toEqual([]);
  });

  it('asks for a digest, a file and no password', async () => {
    const one = await makeImporter();
    const digest = `#sha256=${'a'.repeat(64)}`;
    for (const wrong of [
      'https://host/m.tgz',
      'https://host/m.tgz#sha256=abc',
      `https://user:pw@host/m.tgz${digest}`,
      `https://host/${digest}`,
      'mlflow:models:/x/1',
      'bert@v1',
      'ftp://host/x',
    ]) {
      await expect(one.take(wrong, 'm@v1'), wrong).rejects.toMatchObject({ code: 'usage' });
    }
  });

  it('says that nothing is there', async () => {
    const { hub } = await webWith(large, 'model.onnx');
    const one = await makeImporter();
    const gone = `${hub.endpoint}/web/resolve/main/gone#sha256=${'a'.repeat(64)}`;
    await expect(one.take(gone, 'm@v1')).rejects.toMatchObject({ code: 'not-found' });
    const nobody = `http://127.0.0.1:1/x#sha256=${'a'.repeat(64)}`;
    await expect(one.take(nobody, 'm@v1')).rejects.toMatchObject({ code: 'remote-unreachable' });
  });
});
