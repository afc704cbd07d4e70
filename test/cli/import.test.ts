import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliResult, startMstore } from '../support/cli.ts';
import { HubServer } from '../support/hub-server.ts';
import { plainBuckets } from '../support/plain-buckets.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const { env, buckets } = await plainBuckets();

/** Names that no remote would have. */
const model: Record<string, Buffer> = {
  '.gitattributes': Buffer.from('* text'),
  'config.json': Buffer.from('{"model_type":"bert"}'),
  'onnx/model ü.onnx': xorshiftBytes(3, 2_000_000),
  'tmp/a b#c%20.txt': Buffer.from('t'),
  'zero.txt': Buffer.alloc(0),
};

async function workspace(more: NodeJS.ProcessEnv = {}) {
  const root = tempFolder();
  const run = (...args: string[]): Promise<CliResult> =>
    startMstore(root, args, { env: { ...env, ...more } }).done;
  const ok = async (...args: string[]): Promise<CliResult> => {
    const result = await run(...args);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    return result;
  };
  await ok('init', '--no-git');
  return { root, run, ok };
}

function expectFiles(folder: string, files: Record<string, Buffer>): void {
  for (const [name, bytes] of Object.entries(files)) {
    expect(fs.readFileSync(path.join(folder, name)).equals(bytes), name).toBe(true);
  }
}

describe.each(Object.entries(buckets))('mstore import from %s', (_, { url, put }) => {
  it('takes plain files of any name, and tells what has changed since', async () => {
    for (const [name, bytes] of Object.entries(model)) put(name, bytes);
    put('folder/', Buffer.alloc(0));
    const { root, run, ok } = await workspace();
    const taken = await ok('import', url, '--as', 'bert@v1', '--metric', 'f1=0.5');
    expect(taken.stderr).toMatch(/Imported (s3|gs):.* as bert@v1: 5 files, .* received/);
    await ok('checkout', 'bert@v1');
    expectFiles(path.join(root, 'models/bert'), model);
    expect((await ok('info', 'bert@v1')).stdout).toContain(`  imported    ${url}\n`);
    expect((await ok('import', 'bert@v1', '--refresh')).stderr).toMatch(
      /bert@v1 is what .* is now/,
    );

    put('config.json', Buffer.from('{"model_type":"BERT"}'), new Date());
    put('new.txt', Buffer.from('new'), new Date());
    const changed = await ok('import', 'bert@v1', '--refresh');
    expect(changed.stdout).toMatch(/changed {2}config\.json/);
    expect(changed.stdout).toMatch(/added {4}new\.txt/);
    expect(changed.stderr).toContain('--as bert@NEW');
    const again = await run('import', url, '--as', 'bert@v1', '--metric', 'f1=0.5', '--json');
    expect(again.json.error?.code).toBe('version-exists');
    await ok('import', url, '--as', 'bert@v2', '--exclude', 'tmp/');
    expect((await ok('ls', 'bert@v2')).stdout).not.toContain('a b#c');
  });

  it('says that nothing is there', async () => {
    const { run } = await workspace();
    const none = await run('import', `${url}/nowhere`, '--as', 'm@v1', '--json');
    expect(none.json.error).toMatchObject({ code: 'not-found' });
    const offline = await run('import', url, '--as', 'm@v1', '--json', '--offline');
    expect(offline.json.error?.code).toBe('offline');
  });
});

describe('mstore import from the Hub', () => {
  it('prints one document, and ends when it is interrupted, to go on later', async () => {
    const hub = await HubServer.start();
    const bytes = xorshiftBytes(4, 30_000_000);
    hub.commit('org/bert', { 'model.safetensors': bytes, 'config.json': '{}' });
    const { root, ok } = await workspace({ HF_ENDPOINT: hub.endpoint, HOME: tempFolder() });
    hub.faults = [{ at: '/cdn/', how: 'stall' }];
    const args = ['import', 'hf:org/bert', '--as', 'bert@v1', '--json'];
    const running = startMstore(root, args, {
      env: { ...env, HF_ENDPOINT: hub.endpoint, HOME: tempFolder() },
    });
    while (!hub.requests.some(({ url, sent }) => url.startsWith('/cdn/') && sent > 0)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    running.interrupt();
    const broken = await running.done;
    expect(broken.code).toBe(130);
    hub.requests.length = 0;
    const taken = await ok(...args);
    expect(taken.json).toMatchObject({ created: true, files: 2, bytes: bytes.length + 2 });
    expect(hub.downloads.at(-1)?.range).toMatch(/^bytes=[1-9]/);
    await ok('checkout', 'bert@v1');
    expectFiles(path.join(root, 'models/bert'), { 'model.safetensors': bytes });
  });

  it('asks for a name, and for one thing at a time', async () => {
    const { run } = await workspace();
    const usage = async (...args: string[]): Promise<string | undefined> => {
      const { json, code } = await run('import', ...args, '--json');
      expect(code).toBe(2);
      return json.error?.message;
    };
    expect(await usage('hf:org/bert')).toContain('Nothing says what to register it as');
    expect(await usage('hf:org/bert', '--as', 'bert')).toContain('MODEL@VERSION');
    expect(await usage('bert@v1', '--refresh', '--as', 'x@v1')).toContain(
      '--refresh takes nothing',
    );
    expect(await usage('bert@v1', '--as', 'x@v1')).toContain(
      'nothing that models are imported from',
    );
  });
});
