import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseTree } from '../../src/base/tree.ts';
import { readPointer } from '../../src/worktree/pointer.ts';
import { makePlainProject, makeProject, settle } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow, openedBelow, stateOf } from '../support/flow-state.ts';

const mib = 1024 * 1024;
const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('add of a file', () => {
  it('stores its bytes and writes its pointer', async () => {
    const project = await makeProject();
    const bytes = noise(2 * mib + 5);
    project.write('models/a.bin', bytes);
    const result = await project.add('models/a.bin');
    expect(result.bytesRead).toBe(bytes.length);
    expect(result.bytesNew).toBe(bytes.length);
    expect(result.chunksNew).toBe(result.chunks);
    expect(result.paths).toMatchObject([{ path: 'models/a.bin', files: 1, changed: true }]);
    expect(JSON.parse(project.read('models/a.bin.mstore').toString())).toEqual({
      mstore: 1,
      path: 'a.bin',
      kind: 'file',
      sha256: digestOf(bytes),
      size: bytes.length,
    });
    expect(project.read('models/a.bin').equals(bytes)).toBe(true);
  });

  it('keeps the executable bit, and sees it change', async () => {
    const project = await makePlainProject();
    project.write('run', 'echo', 0o755);
    await project.add('run');
    expect(readPointer(project.at('run.mstore'), 'run.mstore')).toMatchObject({ executable: true });
    fs.chmodSync(project.at('run'), 0o644);
    await project.add('run');
    expect(project.read('run.mstore').toString()).not.toContain('executable');
  });

  it('keeps an empty file', async () => {
    const project = await makePlainProject();
    project.write('empty', '');
    const result = await project.add('empty');
    expect(result).toMatchObject({ bytesRead: 0, bytesNew: 0 });
    fs.rmSync(project.at('empty'));
    await project.checkout();
    expect(project.read('empty')).toHaveLength(0);
  });

  it('reads nothing of a file that has not changed', async () => {
    const project = await makePlainProject();
    project.write('a.bin', noise(mib));
    await settle();
    await project.add('a.bin');
    const pointer = project.read('a.bin.mstore');
    let again: unknown;
    const opened = await openedBelow(project.root, async () => {
      again = await project.add('a.bin');
    });
    expect(again).toMatchObject({ bytesRead: 0, chunks: 0, paths: [{ changed: false }] });
    expect(opened).not.toContain('a.bin');
    expect(project.read('a.bin.mstore').equals(pointer)).toBe(true);
  });

  it('reads a file again that was changed too shortly before it was read', async () => {
    const project = await makePlainProject();
    project.write('a.bin', noise(mib));
    // However slow the machine is, the file looks as if it had just been written.
    const soon = Date.now() / 1000 + 60;
    fs.utimesSync(project.at('a.bin'), soon, soon);
    await project.add('a.bin');
    expect(await project.add('a.bin')).toMatchObject({ bytesRead: mib, bytesNew: 0 });
  });

  it('reads a file again whose bytes the store has lost', async () => {
    const project = await makePlainProject();
    project.write('a.bin', noise(mib));
    await settle();
    await project.add('a.bin');
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    expect(await project.add('a.bin')).toMatchObject({ bytesRead: mib, bytesNew: mib });
  });

  it('stores few chunks for a second version with small edits', async () => {
    const project = await makePlainProject();
    const first = noise(16 * mib);
    project.write('a.bin', first);
    await project.add('a.bin');
    const second = Buffer.concat([Buffer.from('at the head'), first]);
    second.write('in the middle', 9 * mib);
    project.write('a.bin', second);
    const result = await project.add('a.bin');
    expect(result.bytesRead).toBe(second.length);
    expect(result.chunks).toBeGreaterThan(30);
    expect(result.chunksNew).toBeGreaterThan(0);
    expect(result.chunksNew).toBeLessThanOrEqual(6);
    expect(result.bytesNew).toBeLessThan(4 * mib);
  });

  it('keeps the keys of a pointer that it does not know', async () => {
    const project = await makePlainProject();
    project.write('a.bin', 'one');
    await project.add('a.bin');
    const pointer = JSON.parse(project.read('a.bin.mstore').toString());
    project.write('a.bin.mstore', JSON.stringify({ ...pointer, license: { id: 'MIT' } }));
    project.write('a.bin', 'two');
    await project.add('a.bin');
    expect(JSON.parse(project.read('a.bin.mstore').toString())).toMatchObject({
      sha256: digestOf(Buffer.from('two')),
      license: { id: 'MIT' },
    });
  });

  it('replaces a pointer that cannot be used', async () => {
    const project = await makePlainProject();
    project.write('a.bin', 'one');
    await project.add('a.bin');
    const good = project.read('a.bin.mstore');
    for (const bad of ['{ cut', '<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n']) {
      project.write('a.bin.mstore', bad);
      expect((await project.add('a.bin')).paths[0]).toMatchObject({ changed: true });
      expect(project.read('a.bin.mstore').equals(good)).toBe(true);
    }
  });
});

