import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { validatePaths } from '../../src/flow/validate.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { installPython, runPython } from '../support/python-models.ts';

beforeAll(() => installPython(), 600_000);

const start = `
import os
os.environ.update(KERAS_BACKEND='numpy', TF_CPP_MIN_LOG_LEVEL='3')
import io, json, zipfile, keras
# Keras keeps settings in its home.
os.mkdir('m')
os.chdir('m')
`;

/** What mstore says of the files of a folder: verdict and rules by name, notices left out. */
async function judged(folder: string) {
  const { files } = await validatePaths(['.'], path.join(folder, 'm'));
  const rows = files.map(({ path: name, format, verdict, findings, summary }) => {
    const told = findings.filter(({ severity }) => severity !== 'notice');
    const rules = [...new Set(told.map(({ rule }) => rule))].sort();
    return [name, { format, judged: [verdict, ...rules], summary }] as const;
  });
  return Object.fromEntries(rows);
}

/** Writes models by Keras in all its forms, with and without a layer of code, and tells which it loads again. */
const writing = `${start}
@keras.saving.register_keras_serializable(package='mine')
class Own(keras.layers.Layer):
    def call(self, x): return x

image = keras.Input((8, 8, 1))
inner = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3, activation='relu')(image))
inner = keras.layers.Dropout(0.1)(keras.layers.Flatten()(inner))
compiled = keras.Model(image, keras.layers.Dense(3, kernel_regularizer='l2')(inner))
compiled.compile(optimizer='adam', loss='mse', metrics=['mae'])
models = {
    'compiled': compiled,
    'own': keras.Sequential([keras.Input((3,)), Own()]),
    'large': keras.Sequential([keras.Input((600,)), keras.layers.Dense(800)]),
    'lambda': keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2)]),
    'lambda-large': keras.Sequential([keras.Input((600,)), keras.layers.Dense(800), keras.layers.Lambda(lambda x: x * 2)]),
}
refused = []
for name, model in models.items():
    for form in ['keras', 'h5']:
        model.save(f'{name}.{form}')
        try: keras.saving.load_model(f'{name}.{form}', compile=False)
        except Exception: refused.append(f'{name}.{form}')
compiled.save_weights('only.weights.h5')
with open('config.json', 'w') as file: file.write(compiled.to_json())
with open('lambda.json', 'w') as file: file.write(models['lambda'].to_json())
print(json.dumps({'refused': sorted(refused), 'version': keras.__version__}))
`;

describe('files that Keras writes', () => {
  it('are ok, but for those with a layer of code, which Keras refuses as well', async () => {
    const folder = scratchFolder();
    const { refused, version } = JSON.parse(runPython(writing, folder));
    const found = await judged(folder);
    const names = ['compiled', 'own', 'large'];
    const whole = names.flatMap((name) => [`${name}.keras`, `${name}.h5`]);
    for (const name of [...whole, 'only.weights.h5', 'config.json'])
      expect(found[name]?.judged, name).toEqual(['ok']);
    const lambdas = ['lambda', 'lambda-large'].flatMap((name) => [`${name}.h5`, `${name}.keras`]);
    for (const name of [...lambdas, 'lambda.json'])
      expect(found[name]?.judged, name).toEqual(['dangerous', 'keras-lambda']);
    expect(refused).toEqual(lambdas.sort());
    expect(Object.keys(found)).toHaveLength(13);
    for (const [name, { format, summary }] of Object.entries(found)) {
      const form = name.split('.').at(-1);
      expect(format, name).toBe({ keras: 'keras', h5: 'hdf5', json: 'json' }[form ?? '']);
      if (form === 'keras')
        expect(summary, name).toMatchObject({ members: 3, producer: `keras ${version}` });
    }
  });
});

/** Breaks a file of Keras in one way each, and tells which of them Keras refuses. */
const breaking = `${start}
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation='relu', name='d')])
model.save('unchanged.keras')
model.save('unchanged.h5')
with zipfile.ZipFile('unchanged.keras') as archive: members = {name: archive.read(name) for name in archive.namelist()}
config = members['config.json'].decode()
def put(name, **changes):
    with zipfile.ZipFile(name + '.keras', 'w') as new:
        for member, content in {**members, **changes}.items():
            if content is not None: new.writestr(member, content)
def layer(**facts):
    changed = json.loads(config)
    changed['config']['layers'][1].update(facts)
    return json.dumps(changed)
put('no-config', **{'config.json': None})
put('no-weights', **{'model.weights.h5': None})
put('no-json', **{'config.json': config[:-20]})
put('list', **{'config.json': '[]'})
put('no-hdf5', **{'model.weights.h5': b'x' * 100})
put('cut', **{'model.weights.h5': members['model.weights.h5'][:-500]})
put('other-module', **{'config.json': layer(module='mine.layers', registered_name=None)})
put('reaches', **{'config.json': layer(module='os', class_name='system', registered_name=None)})
put('get-file', **{'config.json': config.replace('"relu"', json.dumps({'module': 'keras.utils', 'class_name': 'function', 'config': 'get_file', 'registered_name': 'get_file'}))})
put('wrapped', **{'config.json': layer(class_name='TorchModuleWrapper')})
put('pickle', **{'assets/x': b"cos\\nmkdir\\n(S'ran'\\ntR."})
with open('unchanged.h5', 'rb') as file: whole = file.read()
with open('cut.h5', 'wb') as file: file.write(whole[:-300])
with open('version.h5', 'wb') as file: file.write(whole[:8] + b'\\x09' + whole[9:])
refused = []
for name in sorted(os.listdir('.')):
    try: keras.saving.load_model(name)
    except Exception: refused.append(name)
assert not os.path.exists('ran')
print(json.dumps(refused))
`;

const broken: Readonly<Record<string, readonly [verdict: string, ...rules: string[]]>> = {
  'unchanged.keras': ['ok'],
  'unchanged.h5': ['ok'],
  'no-config.keras': ['invalid', 'keras-layout'],
  'no-weights.keras': ['invalid', 'keras-layout'],
  'no-json.keras': ['invalid', 'keras-config'],
  'list.keras': ['invalid', 'keras-config'],
  'no-hdf5.keras': ['invalid', 'keras-layout'],
  'cut.keras': ['invalid', 'hdf5-superblock'],
  'other-module.keras': ['dangerous', 'keras-module'],
  'reaches.keras': ['dangerous', 'keras-module'],
  'get-file.keras': ['dangerous', 'keras-unsafe'],
  'wrapped.keras': ['dangerous', 'keras-lambda'],
  'pickle.keras': ['dangerous', 'pickle-denied', 'pickle-hidden'],
  'cut.h5': ['invalid', 'hdf5-superblock'],
  'version.h5': ['invalid', 'hdf5-superblock'],
};

describe('files of Keras that are broken in one way', () => {
  it('are found, each by its rule, and what is damaged is refused by Keras too', async () => {
    const folder = scratchFolder();
    const refused = JSON.parse(runPython(breaking, folder)) as string[];
    const found = await judged(folder);
    const rows = Object.entries(found).map(([name, { judged: said }]) => [name, said]);
    expect(Object.fromEntries(rows)).toEqual(broken);
    const damaged = Object.keys(broken).filter((name) => broken[name]?.[0] === 'invalid');
    expect(refused).toEqual(expect.arrayContaining(damaged));
    expect(refused.filter((name) => broken[name]?.[0] === 'ok')).toEqual([]);
  });
});
