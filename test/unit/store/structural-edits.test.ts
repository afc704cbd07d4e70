import { describe, expect, it } from 'vitest';
import { formatChunkParams } from '../../../src/chunk/chunker.ts';
import { ggufFile, ggufText, ggufTexts } from '../../support/gguf.ts';
import { field, nodeProto, onnxModel, tensorProto } from '../../support/onnx.ts';
import { safetensorsFile } from '../../support/safetensors.ts';
import {
  bytesNewFor,
  type Edit,
  expectWithinGate,
  languageModel,
  mixed,
  type Part,
  tuned,
} from '../../support/structural-edits.ts';
import { weightBytes } from '../../support/weights.ts';
import { torchFile, zipFile } from '../../support/zip.ts';

const kib = 1024;
const mib = 1024 * kib;
/** Of the part before an appended row only the last chunk is stored again; chunks reach up to this. */
const lastChunk = formatChunkParams.max;

const large = languageModel();
const small = large.filter(({ name }) => /^(embed|norm|layers\.[01])/.test(name));

const attention = (names: string, layers: string) => {
  const pattern = new RegExp(`^layers\\.[${layers}]\\.self_attn\\.[${names}]_proj$`);
  return (name: string) => pattern.test(name);
};

/** The first part with some more rows. */
function appended(parts: readonly Part[]): { parts: Part[]; changed: number } {
  const [first, ...others] = parts as [Part, ...Part[]];
  const rows = weightBytes(500, 8 * kib);
  const bytes = Buffer.concat([first.bytes, rows]);
  return { parts: [{ name: first.name, bytes }, ...others], changed: rows.length };
}

/** The same parts under other names. */
const renamed = (parts: readonly Part[]) =>
  parts.map(({ name, bytes }) => ({ name: `model.${name}`, bytes }));

describe('structural edits of safetensors files', () => {
  const file = (parts: readonly Part[], metadata = '') => safetensorsFile(parts, metadata);
  const first = [file(large)];
  const edit = (name: string, { parts, changed }: { parts: Part[]; changed: number }): Edit => ({
    name,
    files: [file(parts)],
    changed,
  });
  const shards = [0, 1, 2, 3].map((i) =>
    file(large.slice((i * large.length) / 4, ((i + 1) * large.length) / 4)),
  );

  it.each<Edit>([
    { name: '64 bytes of metadata', files: [file(large, 'x'.repeat(64))], changed: 0 },
    edit('LoRA merged into q and v of all layers', tuned(large, attention('qv', '0-9'))),
    edit('LoRA merged into q, k, v, o of three layers', tuned(large, attention('qkvo', '024'))),
    edit(
      'the last layer and all norms tuned',
      tuned(large, (name) => /^layers\.5\.|norm$/.test(name)),
    ),
    { name: 'four shards', files: shards, changed: 0 },
    edit('another order', { parts: mixed(large), changed: 0 }),
    edit('all names changed', { parts: renamed(large), changed: 0 }),
  ])('$name', async (change) => {
    await expectWithinGate(first, change);
  });

  it('rows appended to the first tensor', async () => {
    await expectWithinGate(first, edit('rows', appended(large)), lastChunk);
  });
});

describe('structural edits of GGUF files', () => {
  const tokens = Array.from({ length: 30_000 }, (_, i) => `token number ${i}`);
  const file = (parts: readonly Part[], note = '') =>
    ggufFile(parts, {
      metadata: {
        'general.name': ggufText(note),
        'tokenizer.ggml.tokens': ggufTexts(tokens),
        'general.file_type': ggufText('7'),
      },
    });
  const first = [file(small)];
  const half = small.map((part, i) =>
    part.name.includes('down_proj')
      ? { name: part.name, bytes: weightBytes(700 + i, (part.bytes.length / 256) * 136) }
      : part,
  );
  const halved = half.reduce(
    (sum, { bytes }, i) => sum + (bytes === small[i]?.bytes ? 0 : bytes.length),
    0,
  );
  const again = tuned(small, attention('qv', '0-9'));

  it.each<Edit>([
    { name: 'metadata grown', files: [file(small, 'x'.repeat(64))], changed: 0 },
    { name: 'tensors quantised otherwise', files: [file(half)], changed: halved },
    { name: 'tensors changed', files: [file(again.parts)], changed: again.changed },
    { name: 'another order', files: [file(mixed(small))], changed: 0 },
  ])('$name', async (change) => {
    await expectWithinGate(first, change);
  });
});

