import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { validatePaths } from '../../src/flow/validate.ts';
import { findHardCuts } from '../../src/weights/hard-cuts.ts';
import { makeProject } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { installTorch, runTorch } from '../support/torch-program.ts';
import { readerOf } from '../support/weights.ts';

beforeAll(installTorch, 600_000);

/** What mstore says of the files of a folder, by name. */
async function judged(folder: string) {
  const { files } = await validatePaths(['.'], folder);
  return new Map(files.map((file) => [file.path, file]));
}

/** Writes files by `torch.save` in both forms, and tells of each what PyTorch itself finds in it. */
const writing = `
import json, pickle, torch, numpy
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(2, 3)).sum().backward()
optimizer.step()
names = {'float64': 'F64', 'float32': 'F32', 'float16': 'F16', 'bfloat16': 'BF16', 'int64': 'I64', 'int32': 'I32', 'int16': 'I16',
         'int8': 'I8', 'uint8': 'U8', 'bool': 'BOOL', 'complex64': 'C64', 'complex128': 'C128'}
shared = torch.arange(12.)
values = {
    'state': model.state_dict(),
    'checkpoint': {'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': 3, 'note': 'é', 'none': None},
    'dtypes': {name: torch.zeros(2, 3).to(getattr(torch, name)) for name in names},
    'views': {'a': shared, 'b': shared[2:5], 'turned': shared.reshape(3, 4).T, 'scalar': torch.tensor(1), 'empty': torch.zeros(0, 2),
              'parameter': torch.nn.Parameter(torch.ones(2)), 'size': torch.Size([1, 2])},
    'kinds': {'quantized': torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), 'sparse': torch.eye(3).to_sparse(),
              'dtype': torch.float16, 'device': torch.device('cpu')},
    'array': {'array': numpy.zeros(3)},
    'whole': model,
}
def tensors(value):
    if isinstance(value, torch.Tensor): return [value]
    if isinstance(value, torch.nn.Module): value = value.state_dict()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    return [one for item in inner for one in tensors(item)]
def loads(file):
    try:
        torch.load(file, weights_only=True)
        return True
    except pickle.UnpicklingError:
        return False
told = {}
for name, value in values.items():
    found = tensors(value)
    kinds = [names.get(str(one.dtype).split('.')[1]) for one in found]
    for form, options in {'zip': {}, 'legacy': {'_use_new_zipfile_serialization': False}, 'protocol-4': {'pickle_protocol': 4}}.items():
        file = f'{name}-{form}.pt'
        torch.save(value, file, **options)
        told[file] = {'tensors': len(found), 'parameters': sum(one.numel() for one in found),
                      'dtypes': {kind: kinds.count(kind) for kind in sorted(set(map(str, kinds)))}, 'loads': loads(file)}
torch.jit.script(model).save('script.pt')
print(json.dumps(told))
`;

interface Told {
  readonly tensors: number;
  readonly parameters: number;
  readonly dtypes: Readonly<Record<string, number>>;
  readonly loads: boolean;
}

/** What PyTorch 2 loads as weights, and the PyTorch of Debian does not yet: floats of Python, devices, other kinds of tensors. */
const later = /^(?:checkpoint|kinds)-(?:zip|legacy)\.pt$/;

describe('files that PyTorch writes', () => {
  it('are told as PyTorch finds them, and are ok where they hold weights', async () => {
    const folder = scratchFolder();
    const told = JSON.parse(runTorch(writing, folder)) as Record<string, Told>;
    const found = await judged(folder);
    expect(found.size).toBe(22);
    for (const [name, { tensors, parameters, dtypes, loads }] of Object.entries(told)) {
      const { format, verdict, summary, findings } = found.get(name) ?? {};
      expect(format, name).toBe(name.endsWith('-legacy.pt') ? 'torch-legacy' : 'torch-zip');
      const rules = [...new Set(findings?.map(({ rule }) => rule))];
      // A whole model names classes, which may be anybody's.
      const isWhole = name.startsWith('whole-');
      expect([verdict, rules], name).toEqual(
        isWhole ? ['warning', ['pickle-suspicious']] : ['ok', []],
      );
      expect(summary?.weightsOnly, name).toBe(loads || later.test(name));
      if (name.startsWith('kinds-') || tensors === 0) continue;
      expect(summary, name).toMatchObject({ tensors, parameters, dtypes });
    }
    const script = found.get('script.pt');
    const named = [...new Set(script?.findings.map(({ rule }) => rule))];
    expect([script?.verdict, named]).toEqual(['warning', ['torch-code', 'pickle-suspicious']]);
    expect(script?.summary).toMatchObject({ tensors: 7, parameters: 33 });
  });
});

