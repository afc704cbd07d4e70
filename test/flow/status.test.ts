import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { status } from '../../src/flow/status.ts';
import { makePlainProject, makeProject, type Project, settle } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { openedBelow } from '../support/flow-state.ts';

async function sole(project: Project) {
  const { paths } = await project.status();
  expect(paths).toHaveLength(1);
  return paths[0];
}

async function withModel(): Promise<Project> {
  const project = await makeProject();
  project.write('model/a.bin', noise(300_000, 'a'));
  project.write('model/b.bin', noise(300_000, 'b'));
  project.write('model/run', 'echo', 0o755);
  await settle();
  await project.add('model');
  return project;
}

describe('status of files', () => {
  it('reads nothing of what has not changed', async () => {
    const project = await withModel();
    const opened = await openedBelow(project.at('model'), async () => {
      expect(await sole(project)).toMatchObject({ path: 'model', state: 'unchanged', changes: [] });
    });
    expect(opened).toEqual([]);
  });

  it('reads nothing after a checkout either, however young its files are', async () => {
    const project = await withModel();
    fs.rmSync(project.at('model'), { recursive: true });
    await project.checkout();
    const opened = await openedBelow(project.at('model'), async () => {
      expect(await sole(project)).toMatchObject({ state: 'unchanged' });
    });
    expect(opened).toEqual([]);
  });

  it('reads a file whose times changed once, and never one whose size did', async () => {
    const project = await withModel();
    fs.utimesSync(project.at('model/a.bin'), 1_000_000, 1_000_000.5);
    project.write('model/b.bin', 'short');
    await settle();
    const first = await openedBelow(project.at('model'), async () => {
      expect(await sole(project)).toMatchObject({
        state: 'modified',
        changes: [{ path: 'b.bin', change: 'modified', after: { size: 5 } }],
      });
    });
    expect(first).toEqual(['a.bin']);
    expect(await openedBelow(project.at('model'), () => project.status())).toEqual([]);
  });

  it('sees a change of the same size at the very moment of an add', async () => {
    const project = await makePlainProject();
    for (let turn = 0; turn < 20; turn++) {
      project.write('a.bin', noise(64, `before ${turn}`));
      await project.add('a.bin');
      project.write('a.bin', noise(64, `after ${turn}`));
      expect(await sole(project), `turn ${turn}`).toMatchObject({ state: 'modified' });
    }
  });

  it('sees a change of the same size at the very moment of a checkout', async () => {
    const project = await makePlainProject();
    project.write('a.bin', noise(64, 'stored'));
    await project.add('a.bin');
    for (let turn = 0; turn < 20; turn++) {
      fs.rmSync(project.at('a.bin'));
      await project.checkout();
      fs.writeFileSync(project.at('a.bin'), noise(64, `after ${turn}`));
      expect(await sole(project), `turn ${turn}`).toMatchObject({ state: 'modified' });
      await project.checkout([], { force: true });
    }
  });

  it('sees a change of the same size whose times were set back', async () => {
    const project = await withModel();
    const { atime, mtime } = fs.statSync(project.at('model/a.bin'));
    fs.writeFileSync(project.at('model/a.bin'), noise(300_000, 'other'));
    fs.utimesSync(project.at('model/a.bin'), atime, mtime);
    expect(await sole(project)).toMatchObject({ changes: [{ path: 'a.bin' }] });
  });

  it('names what was added, removed and given another mode', async () => {
    const project = await withModel();
    project.write('model/new', 'new');
    fs.rmSync(project.at('model/a.bin'));
    fs.chmodSync(project.at('model/run'), 0o644);
    fs.mkdirSync(project.at('model/empty'));
    fs.rmSync(project.at('model/b.bin'));
    fs.symlinkSync('run', project.at('model/b.bin'));
    expect((await sole(project))?.changes.map(({ path, change }) => [path, change])).toEqual([
      ['a.bin', 'removed'],
      ['b.bin', 'modified'],
      ['empty', 'added'],
      ['new', 'added'],
      ['run', 'mode'],
    ]);
  });

  it('sees that the pointer of a file has another mode', async () => {
    const project = await makePlainProject();
    project.write('f.bin', noise(1000, 'f'));
    await settle();
    await project.add('f.bin');
    expect(await sole(project)).toMatchObject({ state: 'unchanged' });
    const pointer = JSON.parse(project.read('f.bin.mstore').toString());
    const changed = { ...pointer, executable: true };
    project.write('f.bin.mstore', `${JSON.stringify(changed, undefined, 2)}\n`);
    expect(await sole(project)).toMatchObject({
      state: 'modified',
      changes: [{ path: 'f.bin', change: 'mode' }],
    });
  });

  it('names what could not be stored', async () => {
    const project = await withModel();
    fs.symlinkSync('/etc/passwd', project.at('model/out'));
    const found = await sole(project);
    expect(found).toMatchObject({ state: 'modified' });
    expect(found?.problems).toHaveLength(1);
  });

  it('sees a file turned into a directory and back', async () => {
    const project = await makePlainProject();
    project.write('a', 'a');
    await project.add('a');
    fs.rmSync(project.at('a'));
    project.write('a/inner', 'a');
    expect(await sole(project)).toMatchObject({ state: 'modified' });
    await project.add('a');
    expect(await sole(project)).toMatchObject({ state: 'unchanged', kind: 'tree' });
    fs.rmSync(project.at('a'), { recursive: true });
    project.write('a', 'a');
    expect(await sole(project)).toMatchObject({ state: 'modified' });
  });

  it('tells how many bytes of a missing path are nowhere here', async () => {
    const project = await withModel();
    fs.rmSync(project.at('model'), { recursive: true });
    expect(await sole(project)).toMatchObject({ state: 'missing', missingBytes: 0 });
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    expect(await sole(project)).toMatchObject({ state: 'missing', missingBytes: 600_004 });
  });

  it('says of a large tree without its list that nothing can be compared', async () => {
    const project = await makePlainProject();
    for (let n = 0; n < 1_001; n++) project.write(`many/${n}`, '');
    await project.add('many');
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    fs.rmSync(project.at('.modelstore/cache/tree'), { recursive: true });
    project.write('many/7', 'changed');
    expect(await sole(project)).toMatchObject({ state: 'unlisted' });
  });

  it('compares a large tree by the list it kept, and by no other', async () => {
    const project = await makePlainProject();
    for (let n = 0; n < 1_001; n++) project.write(`many/${n}`, '');
    await project.add('many');
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    expect(await sole(project)).toMatchObject({ state: 'unchanged' });
    project.write('many/7', 'changed');
    expect(await sole(project)).toMatchObject({ state: 'modified', changes: [{ path: '7' }] });
    const [name] = fs.readdirSync(project.at('.modelstore/cache/tree')) as [string];
    const list = project.read(`.modelstore/cache/tree/${name}`).toString();
    project.write(`.modelstore/cache/tree/${name}`, list.replace('"path":"8"', '"path":"x"'));
    expect(await sole(project)).toMatchObject({ state: 'unlisted' });
  });

  it('loses nothing but time with its cache', async () => {
    const project = await withModel();
    fs.writeFileSync(project.at('model/a.bin'), noise(300_000, 'other'));
    const caches = fs.readdirSync(project.at('.modelstore/cache/stat'));
    expect(caches).toHaveLength(1);
    for (const broken of ['', '{', '{"version":1,"tracked":"model","rows":[["a.bin"]]}', 'null']) {
      project.write(`.modelstore/cache/stat/${caches[0]}`, broken);
      expect(await sole(project)).toMatchObject({ state: 'modified', changes: [{}] });
    }
  });
});

