import { describe, expect, it } from 'vitest';
import { nearest } from '../../src/base/nearest.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { git } from '../support/git.ts';

/** Two commits with three tracked paths, after one with none; a branch has the name of a path. */
async function withHistory(): Promise<{ project: Project; one: string; two: string }> {
  const project = await makeProject();
  project.commit();
  git(project.root, 'tag', 'before');
  const commits: string[] = [];
  for (const version of ['one', 'two']) {
    for (const name of ['models/a', 'models/deep/b', 'release']) project.write(name, version);
    await project.add('models/a', 'models/deep/b', 'release');
    commits.push(project.commit());
    git(project.root, 'tag', `v-${version}`);
  }
  git(project.root, 'branch', 'release');
  git(project.root, 'branch', 'feature/x', 'v-one');
  return { project, one: commits[0] ?? '', two: commits[1] ?? '' };
}

const all = ['models/a', 'models/deep/b', 'release'];

describe('targets', () => {
  it('name paths, pointers, folders and revisions', async () => {
    const { project, one, two } = await withHistory();
    const workspace = await project.open();
    const cases: Array<[args: string[], commit: string | undefined, paths: string[]]> = [
      [[], undefined, all],
      [['models'], undefined, ['models/a', 'models/deep/b']],
      [['./models/deep'], undefined, ['models/deep/b']],
      [['models/a.mstore'], undefined, ['models/a']],
      [['models/a', 'models'], undefined, ['models/a', 'models/deep/b']],
      [['.'], undefined, all],
      [['./release'], undefined, ['release']],
      [[project.at('release')], undefined, ['release']],
      [['v-one'], one, all],
      [['feature/x'], one, all],
      [['HEAD~1'], one, all],
      [[one.slice(0, 10)], one, all],
      [['git:release'], two, all],
      [['v-one', 'models/deep'], one, ['models/deep/b']],
      [['v-one', 'release'], one, ['release']],
    ];
    for (const [args, commit, paths] of cases) {
      const found = await findTargets(workspace, args, project.root);
      expect([found.commit, found.tracked.map(({ path }) => path)], args.join(' ')).toEqual([
        commit,
        paths,
      ]);
    }
    const below = await findTargets(workspace, ['v-one', 'b'], project.at('models/deep'));
    expect(below.tracked).toMatchObject([{ path: 'models/deep/b', pointer: { size: 3 } }]);
  });

  it('fail with a code and a hint', async () => {
    const { project } = await withHistory();
    const workspace = await project.open();
    const cases: Array<[args: string[], error: object]> = [
      [
        ['release'],
        { code: 'ambiguous-ref', hint: expect.stringMatching(/\.\/release.*git:release/) },
      ],
      [['v-onne'], { code: 'unknown-ref', hint: 'Did you mean v-one?' }],
      [['models/deep/c'], { code: 'unknown-ref', hint: 'Did you mean models/deep/b?' }],
      [
        ['nothing-like-it-at-all'],
        { code: 'unknown-ref', hint: expect.stringContaining('mstore ls') },
      ],
      [['git:models/a'], { code: 'unknown-ref' }],
      [['./nothing'], { code: 'not-tracked' }],
      [['v-one', 'nothing'], { code: 'not-tracked' }],
      [
        ['v-one', 'models/a/inner'],
        { code: 'not-tracked', hint: expect.stringContaining('models/a') },
      ],
      [['before'], { code: 'not-tracked' }],
      [['../outside'], { code: 'not-tracked' }],
      [['models/a', 'v-one'], { code: 'not-tracked' }],
    ];
    for (const [args, error] of cases) {
      await expect(
        findTargets(workspace, args, project.root),
        args.join(' '),
      ).rejects.toMatchObject(args[0] === '../outside' ? { code: 'outside-workspace' } : error);
    }
  });

  it('fail on a broken pointer only where it is asked for', async () => {
    const { project } = await withHistory();
    project.write('models/a.mstore', 'broken');
    const find = async (...args: string[]) => findTargets(await project.open(), args, project.root);
    await expect(find()).rejects.toMatchObject({ code: 'corrupt-pointer' });
    await expect(find('models')).rejects.toMatchObject({ code: 'corrupt-pointer' });
    expect((await find('models/deep')).tracked).toHaveLength(1);
    expect((await find('v-two')).tracked).toHaveLength(3);
  });
});

describe('the nearest name', () => {
  it('is one with few edits for its length, or none', () => {
    const names = ['main', 'v1.0.0', 'models/bert', 'x'];
    expect(nearest('maim', names)).toBe('main');
    expect(nearest('v1.0.1', names)).toBe('v1.0.0');
    expect(nearest('model/bert', names)).toBe('models/bert');
    expect(nearest('zebra', names)).toBeUndefined();
    expect(nearest('v2', [])).toBeUndefined();
  });
});
