import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startMstore } from '../support/cli.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { HubServer } from '../support/hub-server.ts';
import { testTls } from '../support/s3-remote.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const files = { 'config.json': '{}', 'model.safetensors': xorshiftBytes(4, 300_000) };

/** A Hub behind a proxy, and a host that has nothing yet. */
async function behindProxy() {
  const hub = await HubServer.start(testTls);
  hub.commit('org/bert', files);
  const proxy = await startConnectProxy();
  const run = (env: NodeJS.ProcessEnv = {}) => {
    const folder = tempFolder();
    const all = {
      HOME: folder,
      MSTORE_CACHE: `${folder}/cache`,
      HF_ENDPOINT: hub.endpoint,
      NODE_EXTRA_CA_CERTS: testTls.authority,
      HTTPS_PROXY: `http://${proxy.host}`,
      ...env,
    };
    return startMstore(folder, ['resolve', 'hf:org/bert', '--json'], { env: all }).done;
  };
  return { hub, proxy, run };
}

describe('a source behind a proxy', () => {
  it('is read by it, with its password and none of ours', async () => {
    const { hub, proxy, run } = await behindProxy();
    const { code, json, stderr } = await run({
      HTTPS_PROXY: `http://me:s%20cret@${proxy.host}`,
      HF_TOKEN: 'hf_x',
    });
    expect([code, stderr]).toEqual([8, expect.not.stringContaining('cret')]);
    expect(json.error?.code).toBe('remote-refused');
    hub.tokens.set('hf_x', { granted: true });
    const taken = await run({
      HTTPS_PROXY: `http://me:s%20cret@${proxy.host}`,
      HF_TOKEN: 'hf_x',
    });
    expect(taken.code, taken.stderr).toBe(0);
    const found = fs.readFileSync(`${JSON.parse(taken.stdout).directory}/model.safetensors`);
    expect(found.equals(files['model.safetensors'])).toBe(true);
    const basic = `Basic ${Buffer.from('me:s cret').toString('base64')}`;
    expect(new Set(proxy.asked.map(({ authorization }) => authorization))).toEqual(
      new Set([basic]),
    );
    // Both hosts of the Hub, each asked for less often than there are requests.
    expect(new Set(proxy.asked.map(({ host }) => host)).size).toBe(2);
    expect(proxy.asked.length).toBeLessThan(hub.requests.length);
    expect(hub.requests.every(({ authorization }) => authorization !== basic)).toBe(true);
  });

  it('is read directly where the environment says so', async () => {
    const { proxy, run } = await behindProxy();
    for (const env of [
      { NO_PROXY: 'x.org, 127.0.0.1' },
      { HTTPS_PROXY: '' },
      { https_proxy: '' },
    ]) {
      expect((await run(env)).code).toBe(0);
    }
    expect(proxy.asked).toEqual([]);
  });

  it('is no answer of the proxy', async () => {
    const { proxy, run } = await behindProxy();
    proxy.statuses.push(407);
    const locked = await run();
    expect(locked.code).toBe(8);
    expect(locked.json.error).toMatchObject({
      code: 'remote-refused',
      message: expect.stringContaining(`the proxy ${proxy.host} does not connect to it (HTTP 407)`),
      hint: expect.stringContaining('http://USER:PASSWORD@HOST:PORT'),
    });
    proxy.statuses.push(403);
    const forbidden = await run();
    expect(forbidden.json.error).toMatchObject({
      code: 'remote-refused',
      hint: expect.stringContaining('NO_PROXY'),
    });
    // What may pass is tried again.
    proxy.statuses.push(502, 503);
    expect((await run()).code).toBe(0);
  });

  it('cannot be read where the proxy is none', async () => {
    const { run } = await behindProxy();
    const absent = await run({ HTTPS_PROXY: '127.0.0.1:1' });
    expect(absent.json.error).toMatchObject({
      code: 'remote-unreachable',
      message: expect.stringContaining('by the proxy 127.0.0.1:1'),
    });
    const other = await run({ HTTPS_PROXY: 'socks5://me:secret@127.0.0.1:1' });
    expect([other.code, other.json.error?.code]).toEqual([2, 'usage']);
    expect(other.stdout + other.stderr).not.toContain('secret');
  });
});
