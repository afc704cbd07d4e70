import * as fs from 'node:fs';
import * as net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { diffTensors } from '../../src/flow/diff-tensors.ts';
import { listTensors, type ReadTensorOptions, readTensor } from '../../src/flow/tensors.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import {
  cloneProject,
  emptyRemote,
  makeProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { ggufFile } from '../support/gguf.ts';
import { field, nodeProto, onnxModel } from '../support/onnx.ts';
import {
  floats,
  onnxTensor,
  onnxWithExternal,
  type TypedTensor,
  typedFile,
} from '../support/tensors.ts';

const kib = 1024;
const mib = 1024 * kib;

/** A tensor of bytes that are all noise. */
function bulk(name: string, seed: string | number, bytes = mib): TypedTensor {
  return { name, dtype: 'U8', shape: [bytes], bytes: noise(bytes, seed) };
}

/** Two commits of a model directory; returns their ids. */
async function commits(
  project: Project,
  ...versions: ReadonlyArray<Readonly<Record<string, Buffer>>>
): Promise<string[]> {
  const ids: string[] = [];
  for (const files of versions) {
    fs.rmSync(project.at('m'), { recursive: true, force: true });
    for (const [name, bytes] of Object.entries(files)) project.write(`m/${name}`, bytes);
    await project.add('m');
    ids.push(project.commit());
  }
  return ids;
}

async function diffOf(project: Project, ...args: string[]) {
  return diffTensors(await project.open(), args, project.root);
}

