import { createHmac } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { deploy } from '../../src/flow/environments.ts';
import { remoteRegistry } from '../../src/flow/registry.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { systemSurroundings } from '../../src/flow/surroundings.ts';
import { plainWorkspace } from '../../src/flow/workspace.ts';
import type { Outcome } from '../../src/monitor/outcome.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { WatchingOptions } from '../../src/server/watching.ts';
import { allScopes, startTestServer, type TestServer } from '../support/http-remote.ts';
import { makePublished } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';

const files = (version: string) => ({ 'config.json': `{"model_type":"bert","v":"${version}"}` });

const rules = `[monitor.production]
max_error_rate = 0.1
min_calls = 20
settle_seconds = 0
`;

/** A clock that can be put forward. */
function movingClock(): Clock & { forward(ms: number): void } {
  let ahead = 0;
  return {
    now: () => systemClock.now() + ahead,
    monotonic: () => systemClock.monotonic() + ahead,
    forward(ms) {
      ahead += ms;
    },
  };
}

/** A model of which v3 is live in production, and v1 and v2 were before. */
async function published() {
  const ws = await makePublished();
  for (const version of ['v1', 'v2', 'v3']) {
    await ws.publish(version, files(version));
    await ws.deploy(version);
  }
  const workspace = await ws.open();
  const remote = await chooseRemote(workspace, undefined, ws.root);
  const history = async () =>
    (await remoteRegistry(remote).history('bert', 'production')).map(({ value }) => value);
  return { ws, workspace, remote, history };
}

type Scene = Awaited<ReturnType<typeof published>>;

/** A server that watches it by rules. */
async function watched(
  { ws, remote }: Scene,
  config: string,
  more: Partial<WatchingOptions> = {},
  { stateFolder = tempFolder(), clock = movingClock() } = {},
) {
  const folder = tempFolder();
  fs.mkdirSync(path.join(folder, '.modelstore'));
  fs.writeFileSync(path.join(folder, '.modelstore', 'config.toml'), config);
  const surroundings = { ...systemSurroundings({ ...process.env }), clock };
  const server = await startTestServer({
    remote: await openRemote(ws.remote, { base: '/' }),
    chosen: remote,
    workspace: plainWorkspace(folder, surroundings),
    clock,
    stateFolder,
    watching: { by: 'monitor at test', judgeEveryMs: 20, ...more },
  });
  return { clock, server, stateFolder };
}

