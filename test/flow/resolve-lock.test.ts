import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ResolveOptions } from '../../src/flow/resolve/resolve.ts';
import { HubServer } from '../support/hub-server.ts';
import { type Host, makeHost, publishTwo, textsBelow } from '../support/resolving.ts';

const first = { 'config.json': '{"v":1}' };
const second = { 'config.json': '{"v":2}', more: 'x' };

/** Resolves with a lock file, and says what came of it. */
function locking(host: Host, remotes: readonly string[]) {
  const lock = path.join(host.folder, 'models.lock');
  const at = (reference: string, more: ResolveOptions = {}) =>
    host.resolve(reference, { lock, remotes, ...more });
  const code = async (reference: string, more: ResolveOptions = {}): Promise<string> => {
    const error = await at(reference, more).catch((thrown: unknown) => thrown);
    return (error as { code?: string }).code ?? 'none';
  };
  const text = (): string => fs.readFileSync(lock, 'utf8');
  return { lock, at, code, text };
}

/** Two versions, of which the first is live in production. */
const published = () => publishTwo(first, second);

describe('a lock file', () => {
  it('gives an environment the version that was live when it was pinned', async () => {
    const { ws, v1, v2, remotes } = await published();
    const { at, code, text, lock } = locking(makeHost(), remotes);
    const pinned = await at('bert@production');
    expect(pinned.locked).toMatchObject({ before: undefined, pin: { record: v1, size: 7 } });
    const before = text();
    await ws.deploy('v2');
    const again = await at('bert@production');
    expect(again).toMatchObject({ version: 'v1', exact: `bert@v1#sha256=${v1}`, done: 'kept' });
    expect(text()).toBe(before);
    // A colleague, another host: the file alone says what is meant.
    const colleague = locking(makeHost(), remotes);
    fs.copyFileSync(lock, colleague.lock);
    expect(textsBelow((await colleague.at('bert@production')).directory)).toEqual(first);

    expect(await code('bert@production', { frozen: true })).toBe('drift');
    const moved = await at('bert@production', { update: true });
    expect(moved.locked).toMatchObject({ before: { record: v1 }, pin: { record: v2 } });
    expect((await at('bert@production', { frozen: true })).version).toBe('v2');
    expect((await at('bert@production', { update: true })).locked?.before?.record).toBe(v2);
  });

  it('names both sides of a drift, and takes none', async () => {
    const { ws, v1, v2, remotes } = await published();
    const { at } = locking(makeHost(), remotes);
    await at('bert@production');
    await ws.deploy('v2');
    await expect(at('bert@production', { frozen: true })).rejects.toMatchObject({
      message: expect.stringMatching(
        new RegExp(
          `bert@production is not .* bert@v1#sha256=${v1}, and now it is bert@v2#sha256=${v2}`,
        ),
      ),
      hint: expect.stringContaining('--update'),
    });
  });

  it('is not added to when it is frozen', async () => {
    const { remotes } = await published();
    const { at, code, lock } = locking(makeHost(), remotes);
    expect(await code('bert@v1', { frozen: true })).toBe('not-locked');
    expect(fs.existsSync(lock)).toBe(false);
    await at('bert@v1');
    expect(await code('bert@production', { frozen: true })).toBe('not-locked');
    expect((await at('bert@v1', { frozen: true })).version).toBe('v1');
  });

  it('pins branches of the Hub, and is taken without asking the Hub', async () => {
    const hub = await HubServer.start();
    const commit = hub.commit('org/bert', first);
    const { at, code } = locking(makeHost({ HF_ENDPOINT: hub.endpoint }), []);
    await at('hf:org/bert@main');
    hub.commit('org/bert', second);
    hub.requests.length = 0;
    expect((await at('hf:org/bert@main')).exact).toBe(`hf:org/bert@${commit}`);
    expect(hub.requests).toEqual([]);
    expect(await code('hf:org/bert@main', { frozen: true })).toBe('drift');
    const moved = await at('hf:org/bert@main', { update: true });
    expect(textsBelow(moved.directory)).toEqual(second);
  });

  it('finds out that a directory was changed, and never takes the changed one for the pin', async () => {
    const host = makeHost();
    const { at, code } = locking(host, []);
    const file = path.join(host.folder, 'm/config.json');
    fs.mkdirSync(path.dirname(file));
    fs.writeFileSync(file, 'one');
    const pinned = await at('local:m');
    expect((await at('local:m', { frozen: true })).tree).toBe(pinned.tree);
    fs.writeFileSync(file, 'two');
    expect(textsBelow((await at('local:m')).directory)).toEqual({ 'config.json': 'one' });
    expect(await code('local:m', { frozen: true })).toBe('drift');
    fs.rmSync(path.join(host.cache, 'models'), { recursive: true });
    expect(await code('local:m')).toBe('drift');
    expect(fs.existsSync(path.join(host.cache, 'models'))).toBe(false);
    fs.writeFileSync(file, 'one');
    expect((await at('local:m')).done).toBe('written');
  });

  it('is left as it is where nothing can be resolved, and refused where it is none', async () => {
    const { remotes } = await published();
    const { code, lock, at } = locking(makeHost(), remotes);
    expect(await code('bert@v9')).toBe('unknown-version');
    expect(fs.existsSync(lock)).toBe(false);
    for (const text of ['', '{}', '{"mstore":1,"references":{"../x":{}}}']) {
      fs.writeFileSync(lock, text);
      expect(await code('bert@v1')).toBe('corrupt-lock');
      expect(fs.readFileSync(lock, 'utf8')).toBe(text);
    }
    fs.writeFileSync(lock, '{"mstore":2,"references":{}}');
    expect(await code('bert@v1')).toBe('newer-format');
    fs.rmSync(lock);
    const { locked } = await at('bert@v1');
    // A size that is not that of the tree was written by hand.
    const text = fs.readFileSync(lock, 'utf8').replace(`"size": ${locked?.pin.size}`, '"size": 1');
    fs.writeFileSync(lock, text);
    expect(await code('bert@v1')).toBe('corrupt-lock');
  });

  it('pins once where several do so at once', async () => {
    const { remotes } = await published();
    const host = makeHost();
    const { at, text } = locking(host, remotes);
    const all = await Promise.all(
      ['bert@v1', 'bert@production', 'bert@v2', 'bert@v1'].map((one) => at(one)),
    );
    expect(all.map(({ version }) => version)).toEqual(['v1', 'v1', 'v2', 'v1']);
    expect(Object.keys(JSON.parse(text()).references)).toEqual([
      'bert@production',
      'bert@v1',
      'bert@v2',
    ]);
  });

  it('belongs to its options', async () => {
    const host = makeHost();
    const lock = path.join(host.folder, 'l');
    for (const options of [
      { update: true },
      { frozen: true },
      { force: true },
      { lock, update: true, frozen: true },
    ]) {
      await expect(host.resolve('local:x', options)).rejects.toMatchObject({ code: 'usage' });
    }
  });
});

