import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openRemote } from '../../src/remote/open.ts';
import { allScopes, startTestServer } from '../support/http-remote.ts';
import { mlflowPlaces } from '../support/mlflow-program.ts';
import { pageScript, pageScripts } from '../support/page-scripts.ts';
import { makeHost, makePublished, type Published } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';
import {
  installTorchLibraries,
  packagedFile,
  runTorchLibraries,
} from '../support/torch-libraries.ts';

const mlflow = mlflowPlaces[3];

beforeAll(async () => {
  await installTorchLibraries();
  await mlflow.install();
}, 600_000);

/** Puts the vectors of words that come with wordllama into a model of sentence-transformers. */
const sentenceWriter = `
import sys
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import StaticEmbedding
from tokenizers import Tokenizer
weights, words, folder = sys.argv[1:]
vectors = load_file(weights)["embedding.weight"].astype("float32")
embedding = StaticEmbedding(Tokenizer.from_file(words), embedding_weights=vectors)
SentenceTransformer(modules=[embedding], device="cpu").save_pretrained(folder, create_model_card=False)
`;

/** No package has a model of transformers that is small: this one has its form, and weights by chance. */
const bertWriter = `
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
[folder] = sys.argv[1:]
sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
BertModel(BertConfig(vocab_size=3, **sizes)).save_pretrained(folder)
words = Tokenizer(models.WordLevel({"[UNK]": 0, "hello": 1, "world": 2}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(folder)
`;

/** A model of MLflow around the weights of silero-vad. */
const detector = `
import mlflow.pyfunc, numpy, onnxruntime
from mlflow.models import set_model
class Detector(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.session = onnxruntime.InferenceSession(context.artifacts["model"], providers=["CPUExecutionProvider"])
    def predict(self, context, model_input, params=None):
        state = numpy.zeros((2, len(model_input), 128), numpy.float32)
        given = {"input": model_input, "state": state, "sr": numpy.array(16000)}
        return self.session.run(None, given)[0]
set_model(Detector())
`;
const mlflowWriter = `
import sys
import mlflow.pyfunc
code, model, folder = sys.argv[1:]
mlflow.pyfunc.save_model(folder, python_model=code, artifacts={"model": model}, pip_requirements=["onnxruntime"])
`;

/** Publishes the files of a folder as a version of `bert`, and makes it live. */
async function publishFolder(ws: Published, folder: string, version: string): Promise<void> {
  const names = fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => fs.statSync(path.join(folder, name)).isFile());
  const files = names.map((name) => [name, fs.readFileSync(path.join(folder, name))] as const);
  await ws.publish(version, Object.fromEntries(files));
  await ws.deploy(version);
}

/** A host with Python alone, and a server that it loads from. */
async function makeScene() {
  const ws = await makePublished();
  const home = tempFolder();
  const server = await startTestServer({ remote: await openRemote(ws.remote, { base: '/' }) });
  const env = {
    HOME: home,
    HF_HOME: path.join(home, 'hf'),
    HF_ENDPOINT: server.url,
    HF_TOKEN: allScopes.token,
    PATH: process.env['PATH'],
  };
  const host = makeHost({ MSTORE_REMOTE_ORIGIN_URL: ws.remote });
  return { ws, server, place: { cwd: home, env }, host };
}

describe('recipes of the page about Python', () => {
  it('are all run', () => {
    const here = ['hub', 'sentence-transformers', 'torchscript', 'mlflow'];
    // By python-loading.test.ts.
    const elsewhere = ['path', 'transformers', 'onnxruntime', 'safetensors', 'torch'];
    expect([...pageScripts().keys()].sort()).toEqual([...here, ...elsewhere].sort());
  });

  it('load models of transformers and sentence-transformers from a server', async () => {
    const { ws, server, place, host } = await makeScene();
    const made = tempFolder();
    await runTorchLibraries(bertWriter, [path.join(made, 'bert')], place);
    await publishFolder(ws, path.join(made, 'bert'), 'v1.2.0');
    for (const [model, revision] of [
      ['bert', 'v1.2.0'],
      ['mstore/bert', 'production'],
    ] as const) {
      const printed = await runTorchLibraries(pageScript('hub'), [model, revision], place);
      expect(printed).toBe('BertModel [1, 2, 8]');
    }

    const words = [
      'weights/l2_supercat_256.safetensors',
      'tokenizers/l2_supercat_tokenizer_config.json',
    ];
    const sources = words.map((name) => packagedFile(`wordllama/${name}`));
    await runTorchLibraries(sentenceWriter, [...sources, path.join(made, 'words')], place);
    await publishFolder(ws, path.join(made, 'words'), 'v2.0.0');
    const recipe = pageScript('sentence-transformers');
    const told = '(3, 256) True';
    expect(await runTorchLibraries(recipe, ['mstore/bert', 'production'], place)).toBe(told);
    const requests = server.log.length;
    const offline = { ...place, env: { ...place.env, HF_HUB_OFFLINE: '1' } };
    expect(await runTorchLibraries(recipe, ['mstore/bert', 'production'], offline)).toBe(told);
    const { directory } = await host.resolve('bert@production');
    expect(await runTorchLibraries(recipe, [directory, 'main'], offline)).toBe(told);
    expect(server.log).toHaveLength(requests);
  });

  it('load models of TorchScript and MLflow from a directory', async () => {
    const { ws, place, host } = await makeScene();
    const made = tempFolder();
    const scripted = path.join(made, 'scripted');
    fs.mkdirSync(scripted);
    const model = packagedFile('silero_vad/data/silero_vad.jit');
    fs.copyFileSync(model, path.join(scripted, 'silero_vad.jit'));
    await publishFolder(ws, scripted, 'v1');
    const first = await host.resolve('bert@production');
    const told = await runTorchLibraries(pageScript('torchscript'), [first.directory], place);
    expect(told).toBe('0.002');

    const code = path.join(made, 'detector.py');
    fs.writeFileSync(code, detector);
    const onnx = packagedFile('silero_vad/data/silero_vad.onnx');
    await mlflow.run(mlflowWriter, [code, onnx, path.join(made, 'flow')], { ...place, cwd: made });
    await publishFolder(ws, path.join(made, 'flow'), 'v2');
    const second = await host.resolve('bert@production');
    const printed = await mlflow.run(pageScript('mlflow'), [second.directory], place);
    expect(printed.trim().split('\n').at(-1)).toBe('0.002');
  });
});