function tell(server: TestServer, outcomes: ReadonlyArray<Partial<Outcome>>, environment?: string) {
  return fetch(`${server.url}/api/v1/ml-models/bert/outcomes`, {
    method: 'POST',
    headers: { authorization: `Bearer ${allScopes.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...(environment && { environment }), outcomes }),
  });
}

async function stateOf(server: TestServer): Promise<Record<string, unknown>> {
  const answer = await fetch(`${server.url}/api/v1/ml-models/bert/monitor`, {
    headers: { authorization: `Bearer ${allScopes.token}` },
  });
  const { environments } = (await answer.json()) as { environments: Record<string, unknown>[] };
  return environments[0] ?? {};
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error('It did not come to that');
    await delay(20);
  }
}

const bad = (version: string) => [
  { version, ok: true, latency_ms: 10, count: 15 },
  { version, ok: false, count: 15 },
];

/** The log has to say something that was done. */
const hasAct = (server: TestServer, act: string) =>
  server.log.some((line) => line.includes(`"act":"${act}"`));

describe('the monitor of a server', () => {
  it('brings back what breaks a rule, and says why in the history', async () => {
    const scene = await published();
    const { server } = await watched(scene, rules);
    expect((await tell(server, bad('v2'))).status).toBe(200);
    await delay(200);
    expect(await scene.history()).toHaveLength(3);
    expect(await (await tell(server, bad('v3'))).json()).toEqual({ taken: 2 });
    await until(async () => (await scene.history()).length === 4);
    const last = (await scene.history()).at(-1);
    expect(last).toMatchObject({
      action: 'rollback',
      version: 'v2',
      by: 'monitor at test',
      reason: '50 % of 30 calls in 300 s failed (15), more than 10 %',
      evidence: {
        rule: 'max_error_rate',
        value: 0.5,
        limit: 0.1,
        measured: { calls: 30, errors: 15 },
        compared_with: 'v2',
        window_seconds: 300,
      },
    });
    // What hosts still say of v3 is no reason to go further back, and what was said of v2 before it came back neither.
    await tell(server, [...bad('v3'), ...bad('v3')]);
    await delay(200);
    expect(await scene.history()).toHaveLength(4);
    expect(await stateOf(server)).toMatchObject({
      version: 'v2',
      number: 4,
      compared_with: 'v1',
      measured: { calls: 0 },
      last_act: { act: 'moved', to: 'v2', number: 4 },
    });
    const metrics = await fetch(`${server.url}/metrics`, {
      headers: { authorization: `Bearer ${allScopes.token}` },
    });
    const text = await metrics.text();
    const of = 'model="bert",environment="production"';
    expect(text).toContain(`mstore_model_calls_total{${of},version="v3",result="error"} 45`);
    expect(text).toContain(`mstore_model_latency_seconds_bucket{${of},version="v3",le="0.01"} 45`);
    expect(text).toContain(`mstore_monitor_acts_total{${of},act="moved"} 1`);
  });

  it('does so once, however many servers want to', async () => {
    const scene = await published();
    const servers: TestServer[] = [];
    for (let i = 0; i < 4; i++) servers.push((await watched(scene, rules)).server);
    await Promise.all(servers.map((server) => tell(server, bad('v3'))));
    await until(async () => (await scene.history()).length > 3);
    await until(async () => {
      const states = await Promise.all(servers.map(stateOf));
      return states.every(({ version }) => version === 'v2');
    });
    expect((await scene.history()).map(({ version }) => version)).toEqual(['v1', 'v2', 'v3', 'v2']);
  });

  it('waits before it goes back again, goes to none that it came back from, and then stays', async () => {
    const scene = await published();
    const { server, clock } = await watched(scene, `${rules}cooldown_seconds = 600\n`);
    await tell(server, bad('v3'));
    await until(async () => (await stateOf(server))['version'] === 'v2');
    await tell(server, bad('v2'));
    await until(async () => hasAct(server, 'monitor: blocked'));
    expect(await stateOf(server)).toMatchObject({ last_act: { act: 'blocked', why: 'cooldown' } });
    clock.forward(601_000);
    await tell(server, bad('v2'));
    await until(async () => (await stateOf(server))['version'] === 'v1');
    clock.forward(601_000);
    await tell(server, bad('v1'));
    await until(async () => {
      const { last_act: act } = await stateOf(server);
      return JSON.stringify(act).includes('nowhere');
    });
    const entries = await scene.history();
    expect(entries.map(({ version }) => version)).toEqual(['v1', 'v2', 'v3', 'v2', 'v1']);
  });

  it('only says so where it is to watch', async () => {
    const scene = await published();
    const { server } = await watched(scene, `${rules}mode = "watch"\n`);
    await tell(server, bad('v3'));
    await until(() => hasAct(server, 'monitor: would-move'));
    expect(await stateOf(server)).toMatchObject({
      broken: [{ rule: 'max_error_rate', value: 0.5 }],
      last_act: { act: 'would-move', to: 'v2' },
    });
    expect(await scene.history()).toHaveLength(3);
  });

  it('leaves alone what a person has moved meanwhile', async () => {
    const scene = await published();
    const { server } = await watched(scene, rules);
    await tell(server, [{ version: 'v3', ok: true }]);
    const target = { model: 'bert', version: 'v1', environment: 'production' };
    await deploy(scene.workspace, target, { remote: scene.remote });
    await tell(server, bad('v3'));
    await until(async () => (await stateOf(server))['number'] === 4);
    await delay(200);
    expect((await scene.history()).map(({ version }) => version)).toEqual(['v1', 'v2', 'v3', 'v1']);
  });

  it('brings back a version whose files cannot be had, to one whose files can', async () => {
    const scene = await published();
    const { remote } = scene.remote;
    const before = new Set<string>();
    for await (const { key } of remote.list('packs/')) before.add(key);
    await scene.ws.publish('v4', { 'config.json': JSON.stringify({ v: 4 }) });
    await scene.ws.deploy('v4');
    const config = '[monitor."bert@production"]\nhealth_failures = 2\nhealth_seconds = 5\n';
    const { server, clock } = await watched(scene, config);
    await until(async () => (await stateOf(server))['version'] === 'v4');
    for await (const { key } of remote.list('')) {
      if (/^(packs|index)\//.test(key) && !before.has(key)) {
        const file = path.join(scene.ws.remote, key);
        if (key.startsWith('packs/') || fs.existsSync(file)) fs.rmSync(file);
      }
    }
    await until(async () => {
      clock.forward(6_000);
      return (await scene.history()).length === 5;
    });
    const last = (await scene.history()).at(-1);
    expect(last?.version).toBe('v3');
    expect(last?.reason).toMatch(
      /^\d+ checks of health failed in a row, of 2 that are allowed to$/,
    );
  });

  it('goes on where it was when it is started anew', async () => {
    const scene = await published();
    const first = await watched(scene, rules);
    const some = bad('v3').map((outcome) => ({ ...outcome, count: 9 }));
    await tell(first.server, some);
    await first.server.close();
    const { server } = await watched(scene, rules, {}, first);
    await tell(server, [{ version: 'v3', ok: false, count: 2 }]);
    await until(async () => (await scene.history()).length === 4);
    expect((await scene.history()).at(-1)?.evidence?.measured).toMatchObject({ calls: 20 });
  });

  const fine = { version: 'v3', ok: true };
  it.each([
    ['no outcomes', { outcomes: [] }, 400],
    ['one without a version', { outcomes: [{ ok: true }] }, 400],
    ['none of a kind', { outcomes: [{ ...fine, count: 0 }] }, 400],
    ['a time below 0', { outcomes: [{ ...fine, latency_ms: -1 }] }, 400],
    ['an empty label', { outcomes: [{ ...fine, prediction: '' }] }, 400],
    ['a long label', { outcomes: [{ ...fine, prediction: 'x'.repeat(129) }] }, 400],
    ['what it does not know', { outcomes: [{ ...fine, more: 1 }] }, 400],
    ['too many', { outcomes: Array.from({ length: 1001 }, () => fine) }, 400],
    ['an environment without a version', { outcomes: [fine], environment: 'nowhere' }, 404],
  ])('refuses %s', async (_, body, status) => {
    const { server } = await watched(await published(), rules);
    const answer = await fetch(`${server.url}/api/v1/ml-models/bert/outcomes`, {
      method: 'POST',
      headers: { authorization: `Bearer ${allScopes.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(status);
  });

  it('takes outcomes from who may report, for the models of the token', async () => {
    const scene = await published();
    const reader = { name: 'r', token: 'mst_r', scopes: ['read', 'deploy', 'push'] as const };
    const other = { name: 'o', token: 'mst_o', scopes: ['report'] as const, models: ['other'] };
    const server = await startTestServer({
      remote: await openRemote(scene.ws.remote, { base: '/' }),
      chosen: scene.remote,
      allowed: [reader, other],
    });
    for (const { token } of [reader, other]) {
      const answer = await fetch(`${server.url}/api/v1/ml-models/bert/outcomes`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ outcomes: [{ version: 'v3', ok: true }] }),
      });
      expect(answer.status).toBe(403);
    }
  });
});