/** Breaks files of `torch.save` in one way each, and tells which of them PyTorch refuses. */
const breaking = `
import io, json, os, pickle, struct, sys, zipfile, torch
state = {'a': torch.ones(64, 8), 'b': torch.zeros(3)}
def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()
whole, legacy = saved(state), saved(state, _use_new_zipfile_serialization=False)
root = zipfile.ZipFile(io.BytesIO(whole)).namelist()[0].split('/')[0]
def rewritten(change, more=()):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, 'w') as new:
        for name in old.namelist():
            kept = change(name, old.read(name))
            if kept is not None: new.writestr(kept[0], kept[1], kept[2] if len(kept) > 2 else zipfile.ZIP_STORED)
        for name, content in more: new.writestr(name, content)
    return out.getvalue()
same = lambda name, content: (name, content)
def patched(content, at, new):
    return content[:at] + new + content[at + len(new):]
class Runs:
    def __reduce__(self): return (os.mkdir, ('ran',))
evil = {**state, 'evil': Runs()}
with zipfile.ZipFile(io.BytesIO(whole)) as archive: info = archive.getinfo(f'{root}/data/1')
names, extra = struct.unpack('<HH', whole[info.header_offset + 26:info.header_offset + 30])
data = info.header_offset + 30 + names + extra
stream = io.BytesIO(legacy)
for _ in range(3): pickle.Unpickler(stream).load()
files = {
    'unchanged': rewritten(same),
    'storage-gone': rewritten(lambda name, content: None if name.endswith('/data/0') else (name, content)),
    'storage-short': rewritten(lambda name, content: (name, content[:-4] if name.endswith('/data/0') else content)),
    'no-pickle': rewritten(lambda name, content: (name.replace('data.pkl', 'other.pkl'), content)),
    'pickle-cut': rewritten(lambda name, content: (name, content[:-40] if name.endswith('data.pkl') else content)),
    'two-roots': rewritten(same, [('other/version', '3')]),
    'twice': rewritten(same, [(f'{root}/data/1', bytes(12))]),
    'outside': rewritten(same, [(f'{root}/../../x', 'x')]),
    'packed-otherwise': rewritten(lambda name, content: (name, content, zipfile.ZIP_BZIP2 if name.endswith('/data/0') else 0)),
    'cut': whole[:-30],
    'flipped': patched(whole, data + 4, b'\\x01'),
    'other-name': patched(whole, info.header_offset + 30, b'X'),
    'locked': patched(whole, info.header_offset + 6, b'\\x01'),
    'hidden': rewritten(same, [(f'{root}/data/2', pickle.dumps(Runs(), 2))]),
    'runs': saved(evil),
    'runs-legacy': saved(evil, _use_new_zipfile_serialization=False),
    'legacy-cut': legacy[:stream.tell()],
    'legacy-protocol': legacy.replace(b'M\\xe9\\x03', b'M\\xea\\x03', 1),
}
refused = []
for name, content in files.items():
    with open(name + '.pt', 'wb') as file: file.write(content)
    try: torch.load(name + '.pt')
    except Exception: refused.append(name)
    if os.path.isdir('ran'):
        os.rmdir('ran')
        refused.append(name + ' ran')
print(json.dumps(refused))
`;