describe('diffTensors', () => {
  it('tells what was added, removed, resized, retyped and changed, and by how much', async () => {
    const project = await makeProject();
    const same = floats('same', [1, 2, 3]);
    const before = typedFile([
      same,
      floats('gone', [1]),
      floats('wide', [1, 2], [1, 2]),
      floats('cast', [1, 2.5]),
      floats('moved', [3, 4]),
    ]);
    const after = typedFile([
      floats('moved', [3, 5]),
      same,
      floats('new', [1]),
      floats('wide', [1, 2], [2, 1]),
      { name: 'cast', dtype: 'F16', shape: [2], bytes: Buffer.from('003c0042', 'hex') },
    ]);
    const [a = '', b = ''] = await commits(
      project,
      { 'w.safetensors': before },
      { 'w.safetensors': after },
    );
    const { tensors, totals, broken, otherFiles } = await diffOf(project, a, b);
    expect(tensors.map(({ name, change }) => `${name} ${change}`)).toEqual([
      'cast retyped',
      'gone removed',
      'moved changed',
      'new added',
      'wide resized',
    ]);
    expect(tensors[2]).toEqual({
      name: 'moved',
      change: 'changed',
      before: { file: 'm/w.safetensors', dtype: 'F32', shape: [2], bytes: 8 },
      after: { file: 'm/w.safetensors', dtype: 'F32', shape: [2], bytes: 8 },
      difference: {
        unit: 'values',
        total: 2,
        differing: 1,
        share: 0.5,
        relativeNorm: 0.2,
        notFinite: 0,
      },
    });
    // 2.5 became 3.
    expect(tensors[0]?.difference).toMatchObject({
      differing: 1,
      relativeNorm: expect.closeTo(0.5 / Math.hypot(1, 2.5), 12),
    });
    expect(totals).toEqual({
      ...{ added: 1, removed: 1, resized: 1, retyped: 1, changed: 1 },
      ...{ unread: 0, unchanged: 1, moved: 0 },
    });
    expect([broken, otherFiles]).toEqual([[], 0]);
  });

  it('compares a model in other shards with itself, and names the files', async () => {
    const project = await makeProject();
    const [a, b, c] = [bulk('a', 1), bulk('b', 2), bulk('c', 3)];
    const changed = { ...b, bytes: Buffer.from(b.bytes) };
    changed.bytes[0] = (changed.bytes[0] as number) ^ 1;
    const [from = '', to = ''] = await commits(
      project,
      { 'model.safetensors': typedFile([a, b, c]), 'config.json': Buffer.from('{}') },
      {
        'model-00001-of-00002.safetensors': typedFile([a]),
        'model-00002-of-00002.safetensors': typedFile([changed, c]),
        'config.json': Buffer.from('{"a":1}'),
      },
    );
    const { tensors, totals, otherFiles } = await diffOf(project, from, to);
    expect(totals).toMatchObject({ unchanged: 2, changed: 1, moved: 3, added: 0, removed: 0 });
    expect(tensors).toMatchObject([
      {
        name: 'b',
        before: { file: 'm/model.safetensors' },
        after: { file: 'm/model-00002-of-00002.safetensors' },
        difference: { differing: 1, total: mib },
      },
    ]);
    expect(otherFiles).toBe(1);
  });

  it('does not mix up tensors of one name in two models', async () => {
    const project = await makeProject();
    const [from = '', to = ''] = await commits(
      project,
      {
        'x.safetensors': typedFile([floats('w', [1])]),
        'y.safetensors': typedFile([floats('w', [2])]),
      },
      {
        'x2.safetensors': typedFile([floats('w', [1])]),
        'y2.safetensors': typedFile([floats('w', [2])]),
      },
    );
    const { totals } = await diffOf(project, from, to);
    expect(totals).toMatchObject({ added: 2, removed: 2, unchanged: 0, changed: 0 });
  });

  it('compares the files of the workspace with a version', async () => {
    const project = await makeProject();
    const [id = ''] = await commits(project, { 'w.safetensors': typedFile([floats('a', [1, 2])]) });
    project.write('m/w.safetensors', typedFile([floats('a', [1, -2])]));
    for (const args of [[id], [], ['m']]) {
      const { tensors } = await diffOf(project, ...args);
      expect(tensors).toMatchObject([
        { name: 'a', change: 'changed', difference: { differing: 1 } },
      ]);
    }
    fs.rmSync(project.at('m/w.safetensors'));
    expect((await diffOf(project)).tensors).toMatchObject([{ name: 'a', change: 'removed' }]);
  });

  it('notices that a file changes while it is read', async () => {
    const project = await makeProject();
    const [id = ''] = await commits(project, { 'w.safetensors': typedFile([floats('a', [1, 2])]) });
    const file = 'm/w.safetensors';
    project.write(file, typedFile([floats('a', [1, 3])]));
    const progress = {
      start: () => {},
      advance: () => project.write(file, typedFile([floats('a', [1, 4])])),
      finish: () => {},
    };
    const comparing = diffTensors(await project.open(), [id], project.root, { progress });
    await expect(comparing).rejects.toMatchObject({
      code: 'file-changed',
      details: { path: file },
    });
  });

  it('follows external data of ONNX models, also where only those changed', async () => {
    const project = await makeProject();
    const model = onnxWithExternal('w', { location: 'data.bin', offset: '4', length: '4' });
    const data = (value: number) => floats('', [9, value]).bytes;
    const [a = '', b = '', c = ''] = await commits(
      project,
      { 'n.onnx': model, 'data.bin': data(1) },
      { 'n.onnx': model, 'data.bin': data(3) },
      { 'n.onnx': model },
    );
    const { tensors } = await diffOf(project, a, b);
    expect(tensors).toMatchObject([
      {
        name: 'w',
        change: 'changed',
        before: { dataFile: 'm/data.bin' },
        difference: { relativeNorm: 2 },
      },
    ]);
    const gone = await diffOf(project, b, c);
    expect(gone.tensors).toMatchObject([
      { name: 'w', change: 'unread', problem: 'Its data are in m/data.bin, which is not there' },
    ]);
    expect(gone.totals.unread).toBe(1);
  });

  it('tells of blocks of quantized types, and of no norm', async () => {
    const project = await makeProject();
    const blocks = (second: number): Buffer => {
      const bytes = Buffer.alloc(4 * 18, 1);
      bytes[18] = second;
      return ggufFile([{ name: 'q', bytes, type: 2, shape: [64, 2] }]);
    };
    const [a = '', b = ''] = await commits(
      project,
      { 'q.gguf': blocks(1) },
      { 'q.gguf': blocks(2) },
    );
    const { tensors } = await diffOf(project, a, b);
    expect(tensors).toMatchObject([
      {
        before: { dtype: 'Q4_0', shape: [2, 64] },
        difference: { unit: 'blocks', total: 4, differing: 1, share: 0.25, relativeNorm: null },
      },
    ]);
  });

  it('tells of files that are broken, and compares the others', async () => {
    const project = await makeProject();
    const whole = typedFile([floats('a', [1])]);
    const [a = '', b = ''] = await commits(
      project,
      { 'one.safetensors': whole, 'two.safetensors': whole, 'three.gguf': ggufFile([]) },
      {
        'one.safetensors': whole.subarray(0, whole.length - 1),
        'two.safetensors': typedFile([floats('a', [2])]),
        'three.gguf': Buffer.from('GGUF'),
      },
    );
    const { broken, totals } = await diffOf(project, a, b);
    expect(broken.map(({ file, side, format }) => [file, side, format])).toEqual([
      ['m/one.safetensors', 'after', 'safetensors'],
      ['m/three.gguf', 'after', 'gguf'],
    ]);
    expect(broken[0]?.message).toMatch(/leave the file/);
    expect(totals).toMatchObject({ changed: 1, removed: 1 });
  });

  it('does not read what recipes show to be the same', async () => {
    const project = await makeProject();
    const [big, other] = [bulk('big', 1, 4 * mib), bulk('other', 2, 256 * kib)];
    const [a = '', b = ''] = await commits(
      project,
      { 'w.safetensors': typedFile([big, other]) },
      {
        'w.safetensors': typedFile([
          floats('new', [1]),
          { ...other, bytes: noise(256 * kib, 3) },
          big,
        ]),
      },
    );
    // With its bytes gone from the packs, only the recipes can tell.
    const packs = project.at('.modelstore/store/packs');
    for (const name of fs.readdirSync(packs, { recursive: true, encoding: 'utf8' })) {
      const file = `${packs}/${name}`;
      if (!fs.statSync(file).isFile()) continue;
      const bytes = fs.readFileSync(file);
      const at = bytes.indexOf(big.bytes.subarray(2 * mib, 2 * mib + 64));
      if (at < 0) continue;
      bytes.fill(0, at, at + 64);
      fs.writeFileSync(file, bytes);
    }
    const { totals } = await diffOf(project, a, b);
    expect(totals).toMatchObject({ unchanged: 1, changed: 1, added: 1 });
    await expect(readAll(project, `${b}:m/w.safetensors`, 'big')).rejects.toMatchObject({
      code: 'corrupt-chunk',
    });
  });
});

