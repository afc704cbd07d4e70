import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { startMstore } from '../support/cli.ts';
import { makePublished, textsBelow } from '../support/resolving.ts';
import { goBack } from '../support/syncing.ts';
import { tempFolder } from '../support/temp.ts';

const one = { 'config.json': '{"v":1}', 'weights.bin': 'w'.repeat(300_000) };
const two = { 'config.json': '{"v":2}', 'weights.bin': 'w'.repeat(300_000) };
const noSockets = { NODE_OPTIONS: `--require ${path.resolve('test/support/no-sockets.cjs')}` };

/** A host without a workspace, that follows production. */
async function following() {
  const ws = await makePublished();
  await ws.publish('v1', one);
  await ws.publish('v2', two);
  await ws.deploy('v1');
  const folder = tempFolder();
  const usual = ['sync', 'bert', '--env', 'production', '--to', 'srv', '--remote', ws.remote];
  const start = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    startMstore(folder, [...usual, ...args], { env: { HOME: folder, ...env } });
  const run = (args: string[] = [], env: NodeJS.ProcessEnv = {}) => start(args, env).done;
  return { ws, folder, start, run, at: (name: string) => path.join(folder, 'srv', name) };
}

const linesOf = (text: string): Array<Record<string, unknown>> =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('mstore sync', () => {
  it('prints the directory, alone, and says the rest on standard error', async () => {
    const { run, at, folder, ws } = await following();
    const first = await run();
    expect(first).toMatchObject({ code: 0, stdout: `${at('v1')}\n` });
    expect(first.stderr).toMatch(/bert@v1 is live in production: 2 files, .* verified; received/);
    expect(textsBelow(fs.realpathSync(at('current')))).toEqual(one);
    expect(fs.readdirSync(folder)).toEqual(['srv']);
    const again = await run(['--once', '--offline', '--quiet'], noSockets);
    expect(again).toMatchObject({ code: 0, stdout: `${at('v1')}\n`, stderr: '' });
    await ws.deploy('v2');
    const document = JSON.parse((await run(['--json'])).stdout) as Record<string, unknown>;
    expect(document).toMatchObject({
      switched: true,
      previous: 'v1',
      done: 'written',
      receipt: { version: 'v2', stale: false, verified: { files: 2 } },
    });
    expect(document['receipt']).toEqual(JSON.parse(fs.readFileSync(at('receipt.json'), 'utf8')));
    const env = { MSTORE_REMOTE_ORIGIN_URL: ws.remote };
    const plain = ['sync', 'bert', '--env', 'production', '--to', 'srv'];
    const named = await startMstore(folder, plain, { env: { HOME: folder, ...env } }).done;
    expect(named).toMatchObject({ code: 0, stdout: `${at('v2')}\n` });
  });

  it('ends with the codes of its page', async () => {
    const { run, at, ws, folder } = await following();
    expect(await run(['--check', 'echo out; echo err >&2; exit 1'])).toMatchObject({
      code: 7,
      stdout: '',
      stderr: expect.stringMatching(/out\n[\s\S]*err\n[\s\S]*\[check-refused\]/),
    });
    expect(fs.existsSync(at('current'))).toBe(false);
    const cases: ReadonlyArray<readonly [string[], number, string]> = [
      [['--env', 'staging', '--to', 'other'], 3, 'unknown-environment'],
      [['--keep', '1'], 2, 'usage'],
      [['--every', '5'], 2, 'usage'],
      [['--watch', '--every', '0'], 2, 'usage'],
      [['--watch', '--once'], 2, 'usage'],
      [['--exec', 'a', '--after', 'b'], 2, 'usage'],
      [['--check', ' '], 2, 'usage'],
      [['--check-timeout', 'long'], 2, 'usage'],
      [['--link', 'symlink'], 2, 'usage'],
      [['--receipt', ''], 2, 'usage'],
      [['--rate-limit', 'fast'], 2, 'usage'],
      [['--remote', 'nowhere'], 3, 'unknown-remote'],
    ];
    for (const [args, code, name] of cases) {
      const result = await run([...args, '--json']);
      expect(result, args.join(' ')).toMatchObject({ code, json: { error: { code: name } } });
    }
    fs.rmSync(at(''), { recursive: true });
    fs.mkdirSync(at('v1'), { recursive: true });
    fs.writeFileSync(at('v1/mine'), 'mine');
    expect((await run()).code).toBe(6);
    fs.rmSync(at('v1'), { recursive: true });
    fs.renameSync(ws.remote, `${ws.remote}-away`);
    expect((await run()).code).toBe(8);
    expect((await run(['--allow-stale'])).code).toBe(8);
    expect(fs.existsSync(path.join(folder, 'srv/receipt.json'))).toBe(false);
  });

  it('follows with --watch, an event a line, until it is ended', async () => {
    const { start, ws, at } = await following();
    const running = start(['--watch', '--every', '1', '--json', '--exec', 'true']);
    await running.seen('"version":"v1"');
    await ws.deploy('v2');
    await running.seen('"version":"v2"');
    await goBack(ws, 'v1');
    // SIGHUP has it look at once.
    running.child.kill('SIGHUP');
    await running.seen('"previous":"v2"');
    expect(fs.readlinkSync(at('current'))).toBe('v1');
    running.child.kill('SIGTERM');
    const { code, stdout } = await running.done;
    expect(code).toBe(0);
    const events = linesOf(stdout);
    expect(events.map(({ event }) => event)).toEqual(['synced', 'synced', 'synced', 'stopped']);
    expect(events[2]).toMatchObject({ switched: true, done: 'kept', bytesShared: 0 });
    expect(fs.existsSync(at('.mstore-sync/sync.lock'))).toBe(false);
  });

  it('ends a command that runs when it is ended itself, and what that started', async () => {
    const { start, folder, at } = await following();
    const mark = path.join(folder, 'mark');
    const check = `(sleep 3; echo late > '${mark}') & echo $! > '${mark}.pid'; wait`;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const running = start(['--watch', '--json', '--check', check]);
      while (!fs.existsSync(`${mark}.pid`)) await new Promise((done) => setTimeout(done, 20));
      running.child.kill(signal);
      expect((await running.done).code).toBe(signal === 'SIGTERM' ? 0 : 130);
      fs.rmSync(`${mark}.pid`);
    }
    await new Promise((done) => setTimeout(done, 3_500));
    expect(fs.existsSync(mark)).toBe(false);
    expect(fs.existsSync(at('current'))).toBe(false);
  });

  it('lets the second of two that start at once find the work done', async () => {
    const { run, at } = await following();
    const results = await Promise.all([run(['--json']), run(['--json']), run(['--json'])]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    const done = results.map(({ stdout }) => (JSON.parse(stdout) as { done: string }).done);
    expect(done.sort()).toEqual(['kept', 'kept', 'written']);
    expect(textsBelow(at('v1'))).toEqual(one);
  });
});