describe('status of pointers', () => {
  it('compares them with HEAD', async () => {
    const project = await makeProject();
    project.write('a', 'a');
    await project.add('a');
    expect(await project.status()).toMatchObject({ branch: 'main', commit: undefined });
    expect(await sole(project)).toMatchObject({ pointer: 'new' });
    const commit = project.commit();
    expect(await project.status()).toMatchObject({ branch: 'main', commit });
    expect(await sole(project)).toMatchObject({ pointer: 'committed' });
    project.write('a', 'b');
    await project.add('a');
    expect(await sole(project)).toMatchObject({ pointer: 'changed', state: 'unchanged' });
  });

  it('lists broken ones beside the others, and fails only where one is asked for', async () => {
    const project = await makeProject();
    project.write('a', 'a');
    project.write('b', 'b');
    await project.add('a', 'b');
    project.write('a.mstore', 'broken');
    expect((await project.status()).paths).toMatchObject([
      { path: 'b', state: 'unchanged' },
      { path: 'a', state: 'broken', error: { code: 'corrupt-pointer' } },
    ]);
    await expect(status(await project.open(), ['a'])).rejects.toMatchObject({
      code: 'corrupt-pointer',
    });
    expect((await status(await project.open(), ['b'])).paths).toHaveLength(1);
  });
});
