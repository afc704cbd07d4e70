import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeProject, type Project } from '../support/flow-project.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';

async function withModels(): Promise<Project> {
  const project = await makeProject();
  project.write('models/bert/config.json', '{}');
  project.write('models/bert/run', 'echo', 0o755);
  project.write('models/bert/w.bin', noise(400_000));
  fs.mkdirSync(project.at('models/bert/empty'));
  fs.symlinkSync('w.bin', project.at('models/bert/link'));
  project.write('models/one.onnx', 'onnx');
  fs.mkdirSync(project.at('nothing'));
  await project.add('models/bert', 'models/one.onnx', 'nothing');
  project.commit();
  return project;
}

describe('checkout to a directory', () => {
  it('writes the content of one tracked directory', async () => {
    const project = await withModels();
    const to = path.join(scratchFolder(), 'new', 'bert');
    const result = await project.checkoutTo(to, ['models/bert']);
    expect(result).toEqual({ directory: to, files: 3, bytes: 2 + 4 + 400_000 });
    expect(stateOf(to)).toEqual(stateOf(project.at('models/bert')));
    expect(fs.readdirSync(path.dirname(to))).toEqual(['bert']);
  });

  it('writes one tracked file under its name', async () => {
    const project = await withModels();
    const to = path.join(scratchFolder(), 'out');
    await project.checkoutTo(to, ['models/one.onnx']);
    expect(filesBelow(to)).toEqual(['one.onnx']);
  });

  it('keeps the paths of several', async () => {
    const project = await withModels();
    const to = path.join(scratchFolder(), 'out');
    await project.checkoutTo(to);
    expect(stateOf(to)).toEqual(stateOf(project.root));
    expect(stateOf(to)).toMatchObject({ nothing: 'directory', 'models/bert/link': 'link w.bin' });
  });

  it('leaves the workspace alone: an earlier version beside changed files', async () => {
    const project = await withModels();
    git(project.root, 'tag', 'v0');
    project.write('models/bert/w.bin', 'changed, stored nowhere');
    const before = stateOf(project.root);
    const pointer = project.read('models/bert.mstore');
    const to = path.join(scratchFolder(), 'out');
    await project.checkoutTo(to, ['v0', 'models/bert']);
    expect(fs.readFileSync(path.join(to, 'w.bin')).equals(noise(400_000))).toBe(true);
    expect(stateOf(project.root)).toEqual(before);
    expect(project.read('models/bert.mstore').equals(pointer)).toBe(true);
  });

  it('takes an empty directory, and no other without force', async () => {
    const project = await withModels();
    const to = scratchFolder();
    await project.checkoutTo(to, ['models/one.onnx']);
    await expect(project.checkoutTo(to, ['models/bert'])).rejects.toMatchObject({
      code: 'destination-exists',
    });
    expect(filesBelow(to)).toEqual(['one.onnx']);
    await project.checkoutTo(to, ['models/bert'], { force: true });
    expect(stateOf(to)).toEqual(stateOf(project.at('models/bert')));
    expect(
      fs.readdirSync(path.dirname(to)).filter((name) => name.includes(path.basename(to))),
    ).toEqual([path.basename(to)]);
  });

  it('never replaces a file or a link, forced or not', async () => {
    const project = await withModels();
    const folder = scratchFolder();
    fs.writeFileSync(path.join(folder, 'file'), 'mine');
    fs.symlinkSync(folder, path.join(folder, 'link'));
    for (const name of ['file', 'link']) {
      for (const force of [false, true]) {
        await expect(
          project.checkoutTo(path.join(folder, name), ['models/bert'], { force }),
        ).rejects.toMatchObject({ code: 'destination-exists' });
      }
    }
    expect(fs.readdirSync(folder).sort()).toEqual(['file', 'link']);
  });

  it('leaves nothing when a chunk is damaged', async () => {
    const project = await withModels();
    const packs = project.at('.modelstore/store/packs');
    for (const pack of filesBelow(packs)) {
      const bytes = fs.readFileSync(path.join(packs, pack));
      bytes[200_000] = (bytes[200_000] ?? 0) ^ 1;
      fs.writeFileSync(path.join(packs, pack), bytes);
    }
    const folder = scratchFolder();
    fs.mkdirSync(path.join(folder, 'old'));
    fs.writeFileSync(path.join(folder, 'old', 'mine'), 'mine');
    await expect(
      project.checkoutTo(path.join(folder, 'new'), ['models/bert']),
    ).rejects.toMatchObject({ code: 'corrupt-chunk' });
    await expect(
      project.checkoutTo(path.join(folder, 'old'), ['models/bert'], { force: true }),
    ).rejects.toMatchObject({ code: 'corrupt-chunk' });
    expect(filesBelow(folder)).toEqual(['old/mine']);
    expect(fs.readdirSync(folder)).toEqual(['old']);
  });

  it('leaves nothing when it is interrupted', async () => {
    const project = await withModels();
    const folder = scratchFolder();
    const abort = new AbortController();
    const progress = {
      start: () => {},
      finish: () => {},
      advance: () => abort.abort(),
    };
    project.write('more.bin', noise(30_000_000));
    await project.add('more.bin');
    await expect(
      project.checkoutTo(path.join(folder, 'new'), [], { signal: abort.signal, progress }),
    ).rejects.toMatchObject({ code: 'interrupted' });
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it('writes nothing when bytes are missing', async () => {
    const project = await withModels();
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    const to = path.join(scratchFolder(), 'deep', 'new');
    await expect(project.checkoutTo(to)).rejects.toMatchObject({ code: 'objects-missing' });
    expect(fs.existsSync(path.dirname(to))).toBe(false);
  });

  it('clears what a dead process left beside the directory, and nothing else', async () => {
    const project = await withModels();
    const folder = scratchFolder();
    const { hostToken } = await import('../../src/base/host.ts');
    const dead = `.out.${hostToken()}-999999999-0123456789abcdef.tmp`;
    const alive = `.out.${hostToken()}-1-0123456789abcdef.tmp`;
    const other = `.other.${hostToken()}-999999999-0123456789abcdef.tmp`;
    for (const name of [dead, alive, other])
      fs.mkdirSync(path.join(folder, name, 'x'), { recursive: true });
    await project.checkoutTo(path.join(folder, 'out'));
    expect(fs.readdirSync(folder).sort()).toEqual([alive, other, 'out'].sort());
  });

  it('writes a directory whose entries have the names of its own working files', async () => {
    const project = await makeProject();
    project.write('m/.building/x', 'x');
    project.write('n/.building', 'x');
    await project.add('m', 'n');
    const folder = scratchFolder();
    for (const name of ['m', 'n']) {
      await project.checkoutTo(path.join(folder, name), [name]);
      expect(stateOf(path.join(folder, name))).toEqual(stateOf(project.at(name)));
    }
  });
});
