import { deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { field, numberField } from '../../support/onnx.ts';
import { callOf, globalOp, op, pickleOf } from '../../support/pickles.ts';
import { brokenRules, validateBytes } from '../../support/validate.ts';
import { zipFile } from '../../support/zip.ts';

const evil = pickleOf(2, callOf(globalOp('os', 'system')));

function rulesOf(
  name: string,
  content: Buffer | string | object,
  around?: Record<string, Buffer>,
): string[] {
  const bytes = Buffer.isBuffer(content)
    ? content
    : Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
  return brokenRules(validateBytes(name, bytes, around));
}

/** An array of NumPy. */
function npy(header: string, data: Buffer, version = 1): Buffer {
  const text = Buffer.from(`${header}\n`);
  const head = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, 0, 0, 0, 0]);
  if (version === 1) head.writeUInt16LE(text.length, 8);
  else head.writeUInt32LE(text.length, 8);
  return Buffer.concat([head.subarray(0, version === 1 ? 10 : 12), text, data]);
}

const header = (descr = "'<f4'", shape = '(3, 4)'): string =>
  `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;

describe('an array of NumPy', () => {
  it('is ok', () => {
    expect(validateBytes('a.npy', npy(header(), Buffer.alloc(48)))).toMatchObject({
      format: 'npy',
      verdict: 'ok',
      findings: [],
      summary: { tensors: 1, parameters: 12, dtypes: { '<f4': 1 } },
    });
    expect(rulesOf('a.npy', npy(header("'|b1'", '()'), Buffer.alloc(1), 2))).toEqual([]);
    expect(rulesOf('a.npy', npy(header("'<U3'", '(2,)'), Buffer.alloc(24), 3))).toEqual([]);
    expect(rulesOf('a.npy', npy(header("[('a', '<f4')]", '(2,)'), Buffer.alloc(8)))).toEqual([]);
  });

  it.each([
    ['npy-size', npy(header(), Buffer.alloc(47))],
    ['npy-header', npy(header('__import__("os")'), Buffer.alloc(48))],
    ['npy-header', npy("{'descr': '<f4'}", Buffer.alloc(48))],
    [
      'npy-header',
      npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), 'descr': '|O', }",
        Buffer.alloc(48),
      ),
    ],
    ['npy-header', npy(header("'\\x7cO'", '(1,)'), evil)],
    ['npy-header', npy(header("'|' 'O'", '(1,)'), evil)],
    ['npy-header', npy(`${header()}  or 1`, Buffer.alloc(48))],
    ['npy-header', npy(header(), Buffer.alloc(48), 9)],
    ['npy-header', npy(header() + ' '.repeat(10_001), Buffer.alloc(48))],
    ['npy-header', npy(header(), Buffer.alloc(48)).subarray(0, 20)],
  ])('breaks %s', (rule, bytes) => {
    expect(rulesOf('a.npy', bytes)).toEqual([rule]);
  });

  it('of objects is a pickle', () => {
    expect(rulesOf('a.npy', npy(header("'|O'", '(1,)'), evil))).toEqual([
      'npy-object',
      'pickle-denied',
    ]);
    expect(rulesOf('a.npy', npy(header("[('x', '<f4'), ('y', '|O')]", '(1,)'), evil))).toContain(
      'pickle-denied',
    );
    expect(rulesOf('a.npy', npy(header("[('LOSS', '<f4')]", '(1,)'), Buffer.alloc(4)))).toEqual([]);
    const archive = zipFile([
      { name: 'a.npy', bytes: npy(header(), Buffer.alloc(48)) },
      { name: 'b.npy', bytes: npy(header("'|O'", '(1,)'), evil) },
    ]);
    const result = validateBytes('a.npz', archive);
    expect(result).toMatchObject({ format: 'npz', verdict: 'dangerous', summary: { tensors: 2 } });
    expect(JSON.stringify(result.findings)).toContain('b.npy');
    // NumPy goes by the content of members, and takes others along.
    for (const name of ['a.npz', 'a.zip']) {
      const mixed = zipFile([
        { name: 'x', bytes: Buffer.from('x') },
        { name: 'y', bytes: npy(header("'|O'", '(1,)'), evil) },
      ]);
      expect(rulesOf(name, mixed)).toContain('pickle-denied');
    }
  });
});

/** The start of an HDF5 file with a superblock of version 0. */
function hdf5(content = '', start = 0, end?: number): Buffer {
  const bytes = Buffer.alloc(start + 96 + content.length);
  Buffer.from('894844460d0a1a0a', 'hex').copy(bytes, start);
  bytes[start + 13] = 8;
  bytes[start + 14] = 8;
  bytes.writeBigUInt64LE(BigInt(end ?? bytes.length - start), start + 40);
  bytes.write(content, start + 96, 'latin1');
  return bytes;
}

describe('a file of HDF5', () => {
  it('is ok, and told to be searched only', () => {
    const result = validateBytes('m.h5', hdf5());
    expect(result).toMatchObject({ format: 'hdf5', verdict: 'ok' });
    expect(brokenRules(result)).toEqual(['hdf5-not-parsed']);
    expect(validateBytes('m.h5', hdf5('', 512))).toMatchObject({ format: 'hdf5', verdict: 'ok' });
  });

  it('is cut short, or holds a Lambda', () => {
    expect(rulesOf('m.h5', hdf5('', 0, 5000))).toContain('hdf5-superblock');
    const lambda = validateBytes('m.h5', hdf5('{"class_name": "Lambda", "config"'));
    expect(brokenRules(lambda)).toContain('keras-lambda');
    expect(lambda.verdict).toBe('dangerous');
    const far = Buffer.concat([
      hdf5('', 0, 1),
      Buffer.alloc(3_000_000),
      Buffer.from('"class_name": "Lambda"'),
    ]);
    expect(rulesOf('m.h5', far)).toContain('keras-lambda');
    for (const text of [
      '"class_name" : "Lambda"',
      '"class_name":\n"Lambda"',
      '"class_name": "\\u004cambda"',
      '"\\u0063lass_name": "TorchModuleWrapper"',
      '{"__lambda__"',
    ])
      expect(rulesOf('m.h5', hdf5(text)), text).toContain('keras-lambda');
    expect(rulesOf('m.h5', hdf5('"class_name": "LambdaX"'))).toEqual(['hdf5-not-parsed']);
  });
});

describe('an archive of Keras', () => {
  const layer = (change: object) => ({
    module: 'keras',
    class_name: 'Sequential',
    config: {
      layers: [{ module: 'keras.layers', class_name: 'Dense', config: { units: 1 }, ...change }],
    },
  });
  const keras = (
    config: object | string,
    more: Array<{ name: string; bytes: Buffer }> = [],
  ): Buffer =>
    zipFile([
      { name: 'metadata.json', bytes: Buffer.from('{"keras_version": "3.9.0"}') },
      {
        name: 'config.json',
        bytes: Buffer.from(typeof config === 'string' ? config : JSON.stringify(config)),
      },
      { name: 'model.weights.h5', bytes: hdf5() },
      ...more,
    ]);

  it('is ok', () => {
    expect(validateBytes('m.keras', keras(layer({})))).toMatchObject({
      format: 'keras',
      verdict: 'ok',
      summary: { producer: 'keras 3.9.0' },
    });
  });

  it.each<[string, object]>([
    ['keras-lambda', { class_name: 'Lambda' }],
    ['keras-lambda', { class_name: '__lambda__' }],
    ['keras-lambda', { class_name: 'TorchModuleWrapper' }],
    ['keras-module', { module: 'os', class_name: 'system' }],
    ['keras-module', { module: 'kerasx.layers' }],
    [
      'keras-module',
      { config: { fn: { module: 'builtins', class_name: 'function', config: 'eval' } } },
    ],
    ['keras-module', { config: { fn: { module: null, class_name: 'function', config: 'exec' } } }],
    [
      'keras-module',
      {
        config: {
          fn: {
            module: 'builtins.os',
            class_name: 'x',
            config: { module: 'subprocess', class_name: 'run' },
          },
        },
      },
    ],
    [
      'keras-unsafe',
      { config: { fn: { module: 'keras.utils', class_name: 'function', config: 'get_file' } } },
    ],
    [
      'keras-unsafe',
      {
        config: {
          fn: {
            module: 'keras.config',
            class_name: 'function',
            config: 'enable_unsafe_deserialization',
            registered_name: 'function',
          },
        },
      },
    ],
  ])('is dangerous by %s', (rule, change) => {
    const result = validateBytes('m.keras', keras(layer(change)));
    expect(brokenRules(result)).toContain(rule);
    expect(result.verdict).toBe('dangerous');
    expect(result.findings.find((one) => one.rule === rule)?.where).toContain('config.layers[0]');
  });

  it('may call its layers as it likes', () => {
    for (const name of ['input', 'test', 'code', 'profile'])
      expect(validateBytes('m.keras', keras(layer({ config: { name } }))).verdict, name).toBe('ok');
  });

  it('may be text alone, as to_json writes it', () => {
    const config = layer({ class_name: 'Lambda' });
    expect(rulesOf('architecture.json', config)).toEqual(['keras-lambda']);
    expect(rulesOf('architecture.json', layer({}))).toEqual([]);
  });

  it('is damaged', () => {
    expect(rulesOf('m.keras', keras('['))).toContain('keras-config');
    expect(rulesOf('m.keras', keras('{"a":1,"a":2}'))).toContain('json-duplicate');
    expect(rulesOf('m.keras', zipFile([{ name: 'x', bytes: Buffer.from('x') }]))).toContain(
      'keras-layout',
    );
    const noWeights = zipFile([
      { name: 'metadata.json', bytes: Buffer.from('{}') },
      { name: 'config.json', bytes: Buffer.from('{}') },
    ]);
    expect(rulesOf('m.keras', noWeights)).toEqual(['keras-layout']);
  });

  it('may hide a pickle', () => {
    expect(rulesOf('m.keras', keras(layer({}), [{ name: 'assets/x', bytes: evil }]))).toContain(
      'pickle-denied',
    );
  });
});

describe('a SavedModel', () => {
  const node = (operator: string): Buffer[] => [field(1, 'n'), field(2, operator)];
  const saved = (...nodes: Buffer[][]): Buffer =>
    Buffer.concat([
      numberField(1, 1),
      field(2, [
        field(2, [
          ...nodes.map((one) => field(1, one)),
          field(2, [field(1, [field(3, node('ReadVariableOp'))])]),
        ]),
      ]),
    ]);
  const variables = {
    'variables/variables.index': Buffer.alloc(1),
    'variables/variables.data-00000-of-00001': Buffer.alloc(1),
  };
  const rules = (bytes: Buffer, around?: Record<string, Buffer>) =>
    rulesOf('saved_model.pb', bytes, around);

  it('is ok', () => {
    const result = validateBytes('saved_model.pb', saved(node('MatMul')), variables);
    expect(result).toMatchObject({
      format: 'saved-model',
      verdict: 'ok',
      findings: [],
      summary: { version: '1' },
    });
  });

  it('has operators that reach out, also in functions', () => {
    expect(rules(saved(node('ReadFile')))).toEqual(['saved-model-file-op']);
    expect(rules(saved(node('PyFunc')))).toEqual(['saved-model-python-op']);
    const inFunction = Buffer.concat([
      field(2, [field(2, [field(2, [field(1, [field(3, node('WriteFile'))])])])]),
    ]);
    expect(rules(inFunction)).toEqual(['saved-model-file-op']);
  });

  it('is damaged, or lacks files', () => {
    expect(rules(saved(node('MatMul')).subarray(0, -3))).toContain('saved-model-damaged');
    expect(rules(numberField(1, 1))).toEqual(['saved-model-graph']);
    expect(rules(saved(node('MatMul')), { 'variables/variables.index': Buffer.alloc(1) })).toEqual([
      'saved-model-variables',
    ]);
    const lambda = Buffer.from('x"class_name": "Lambda"');
    expect(rules(saved(node('MatMul')), { ...variables, 'keras_metadata.pb': lambda })).toEqual([
      'keras-lambda',
    ]);
  });
});

describe('a model of TensorFlow.js', () => {
  const weight = { name: 'w', shape: [2, 3], dtype: 'float32' };
  const model = (group: object, more: object = {}) => ({
    format: 'layers-model',
    modelTopology: {},
    weightsManifest: [{ paths: ['a.bin', 'b.bin'], weights: [weight], ...group }],
    ...more,
  });
  const files = { 'a.bin': Buffer.alloc(20), 'b.bin': Buffer.alloc(4) };

  it('is ok', () => {
    const result = validateBytes('model.json', Buffer.from(JSON.stringify(model({}))), files);
    expect(result).toMatchObject({
      format: 'tfjs',
      verdict: 'ok',
      findings: [],
      summary: { tensors: 1, parameters: 6, files: ['a.bin', 'b.bin'] },
    });
    const quantized = { ...weight, quantization: { dtype: 'uint8', min: 0, scale: 1 } };
    expect(
      rulesOf('model.json', model({ weights: [quantized], paths: ['b.bin'] }), {
        'b.bin': Buffer.alloc(6),
      }),
    ).toEqual([]);
  });

  it.each<[string, object]>([
    ['tfjs-file', { paths: ['a.bin', 'c.bin'] }],
    ['tfjs-size', { paths: ['a.bin'] }],
    ['tfjs-path', { paths: ['../a.bin'] }],
    ['tfjs-path', { paths: ['https://example.com/a.bin'] }],
    ['tfjs-path', { paths: ['/a.bin'] }],
    ['tfjs-dtype', { weights: [{ ...weight, dtype: 'float8' }] }],
    ['tfjs-config', { weights: [{ ...weight, shape: [-1] }] }],
    ['tfjs-config', { paths: 7 }],
  ])('breaks %s', (rule, group) => {
    expect(rulesOf('model.json', model(group), files)).toEqual([rule]);
  });

  it('may hold a Lambda', () => {
    const config = model({}, { modelTopology: { model_config: { class_name: 'Lambda' } } });
    expect(rulesOf('model.json', config, files)).toEqual(['keras-lambda']);
    expect(rulesOf('model.json', { weightsManifest: 1 })).toEqual(['tfjs-config']);
  });
});

/** A model of TensorFlow Lite with one operator and one subgraph of two tensors. */
function tflite(version = 3, custom = ''): Buffer {
  const words: number[] = [];
  const bytes = Buffer.alloc(256);
  const put = (at: number, value: number): void => {
    bytes.writeInt32LE(value, at);
    words.push(at);
  };
  put(0, 32);
  bytes.write('TFL3', 4);
  // The vtable of the model at 8: size, size of the table, then version, operators and subgraphs.
  [10, 16, 4, 8, 12].forEach((value, i) => {
    bytes.writeUInt16LE(value, 8 + 2 * i);
  });
  put(32, 32 - 8);
  put(36, version);
  put(40, 64 - 40);
  put(44, 80 - 44);
  put(64, 1);
  put(68, 112 - 68);
  put(80, 1);
  put(84, 144 - 84);
  // An operator at 112 with a vtable at 100: the second field is its text.
  [8, 8, 0, custom === '' ? 0 : 4].forEach((value, i) => {
    bytes.writeUInt16LE(value, 100 + 2 * i);
  });
  put(112, 112 - 100);
  put(116, 200 - 116);
  put(200, custom.length);
  bytes.write(custom, 204);
  // A subgraph at 144 with a vtable at 132: its first field is a list of two tables.
  [6, 8, 4].forEach((value, i) => {
    bytes.writeUInt16LE(value, 132 + 2 * i);
  });
  put(144, 144 - 132);
  put(148, 160 - 148);
  put(160, 2);
  return bytes;
}

describe('a model of TensorFlow Lite', () => {
  it('is ok', () => {
    expect(validateBytes('m.tflite', tflite())).toMatchObject({
      format: 'tflite',
      verdict: 'ok',
      findings: [],
      summary: { tensors: 2, version: '3' },
    });
  });

  it('is damaged, of another version, or needs more', () => {
    const outside = tflite();
    outside.writeUInt32LE(1000, 0);
    expect(rulesOf('m.tflite', outside)).toEqual(['tflite-layout']);
    expect(rulesOf('m.tflite', tflite().subarray(0, 60))).toEqual(['tflite-layout']);
    expect(rulesOf('m.tflite', tflite(2))).toEqual(['tflite-version']);
    expect(rulesOf('m.tflite', tflite(3, 'FlexAdd'))).toEqual(['tflite-custom']);
  });
});

describe('JSON', () => {
  it('is a configuration', () => {
    const config = {
      model_type: 'bert',
      architectures: ['BertModel'],
      id2label: { 0: 'no', 1: 'yes' },
      label2id: { no: 0, yes: 1 },
    };
    expect(validateBytes('config.json', Buffer.from(JSON.stringify(config)))).toMatchObject({
      format: 'config',
      verdict: 'ok',
      findings: [],
      summary: { labels: 2, architecture: 'BertModel' },
    });
  });

  it.each<[string, string, string | object]>([
    ['json-syntax', 'x.json', '{"a": 1,}'],
    ['json-syntax', 'x.json', '\ufeff{}'],
    ['json-syntax', 'x.json', 'nothing'],
    ['json-syntax', 'x.json', '['.repeat(100_000)],
    ['json-duplicate', 'x.json', '{"b": {"a": 1, "a": 2}}'],
    ['config-auto-map', 'config.json', { auto_map: { AutoModel: 'modeling_x.X' } }],
    ['config-labels', 'config.json', { id2label: { 0: 'a', 2: 'b' } }],
    ['config-labels', 'config.json', { id2label: { 0: 7 } }],
    ['config-labels', 'config.json', { id2label: { 0: 'a', 1: 'b' }, label2id: { a: 1, b: 0 } }],
    ['chat-template', 'tokenizer_config.json', { chat_template: '{{ x }}' }],
    ['tokenizer-form', 'tokenizer.json', { version: '1.0', added_tokens: [] }],
    [
      'tokenizer-form',
      'tokenizer.json',
      { version: '1.0', added_tokens: [], model: { type: 'BPE' } },
    ],
    [
      'tokenizer-ids',
      'tokenizer.json',
      { version: '1.0', added_tokens: [], model: { vocab: { a: 1, b: 1 } } },
    ],
    [
      'tokenizer-ids',
      'tokenizer.json',
      { version: '1.0', added_tokens: [{ id: 1, content: 'x' }], model: { vocab: { a: 1 } } },
    ],
  ])('breaks %s', (rule, name, content) => {
    expect(rulesOf(name, content)).toEqual([rule]);
  });

  it('is a tokenizer', () => {
    const tokenizer = {
      version: '1.0',
      added_tokens: [{ id: 0, content: 'a' }],
      model: { type: 'BPE', vocab: { a: 0, b: 1 } },
    };
    expect(validateBytes('tokenizer.json', Buffer.from(JSON.stringify(tokenizer)))).toMatchObject({
      format: 'tokenizer',
      verdict: 'ok',
      findings: [],
    });
  });
});

describe('labels', () => {
  it('are counted', () => {
    expect(validateBytes('labels.txt', Buffer.from('cat\ndog\r\nfox\n'))).toMatchObject({
      format: 'labels',
      verdict: 'ok',
      findings: [],
      summary: { labels: 3 },
    });
  });

  it.each([
    ['labels-text', Buffer.from([0x63, 0xff, 0x0a])],
    ['labels-text', Buffer.from('a\0b\n')],
    ['labels-empty', Buffer.from('a\n\nb\n')],
    ['labels-empty', Buffer.from('')],
    ['labels-duplicate', Buffer.from('a\nb\na\n')],
  ])('break %s', (rule, bytes) => {
    expect(rulesOf('labels.txt', bytes)).toEqual([rule]);
  });
});

describe('any file', () => {
  it('must be what its name says', () => {
    for (const name of ['m.onnx', 'm.gguf', 'm.h5', 'm.keras', 'm.npy', 'm.npz', 'm.tflite'])
      expect(rulesOf(name, '<html>Not found</html>'), name).toEqual(['wrong-format']);
    expect(validateBytes('m.onnx', Buffer.from('<html>')).verdict).toBe('invalid');
    expect(rulesOf('m.pt', '<html>Not found</html>')).toContain('pickle-broken');
    expect(rulesOf('m.onnx', '{"a": 1}')).toEqual(['other-format']);
    expect(rulesOf('notes.txt', '<html>')).toEqual([]);
    expect(rulesOf('modeling.py', 'import os')).toEqual(['code-file']);
    expect(rulesOf('m.onnx', '')).toEqual(['wrong-format']);
  });

  it('that is a pickle is found under any name', () => {
    for (const name of ['notes.txt', 'm.safetensors', 'm.onnx', 'weights', 'x.json'])
      expect(rulesOf(name, evil), name).toContain('pickle-denied');
  });

  it('of numbers is taken for no other, whatever it starts with', () => {
    const starts = [
      '5b01',
      '7b22',
      '8002ffff',
      '800400',
      '789c0000',
      '1f8b00',
      '0a000000000000007b01',
    ];
    for (const start of starts)
      for (const name of ['w.bin', 'group1-shard1of2.bin', 'data'])
        expect(
          validateBytes(name, Buffer.concat([Buffer.from(start, 'hex'), Buffer.alloc(900, 0xfe)])),
          start,
        ).toMatchObject({ verdict: 'ok', findings: [] });
    expect(rulesOf('data.jsonl', '{"a": 1}\n{"a": 2}\n')).toEqual([]);
  });

  it('of joblib may be packed', () => {
    const harmless = pickleOf(3, op.emptyDict);
    for (const pack of [gzipSync, deflateSync]) {
      expect(rulesOf('m.joblib', pack(evil))).toEqual(['pickle-denied']);
      expect(rulesOf('m.joblib', pack(harmless))).toEqual([]);
    }
    for (const name of ['m.pkl.gz', 'm.joblib.z', 'm.bin.gz'])
      expect(rulesOf(name, gzipSync(evil)), name).toContain('pickle-denied');
    for (const inner of [
      zipFile([{ name: 'a/data.pkl', bytes: evil }]),
      npy(header("'|O'", '(1,)'), evil),
      Buffer.concat([pickleOf(0, op.none), evil]),
    ])
      expect(rulesOf('m.pkl', gzipSync(inner))).toContain('pickle-denied');
    expect(rulesOf('m.pkl', gzipSync(gzipSync(evil)))).toEqual(['archive-unread']);
    expect(rulesOf('m.pkl.xz', Buffer.from('fd377a585a000004', 'hex'))).toEqual(['archive-unread']);
    expect(rulesOf('m.joblib', gzipSync(evil).subarray(0, -10))).toEqual(['archive-unread']);
    expect(rulesOf('m.joblib', gzipSync(Buffer.alloc(300 * 2 ** 20)))).toEqual(['archive-unread']);
  });
});
