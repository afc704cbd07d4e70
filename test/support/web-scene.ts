import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { deploy, promote, rollback } from '../../src/flow/environments.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { type Registration, register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { systemSurroundings } from '../../src/flow/surroundings.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { openWorkspace, type Workspace } from '../../src/flow/workspace.ts';
import { Registry } from '../../src/registry/registry.ts';
import { openRemote } from '../../src/remote/open.ts';
import { type CliWorkspace, cliEnv, makeWorkspace } from './cli.ts';
import { type TestToken, writeTokenFile } from './http-remote.ts';
import { madeRecord } from './registry.ts';
import { safetensorsFile } from './safetensors.ts';
import { xorshiftBytes } from './xorshift.ts';

/** What a page must never take for markup, in names of people, reasons and metadata. */
export const hostile = '<img src=x onerror="document.title=\'hacked\'"><script>hacked()</script>';

/** Tokens of the scene. */
export const sceneTokens = {
  owner: { name: 'owner', token: 'mst_owner', scopes: ['read', 'deploy'] },
  reader: { name: 'reader', token: 'mst_reader', scopes: ['read'] },
  pusher: { name: 'pusher', token: 'mst_pusher', scopes: ['push'] },
  expired: {
    name: 'expired',
    token: 'mst_expired',
    scopes: ['read'],
    expires: '2026-01-02T00:00:00.000Z',
  },
} as const satisfies Record<string, TestToken>;

/** A workspace with models on its remote, as people see them. */
export interface WebScene extends CliWorkspace {
  readonly tokenFile: string;
}

const rules = `
[registry]
lifecycle = "staging,production"

[policy.production]
weights = { accuracy = 0.6, f1 = 0.4 }
min_improvement = 0.001
lower_is_better = ["latency_ms"]

[policy.production.limits]
latency_ms = { max = 60 }
`;

const dayMs = 86_400_000;

/** Versions of the model `ocr` that many of the tests look at: metrics that rise, with one that is worse. */
const ocrVersions = [
  { accuracy: 0.871, f1: 0.842, latency_ms: 48, loss: 0.412 },
  { accuracy: 0.884, f1: 0.851, latency_ms: 47.5, loss: 0.377 },
  { accuracy: 0.879, f1: 0.848, latency_ms: 51, loss: 0.391 },
  { accuracy: 0.912, f1: 0.888, latency_ms: 44.2, loss: 0.301 },
  { accuracy: 0.927, f1: 0.903, latency_ms: 43.9, loss: 0.268 },
  { accuracy: 0.931, f1: 0.899, latency_ms: 39, loss: 0.262 },
  { accuracy: 0.946, f1: 0.921, latency_ms: 41.3, loss: 0.214 },
];

/**
 * Makes models in a folder: `ocr` with files, environments and a history, `captions` with what is hostile in it, and
 * `wide` with 500 versions of which the registry alone is there.
 * @param now milliseconds since 1970: the age of things is told from there
 */
export async function makeWebScene(folder: string, now: number): Promise<WebScene> {
  const ws = await makeWorkspace(folder);
  fs.appendFileSync(ws.at('.modelstore/config.toml'), rules);
  const tokenFile = path.join(folder, 'tokens.json');
  writeTokenFile(tokenFile, Object.values(sceneTokens));
  await makeOcr(ws, now);
  await makeCaptions(ws, now);
  await makeWide(ws, now);
  return { ...ws, tokenFile };
}

/** Opens the workspace at another time. */
async function openAt(ws: CliWorkspace, at: number): Promise<Workspace> {
  const clock = { ...systemClock, now: () => at };
  return openWorkspace(ws.root, { ...systemSurroundings(cliEnv), clock });
}

async function publish(ws: CliWorkspace, at: number, registration: Registration): Promise<void> {
  const workspace = await openAt(ws, at);
  const created = new Date(at).toISOString();
  await register(workspace, { ...registration, created });
  const remote = await chooseRemote(workspace, undefined, ws.root);
  const { tracked } = await findTargets(workspace, [], ws.root);
  await pushWithVersions(workspace, tracked, remote, { registry: 'all' });
}

