import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { startFaultProxy } from '../support/fault-proxy.ts';
import type { TestToken } from '../support/http-remote.ts';
import { recordedRequests, requestsOf } from '../support/hub-clients.ts';
import {
  publishModels,
  reader,
  secondFile,
  servedFiles,
  serveModels,
} from '../support/hub-serving.ts';
import { pythonPlace } from '../support/python-place.ts';
import { installPython, pythonAside, pythonProgram } from '../support/python-program.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

/** The newest clients, and those of an older major that people still run. */
const older = pythonPlace('mstore-older-hub', [
  'huggingface_hub==0.36.2',
  'numpy==2.4.6',
  'transformers==4.57.6',
]);
const clients = [
  {
    client: 'huggingface_hub 2.4.0, transformers 5.23.0',
    run: pythonAside,
    program: pythonProgram,
  },
  {
    client: 'huggingface_hub 0.36.2, transformers 4.57.6',
    run: older.run,
    program: older.program,
  },
];

beforeAll(async () => {
  await installPython();
  await older.install();
}, 600_000);

/** Makes calls of the client one after the other, and tells what each returned, or the names of the error. */
const driver = `
import json, os, sys, urllib.request
import huggingface_hub as hub
api = hub.HfApi()
def texts(folder):
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(top, name)
            if "/.cache/" not in full: found[os.path.relpath(full, folder)] = len(open(full, "rb").read())
    return found
calls = {
    "snapshot": lambda *a, **k: hub.snapshot_download(*a, max_workers=1, **k),
    "files": lambda *a, **k: texts(hub.snapshot_download(*a, **k)),
    "file": lambda *a, **k: hub.hf_hub_download(*a, **k),
    "info": lambda *a, **k: api.model_info(*a, **k).sha,
    "list": lambda *a, **k: api.list_repo_files(*a, **k),
    "refs": lambda *a, **k: [[r.name, r.target_commit] for r in api.list_repo_refs(*a, **k).branches],
    "exists": lambda *a, **k: api.file_exists(*a, **k),
    "tree": lambda *a, **k: [e.path for e in api.list_repo_tree(*a, **k)],
    "paths": lambda *a, **k: [e.path for e in api.get_paths_info(*a, **k)],
    "tensors": lambda *a, **k: sorted(api.get_safetensors_metadata(*a, **k).weight_map),
    "whoami": lambda *a, **k: api.whoami(*a, **k)["name"],
    "read": lambda path: hub.HfFileSystem().read_text(path),
    "config": lambda *a, **k: __import__("transformers").AutoConfig.from_pretrained(*a, **k).hidden_size,
    "tokens": lambda *a, **k: __import__("transformers").AutoTokenizer.from_pretrained(*a, **k)("hello world")["input_ids"],
}
told = []
for name, args, options in json.loads(sys.argv[1]):
    if "MARKED" in os.environ: urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/livez").read()
    try: told.append(calls[name](*args, **options))
    except Exception as error: told.append({"error": [c.__name__ for c in type(error).__mro__], "text": str(error)})
print(json.dumps(told))
`;

type Call = readonly [
  name: string,
  args: readonly unknown[],
  options?: Readonly<Record<string, unknown>>,
];

/** A host with the client alone, and a cache of its own. */
function makeClient(run: typeof pythonAside, url: string, more: NodeJS.ProcessEnv = {}) {
  const home = tempFolder();
  const env = {
    HOME: home,
    HF_HOME: path.join(home, 'hf'),
    HF_ENDPOINT: url,
    HF_TOKEN: reader.token,
    HF_HUB_DISABLE_PROGRESS_BARS: '1',
    PATH: process.env['PATH'],
    ...more,
  };
  const call = async (calls: readonly Call[], others: NodeJS.ProcessEnv = {}) => {
    const asked = JSON.stringify(calls.map(([name, args, options = {}]) => [name, args, options]));
    return JSON.parse(await run(driver, [asked], { cwd: home, env: { ...env, ...others } }));
  };
  return { home, env, call };
}

/** The error that a call told of. */
const failed = (name: string) => ({
  error: expect.arrayContaining([name]),
  text: expect.any(String),
});

const sizes = (files: Readonly<Record<string, string | Buffer>>) =>
  Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, Buffer.byteLength(bytes)]),
  );

