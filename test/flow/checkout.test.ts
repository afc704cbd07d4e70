import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  cloneProject,
  makePlainProject,
  makeProject,
  type Project,
  settle,
} from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow, openedBelow, stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';

const mib = 1024 * 1024;

/** What stands at a path of a version: a text file, an executable, a link, or an empty directory. */
type Item = string | { run: string } | { link: string } | 'DIR';

/** Makes a folder hold exactly the given items. */
function lay(folder: string, items: Readonly<Record<string, Item>>): void {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const [name, item] of Object.entries(items)) {
    const full = path.join(folder, name);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    if (item === 'DIR') fs.mkdirSync(full);
    else if (typeof item === 'string') fs.writeFileSync(full, item);
    else if ('link' in item) fs.symlinkSync(item.link, full);
    else fs.writeFileSync(full, item.run, { mode: 0o755 });
  }
}

/** Adds and commits versions of the directory `m` one after another, tagged v0, v1, … */
async function withVersions(
  ...versions: ReadonlyArray<Readonly<Record<string, Item>>>
): Promise<{ project: Project; states: Array<Record<string, string>> }> {
  const project = await makeProject();
  const states: Array<Record<string, string>> = [];
  for (const [n, items] of versions.entries()) {
    lay(project.at('m'), items);
    await settle();
    await project.add('m');
    project.commit();
    git(project.root, 'tag', `v${n}`);
    states.push(stateOf(project.at('m')));
  }
  return { project, states };
}