describe('the reference of the environment', () => {
  const refer = async (env: NodeJS.ProcessEnv, file?: string): Promise<string> => {
    const host = makeHost(env);
    fs.mkdirSync(path.join(host.folder, 'm'));
    fs.writeFileSync(path.join(host.folder, 'm/x'), 'x');
    const envFile = file === undefined ? undefined : path.join(host.folder, '.env');
    if (envFile !== undefined && file !== 'absent') fs.writeFileSync(envFile, file as string);
    try {
      return (await host.resolve(undefined, { envFile })).reference;
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('is taken from MODEL_REF, else ML_MODEL_REF, and must be one', async () => {
    expect(await refer({ MODEL_REF: 'local:m' })).toBe('local:m');
    expect(await refer({ ML_MODEL_REF: ' local:m ' })).toBe('local:m');
    expect(await refer({ MODEL_REF: 'local:m', ML_MODEL_REF: 'local:m' })).toBe('local:m');
    expect(await refer({ MODEL_REF: '', ML_MODEL_REF: 'local:m' })).toBe('local:m');
    expect(await refer({ MODEL_REF: 'local:m', ML_MODEL_REF: 'local:n' })).toContain(
      'ML_MODEL_REF local:n',
    );
    expect(await refer({})).toContain('has no MODEL_REF');
  });

  it('may stand in a file, over which the environment wins', async () => {
    expect(await refer({}, 'export MODEL_REF=local:m\n')).toBe('local:m');
    expect(await refer({}, '\ufeff# ours\r\nOTHER=1\r\nMODEL_REF="local:m" # one\r\n')).toBe(
      'local:m',
    );
    expect(await refer({ MODEL_REF: 'local:m' }, 'MODEL_REF=local:n')).toBe('local:m');
    expect(await refer({ ML_MODEL_REF: 'local:m' }, 'MODEL_REF=local:n')).toContain('local:n');
    expect(await refer({}, 'absent')).toContain('There is no file');
    expect(await refer({}, 'OTHER=1')).toContain('.env has no MODEL_REF');
    expect(await refer({}, 'MODEL_REF=bert@v1#sha256=00')).toContain('holds a # and no quotes');
    expect(await refer({}, "MODEL_REF='bert@v1#sha256=00'")).toContain('is no digest');
    expect(await refer({}, `X=${'a'.repeat(70_000)}`)).toContain('at most');
    expect(await refer({}, '__proto__=x\nMODEL_REF=local:m\nconstructor=y')).toBe('local:m');
  });

  it('and its settings count for the resolution alone', async () => {
    const { ws } = await published();
    const host = makeHost();
    const envFile = path.join(host.folder, '.env');
    fs.writeFileSync(envFile, `MODEL_REF=bert@production\nMSTORE_REMOTE_ORIGIN_URL=${ws.remote}\n`);
    expect((await host.resolve(undefined, { envFile })).version).toBe('v1');
    fs.appendFileSync(envFile, 'MSTORE_OFFLINE=1\nHF_ENDPOINT=http://127.0.0.1:9\n');
    expect((await host.resolve(undefined, { envFile })).version).toBe('v1');
    await expect(host.resolve('hf:a/b', { envFile })).rejects.toMatchObject({ code: 'offline' });
    expect(process.env['MSTORE_REMOTE_ORIGIN_URL']).toBeUndefined();
  });
});
