import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { diffTensors } from '../../src/flow/diff-tensors.ts';
import { listTensors, readTensor } from '../../src/flow/tensors.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { installPython, runPython } from '../support/python-models.ts';

beforeAll(() => installPython(), 600_000);

/** Writes two versions of a model by the libraries themselves, each form with every type that NumPy can hold. */
const writing = `
import os, gguf, ml_dtypes, numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

names = ['float64', 'float32', 'float16', 'int64', 'uint64', 'int32', 'uint32', 'int16', 'uint16', 'int8', 'uint8', 'bool', 'complex64']
own = ['bfloat16', 'float8_e4m3fn', 'float8_e5m2']
chance = np.random.default_rng(3)
def filled(name):
    dtype = np.dtype(name) if name in names else np.dtype(getattr(ml_dtypes, name))
    values = chance.normal(0, 20, (5, 7, 3))
    if name == 'complex64': values = values + 1j * chance.normal(0, 20, values.shape)
    if name == 'bool': values = values > 0
    if name.startswith('uint'): values = abs(values)
    return values.astype(dtype)
def changed(values):
    after = values.copy()
    for at in range(0, after.size, 6):
        one = after.flat[at]
        after.flat[at] = not one if after.dtype == bool else np.asarray(one).astype(np.complex64 if after.dtype == np.complex64 else np.float64) * 1.5 + 1
    return after
before = {name: filled(name) for name in names + own}
after = {name: changed(values) for name, values in before.items()}
after['int64'].flat[3] = 2 ** 62 + 1
for at, value in enumerate([np.nan, np.inf, -np.inf]): after['float32'].flat[at] = value
before['float64'].flat[9], after['float64'].flat[9] = np.nan, np.nan
before['float16'].flat[1], after['float16'].flat[1] = 0.0, -0.0
before['same'] = after['same'] = filled('float32')
before['gone'], after['new'] = filled('float32'), filled('float32')
before['wide'] = filled('float32')
after['wide'] = before['wide'].reshape(7, 5, 3)
before['cast'] = filled('float32')
after['cast'] = before['cast'].astype(np.float16)
before['single'], after['single'] = np.array(2.0, np.float32), np.array(3.0, np.float32)
before['empty'] = after['empty'] = np.zeros((0, 4), np.float32)

def write_gguf(tensors, file):
    writer = gguf.GGUFWriter(file, 'llama')
    for name in ['float32', 'float16', 'float64', 'int64', 'int32', 'int16', 'int8', 'same', 'cast', 'wide']:
        writer.add_tensor(name, tensors[name])
    for kind in ['Q8_0', 'Q4_0', 'Q5_1', 'BF16']:
        kind = gguf.GGMLQuantizationType[kind]
        values = np.resize(tensors['float32'].astype(np.float64), (4, 64)).clip(-50, 50).astype(np.float32)
        writer.add_tensor(kind.name, gguf.quants.quantize(np.nan_to_num(values), kind), raw_dtype=kind)
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()

def write_onnx(tensors, file):
    raw = [numpy_helper.from_array(values, name) for name, values in tensors.items() if name not in ['empty']]
    typed = {'float32': 'FLOAT', 'float64': 'DOUBLE', 'float16': 'FLOAT16', 'bfloat16': 'BFLOAT16', 'int64': 'INT64', 'uint64': 'UINT64', 'int32': 'INT32',
             'uint32': 'UINT32', 'int16': 'INT16', 'uint16': 'UINT16', 'int8': 'INT8', 'uint8': 'UINT8', 'bool': 'BOOL', 'complex64': 'COMPLEX64',
             'float8_e4m3fn': 'FLOAT8E4M3FN', 'float8_e5m2': 'FLOAT8E5M2'}
    fields = []
    for name, kind in typed.items():
        values = tensors[name].flatten()
        made = helper.make_tensor(f'typed/{name}', TensorProto.DataType.Value(kind), tensors[name].shape, values)
        assert not made.HasField('raw_data'), name
        fields.append(made)
    fields.append(helper.make_tensor('typed/int4', TensorProto.INT4, (3, 3), tensors['int8'].flatten()[:9].astype(np.int64).clip(-8, 7)))
    constant = helper.make_node('Constant', [], ['c'], value=numpy_helper.from_array(tensors['float32'][:2], 'any'))
    output = helper.make_tensor_value_info('inside', TensorProto.FLOAT, None)
    branch = lambda values: helper.make_graph([helper.make_node('Identity', ['w'], ['inside'])], 'g', [], [output], [numpy_helper.from_array(values, 'w')])
    chosen = helper.make_node('If', ['flag'], ['y'], then_branch=branch(tensors['float32'][:1]), else_branch=branch(tensors['float32'][:3]))
    flag = helper.make_tensor_value_info('flag', TensorProto.BOOL, [])
    graph = helper.make_graph([constant, chosen], 'g', [flag], [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)], raw + fields)
    model = helper.make_model(graph)
    onnx.save(model, file + '.onnx')
    onnx.save(model, file + '-external.onnx', save_as_external_data=True, location=os.path.basename(file) + '.data', size_threshold=16)

for folder, tensors in {'before': before, 'after': after}.items():
    os.mkdir(folder)
    save_file(tensors, f'{folder}/m.safetensors', metadata={'note': 'é'})
    write_gguf(tensors, f'{folder}/m.gguf')
    write_onnx(tensors, f'{folder}/m')
`;