describe('add of a directory', () => {
  it('keeps files, executable bits, links and empty directories', async () => {
    const project = await makePlainProject();
    project.write('bert/config.json', '{}');
    project.write('bert/run.sh', 'echo', 0o755);
    project.write('bert/sub/weights.bin', noise(700_000));
    fs.mkdirSync(project.at('bert/sub/empty'));
    fs.symlinkSync('../config.json', project.at('bert/sub/config'));
    const result = await project.add('bert');
    expect(result.paths).toMatchObject([{ path: 'bert', files: 3 }]);
    expect(JSON.parse(project.read('bert.mstore').toString())).toMatchObject({
      kind: 'tree',
      size: 2 + 4 + 700_000,
      files: [
        { path: 'config.json', size: 2 },
        { path: 'run.sh', size: 4, executable: true },
        { path: 'sub/config', link: '../config.json' },
        { path: 'sub/empty', directory: true },
        { path: 'sub/weights.bin', size: 700_000 },
      ],
    });
    const before = stateOf(project.at('bert'));
    fs.rmSync(project.at('bert'), { recursive: true });
    await project.checkout();
    expect(stateOf(project.at('bert'))).toEqual(before);
  });

  it('reads only the files that changed', async () => {
    const project = await makePlainProject();
    for (const name of ['a', 'b', 'c']) project.write(`dir/${name}`, noise(200_000, name));
    await settle();
    await project.add('dir');
    project.write('dir/b', noise(200_001, 'new'));
    await settle();
    expect(await project.add('dir')).toMatchObject({ bytesRead: 200_001 });
    expect(await project.add('dir')).toMatchObject({ bytesRead: 0, paths: [{ changed: false }] });
  });

  it('keeps an empty directory', async () => {
    const project = await makePlainProject();
    fs.mkdirSync(project.at('dir'));
    await project.add('dir');
    fs.rmdirSync(project.at('dir'));
    await project.checkout();
    expect(fs.readdirSync(project.at('dir'))).toEqual([]);
  });

  it('leaves out what .mstoreignore names', async () => {
    const project = await makePlainProject();
    project.write('.mstoreignore', '*.log\n');
    project.write('dir/.mstoreignore', 'cache/\n');
    project.write('dir/a', 'a');
    project.write('dir/x.log', 'x');
    project.write('dir/cache/c', 'c');
    await project.add('dir');
    const { files } = JSON.parse(project.read('dir.mstore').toString());
    expect(files.map((file: { path: string }) => file.path)).toEqual(['.mstoreignore', 'a']);
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
  });

  it('puts thousands of small files into few packs', async () => {
    const project = await makePlainProject();
    const count = 3_000;
    fs.mkdirSync(project.at('many'));
    for (let n = 0; n < count; n++) {
      fs.writeFileSync(project.at(`many/${n}.json`), `{ "number": ${n} }`);
    }
    await settle();
    const result = await project.add('many');
    expect(result.chunksNew).toBeGreaterThanOrEqual(count);
    const stored = filesBelow(project.at('.modelstore/store'));
    expect(stored.filter((file) => file.endsWith('.pack'))).toHaveLength(1);
    expect(stored.length).toBeLessThan(6);
    // Too many for the pointer: their list is a blob of the store.
    expect(project.read('many.mstore').length).toBeLessThan(500);
    const before = stateOf(project.at('many'));
    expect(await project.add('many')).toMatchObject({ bytesRead: 0, paths: [{ changed: false }] });
    fs.rmSync(project.at('many'), { recursive: true });
    expect(await project.checkout()).toMatchObject({ filesWritten: count });
    expect(stateOf(project.at('many'))).toEqual(before);
  });

  it('stores the list of files too, so that the name of the tree can be read', async () => {
    const project = await makePlainProject();
    project.write('dir/a', 'a');
    const { paths } = await project.add('dir');
    const { findFile, readFile } = await import('../../src/flow/list.ts');
    const workspace = await project.open();
    expect(workspace.store.has(paths[0]?.pointer.sha256 ?? expect.fail('No path'))).toBe(true);
    const blocks: Buffer[] = [];
    const file = await findFile(workspace, 'dir/a', project.root);
    const tree = { ...file, sha256: paths[0]?.pointer.sha256 ?? file.sha256 };
    await readFile(workspace, tree, async (block) => void blocks.push(Buffer.from(block)));
    expect(parseTree(Buffer.concat(blocks))).toEqual([file]);
  });
});

describe('add of several paths', () => {
  it('checks all before it stores the first', async () => {
    const project = await makePlainProject();
    project.write('a', 'a');
    await expect(project.add('a', 'missing')).rejects.toEqual(code('not-found'));
    expect(fs.existsSync(project.at('a.mstore'))).toBe(false);
    expect(filesBelow(project.at('.modelstore/store'))).toEqual([]);
  });

  it('stores what is in two of them once', async () => {
    const project = await makePlainProject();
    const bytes = noise(mib);
    project.write('a/x', bytes);
    project.write('b/y', bytes);
    const result = await project.add('a', 'b', 'a');
    expect(result.paths.map(({ path }) => path)).toEqual(['a', 'b']);
    expect(result.bytesRead).toBe(2 * mib);
    expect(result.bytesNew).toBeLessThan(mib + 1_000);
  });

  it('leaves no temporary file behind', async () => {
    const project = await makeProject();
    project.write('a', 'a');
    project.write('dir/b', noise(mib));
    await project.add('a', 'dir');
    expect(filesBelow(project.root).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });
});