describe('webhooks', () => {
  const receivers: http.Server[] = [];
  afterEach(() => {
    for (const receiver of receivers.splice(0)) receiver.close();
  });

  const secret = `whsec_${Buffer.from('a key of thirty-two bytes, or so').toString('base64')}`;

  /** A receiver that checks signatures, and refuses the first messages. */
  async function receiver(refusals: number) {
    const taken: Array<{ id: string; type: string; data: Record<string, unknown> }> = [];
    const seen: string[] = [];
    const server = http.createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const body = Buffer.concat(parts).toString();
        const header = (name: string) => String(request.headers[`webhook-${name}`]);
        const key = Buffer.from(secret.slice(6), 'base64');
        const signed = `${header('id')}.${header('timestamp')}.${body}`;
        const expected = `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
        seen.push(header('id'));
        if (header('signature') !== expected) return void response.writeHead(401).end();
        if (seen.length <= refusals) return void response.writeHead(503).end('later');
        taken.push({ id: header('id'), ...(JSON.parse(body) as { type: string; data: never }) });
        response.writeHead(204).end();
      });
    });
    receivers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}/hook`, taken, seen };
  }

  it('are told of what moves, signed, again until they take it, and across a restart', async () => {
    const scene = await published();
    const { url, taken, seen } = await receiver(1);
    const watching = { webhooks: { urls: [url], secret } };
    const first = await watched(scene, rules, watching);
    await tell(first.server, bad('v3'));
    await until(() => hasAct(first.server, 'monitor: moved'));
    first.clock.forward(20_000);
    await until(() => seen.length === 1);
    expect(taken).toEqual([]);
    await first.server.close();
    first.clock.forward(60_000);
    const second = await watched(scene, rules, watching, first);
    await until(() => taken.length === 1);
    expect(seen[0]).toBe(seen[1]);
    expect(taken[0]).toMatchObject({
      type: 'environment.moved',
      data: { model: 'bert', version: 'v2', action: 'rollback', number: 4 },
    });
    const target = { model: 'bert', version: 'v1', environment: 'staging' };
    await deploy(scene.workspace, target, { remote: scene.remote });
    await until(() => {
      second.clock.forward(16_000);
      return taken.length === 2;
    });
    expect(taken[1]?.data).toMatchObject({ environment: 'staging', action: 'deploy' });
  });

  it.each([
    ['ftp://host/', secret],
    ['nonsense', secret],
    ['https://host/', 'short'],
  ])('are refused for %s with the secret %s', async (url, key) => {
    const scene = await published();
    const watching = { webhooks: { urls: [url], secret: key } };
    await expect(watched(scene, rules, watching)).rejects.toMatchObject({ code: 'usage' });
  });
});