async function readAll(
  project: Project,
  given: string,
  tensor: string,
  options: ReadTensorOptions = {},
): Promise<{ bytes: Buffer; received: number }> {
  const blocks: Buffer[] = [];
  const take = async (block: Uint8Array) => void blocks.push(Buffer.from(block));
  const { bytesReceived } = await readTensor(await project.open(), given, tensor, take, options);
  return { bytes: Buffer.concat(blocks), received: bytesReceived };
}

describe('readTensor', () => {
  it('gives the bytes of a tensor, and of a range of its first axis', async () => {
    const project = await makeProject();
    const tensor = { ...floats('t', [0, 1, 2, 3, 4, 5]), shape: [3, 2] };
    project.write('w.safetensors', typedFile([floats('x', [7]), tensor]));
    await project.add('w.safetensors');
    const whole = await readAll(project, 'w.safetensors', 't');
    expect(whole).toEqual({ bytes: tensor.bytes, received: 0 });
    const range = { start: 1, end: 2 };
    const part = await readAll(project, 'w.safetensors', 't', { range });
    expect(part.bytes).toEqual(tensor.bytes.subarray(8, 16));
    const none = await readAll(project, 'w.safetensors', 't', { range: { start: 3 } });
    expect(none.bytes).toHaveLength(0);
    const past = readAll(project, 'w.safetensors', 't', { range: { end: 4 } });
    await expect(past).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('0:3'),
    });
    await expect(readAll(project, 'w.safetensors', 'tt')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('Did you mean t?'),
    });
  });

  it('refuses a range that cuts through blocks', async () => {
    const project = await makeProject();
    const bytes = noise(4 * 18, 'q');
    project.write('q.gguf', ggufFile([{ name: 'q', bytes, type: 2, shape: [128] }]));
    await project.add('q.gguf');
    const half = await readAll(project, 'q.gguf', 'q', { range: { start: 32, end: 64 } });
    expect(half.bytes).toEqual(bytes.subarray(18, 36));
    await expect(readAll(project, 'q.gguf', 'q', { range: { end: 31 } })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('blocks of 32 elements'),
    });
  });

  it('decodes integers of variable length of ONNX', async () => {
    const project = await makeProject();
    const negative = Buffer.from('ffffffffffffffffff01', 'hex');
    const node = nodeProto('c', [
      Buffer.concat([
        field(1, 'value'),
        field(5, onnxTensor('', 6, [2], [5, Buffer.concat([Buffer.from([0x96, 1]), negative])])),
      ]),
    ]);
    project.write('n.onnx', onnxModel([field(1, node)]));
    await project.add('n.onnx');
    const { bytes } = await readAll(project, 'n.onnx', 'c_out.value');
    expect([bytes.readInt32LE(0), bytes.readInt32LE(4), bytes.length]).toEqual([150, -1, 8]);
  });

  it('says of damaged files what is wrong with them', async () => {
    const project = await makeProject();
    project.write('w.safetensors', Buffer.from('nothing of the kind'));
    project.write('notes.txt', 'text');
    await project.add('w.safetensors', 'notes.txt');
    await expect(readAll(project, 'w.safetensors', 'a')).rejects.toMatchObject({
      code: 'corrupt-model',
    });
    await expect(readAll(project, 'notes.txt', 'a')).rejects.toMatchObject({ code: 'usage' });
  });
});