/** A server over the remote of a scene. */
export interface SceneServer {
  readonly origin: string;
  /** Ends it at once, as a machine does that loses its power. */
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
let started = 0;

/** Starts `mstore serve` in the workspace of a scene; it ends with {@link SceneServer.stop}, or with this process. */
export async function serveScene(
  { root }: CliWorkspace,
  folder: string,
  ...args: string[]
): Promise<SceneServer> {
  const port = args.includes('--port') ? [] : ['--port', '0'];
  const number = ++started;
  const urlFile = path.join(folder, `url-${number}`);
  const state = path.join(folder, `state-${number}`);
  const all = ['serve', ...port, '--url-file', urlFile, '--state', state, ...args];
  const child = spawn(process.execPath, [program, '-C', root, ...all], {
    env: cliEnv,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  const ended = once(child, 'close');
  while (!fs.existsSync(urlFile)) {
    if (child.exitCode !== null) throw new Error(`The server did not start: ${said}`);
    await delay(20);
  }
  const stop = async (): Promise<void> => {
    process.removeListener('exit', kill);
    kill();
    await ended;
  };
  return { origin: fs.readFileSync(urlFile, 'utf8').trim(), stop };
}

async function makeOcr(ws: CliWorkspace, now: number): Promise<void> {
  const model = 'ocr';
  const weights = Buffer.from(xorshiftBytes(3, 1_500_000));
  for (const [i, metrics] of ocrVersions.entries()) {
    xorshiftBytes(100 + i, 90_000).forEach((byte, at) => {
      weights[i * 90_000 + at] = byte;
    });
    const tensors = [{ name: 'encoder.weight', bytes: weights }];
    ws.write('models/ocr/model.safetensors', safetensorsFile(tensors));
    ws.write('models/ocr/config.json', `{"model_type":"ocr","revision":${i + 1}}`);
    ws.write(
      'models/ocr/labels.txt',
      `${'abcdefghij'
        .slice(0, 4 + i)
        .split('')
        .join('\n')}\n`,
    );
    if (i === 4) ws.write('models/ocr/tokenizer/vocab.txt', 'one\ntwo\n');
    await ws.add('models/ocr');
    await publish(ws, now - (60 - 8 * i) * dayMs, {
      model,
      version: `v1.${i}.0`,
      path: 'models/ocr',
      metrics,
      ...(i === 6 ? { description: 'Trained on the spring scans', labels: { run: 'a17' } } : {}),
    });
  }
  const at = (days: number) => openAt(ws, now - days * dayMs);
  const move = async (days: number) => {
    const workspace = await at(days);
    return { workspace, remote: await chooseRemote(workspace, undefined, ws.root) };
  };
  for (const [days, version, reason] of [
    [50, 'v1.1.0', 'First one that reads receipts'],
    [25, 'v1.3.0', undefined],
    [9, 'v1.4.0', 'Better on faxes'],
  ] as const) {
    const { workspace, remote } = await move(days);
    const target = { model, version, environment: 'staging' };
    await deploy(workspace, target, { remote, by: 'ann@example.com', reason });
    const later = await move(days - 1);
    const places = { model, from: 'staging', to: 'production' };
    const by = 'ann@example.com';
    await promote(later.workspace, places, { remote: later.remote, by, reason });
  }
  const { workspace, remote } = await move(3);
  const back = { model, environment: 'production' };
  const why = { by: 'bob@example.com', reason: 'Invoices of one customer came out empty' };
  await rollback(workspace, back, { remote, ...why });
  const newest = { model, version: 'v1.6.0', environment: 'staging' };
  await deploy((await move(1)).workspace, newest, { remote, by: 'ci (token)' });
  const old = { model, version: 'v1.0.0', state: 'deprecated' } as const;
  await setVersionState(await at(20), old, { remote, force: true, reason: 'Reads no receipts' });
}

async function makeCaptions(ws: CliWorkspace, now: number): Promise<void> {
  ws.write('models/captions/notes.txt', 'no model');
  await ws.add('models/captions');
  await publish(ws, now - 2 * dayMs, {
    model: 'captions',
    version: 'v1',
    path: 'models/captions',
    description: hostile,
    changelog: [hostile],
    status: hostile,
    labels: { note: hostile },
    metadata: { [hostile]: hostile },
    metrics: { [`${hostile.slice(0, 30)}`]: 1 },
  });
  const workspace = await openAt(ws, now - dayMs);
  const remote = await chooseRemote(workspace, undefined, ws.root);
  const target = { model: 'captions', version: 'v1', environment: 'staging' };
  await deploy(workspace, target, { remote, by: hostile, reason: hostile });
}

/** Records alone, so that 500 versions take a moment. */
async function makeWide(ws: CliWorkspace, now: number): Promise<void> {
  const registry = new Registry(await openRemote(ws.remote, { base: '/' }));
  for (let i = 0; i < 500; i++) {
    const wave = Math.sin(i / 17) * 0.02;
    const created = new Date(now - (500 - i) * dayMs).toISOString();
    const metrics = { accuracy: 0.6 + i * 0.0006 + wave, loss: 2 / (1 + i / 60) };
    const author = i % 3 === 0 ? 'Ann' : 'Training pipeline';
    const change = { created, author, metrics };
    await registry.createRecord(madeRecord('wide', `v0.${i}.0`, change));
  }
}
