import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { isTempName } from '../../src/base/files.ts';
import { deploy } from '../../src/flow/environments.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { untrack } from '../../src/flow/untrack.ts';
import { verify } from '../../src/flow/verify/verify.ts';
import { emptyRemote, makeProject, withRemotes } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import { faulty } from '../support/remote-faulty.ts';

/*
 * What trials of every system call found: a failure of the system in the middle of a command that was taken
 * for an answer, or left what another run does not finish.
 */

/** Runs `work` with too many open files as soon as one file is opened. */
async function withoutDescriptors(file: string, work: () => Promise<unknown>): Promise<void> {
  const { openSync } = fs;
  const open = vi.spyOn(fs, 'openSync').mockImplementation((name, ...rest) => {
    if (name === file) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
    return openSync(name, ...rest);
  });
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    open.mockRestore();
    syncBuiltinESMExports();
  }
}

describe('a failure of the system', () => {
  it('is not taken for a pointer that is damaged: no file of an older version stays', async () => {
    const project = await makeProject();
    project.write('m/a', 'a');
    await project.add('m');
    const first = project.commit();
    const wanted = stateOf(project.root);
    project.write('m/b', 'b');
    await project.add('m');
    const before = stateOf(project.root);
    await withoutDescriptors(project.at('m.mstore'), async () => {
      await expect(project.checkout([first])).rejects.toMatchObject({ code: 'io' });
    });
    expect(stateOf(project.root)).toEqual(before);
    await project.checkout([first]);
    expect(stateOf(project.root)).toEqual(wanted);
  });

  it('is not taken for damage by a verification', async () => {
    const project = await makeProject();
    project.write('m', 'm');
    await project.add('m');
    await withoutDescriptors(project.at('m.mstore'), async () => {
      await expect(verify(await project.open(), undefined)).rejects.toMatchObject({
        code: 'io',
        details: { system: 'EMFILE' },
      });
    });
  });

  it('is not taken for a version that was not pushed', async () => {
    const remote = faulty(await emptyRemote());
    const project = await makeProject(withRemotes({ origin: remote }));
    project.write('m', 'm');
    await project.add('m');
    const workspace = await project.open();
    const version = { model: 'ranker', version: 'v1' };
    await register(workspace, { ...version, path: 'm' });
    const chosen = await chooseRemote(workspace, 'memory://origin', project.root);
    const target = { ...version, environment: 'production' };
    const move = () => deploy(workspace, target, { remote: chosen });
    await expect(move()).rejects.toMatchObject({ code: 'not-pushed' });
    // The first list compares both registries, the second looks for the version.
    remote.fail('list', { call: 2, how: 'before' });
    await expect(move()).rejects.toMatchObject({ code: 'remote-unreachable' });
  });
});

describe('checkout --to --force', () => {
  it('leaves what it could not remove under a name that the next run clears away', async () => {
    const project = await makeProject();
    project.write('m', 'new');
    await project.add('m');
    const to = path.join(scratchFolder(), 'to');
    fs.mkdirSync(to);
    fs.writeFileSync(path.join(to, 'old'), 'old');
    const { rmSync } = fs;
    const remove = vi.spyOn(fs, 'rmSync').mockImplementation((name, options) => {
      if (fs.existsSync(path.join(String(name), 'old')))
        throw Object.assign(new Error('EIO'), { code: 'EIO' });
      rmSync(name, options);
    });
    syncBuiltinESMExports();
    try {
      await expect(project.checkoutTo(to, ['m'], { force: true })).rejects.toMatchObject({
        code: 'io',
      });
    } finally {
      remove.mockRestore();
      syncBuiltinESMExports();
    }
    expect(fs.readFileSync(path.join(to, 'm'), 'utf8')).toBe('new');
    const left = fs.readdirSync(path.dirname(to)).filter((name) => name !== 'to');
    expect(left).toHaveLength(1);
    expect(left.every(isTempName)).toBe(true);
  });
});

describe('untrack', () => {
  it('takes the pointer last, so that another run finishes what was broken off', async () => {
    const project = await makeProject();
    project.write('models/a', 'a');
    await project.add('models/a');
    const ignored = project.read('models/.gitignore');
    fs.rmSync(project.at('models/.gitignore'));
    fs.mkdirSync(project.at('models/.gitignore'));
    await expect(untrack(await project.open(), ['models/a'])).rejects.toMatchObject({ code: 'io' });
    expect(fs.existsSync(project.at('models/a.mstore'))).toBe(true);
    fs.rmdirSync(project.at('models/.gitignore'));
    project.write('models/.gitignore', ignored);
    await untrack(await project.open(), ['models/a']);
    expect(fs.readdirSync(project.at('models'))).toEqual(['a']);
  });
});
