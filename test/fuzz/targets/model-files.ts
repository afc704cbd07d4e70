import { isDeepStrictEqual } from 'node:util';
import { rules, severities } from '../../../src/validate/rules.ts';
import { validateFile } from '../../../src/validate/validate.ts';
import { modelFiles } from '../../support/model-files.ts';
import { callOf, globalOp, op, pickleOf, text } from '../../support/pickles.ts';
import { CountedSource } from '../../support/validate.ts';
import { type FuzzTarget, promise } from '../target.ts';

/** What is read of a file: members of an archive are read for their headers, their content, and to be searched. */
const readsMax = 40;
const bytesFree = 256 * 1024;

/** Looks into an input as a file of one name. */
function look(name: string, bytes: Buffer): void {
  const source = new CountedSource(name, bytes);
  const found = validateFile(source);
  promise(source.opened === 0, 'a file that was opened is closed');
  promise(
    source.bytesRead <= readsMax * bytes.length + bytesFree,
    'a file is read a few times at most',
  );
  const ranks = found.findings.map(({ rule, severity }) => {
    promise(rules[rule][0] === severity, 'a finding is as bad as its rule');
    return severities.indexOf(severity);
  });
  const worst = severities[Math.max(0, ...ranks)];
  promise(
    found.verdict === (worst === 'notice' ? 'ok' : worst),
    'the worst finding is listed and gives the verdict',
  );
  const { parameters = 0, tensors = 0 } = found.summary;
  promise(Number.isSafeInteger(parameters) && parameters >= 0, 'parameters are a count');
  promise(Number.isSafeInteger(tensors) && tensors >= 0, 'tensors are a count');
  promise(isDeepStrictEqual(JSON.parse(JSON.stringify(found)), found), 'JSON holds what was found');
}

/** Looks into inputs under the names of one format. */
function target(
  name: string,
  names: readonly string[],
  words: readonly string[],
  more: Readonly<Record<string, Uint8Array>> = {},
): FuzzTarget {
  return {
    name,
    bytesMax: 64 * 1024,
    seeds: () => ({
      ...Object.fromEntries(modelFiles.filter(([file]) => names.includes(file))),
      ...more,
    }),
    words,
    run(bytes) {
      for (const file of names) look(file, bytes);
    },
  };
}

const call = callOf(globalOp('os', 'system'));

export const pickle = target(
  'validate-pickle',
  ['m.pkl', 'm.bin'],
  [
    'cos\nsystem\n',
    'ios\nsystem\n',
    '\x80\x04',
    '\x8c\x02os',
    '\x93',
    'p0\n',
    'g0\n',
    '\x85R',
    '.',
  ],
  {
    call: pickleOf(2, call),
    memo: pickleOf(
      4,
      text('os'),
      op.memoize,
      text('system'),
      op.stackGlobal,
      op.emptyTuple,
      op.reduce,
    ),
    joblib: pickleOf(
      3,
      globalOp('joblib.numpy_pickle', 'NumpyArrayWrapper'),
      op.emptyTuple,
      op.newobj,
    ),
  },
);

export const archive = target(
  'validate-archive',
  ['m.pt', 'm.keras', 'm.npz'],
  [
    'PK\x03\x04',
    'PK\x01\x02',
    'PK\x05\x06',
    'PK\x06\x06',
    'PK\x06\x07',
    'data.pkl',
    '\xff\xff\xff\xff',
  ],
);

export const tables = target(
  'validate-tables',
  ['m.safetensors', 'm.gguf', 'm.onnx', 'm.tflite', 'saved_model.pb', 'm.h5'],
  ['"dtype":"F32"', '"data_offsets":[', 'GGUF', 'TFL3', '\x89HDF\r\n\x1a\n', 'location'],
);

export const texts = target(
  'validate-texts',
  [
    'config.json',
    'tokenizer.json',
    'model.json',
    'm.safetensors.index.json',
    'labels.txt',
    'm.npy',
  ],
  [
    '"id2label":{',
    '"weight_map":{',
    '"weightsManifest":[',
    '"vocab":{',
    "'descr': '|O'",
    "'shape': (",
  ],
  {
    array: Buffer.from(
      "\x93NUMPY\x01\x00\x3b\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }     \n\0\0\0\0",
      'latin1',
    ),
  },
);
