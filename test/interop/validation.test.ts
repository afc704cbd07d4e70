import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { validatePaths } from '../../src/flow/validate.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { harmlessPickles, pickleRoutes } from '../support/pickle-routes.ts';
import { installPython, runPython, scanners } from '../support/python-models.ts';

const page = fileURLToPath(new URL('../../docs/guide/validate.md', import.meta.url));

beforeAll(() => installPython(), 600_000);

/** Writes files by the libraries themselves. */
const writing = `
import pickle, joblib, numpy as np, h5py, gguf, onnx, os
from onnx import helper, numpy_helper, TensorProto
from safetensors.numpy import save_file

w = {'a': np.arange(12, dtype=np.float32).reshape(3, 4), 'b': np.ones(5, dtype=np.int64), 'c': np.zeros((0, 2), dtype=np.float16)}
save_file(w, 'plain.safetensors')
save_file(w, 'noted.safetensors', metadata={'format': 'pt', 'é': '"'})

writer = gguf.GGUFWriter('m.gguf', 'llama')
writer.add_block_count(1)
writer.add_array('tokenizer.ggml.tokens', ['a', 'b'])
writer.add_tensor('a', w['a'])
writer.add_tensor('q', gguf.quants.quantize(np.zeros((2, 64), dtype=np.float32), gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()

def model():
    x = helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 3])
    y = helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', 4])
    return helper.make_model(helper.make_graph([helper.make_node('MatMul', ['x', 'a'], ['y'])], 'g', [x], [y], [numpy_helper.from_array(w['a'], 'a')]))
onnx.save(model(), 'm.onnx')
onnx.save(model(), 'external.onnx', save_as_external_data=True, location='external.data', size_threshold=0)

with h5py.File('m.h5', 'w') as f:
    f.create_dataset('layer/a', data=w['a'], compression='gzip')
    f.attrs['backend'] = 'tensorflow'

for name in ['<f4', '>i8', '?', '<c16', 'S4', '<U3', 'M8[s]']:
    np.save('npy-' + str(abs(hash(name))), np.zeros(3, dtype=name))
np.save('record.npy', np.zeros(2, dtype=[('x', '<f4'), ('y', 'S3')]))
np.savez('m.npz', **w); np.savez_compressed('small.npz', **w)
for protocol in range(6):
    with open(f'p{protocol}.pkl', 'wb') as f: pickle.dump({'weights': w, 'n': [1, 2.5, None, 'é', b'b', (1,), {3}]}, f, protocol=protocol)
joblib.dump(w, 'plain.joblib')
for kind in ['zlib', 'gzip']: joblib.dump(w, f'm.joblib.{kind}', compress=(kind, 3)); os.rename(f'm.joblib.{kind}', f'{kind}.joblib')
`;

describe('files that the libraries write', () => {
  it('are ok, each for what it is', async () => {
    const folder = scratchFolder();
    runPython(writing, folder);
    const { files } = await validatePaths(['.'], folder);
    const found = Object.fromEntries(files.map((file) => [file.path, file]));
    const formats: Record<string, string> = {
      'plain.safetensors': 'safetensors',
      'noted.safetensors': 'safetensors',
      'm.gguf': 'gguf',
      'm.onnx': 'onnx',
      'external.onnx': 'onnx',
      'm.h5': 'hdf5',
      'record.npy': 'npy',
      'm.npz': 'npz',
      'small.npz': 'npz',
      'plain.joblib': 'pickle',
      'zlib.joblib': 'zlib',
      'gzip.joblib': 'gzip',
      ...Object.fromEntries([0, 1, 2, 3, 4, 5].map((version) => [`p${version}.pkl`, 'pickle'])),
    };
    for (const [name, format] of Object.entries(formats))
      expect(found[name]?.format, name).toBe(format);
    expect(files.filter((file) => file.format === 'npy')).toHaveLength(8);
    // How joblib keeps arrays is on no list of harmless names: it may unpickle what follows.
    const judged = files.filter(({ verdict }) => verdict !== 'ok');
    expect(
      judged.map(({ path: name, verdict, findings }) => [
        name,
        verdict,
        findings.map(({ rule }) => rule),
      ]),
    ).toEqual(
      ['gzip', 'plain', 'zlib'].map((name) => [`${name}.joblib`, 'warning', ['pickle-suspicious']]),
    );
    expect(found['m.gguf']?.summary).toMatchObject({ tensors: 2, architecture: 'llama' });
    expect(found['external.onnx']?.summary).toMatchObject({ tensors: 1, files: ['external.data'] });
    expect(found['noted.safetensors']?.summary).toMatchObject({ tensors: 3, parameters: 17 });
  });
});