describe('the unit for systemd', () => {
  const file = path.resolve('docs/sample/mstore-sync@.service');
  const text = fs.readFileSync(file, 'utf8');

  it('runs a command line that exists, by variables of its page', async () => {
    const line = /^ExecStart=\/usr\/bin\/env mstore (.*)$/m.exec(text)?.[1] ?? '';
    const { ws, folder, at } = await following();
    const page = fs.readFileSync('docs/guide/sync.md', 'utf8');
    const values: Record<string, string> = {
      ENVIRONMENT: 'production',
      CHECK: 'true',
      AFTER: 'true',
    };
    const words = line.split(' ').map((word) => {
      const name = /^\$\{MSTORE_SYNC_(\w+)\}$/.exec(word)?.[1];
      if (name !== undefined) expect(page).toContain(`MSTORE_SYNC_${name}=`);
      return name === undefined
        ? word.replace('/srv/models/%i', at('')).replace('%i', 'bert')
        : values[name];
    });
    const env = { HOME: folder, MSTORE_REMOTE_ORIGIN_URL: ws.remote, MSTORE_SYNC_CHECK: 'true' };
    const running = startMstore(folder, [...(words as string[]), '--json'], { env });
    await running.seen('"event":"synced"');
    running.child.kill('SIGTERM');
    expect((await running.done).code).toBe(0);
    expect(fs.readlinkSync(at('current'))).toBe('v1');
  });

  it('has the sections that such a file must have, each line a setting', () => {
    const sections = [...text.matchAll(/^\[(\w+)\]$/gm)].map(([, name]) => name);
    expect(sections).toEqual(['Unit', 'Service', 'Install']);
    for (const each of text.split('\n')) expect(each).toMatch(/^(?:#.*|\[\w+\]|[A-Z]\w+=.+|)$/);
  });
});
