import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { HubServer } from '../support/hub-server.ts';
import { contentOf, makeImporter } from '../support/importing.ts';
import { makePublisher } from '../support/publishing.ts';
import { installPython, pythonAside } from '../support/python-program.ts';
import { makeHost } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';

beforeAll(installPython, 600_000);

const snapshot = `
import json, sys
from huggingface_hub import snapshot_download
repository, *patterns = sys.argv[1:]
print(snapshot_download(repository, allow_patterns=patterns or None))
`;

/** A model with files of Git and of LFS, one with a name that is escaped in an address. */
function filesOf(seed: string): Record<string, string | Buffer> {
  return {
    'config.json': `{"seed":"${seed}"}`,
    'model.safetensors': randomBytes(200_000),
    'onnx/model one & two.onnx': randomBytes(50_000),
    'onnx/empty': '',
  };
}

/** The Hub's own client on a machine of its own, with a cache that mstore is told of. */
async function makeMachine(hub: HubServer) {
  const home = tempFolder();
  const env = {
    HOME: home,
    HF_HOME: path.join(home, 'hf'),
    HF_ENDPOINT: hub.endpoint,
    // The Hub of the tests sends files over HTTP alone.
    HF_HUB_DISABLE_XET: '1',
    HF_HUB_DISABLE_TELEMETRY: '1',
    PATH: process.env['PATH'],
  };
  const download = async (...args: string[]): Promise<string> =>
    (await pythonAside(snapshot, args, { cwd: home, env })).trim();
  return { env, download };
}

describe("a cache that the Hub's own client wrote", () => {
  it('is what an import takes, so that no file is downloaded again', async () => {
    const hub = await HubServer.start();
    const files = filesOf('one');
    const commit = hub.commit('org/bert', files);
    const { env, download } = await makeMachine(hub);
    const folder = await download('org/bert');
    expect(path.basename(folder)).toBe(commit);
    const sent = hub.bytesSent;
    expect(sent).toBeGreaterThan(250_000);
    expect(fs.lstatSync(path.join(folder, 'model.safetensors')).isSymbolicLink()).toBe(true);

    const importer = await makeImporter({ env });
    const asked = hub.downloads.length;
    const { record, bytesReceived } = await importer.take('hf:org/bert', 'bert@v1');
    expect(record.value.source).toMatchObject({ imported: { commit, repository: 'org/bert' } });
    expect([bytesReceived, hub.bytesSent]).toEqual([0, sent]);
    expect(hub.downloads).toHaveLength(asked);
    const contents = Object.entries(files).map(([name, bytes]) => [name, contentOf(bytes)]);
    expect(await importer.files('bert@v1')).toEqual(Object.fromEntries(contents));

    // Of the next commit only what it has changed.
    const changed = randomBytes(30_000);
    hub.commit('org/bert', { ...files, 'more.bin': changed });
    const other = await makeImporter({ env });
    const second = await other.take('hf:org/bert', 'bert@v2');
    expect([second.bytesReceived, hub.bytesSent - sent]).toEqual([30_000, 30_000]);
  });

  it('is what a model is resolved from, also without a network once it is pinned', async () => {
    const hub = await HubServer.start();
    const commit = hub.commit('org/bert', filesOf('one'));
    const { env, download } = await makeMachine(hub);
    const folder = await download('org/bert');
    const sent = hub.bytesSent;
    const host = makeHost(env);
    const lock = path.join(host.folder, 'models.lock');
    const resolved = await host.resolve('hf:org/bert@main', { lock });
    expect(resolved).toMatchObject({ exact: `hf:org/bert@${commit}`, done: 'written' });
    expect(hub.bytesSent).toBe(sent);
    for (const { path: name } of resolved.files) {
      const ours = fs.readFileSync(path.join(resolved.directory, name));
      expect(ours.equals(fs.readFileSync(path.join(folder, name))), name).toBe(true);
    }
    expect(resolved.files).toHaveLength(4);

    const offline = makeHost({ ...env, HF_ENDPOINT: 'http://127.0.0.1:1' });
    const again = await offline.resolve('hf:org/bert@main', { lock, offline: true });
    expect(again).toMatchObject({ exact: resolved.exact, tree: resolved.tree, done: 'written' });
    const requests = hub.requests.length;
    fs.rmSync(path.join(folder, 'onnx/empty'));
    const third = makeHost({ ...env, HF_ENDPOINT: 'http://127.0.0.1:1' });
    await expect(third.resolve('hf:org/bert@main', { lock, offline: true })).rejects.toMatchObject({
      code: 'offline',
      hint: expect.stringContaining(folder),
    });
    expect(hub.requests).toHaveLength(requests);
  });

  it('may have some of the files: the others are downloaded', async () => {
    const hub = await HubServer.start();
    hub.commit('org/bert', filesOf('one'));
    const { env, download } = await makeMachine(hub);
    await download('org/bert', '*.safetensors');
    const sent = hub.bytesSent;
    expect(sent).toBe(200_000);
    const { bytesReceived } = await (await makeImporter({ env })).take('hf:org/bert', 'bert@v1');
    expect([bytesReceived, hub.bytesSent - sent]).toEqual([50_014, 50_014]);
  });
});