describe.each(clients)('$client', ({ client, run, program }) => {
  it('downloads versions and environments, and has them offline afterwards', async () => {
    const { server, commits } = await serveModels();
    const { call } = makeClient(run, server.url);
    const wanted: Call[] = [
      ['snapshot', ['bert'], { revision: 'production' }],
      ['snapshot', ['mstore/bert'], { revision: commits.first }],
      ['files', ['bert'], { revision: 'v1.1.0' }],
    ];
    const online = await call([...wanted, ['snapshot', ['bert']], ['info', ['bert']]]);
    expect(
      online.map((one: unknown) => (typeof one === 'string' ? path.basename(one) : one)),
    ).toEqual([
      ...[commits.first, commits.first, sizes({ ...servedFiles, ...secondFile })],
      ...[commits.second, commits.second],
    ]);
    for (const [name, bytes] of Object.entries(servedFiles)) {
      expect(fs.readFileSync(path.join(online[0], name)).equals(Buffer.from(bytes)), name).toBe(
        true,
      );
    }
    const requests = server.log.length;
    expect(await call(wanted, { HF_HUB_OFFLINE: '1' })).toEqual(online.slice(0, wanted.length));
    expect(server.log).toHaveLength(requests);
    await server.close();
    // Without a server the cache is what an environment was.
    expect(await call(wanted.slice(0, 1))).toEqual(online.slice(0, 1));
  });

  it('asks for what was recorded, and is answered', async () => {
    const { server, commits } = await serveModels();
    const { call } = makeClient(run, server.url);
    const v1 = { revision: 'v1.0.0' };
    const asked: Readonly<Record<string, { readonly call: Call; readonly told: unknown }>> = {
      snapshot_download: {
        call: ['snapshot', ['bert'], v1],
        told: expect.stringContaining(commits.first),
      },
      hf_hub_download: { call: ['file', ['bert', 'sub dir/a#b é?.txt']], told: expect.any(String) },
      'hf_hub_download of an empty file': {
        call: ['file', ['bert', 'empty']],
        told: expect.any(String),
      },
      list_repo_files: { call: ['list', ['bert'], v1], told: Object.keys(servedFiles).sort() },
      list_repo_refs: {
        call: ['refs', ['bert']],
        told: [
          ['main', commits.second],
          ['production', commits.first],
        ],
      },
      list_repo_tree: {
        call: ['tree', ['bert', 'sub dir']],
        told: ['sub dir/a#b é?.txt', 'sub dir/deep'],
      },
      get_paths_info: {
        call: ['paths', ['bert', ['config.json', 'no', 'sub dir']]],
        told: ['config.json', 'sub dir'],
      },
      file_exists: { call: ['exists', ['bert', 'none']], told: false },
      get_safetensors_metadata: { call: ['tensors', ['bert']], told: ['weight'] },
      whoami: { call: ['whoami', []], told: 'reader' },
      HfFileSystem: {
        call: ['read', ['mstore/bert@production/config.json']],
        told: servedFiles['config.json'],
      },
      AutoConfig: { call: ['config', ['bert'], { revision: 'production' }], told: 8 },
      AutoTokenizer: { call: ['tokens', ['bert'], { revision: 'production' }], told: [1, 2] },
      'AutoTokenizer of main': { call: ['tokens', ['mstore/bert']], told: [1, 2] },
    };
    const calls = Object.values(asked).map((one) => one.call);
    expect(await call(calls, { MARKED: 'yes' })).toEqual(
      Object.values(asked).map(({ told }) => told),
    );
    // Before each call the driver asks whether the server runs.
    const parts = server.log
      .join('\n')
      .split(/\n?.*"\/livez".*\n?/)
      .slice(1);
    const requests = parts.map((part) => requestsOf(part.split('\n').filter(Boolean), commits));
    const seen = Object.fromEntries(Object.keys(asked).map((name, i) => [name, requests[i]]));
    const recorded = process.env['MSTORE_TEST_RECORD'];
    if (recorded !== undefined)
      fs.writeFileSync(path.join(recorded, `${client}.json`), JSON.stringify(seen));
    expect(seen).toEqual(recordedRequests()[client]);
  });

  it('raises what it raises at the Hub', async () => {
    const other: TestToken = { name: 'other', token: 'mst_other', scopes: ['read'], models: ['x'] };
    const { server } = await serveModels({ allowed: [other] });
    const { call } = makeClient(run, server.url);
    const wrong = { token: 'hf_wrong' };
    expect(
      await call([
        ['snapshot', ['nobody']],
        ['file', ['nobody', 'config.json']],
        ['snapshot', ['bert'], { revision: 'v9' }],
        ['file', ['bert', 'config.json'], { revision: 'v9' }],
        ['file', ['bert', 'none.json']],
        ['snapshot', ['bert'], { token: other.token }],
        ['file', ['bert', 'config.json'], { token: other.token }],
        ['info', ['bert'], { token: false }],
        ['file', ['bert', 'config.json'], { token: false }],
        ['info', ['bert'], wrong],
        ['file', ['bert', 'config.json'], wrong],
        ['file', ['org/set', 'f'], { repo_type: 'dataset' }],
        ['config', ['nobody']],
        ['config', ['bert'], { revision: 'v9' }],
      ]),
    ).toEqual(
      [
        ...['RepositoryNotFoundError', 'RepositoryNotFoundError'],
        ...['RevisionNotFoundError', 'RevisionNotFoundError', 'EntryNotFoundError'],
        ...[
          'GatedRepoError',
          'GatedRepoError',
          'RepositoryNotFoundError',
          'RepositoryNotFoundError',
        ],
        ...['HfHubHTTPError', 'HfHubHTTPError', 'RepositoryNotFoundError', 'OSError', 'OSError'],
      ].map(failed),
    );
  });

  it('goes on behind what it has when a connection breaks, and takes nothing that is damaged', async () => {
    const published = await publishModels();
    const weights = Buffer.from(xorshiftBytes(11, 24_000_000));
    await published.ws.publish('v2.0.0', { 'model.safetensors': weights });
    const { server, folder } = await serveModels({ models: published });
    const proxy = await startFaultProxy(server.url, 'late');
    // By this seed behind ten megabytes, which clients take at once.
    const file = /GET .*model\.safetensors/;
    proxy.fault({ how: 'cut-response', at: file, times: 1 });
    const { call, home } = makeClient(run, proxy.endpoint);
    const snapshot: Call[] = [['snapshot', ['bert'], { revision: 'v2.0.0' }]];
    // The older one fails then, and goes on when it is started again.
    let [got] = await call(snapshot);
    if (typeof got !== 'string') [got] = await call(snapshot);
    expect(fs.readFileSync(path.join(got, 'model.safetensors')).equals(weights)).toBe(true);
    const tries = proxy.requests.filter(({ method, url }) => file.test(`${method} ${url}`));
    expect(tries.map(({ status }) => status)).toEqual([200, 206]);
    expect(proxy.befell).toBe(1);

    const packs = path.join(folder, 'packs');
    for (const name of fs.readdirSync(packs, { recursive: true, encoding: 'utf8' })) {
      const pack = path.join(packs, name);
      if (!fs.statSync(pack).isFile()) continue;
      const bytes = fs.readFileSync(pack);
      const at = bytes.indexOf(weights.subarray(22_900_000, 22_900_064));
      if (at >= 0) bytes[at] = (bytes[at] as number) ^ 1;
      fs.chmodSync(pack, 0o644);
      fs.writeFileSync(pack, bytes);
    }
    fs.rmSync(path.join(home, 'hf'), { recursive: true });
    const [damaged] = await call(snapshot);
    expect(damaged).toEqual(failed('Exception'));
    const kept = fs.readdirSync(path.join(home, 'hf'), { recursive: true, encoding: 'utf8' });
    expect(kept.filter((name) => name.endsWith('model.safetensors'))).toEqual([]);
  });

  it('sees at once that an environment has moved', async () => {
    const published = await publishModels();
    const { server, commits } = await serveModels({ models: published });
    const { call } = makeClient(run, server.url);
    const production: Call[] = [['snapshot', ['bert'], { revision: 'production' }]];
    expect(path.basename((await call(production))[0])).toBe(commits.first);
    await published.ws.deploy('v1.1.0');
    expect(path.basename((await call(production))[0])).toBe(commits.second);
  });

  it('downloads by its command into a folder', async () => {
    const { server, commits } = await serveModels();
    const { home, env } = makeClient(run, server.url);
    const hf = (...args: string[]) =>
      promisify(execFile)(program('hf'), args, { cwd: home, env, encoding: 'utf8' });
    await hf('download', 'bert', '--revision', 'production', '--local-dir', 'here');
    for (const [name, bytes] of Object.entries(servedFiles)) {
      expect(fs.readFileSync(path.join(home, 'here', name)).equals(Buffer.from(bytes)), name).toBe(
        true,
      );
    }
    expect((await hf('auth', 'whoami')).stdout).toContain('reader');
    if (!client.includes(' 2.')) return;
    const verify = () =>
      hf('cache', 'verify', 'bert', '--revision', commits.first, '--local-dir', 'here');
    expect((await verify()).stdout).toMatch(/checked: 7/);
    fs.appendFileSync(path.join(home, 'here/config.json'), ' ');
    await expect(verify()).rejects.toMatchObject({ code: 1 });
  });
});
