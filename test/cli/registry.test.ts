import { beforeEach, describe, expect, it } from 'vitest';
import { type CliWorkspace, makeWorkspace } from '../support/cli.ts';
import { git } from '../support/git.ts';

let workspace: CliWorkspace;

beforeEach(async () => {
  workspace = await makeWorkspace();
  await workspace.ok('remote', 'remove', 'origin');
  workspace.write('model/weights', 'one');
  await workspace.ok('add', 'model');
  git(workspace.root, 'add', '-A');
  git(workspace.root, 'commit', '-q', '-m', 'First');
});

describe('mstore with --git-tag', () => {
  it('makes the tags of each change, and says how to share them', async () => {
    const registered = await workspace.run('register', 'm@v1.0.0', 'model', '--git-tag');
    expect(registered.stderr).toContain("git push origin 'refs/tags/m@v1.0.0'");
    const dry = await workspace.run(
      ...['deploy', 'm@v1.0.0', '--env', 'staging', '--git-tag', '--dry-run'],
    );
    expect(dry.stderr).toContain('Git tags would be made: m#staging#1');
    expect(git(workspace.root, 'tag')).toBe('m@v1.0.0');
    const deployed = await workspace.run(
      ...['deploy', 'm@v1.0.0', '--env', 'staging', '--git-tag', '--json'],
    );
    expect(JSON.parse(deployed.stdout)).toMatchObject({ gitTags: ['m#staging#1'] });
    await workspace.ok('promote', 'm', '--from', 'staging', '--to', 'production', '--git-tag');
    await workspace.ok('archive', 'm@v1.0.0', '--force', '--reason', 'x', '--git-tag');
    await workspace.ok('restore', 'm@v1.0.0', '--git-tag');
    const again = await workspace.run('restore', 'm@v1.0.0', '--git-tag');
    expect(again.stderr).toContain('Git has its tags already');
    expect(git(workspace.root, 'tag').split('\n')).toEqual([
      'm#production#2',
      'm#staging#1',
      'm@v1.0.0',
      'm@v1.0.0!',
      'm@v1.0.0#3',
    ]);
  });

  it('changes nothing where a tag cannot be', async () => {
    workspace.write('model/weights', 'two');
    await workspace.ok('add', 'model');
    const uncommitted = await workspace.run('register', 'm@v1.0.0', 'model', '--git-tag');
    expect(uncommitted.code).toBe(6);
    expect(uncommitted.stderr).toContain('commit the pointer first');
    const named = await workspace.run('register', 'm@1.0.0', 'model', '--git-tag');
    expect(named.code).toBe(2);
    const { stdout } = await workspace.run('registry', 'export');
    expect(JSON.parse(stdout)).toMatchObject({ models: {}, records: {} });
  });
});

describe('mstore registry', () => {
  it('prints a registry that can be imported', async () => {
    await workspace.ok('register', 'm@v1.0.0', 'model', '--metric', 'acc=0.5');
    await workspace.ok('deploy', 'm@v1.0.0', '--env', 'staging');
    const { stdout } = await workspace.run('registry', 'export');
    expect(JSON.parse(stdout)).toMatchObject({
      models: { m: { 'v1.0.0': { version: 'v1.0.0', status: 'registered', acc: 0.5 } } },
      deployments: { m: { staging: { version: 'v1.0.0', status: 'active' } } },
    });
    expect(JSON.parse((await workspace.run('registry', 'export', '--json')).stdout)).toEqual(
      JSON.parse(stdout),
    );
    workspace.write('../registry.json', stdout);
    workspace.remove('.modelstore/store/refs');
    const imported = await workspace.run('registry', 'import', '../registry.json');
    expect(imported.stderr).toBe(
      'Imported 1 version, 1 entry, 0 states\nRun "mstore push" to share them\n',
    );
    expect((await workspace.run('registry', 'export')).stdout).toBe(stdout);
    const again = await workspace.run('registry', 'import', '../registry.json');
    expect(again.stderr).toBe(
      'Imported 0 versions, 0 entries, 0 states; 1 version known already\n',
    );
  });

  it('takes over the tags of Git', async () => {
    git(workspace.root, 'tag', '-a', '-m', 'x', 'Big@v1.0.0');
    const refused = await workspace.run('registry', 'import', '--git-tags');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('Big cannot name a model');
    const args = ['import', '--git-tags', '--rename', 'Big=big', '--path-of', 'Big=model'];
    const dry = await workspace.run('registry', ...args, '--dry-run');
    expect(dry.stderr).toBe('Would import 1 version, 0 entries, 0 states\n');
    const done = await workspace.run('registry', ...args, '--json');
    expect(JSON.parse(done.stdout)).toMatchObject({ versions: ['big@v1.0.0'], leftOut: [] });
    const rest = await workspace.run('registry', 'import', '--git-tags', '--partial');
    expect([rest.code, rest.stderr]).toEqual([0, expect.stringContaining('Left out: ')]);
  });

  it.each([
    [['import'], 'either a file or --git-tags'],
    [['import', 'a.json', '--git-tags'], 'either a file or --git-tags'],
    [['import', 'a.json', '--rename', 'a=b'], '--rename is for --git-tags'],
    [['import', 'a.json', '--path-of', 'a'], 'not of the form NAME=TEXT'],
    [['import', 'a.json', '--path-of', 'a=b', '--path-of', 'a=c'], 'names a twice'],
    [['export', 'a.json'], 'takes no file'],
    [['export', '--git-tags'], 'takes no --git-tags'],
    [['other'], 'other'],
  ])('refuses %j', async (args, words) => {
    const { code, stderr } = await workspace.run('registry', ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(words)]);
  });
});