/** Reads each file by its library, and tells what is in it, and how far two versions of it differ by NumPy. */
const reading = `
import hashlib, json, gguf, ml_dtypes, numpy as np, onnx
from onnx import TensorProto, numpy_helper
from safetensors import deserialize

def of_safetensors(file):
    with open(file, 'rb') as one: found = deserialize(one.read())
    types = {'F64': np.float64, 'F32': np.float32, 'F16': np.float16, 'BF16': ml_dtypes.bfloat16, 'F8_E4M3': ml_dtypes.float8_e4m3fn, 'F8_E5M2': ml_dtypes.float8_e5m2,
             'C64': np.complex64, 'BOOL': np.bool_}
    for name, facts in found:
        kind = facts['dtype']
        dtype = types.get(kind) or np.dtype(('int' if kind[0] == 'I' else 'uint') + kind[1:])
        yield name, kind, facts['shape'], bytes(facts['data']), np.frombuffer(bytes(facts['data']), dtype), None

def of_gguf(file):
    for tensor in gguf.GGUFReader(file).tensors:
        kind = tensor.tensor_type
        shape, data = [int(one) for one in reversed(tensor.shape)], tensor.data.tobytes()
        plain = {'F32': np.float32, 'F16': np.float16, 'F64': np.float64, 'BF16': ml_dtypes.bfloat16}.get(kind.name)
        if kind.name[0] == 'I' and kind.name[1:].isdigit(): plain = np.dtype('int' + kind.name[1:])
        yield tensor.name, kind.name, shape, data, None if plain is None else np.frombuffer(data, plain), gguf.GGML_QUANT_SIZES[kind][1]

def packed(values):
    halves = np.resize(np.append(values.flatten().astype(np.int8) & 15, 0), (values.size + 1) // 2 * 2).astype(np.uint8)
    return (halves[0::2] | halves[1::2] << 4).tobytes()

def of_onnx(file):
    graph = onnx.load(file).graph
    inner = [(tensor, tensor.name) for tensor in graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            place = f'{node.output[0]}.{attribute.name}'
            if attribute.type == onnx.AttributeProto.TENSOR: inner.append((attribute.t, place))
            if attribute.type == onnx.AttributeProto.GRAPH: inner += [(tensor, f'{place}/{tensor.name}') for tensor in attribute.g.initializer]
    for tensor, name in inner:
        values = numpy_helper.to_array(tensor)
        kind = TensorProto.DataType.Name(tensor.data_type)
        if kind == 'INT4': yield name, kind, list(tensor.dims), packed(values), None, 1
        else: yield name, kind, list(tensor.dims), values.tobytes(), values.flatten(), None

def compared(one, other):
    (kind, data, values, unit), (kind_after, data_after, values_after, _) = one, other
    if kind == kind_after and data == data_after: return None
    if values is None:
        pieces = [[part[i:i + unit] for i in range(0, len(part), unit)] for part in (data, data_after)]
        differing = sum(a != b for a, b in zip(*pieces))
        return {'total': len(pieces[0]), 'differing': differing, 'norm': None, 'notFinite': 0}
    exact = np.complex128 if values.dtype == np.complex64 else np.float64
    a, b = values.astype(exact), values_after.astype(exact)
    if kind == kind_after:
        view = lambda part: np.frombuffer(part.tobytes(), np.uint8).reshape(values.size, -1)
        differing = int((view(values) != view(values_after)).any(axis=1).sum())
    else: differing = int((a != b).sum())
    finite = np.isfinite(a) & np.isfinite(b)
    norm = np.sqrt((abs(b - a)[finite] ** 2).sum()) / np.sqrt((abs(a)[finite] ** 2).sum())
    return {'total': values.size, 'differing': differing, 'norm': float(norm), 'notFinite': int((~finite).sum())}

told = {'listed': {}, 'compared': {}}
readers = {'m.safetensors': of_safetensors, 'm.gguf': of_gguf, 'm.onnx': of_onnx, 'm-external.onnx': of_onnx}
for file, read in readers.items():
    sides = []
    for folder in ['before', 'after']:
        found = {}
        for name, kind, shape, data, values, unit in read(f'{folder}/{file}'):
            found[name] = (kind, data, values, unit, shape)
            rows = len(data) // shape[0] if len(shape) > 1 and shape[0] > 1 and len(data) % shape[0] == 0 else None
            told['listed'][f'{folder}/{file} {name}'] = {
                'dtype': kind, 'shape': list(shape), 'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest(),
                'row': None if rows is None or kind == 'INT4' else hashlib.sha256(data[rows:2 * rows]).hexdigest()}
        sides.append(found)
    old, new = sides
    for name in set(old) & set(new):
        if old[name][4] != new[name][4]: told['compared'][f'{file} {name}'] = 'resized'
        elif (found := compared(old[name][:4], new[name][:4])) is not None: told['compared'][f'{file} {name}'] = found
    for name in set(old) ^ set(new): told['compared'][f'{file} {name}'] = 'removed' if name in old else 'added'
print(json.dumps(told))
`;