/** A pushed model of 24 MiB, and a clone of it with an empty store. */
async function pushedModel() {
  const remote = counting(await emptyRemote());
  const change = withRemotes({ origin: remote });
  const project = await makeProject(change);
  const tensors = [1, 2, 3, 4, 5, 6].map((n) => bulk(`t${n}`, n, 4 * mib));
  project.write('m/w.safetensors', typedFile(tensors));
  project.write('m/other.bin', noise(3 * mib, 'other'));
  await project.add('m');
  project.commit();
  await project.push();
  return { remote, tensors, clone: cloneProject(project, change) };
}

/** A server that counts who comes. */
async function listening(): Promise<{ url: string; count: () => number }> {
  let count = 0;
  const server = net.createServer((socket) => {
    count++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  return { url: `http://127.0.0.1:${port}`, count: () => count };
}

const choicesOf = (remote: RemotePruner) => async () => [
  { name: 'origin', remote: counting(remote) },
];

describe('a store that lacks a model', () => {
  it('reads one tensor from a remote by its chunks alone, and stores nothing', async () => {
    const { remote, tensors, clone } = await pushedModel();
    const remotes = choicesOf(remote);
    const before = remote.counts().get.bytes;
    const { bytes, received } = await readAll(clone, 'm/w.safetensors', 't4', { remotes });
    expect(bytes.equals(tensors[3]?.bytes as Buffer)).toBe(true);
    // The tensor, the header in a chunk of its own, the recipe and the index.
    expect(received).toBe(remote.counts().get.bytes - before);
    expect(received).toBeGreaterThan(4 * mib);
    expect(received).toBeLessThan(4 * mib + 64 * kib);
    expect(fs.existsSync(clone.at('.modelstore/store/packs'))).toBe(false);
    const rows = { start: mib, end: mib + 10 };
    const part = await readAll(clone, 'm/w.safetensors', 't4', { remotes, range: rows });
    expect(part.bytes.equals(bytes.subarray(mib, mib + 10))).toBe(true);
    expect(part.received).toBeLessThan(mib + 64 * kib);
  });

  it('lists tensors by the chunks of the header alone', async () => {
    const { remote, clone } = await pushedModel();
    const { tensors, bytesReceived } = await listTensors(await clone.open(), ['m'], clone.root, {
      remotes: choicesOf(remote),
    });
    expect(tensors.map(({ name }) => name)).toEqual(['t1', 't2', 't3', 't4', 't5', 't6']);
    // A file whose name says nothing is looked into as well: one chunk of it.
    expect(bytesReceived).toBeLessThan(mib + 128 * kib);
  });

  it('reads what is between the tensors of an ONNX model side by side, and none of them', async () => {
    const inner = await emptyRemote();
    const change = withRemotes({ origin: inner });
    const project = await makeProject(change);
    const tensors = Array.from({ length: 40 }, (_, i) =>
      field(5, onnxTensor(`t${i}`, 2, [300 * kib], [9, noise(300 * kib, i)])),
    );
    project.write('n.onnx', onnxModel(tensors));
    await project.add('n.onnx');
    project.commit();
    await project.push();
    const clone = cloneProject(project, change);
    let [atOnce, most] = [0, 0];
    const remote: RemotePruner = {
      ...inner,
      get: async function* (...args) {
        atOnce++;
        most = Math.max(most, atOnce);
        yield* inner.get(...args);
        atOnce--;
      },
    };
    const remotes = choicesOf(remote);
    const found = await listTensors(await clone.open(), ['n.onnx'], clone.root, { remotes });
    expect(found.tensors.map(({ name }) => name)).toEqual(tensors.map((_, i) => `t${i}`));
    expect(found.bytesReceived).toBeLessThan(128 * kib);
    expect(most).toBeGreaterThan(1);
  });

  it('takes no byte that is not that of its chunk', async () => {
    const { remote, tensors, clone } = await pushedModel();
    const whole = tensors[3]?.bytes ?? Buffer.alloc(0);
    const wanted = whole.subarray(100, 160);
    const damaging: RemotePruner = {
      ...remote,
      get: async function* (key, range, options) {
        for await (const block of remote.get(key, range, options)) {
          const bytes = Buffer.from(block);
          const at = bytes.indexOf(wanted);
          if (at >= 0) bytes[at] = (bytes[at] as number) ^ 1;
          yield bytes;
        }
      },
    };
    const broken = readAll(clone, 'm/w.safetensors', 't4', { remotes: choicesOf(damaging) });
    await expect(broken).rejects.toMatchObject({ code: 'corrupt-chunk' });
    const both = async () => [
      ...(await choicesOf(damaging)()),
      { name: 'second', remote: counting(remote) },
    ];
    const healed = await readAll(clone, 'm/w.safetensors', 't4', { remotes: both });
    expect(healed.bytes.equals(tensors[3]?.bytes as Buffer)).toBe(true);
  });

  it('says without a remote that objects are missing', async () => {
    const { clone } = await pushedModel();
    await expect(readAll(clone, 'm/w.safetensors', 't1')).rejects.toMatchObject({
      code: 'objects-missing',
      details: { paths: ['m/w.safetensors'] },
    });
  });

  it('reads the list of a large directory from a remote', async () => {
    const remote = await emptyRemote();
    const change = withRemotes({ origin: remote });
    const project = await makeProject(change);
    for (let i = 0; i < 1001; i++) project.write(`m/${i}.txt`, `${i}`);
    project.write('m/w.safetensors', typedFile([floats('t', [1, 2])]));
    await project.add('m');
    project.commit();
    await project.push();
    const clone = cloneProject(project, change);
    const remotes = choicesOf(remote);
    const { bytes } = await readAll(clone, 'm/w.safetensors', 't', { remotes });
    expect(bytes).toEqual(floats('t', [1, 2]).bytes);
    const { tensors } = await listTensors(await clone.open(), [], clone.root, { remotes });
    expect(tensors).toMatchObject([{ name: 't', shape: [2] }]);
  });

  it('says offline that objects are missing, and opens nothing', async () => {
    const { clone } = await pushedModel();
    const connections = await listening();
    const config = `\n[remote.far]\nurl = "s3://bucket/m"\nendpoint = "${connections.url}"\n`;
    fs.appendFileSync(clone.at('.modelstore/config.toml'), config);
    const take = async () => {};
    const workspace = await clone.open({ offline: true, openRemote });
    const alone = readTensor(workspace, 'm/w.safetensors', 't4', take);
    await expect(alone).rejects.toMatchObject({
      code: 'objects-missing',
      message: expect.stringContaining('offline'),
    });
    await expect(listTensors(workspace, ['m'], clone.root)).rejects.toMatchObject({
      code: 'objects-missing',
      details: { paths: ['m/w.safetensors'] },
    });
    expect(connections.count()).toBe(0);
    await expect(diffTensors(workspace, ['m'], clone.root)).rejects.toMatchObject({
      code: 'objects-missing',
    });
  });
});