describe('structural edits of ONNX models', () => {
  const names = Array.from({ length: 100 }, (_, i) => `node_${i}`);
  const constant = { name: 'constant', bytes: weightBytes(300, mib) };
  const file = (parts: readonly Part[], nodes: readonly string[] = names) =>
    onnxModel([
      field(
        1,
        nodeProto('constant', [
          Buffer.concat([field(1, 'value'), field(5, tensorProto(constant))]),
        ]),
      ),
      ...nodes.map((name) => field(1, nodeProto(name))),
      ...parts.map((part) => field(5, tensorProto(part))),
    ]);
  const first = [file(small)];
  const again = tuned(small, attention('qv', '0-9'));
  const added = { name: 'added', bytes: weightBytes(301, 300 * kib) };

  it.each<Edit>([
    { name: 'initializers changed', files: [file(again.parts)], changed: again.changed },
    {
      name: 'an initializer added',
      files: [file([...small.slice(0, 5), added, ...small.slice(5)])],
      changed: 300 * kib,
    },
    { name: 'nodes added', files: [file(small, [...names, 'one more'])], changed: 0 },
    {
      name: 'all names changed',
      files: [
        file(
          renamed(small),
          names.map((name) => `other_${name}`),
        ),
      ],
      changed: 0,
    },
    { name: 'another order', files: [file(mixed(small))], changed: 0 },
  ])('$name', async (change) => {
    await expectWithinGate(first, change);
  });
});

describe('structural edits of zip archives', () => {
  const torch = (parts: readonly Part[], pickle = 'pickle') => torchFile(parts, pickle);
  const npz = (parts: readonly Part[], time = 0) =>
    zipFile(
      parts.map(({ name, bytes }) => ({
        name: `${name}.npy`,
        bytes: Buffer.concat([
          Buffer.from(`\x93NUMPY\x01\0v\0${'{}'.padEnd(117)}\n`, 'latin1'),
          bytes,
        ]),
      })),
      { wide: true, time },
    );
  const again = tuned(small, attention('qv', '0-9'));
  const grown = appended(small);

  it.each<Edit>([
    { name: 'storages changed', files: [torch(again.parts)], changed: again.changed },
    { name: 'a longer pickle', files: [torch(small, 'pickle'.repeat(50))], changed: 0 },
    {
      name: 'a storage appended',
      files: [torch([...small, { name: 'z', bytes: weightBytes(400, mib) }])],
      changed: mib,
    },
    { name: 'another order', files: [torch(mixed(small))], changed: 0 },
  ])('of PyTorch: $name', async (change) => {
    await expectWithinGate([torch(small)], change);
  });

  it('of PyTorch: rows appended to the first storage', async () => {
    await expectWithinGate(
      [torch(small)],
      { name: 'rows', files: [torch(grown.parts)], changed: grown.changed },
      lastChunk,
    );
  });

  it.each<Edit>([
    { name: 'arrays changed', files: [npz(again.parts)], changed: again.changed },
    { name: 'other times', files: [npz(small, 7)], changed: 0 },
    { name: 'another order', files: [npz(mixed(small))], changed: 0 },
  ])('of NumPy: $name', async (change) => {
    await expectWithinGate([npz(small)], change);
  });
});

describe('without hard cuts', () => {
  it('the same edits cost far more', async () => {
    const plain = (parts: readonly Part[]) => [Buffer.concat(parts.map(({ bytes }) => bytes))];
    expect(await bytesNewFor(plain(small), plain(mixed(small)))).toBeGreaterThan(mib);
  });
});