interface Told {
  readonly listed: Readonly<
    Record<
      string,
      {
        readonly dtype: string;
        readonly shape: readonly number[];
        readonly bytes: number;
        readonly sha256: string;
        readonly row: string | null;
      }
    >
  >;
  readonly compared: Readonly<
    Record<
      string,
      | string
      | {
          readonly total: number;
          readonly differing: number;
          readonly norm: number | null;
          readonly notFinite: number;
        }
    >
  >;
}

/** The digest of a tensor, or of its second row. */
async function digestOf(
  project: Project,
  file: string,
  name: string,
  range?: { readonly start: number; readonly end: number },
): Promise<string> {
  const hash = createHash('sha256');
  const take = async (block: Uint8Array) => void hash.update(block);
  await readTensor(await project.open(), file, name, take, { range });
  return hash.digest('hex');
}

/** Where the tensors of one model are in another file. */
const aside = ['m-external.onnx', 'm/m.data'];

/** A project with both versions of the files that the libraries wrote. */
async function bothVersions() {
  const folder = scratchFolder();
  runPython(writing, folder);
  const told = JSON.parse(runPython(reading, folder)) as Told;
  const project = await makeProject();
  const commits: string[] = [];
  for (const side of ['before', 'after']) {
    fs.cpSync(path.join(folder, side), project.at('m'), { recursive: true });
    await project.add('m');
    commits.push(project.commit());
  }
  return { project, told, commits };
}

describe('the tensors of files that safetensors, gguf and onnx wrote', () => {
  it('are those that the libraries read, byte for byte', async () => {
    const { project, told, commits } = await bothVersions();
    let rows = 0;
    for (const [i, side] of ['before', 'after'].entries()) {
      const { tensors, broken } = await listTensors(
        await project.open(),
        [`git:${commits[i]}`],
        project.root,
      );
      expect(broken).toEqual([]);
      const expected = Object.entries(told.listed).filter(([key]) => key.startsWith(`${side}/`));
      expect(tensors).toHaveLength(expected.length);
      for (const { file, name, dtype, shape, bytes, dataFile } of tensors) {
        const key = `${side}/${path.basename(file)} ${name}`;
        const { row, sha256, ...facts } = told.listed[key] ?? {};
        expect({ dtype, shape, bytes }, key).toEqual(facts);
        if (dataFile !== undefined) expect([path.basename(file), dataFile]).toEqual(aside);
        const place = `git:${commits[i]}:${file}`;
        expect(await digestOf(project, place, name), key).toBe(sha256);
        if (typeof row !== 'string') continue;
        expect(await digestOf(project, place, name, { start: 1, end: 2 }), key).toBe(row);
        rows++;
      }
      expect(tensors.filter(({ dataFile }) => dataFile !== undefined).length).toBeGreaterThan(15);
    }
    expect(rows).toBeGreaterThan(150);
  });

  it('differ by as much as NumPy says', async () => {
    const { project, told, commits } = await bothVersions();
    const { tensors, broken } = await diffTensors(
      await project.open(),
      commits.map((commit) => `git:${commit}`),
      project.root,
    );
    expect(broken).toEqual([]);
    const found = tensors.map(({ name, change, before, after, difference }) => {
      const key = `${path.basename((before ?? after)?.file ?? '')} ${name}`;
      return [key, { change, difference }] as const;
    });
    expect(found.map(([key]) => key).sort()).toEqual(Object.keys(told.compared).sort());
    let norms = 0;
    for (const [key, { change, difference }] of found) {
      const expected = told.compared[key];
      if (typeof expected === 'string' || expected === undefined) {
        expect(change, key).toBe(expected);
        continue;
      }
      const { total, differing, norm, notFinite } = expected;
      expect(change, key).toBe(key.endsWith(' cast') ? 'retyped' : 'changed');
      expect(difference, key).toMatchObject({
        total,
        differing,
        share: differing / total,
        notFinite,
      });
      if (norm === null) expect(difference?.relativeNorm, key).toBeNull();
      else {
        expect((difference?.relativeNorm ?? Number.NaN) / norm, key).toBeCloseTo(1, 12);
        norms++;
      }
    }
    expect(norms).toBeGreaterThan(50);
  });
});
