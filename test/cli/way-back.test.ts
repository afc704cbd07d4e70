import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/flow/session/load-model.ts';
import { reportOutcomes } from '../../src/flow/session/outcome-reporter.ts';
import { systemSurroundings } from '../../src/flow/surroundings.ts';
import type { LoadedModel } from '../../src/session/loaded-model.ts';
import { cliEnv, startMstore } from '../support/cli.ts';
import { makePublished } from '../support/resolving.ts';
import { runnableOnnx } from '../support/runnable-onnx.ts';
import { tempFolder } from '../support/temp.ts';

const ports = {
  inputs: [['x', 'float', ['n', 2]]],
  outputs: [['y', 'float', ['n', 2]]],
} as const;

/** Doubles what it is given. */
const good = runnableOnnx({ ...ports, nodes: [['Add', ['x', 'x'], ['y']]] });
/** Loads, and fails for all that is not square: what nobody sees before it runs. */
const bad = runnableOnnx({ ...ports, nodes: [['MatMul', ['x', 'x'], ['y']]] });

const rules = `
[monitor.production]
max_error_rate = 0.2
min_calls = 20
settle_seconds = 0
`;

async function until(isSo: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!isSo()) {
    if (Date.now() > end) throw new Error('It did not come to that');
    await delay(20);
  }
}

/** A service on a host: runs what `current` leads to, and tells what becomes of it. */
class Service {
  readonly versions: string[] = [];
  succeeded = 0;
  failed = 0;
  readonly #current: string;
  readonly #reporter: ReturnType<typeof reportOutcomes>;
  readonly #surroundings = systemSurroundings({ ...cliEnv, MSTORE_CACHE: tempFolder() });
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(current: string, server: string, token: string) {
    this.#current = current;
    this.#reporter = reportOutcomes({ server, model: 'bert', token, everyMs: 200 });
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    let model: LoadedModel | undefined;
    let running = '';
    while (!this.#stopped) {
      const version = fs.readlinkSync(this.#current);
      if (version !== running) {
        await model?.close();
        const reference = `local:${fs.realpathSync(this.#current)}`;
        model = await loadModel(reference, { surroundings: this.#surroundings });
        running = version;
        this.versions.push(version);
      }
      const start = performance.now();
      const x = { data: new Float32Array(6).fill(1), dims: [3, 2] };
      const ok = await model?.predict({ x }).then(
        () => true,
        () => false,
      );
      if (ok) this.succeeded++;
      else this.failed++;
      const latency_ms = performance.now() - start;
      this.#reporter.report({ version, ok: ok === true, latency_ms });
      await delay(20);
    }
    await model?.close();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    await this.#reporter.close();
  }
}

describe('a bad version', () => {
  it('is gone back from by itself, and hosts that follow run the version before', async () => {
    const ws = await makePublished();
    await ws.publish('v1', { 'model.onnx': good });
    await ws.publish('v2', { 'model.onnx': bad });
    await ws.deploy('v1');
    fs.appendFileSync(path.join(ws.root, '.modelstore/config.toml'), rules);
    const host = tempFolder();
    const at = (name: string): string => path.join(host, name);
    const run = (cwd: string, ...args: string[]) => startMstore(cwd, args, { env: { HOME: host } });
    const tokens = ['--token-file', at('tokens.json')];
    const made = await run(host, 'token', 'create', 'host', '--scope', 'report', ...tokens).done;
    const served = ['--remote', ws.remote, '--port', '0', '--url-file', at('url'), ...tokens];
    const server = run(ws.root, 'serve', ...served, '--record', at('series.jsonl'));
    const followed = ['--env', 'production', '--to', at('srv'), '--remote', ws.remote];
    const sync = run(host, 'sync', 'bert', ...followed, '--watch', '--every', '1', '--json');
    await sync.seen('"version":"v1"');
    await until(() => fs.existsSync(at('url')));
    const url = fs.readFileSync(at('url'), 'utf8').trim();
    const service = new Service(at('srv/current'), url, made.stdout.trim());
    try {
      await until(() => service.succeeded > 20);
      expect(service.failed).toBe(0);
      await ws.deploy('v2');
      await until(() => service.versions.join() === 'v1,v2,v1');
      const before = service.succeeded;
      const failed = service.failed;
      await until(() => service.succeeded > before + 20);
      expect(service.failed).toBe(failed);
    } finally {
      await service.stop();
      for (const { child } of [sync, server]) child.kill('SIGTERM');
    }
    expect((await sync.done).code).toBe(0);
    expect((await server.done).code).toBe(0);
    const past = run(ws.root, 'history', 'bert', '--env', 'production', '--remote', 'origin');
    const told = (await past.done).stdout;
    expect(told.split('\n')[1]).toMatch(/^3 .* production +rollback +v1 +monitor at /);
    expect(told).toMatch(/[\d.]+ % of \d+ calls in 300 s failed \(\d+\), more than 20 %/);
    // What was recorded says the same of the same rules.
    const again = await run(ws.root, 'simulate', at('series.jsonl'), '--json').done;
    expect(again.json).toMatchObject({
      environments: [{ model: 'bert', acts: [{ act: 'moved', version: 'v2', to: 'v1' }] }],
    });
  }, 120_000);
});
