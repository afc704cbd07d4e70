import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { addRemote, chooseRemote, listRemotes, removeRemote } from '../../src/flow/remotes.ts';
import { chooseFetchRemotes, choosePushRemotes } from '../../src/flow/several-remotes.ts';
import { openRemote } from '../../src/remote/open.ts';
import { makePlainProject, makeProject, type Project, projectAt } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';

async function addTo(
  project: Project,
  name: string,
  url: string,
  options: { isDefault?: boolean; create?: boolean; cwd?: string } = {},
): Promise<string> {
  const { isDefault = false, create = true, cwd = project.root } = options;
  const how = { isDefault, create };
  return (await addRemote(await project.open(), name, url, how, cwd)).state;
}

describe('remotes of the configuration', () => {
  it('are made in an absent or empty folder, and found again', async () => {
    const project = await makePlainProject();
    expect(await addTo(project, 'origin', '../store')).toBe('created');
    expect(await addTo(project, 'origin', '../store')).toBe('exists');
    const workspace = await project.open();
    expect(listRemotes(workspace)).toEqual([{ name: 'origin', url: '../store', isDefault: true }]);
    const { name, remote } = await chooseRemote(workspace, undefined, project.root);
    expect(name).toBe('origin');
    expect(remote.location).toBe(path.resolve(project.root, '../store'));
    fs.rmSync(path.resolve(project.root, '../store'), { recursive: true });
  });

  it('keep paths relative to the workspace, wherever they were given', async () => {
    const project = await makePlainProject();
    fs.mkdirSync(project.at('sub'));
    const cwd = project.at('sub');
    await addTo(project, 'beside', './here', { cwd });
    await addTo(project, 'above', '../there', { cwd });
    await addTo(project, 'plain', 'word', { cwd });
    const elsewhere = scratchFolder();
    await addTo(project, 'fixed', elsewhere, { cwd });
    const urls = listRemotes(await project.open()).map(({ name, url }) => [name, url]);
    expect(urls).toEqual([
      ['above', './there'],
      ['beside', './sub/here'],
      ['fixed', elsewhere],
      ['plain', './sub/word'],
    ]);
    const { remote } = await chooseRemote(await project.open(), 'beside', '/');
    expect(remote.location).toBe(project.at('sub/here'));
  });

  it('are added with what the environment says of them', async () => {
    const project = await makePlainProject();
    const { env } = (await project.open()).surroundings;
    const asked: unknown[] = [];
    const workspace = await projectAt(project.root, {
      env: {
        ...env,
        MSTORE_REMOTE_MY_BUCKET_ENDPOINT: 'http://127.0.0.1:1',
        MSTORE_REMOTE_MY_BUCKET_PATH_STYLE: 'true',
      },
      async openRemote(url, options) {
        asked.push([url, options.settings]);
        return openRemote(url, options);
      },
    }).open();
    const options = { isDefault: false, create: false };
    await addRemote(workspace, 'my-bucket', 's3://models/team', options, project.root);
    const settings = { endpoint: 'http://127.0.0.1:1', endpointTrusted: true, pathStyle: true };
    expect(asked).toEqual([['s3://models/team', expect.objectContaining(settings)]]);
  });

  it('have one default: the first, then the one that is asked for', async () => {
    const project = await makePlainProject();
    await addTo(project, 'one', './one');
    await addTo(project, 'two', './two');
    const defaults = async () =>
      listRemotes(await project.open())
        .filter(({ isDefault }) => isDefault)
        .map(({ name }) => name);
    expect(await defaults()).toEqual(['one']);
    await addTo(project, 'three', './three', { isDefault: true });
    expect(await defaults()).toEqual(['three']);
    await removeRemote(await project.open(), 'three');
    expect(await defaults()).toEqual([]);
    await expect(chooseRemote(await project.open(), undefined, project.root)).rejects.toMatchObject(
      { code: 'unknown-remote', hint: expect.stringContaining('one, two') },
    );
    await removeRemote(await project.open(), 'one');
    expect(await defaults()).toEqual(['two']);
    // What a removed remote holds stays.
    expect(fs.existsSync(project.at('one/mstore.json'))).toBe(true);
  });

  it('leave the rest of the file as it is', async () => {
    const project = await makePlainProject();
    const mine = `${project.read('.modelstore/config.toml')}# mine\n\n[other]\nkey = "kept" # too\n`;
    project.write('.modelstore/config.toml', mine);
    await addTo(project, 'origin', './store');
    const now = project.read('.modelstore/config.toml').toString();
    for (const line of mine.split('\n')) expect(now).toContain(line);
    await removeRemote(await project.open(), 'origin');
    const after = project.read('.modelstore/config.toml').toString();
    for (const line of mine.split('\n')) expect(after).toContain(line);
    expect(after).not.toContain('./store');
    expect(listRemotes(await project.open())).toEqual([]);
  });

  it('refuse a second meaning, a bad name, and a place that holds something else', async () => {
    const project = await makePlainProject();
    await addTo(project, 'origin', './store');
    await expect(addTo(project, 'origin', './other')).rejects.toMatchObject({
      code: 'remote-exists',
    });
    await expect(addTo(project, 'a.b', './other')).rejects.toMatchObject({ code: 'usage' });
    project.write('full/file', 'mine');
    await expect(addTo(project, 'full', './full')).rejects.toMatchObject({ code: 'not-a-remote' });
    expect(listRemotes(await project.open())).toHaveLength(1);
    expect(await addTo(project, 'later', './full', { create: false })).toBe('unchecked');
    await expect(removeRemote(await project.open(), 'nothing')).rejects.toMatchObject({
      code: 'unknown-remote',
    });
  });

  it('can be named by a directory that is not set up', async () => {
    const project = await makePlainProject();
    const choose = async (given: string, cwd = project.root) =>
      (await chooseRemote(await project.open(), given, cwd)).remote.location;
    fs.mkdirSync(project.at('sub'));
    expect(await choose('./x', project.at('sub'))).toBe(project.at('sub/x'));
    await expect(choose('x')).rejects.toMatchObject({
      code: 'unknown-remote',
      hint: expect.stringContaining('./x'),
    });
    await expect(chooseRemote(await project.open(), undefined, '/')).rejects.toMatchObject({
      code: 'unknown-remote',
    });
  });

  it('are overridden by the machine and by the environment', async () => {
    const project = await makePlainProject();
    await addTo(project, 'origin', './store');
    project.write('.modelstore/config.local.toml', '[remote.origin]\nurl = "./mine"\n');
    const urlOf = async (env: NodeJS.ProcessEnv) =>
      listRemotes(await projectAt(project.root, { env }).open())[0]?.url;
    expect(await urlOf({})).toBe('./mine');
    expect(await urlOf({ MSTORE_REMOTE_ORIGIN_URL: './env' })).toBe('./env');
  });

  it('keep to the rate that is said for this command, for them, or for all', async () => {
    const project = await makePlainProject();
    await addTo(project, 'origin', './origin');
    await addTo(project, 'near', './near');
    project.write(
      '.modelstore/config.local.toml',
      '[transfer]\nrate_limit = "20MB"\n[remote.near]\nrate_limit = "off"\n',
    );
    const rates: (number | undefined)[] = [];
    const env = (set: NodeJS.ProcessEnv = {}) =>
      projectAt(project.root, {
        env: set,
        openRemote: (url, options) => {
          rates.push(options.rateMax);
          return openRemote(url, options);
        },
      }).open();
    await chooseRemote(await env(), 'origin', project.root);
    await chooseRemote(await env(), 'near', project.root);
    await chooseRemote(await env(), './other', project.root);
    await chooseFetchRemotes(await env(), [], project.root, { rateMax: 30_000 });
    await choosePushRemotes(await env(), ['origin'], project.root, { rateMax: Infinity });
    await chooseRemote(await env({ MSTORE_REMOTE_NEAR_RATE_LIMIT: '1MiB/s' }), 'near', '/');
    expect(rates).toEqual([20e6, undefined, 20e6, 30_000, 30_000, undefined, 1_048_576]);
    for (const rate of ['9kB', 'fast', '', '1e9']) {
      project.write('.modelstore/config.local.toml', `[transfer]\nrate_limit = "${rate}"\n`);
      await expect(project.open()).rejects.toMatchObject({
        code: 'config-invalid',
        hint: expect.stringContaining('20MB'),
      });
    }
  });

  it('carry a push and a pull through a directory', async () => {
    const project = await makeProject();
    await addTo(project, 'origin', '../remote-of-test');
    project.write('a', 'a');
    await project.add('a');
    await project.push([], 'origin');
    fs.rmSync(project.at('a'));
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    await project.fetch([], 'origin');
    await project.checkout();
    expect(project.read('a').toString()).toBe('a');
    fs.rmSync(path.resolve(project.root, '../remote-of-test'), { recursive: true });
    await expect(project.push([], 'origin')).rejects.toMatchObject({ code: 'remote-unreachable' });
  });
});