/** Looks at a file with the other tools, then loads it: prints for each folder what came of it. */
const judging = `
import contextlib, io, json, os, pickle, sys, time, warnings
warnings.simplefilter('ignore')
import numpy
from picklescan.scanner import scan_file_path
from fickling.fickle import StackedPickle
from fickling.analysis import check_safety, Severity

def picklescan(file):
    try:
        result = scan_file_path(file)
        if result.infected_files: return 'found'
        return 'not read' if result.scan_err else 'nothing'
    except BaseException as error:
        return 'not read'

def fickling(file):
    try:
        with open(file, 'rb') as f: stack = StackedPickle.load(f)
        worst = max((check_safety(one).severity for one in stack), key=lambda s: s.severity)
        return 'nothing' if worst == Severity.LIKELY_SAFE else 'found'
    except BaseException as error:
        return 'not read'

def ran(file):
    with contextlib.suppress(BaseException):
        if file.endswith(('.npy', '.npz')):
            loaded = numpy.load(file, allow_pickle=True)
            if file.endswith('.npz'): loaded['a']
        else:
            with open(file, 'rb') as f:
                pickle.load(f)
                if f.read(1):
                    f.seek(-1, 1)
                    pickle.load(f)
    for _ in range(50):
        if os.path.isdir('ran'): return True
        time.sleep(0.02)
    return False

top, answers, real = os.getcwd(), [], sys.stdout
for number in range(len(os.listdir('.'))):
    os.chdir(os.path.join(top, str(number)))
    [file] = [name for name in os.listdir('.') if name != 'from']
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        answers.append([picklescan(file), fickling(file), ran(file)])
print(json.dumps(answers), file=real)
`;

type Answer = readonly [picklescan: string, fickling: string, ran: boolean];

describe('pickles that run code', () => {
  it('are compared with other tools in the guide', async () => {
    const all = [...pickleRoutes, ...harmlessPickles];
    const folder = scratchFolder();
    const verdicts: string[] = [];
    for (const [i, { file, bytes }] of all.entries()) {
      const place = path.join(folder, String(i));
      fs.mkdirSync(path.join(place, 'from'), { recursive: true });
      fs.writeFileSync(path.join(place, file), bytes);
      verdicts.push((await validatePaths([file], place)).verdict);
    }
    const answers = JSON.parse(runPython(judging, folder)) as Answer[];
    const ran = all.filter((_, i) => answers[i]?.[2] === true);
    expect(ran.map(({ route }) => route)).toEqual(pickleRoutes.map(({ route }) => route));
    const rows = all.map(({ route }, i) => {
      const [picklescan, fickling] = answers[i] ?? [];
      return `| ${route} | ${verdicts[i]} | ${picklescan} | ${fickling} |`;
    });
    const line = '| --- | --- | --- | --- |';
    const tableOf = (what: string, some: readonly string[]): string =>
      ['', `| ${what} | mstore | ${scanners.join(' | ')} |`, line, ...some, ''].join('\n');
    const text = fs.readFileSync(page, 'utf8');
    expect(text).toContain(tableOf('what runs code', rows.slice(0, pickleRoutes.length)));
    expect(text).toContain(tableOf('what runs nothing', rows.slice(pickleRoutes.length)));
    expect(verdicts.slice(0, pickleRoutes.length)).not.toContain('ok');
    expect(new Set(verdicts.slice(pickleRoutes.length))).toEqual(new Set(['ok']));
  });
});