describe('checkout between two versions', () => {
  it('brings back every byte, bit, link and empty directory, there and back', async () => {
    const { project, states } = await withVersions(
      {
        same: 'same',
        edited: 'one',
        removed: 'gone in v1',
        script: { run: 'echo' },
        'deep/er/file': 'x',
        link: { link: 'same' },
        empty: 'DIR',
        big: noise(3 * mib, 1).toString('latin1'),
      },
      {
        same: 'same',
        edited: 'two',
        added: 'new in v1',
        script: 'echo',
        'deep/other': 'y',
        link: { link: 'deep/other' },
        'was/empty': 'DIR',
        big: noise(3 * mib, 2).toString('latin1'),
      },
    );
    for (const version of [0, 1, 0, 1]) {
      await project.checkout([`v${version}`]);
      expect(stateOf(project.at('m'))).toEqual(states[version]);
      expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
      const shown = git(project.root, 'show', `v${version}:m.mstore`);
      expect(project.read('m.mstore').toString()).toBe(`${shown}\n`);
    }
    expect(filesBelow(project.root).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });

  it('writes only what differs, and opens nothing else', async () => {
    const { project } = await withVersions(
      { a: 'one', b: 'same', c: 'same' },
      { a: 'two', b: 'same', c: 'same' },
    );
    const opened = await openedBelow(project.at('m'), async () => {
      expect(await project.checkout(['v0'])).toMatchObject({
        filesWritten: 1,
        filesUnchanged: 2,
        filesRemoved: 0,
        bytesWritten: 3,
        pointersChanged: ['m'],
      });
    });
    expect(opened).toEqual([]);
    expect(await project.checkout(['v0'])).toMatchObject({ filesWritten: 0, pointersChanged: [] });
  });

  it('changes an executable bit without writing the file', async () => {
    const { project, states } = await withVersions(
      { run: { run: 'echo' }, b: 'b' },
      { run: 'echo', b: { run: 'b' } },
    );
    expect(await project.checkout(['v0'])).toMatchObject({ filesWritten: 0, filesUnchanged: 2 });
    expect(stateOf(project.at('m'))).toEqual(states[0]);
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
  });

  const shapes: Readonly<Record<string, Item | Record<string, Item>>> = {
    file: 'text',
    executable: { run: 'echo' },
    link: { link: 'other' },
    'empty directory': 'DIR',
    directory: { '/a': 'a', '/b/c': 'c' },
    'directory of directories': { '/d/e': 'DIR' },
  };
  const itemsOf = (shape: Item | Record<string, Item>): Record<string, Item> => {
    const nested = typeof shape === 'object' && Object.keys(shape)[0]?.startsWith('/');
    if (!nested) return { other: 'other', x: shape as Item };
    const inner = Object.entries(shape as Record<string, Item>);
    return { other: 'other', ...Object.fromEntries(inner.map(([at, item]) => [`x${at}`, item])) };
  };
  const names = Object.keys(shapes);
  const changes = names.flatMap((from) =>
    names.filter((to) => to !== from).map((to) => [from, to] as const),
  );
  it.each(changes)('turns a %s into a %s', async (from, to) => {
    const { project, states } = await withVersions(
      itemsOf(shapes[to] as Item),
      itemsOf(shapes[from] as Item),
    );
    await project.checkout(['v0']);
    expect(stateOf(project.at('m'))).toEqual(states[0]);
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
  });

  it('turns a tracked file into a tracked directory and back', async () => {
    const project = await makeProject();
    project.write('m', 'a file');
    await project.add('m');
    project.commit();
    git(project.root, 'tag', 'v0');
    fs.rmSync(project.at('m'));
    project.write('m/m', 'a file in a directory');
    await project.add('m');
    project.commit();
    await project.checkout(['v0']);
    expect(project.read('m').toString()).toBe('a file');
    await project.checkout(['main']);
    expect(stateOf(project.root)).toEqual(
      expect.objectContaining({ 'm/m': expect.stringContaining('file 21 ') }),
    );
    expect(Object.keys(stateOf(project.root))).toEqual(['m/m']);
  });
});

describe('checkout after Git has changed the pointer', () => {
  it('follows it: files are changed, added and removed', async () => {
    const { project, states } = await withVersions(
      { a: 'one', b: 'b', changed: { link: 'a' }, gone: { link: 'a' }, 'no/more': 'DIR' },
      { a: 'two', c: 'c', changed: { link: 'c' }, new: { link: 'c' } },
    );
    const other = cloneProject(project);
    git(other.root, 'reset', '-q', '--hard', 'v0');
    fs.cpSync(project.at('.modelstore/store'), other.at('.modelstore/store'), { recursive: true });
    await other.checkout();
    expect(stateOf(other.at('m'))).toEqual(states[0]);
    git(other.root, 'pull', '-q', '--ff-only');
    expect((await other.status()).paths).toMatchObject([{ state: 'modified' }]);
    expect(await other.checkout()).toMatchObject({ filesWritten: 4, kept: [] });
    expect(stateOf(other.at('m'))).toEqual(states[1]);
  });

  it('makes Git ignore the files of a pointer that came without its .gitignore line', async () => {
    const { project } = await withVersions({ a: 'a' });
    fs.rmSync(project.at('.gitignore'));
    await project.checkout();
    expect(project.read('.gitignore').toString()).toBe('/m\n');
  });
});

describe('checkout of what is not here', () => {
  it('ends before the first change', async () => {
    const project = await makePlainProject();
    project.write('a', noise(mib, 'a'));
    await project.add('a');
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    project.write('b', 'b');
    await project.add('b');
    project.write('b', 'b2');
    await project.add('b');
    fs.rmSync(project.at('a'));
    fs.rmSync(project.at('b'));
    await expect(project.checkout()).rejects.toMatchObject({
      code: 'objects-missing',
      details: { bytes: mib, paths: ['a'] },
    });
    expect(fs.existsSync(project.at('b'))).toBe(false);
    await project.checkout(['b']);
    expect(project.read('b').toString()).toBe('b2');
  });

  it('writes no file of a damaged chunk, and keeps the file that was there', async () => {
    const { project } = await withVersions(
      { a: noise(mib, 1).toString('latin1') },
      { a: noise(mib, 2).toString('latin1') },
    );
    const before = stateOf(project.at('m'));
    for (const pack of filesBelow(project.at('.modelstore/store/packs'))) {
      const file = project.at(`.modelstore/store/packs/${pack}`);
      const bytes = fs.readFileSync(file);
      bytes[1_000] = (bytes[1_000] ?? 0) ^ 1;
      fs.chmodSync(file, 0o644);
      fs.writeFileSync(file, bytes);
    }
    await expect(project.checkout(['v0'])).rejects.toMatchObject({ code: 'corrupt-chunk' });
    expect(stateOf(project.at('m'))).toEqual(before);
    expect(filesBelow(project.at('.modelstore/tmp'))).toEqual([]);
  });
});