const broken: Readonly<Record<string, readonly [verdict: string, ...rules: string[]]>> = {
  unchanged: ['ok'],
  'storage-gone': ['invalid', 'torch-storage'],
  'storage-short': ['invalid', 'torch-storage'],
  'no-pickle': ['invalid', 'torch-layout'],
  'pickle-cut': ['invalid', 'pickle-broken'],
  'two-roots': ['invalid', 'torch-layout'],
  twice: ['dangerous', 'zip-duplicate'],
  outside: ['dangerous', 'zip-path'],
  'packed-otherwise': ['dangerous', 'zip-method'],
  cut: ['dangerous', 'torch-layout', 'zip-directory'],
  flipped: ['dangerous', 'zip-checksum'],
  'other-name': ['dangerous', 'zip-headers-differ'],
  locked: ['dangerous', 'zip-encrypted', 'zip-headers-differ'],
  hidden: ['dangerous', 'pickle-denied', 'pickle-hidden'],
  runs: ['dangerous', 'pickle-denied'],
  'runs-legacy': ['dangerous', 'pickle-denied'],
  'legacy-cut': ['invalid', 'torch-legacy'],
  'legacy-protocol': ['invalid', 'torch-legacy'],
};

describe('files of PyTorch that are broken in one way', () => {
  it('are found, each by its rule', async () => {
    const folder = scratchFolder();
    const refused = JSON.parse(runTorch(breaking, folder)) as string[];
    const found = await judged(folder);
    const rows = [...found].map(([name, { verdict, findings }]) => {
      const rules = [...new Set(findings.map(({ rule }) => rule))].sort();
      return [name.replace(/\.pt$/, ''), [verdict, ...rules]] as const;
    });
    expect(Object.fromEntries(rows)).toEqual(broken);
    // PyTorch gives some of them up too, and loads others with what they were made to hide.
    const given = ['storage-gone', 'no-pickle', 'pickle-cut', 'two-roots', 'cut', 'legacy-cut'];
    expect(refused).toEqual(expect.arrayContaining([...given, 'legacy-protocol']));
    expect(refused).not.toContain('unchanged');
    expect(refused.filter((name) => name.endsWith(' ran'))).toEqual([
      'runs ran',
      'runs-legacy ran',
    ]);
  });
});

/** Writes two versions of a model: one tensor is changed, one is new, and stands first. */
const versions = `
import json, struct, zipfile, torch
torch.manual_seed(7)
def save(tensors, name):
    torch.save(tensors, name)
    places = []
    with zipfile.ZipFile(name) as archive, open(name, 'rb') as file:
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            names, extra = struct.unpack('<HH', file.read(4))
            start = info.header_offset + 30 + names + extra
            places.append([info.filename, start, start + info.file_size])
    return places
tensors = {str(i): torch.randn(512, 1024) for i in range(4)}
tensors['small'] = torch.ones(10)
first = save(tensors, 'a.pt')
tensors['2'] = tensors['2'] + 1
second = save({'new': torch.randn(100, 1024), **tensors}, 'b.pt')
print(json.dumps([first, second]))
`;

describe('the members of an archive of PyTorch', () => {
  it('are where chunks end, so that a version shares all tensors that stayed the same', async () => {
    const project = await makeProject();
    const folder = scratchFolder();
    type Places = ReadonlyArray<readonly [name: string, start: number, end: number]>;
    const told = JSON.parse(runTorch(versions, folder)) as [Places, Places];
    for (const [i, name] of ['a.pt', 'b.pt'].entries()) {
      const bytes = fs.readFileSync(path.join(folder, name));
      const large = (told[i] ?? []).filter(([, start, end]) => end - start >= 65_536);
      expect(large).toHaveLength(4 + i);
      const ends = new Set(large.flatMap(([, start, end]) => [start, end]));
      expect(findHardCuts(readerOf(bytes), 65_536)).toEqual([...ends].sort((a, b) => a - b));
    }
    project.write('m.pt', fs.readFileSync(path.join(folder, 'a.pt')));
    await project.add('m.pt');
    const after = fs.readFileSync(path.join(folder, 'b.pt'));
    project.write('m.pt', after);
    const { bytesNew } = await project.add('m.pt');
    const changed = (512 + 100) * 1024 * 4;
    expect(after.length).toBeGreaterThan(8_000_000);
    expect(bytesNew - changed).toBeGreaterThan(0);
    expect(bytesNew - changed).toBeLessThan(10_000);
  });
});