describe('what is published to the Hub', () => {
  it("is what the Hub's own client gets, reads the card of, and lists", async () => {
    const hub = await HubServer.start();
    hub.tokens.set('hf_write', { granted: true, writes: true });
    const files = filesOf('published');
    const from = await makePublisher({ HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_write' });
    await from.version('v1', files, {
      metrics: { accuracy: 0.91 },
      metadata: {
        ...{ license: 'mit', tags: ['a: b'], pipeline_tag: 'image-to-text' },
        datasets: ['org/data'],
      },
    });
    await from.publish('bert@v1', 'hf:org/bert');
    const { env } = await makeMachine(hub);
    const script = `
import json, sys
from huggingface_hub import HfApi, ModelCard, snapshot_download
folder = snapshot_download("org/bert", revision="v1")
card = ModelCard.load(folder + "/README.md")
result = card.data.eval_results[0]
print(json.dumps([folder, card.data.license, card.data.tags, card.data.pipeline_tag,
    result.metric_type, result.metric_value, result.dataset_type,
    HfApi().model_info("org/bert", revision="v1").sha]))`;
    const { HOME: home = '' } = env;
    const how = { cwd: home, env: { ...env, HF_TOKEN: 'hf_write' } };
    const [folder, ...card] = JSON.parse(await pythonAside(script, [], how)) as [string, string];
    const commit = hub.repositories.get('org/bert')?.refs.get('v1');
    expect(card).toEqual([
      ...['mit', ['a: b'], 'image-to-text', 'accuracy', 0.91, 'org/data'],
      commit,
    ]);
    for (const [name, content] of Object.entries(files)) {
      expect(fs.readFileSync(path.join(folder, name)).equals(Buffer.from(content))).toBe(true);
    }
  });

  it("is sent to a server that takes what the Hub's own client sends", async () => {
    const hub = await HubServer.start();
    hub.tokens.set('hf_write', { granted: true, writes: true });
    const { env } = await makeMachine(hub);
    const { HOME: home = '' } = env;
    const files = filesOf('python');
    const folder = path.join(home, 'model');
    for (const [name, content] of Object.entries(files)) {
      fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      fs.writeFileSync(path.join(folder, name), content);
    }
    const script = `
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("org/theirs", private=True)
api.upload_folder(repo_id="org/theirs", folder_path=sys.argv[1])
api.create_tag("org/theirs", tag="v1")`;
    await pythonAside(script, [folder], { cwd: home, env: { ...env, HF_TOKEN: 'hf_write' } });
    // So mstore finds all there, and has nothing to send but its card.
    const from = await makePublisher({ HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_write' });
    await from.version('v1', files);
    const { changed } = await from.publish('bert@v1', 'hf:org/theirs');
    expect(changed).toBe(false);
    const { steps } = await from.publish('bert@v1', 'hf:org/theirs', { tag: 'v1.0' });
    expect(steps.map(({ act, what }) => `${act} ${what}`)).toEqual(['write README.md', 'tag v1.0']);
    expect(hub.repositories.get('org/theirs')?.private).toBe(true);
  });
});
