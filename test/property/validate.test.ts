import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { validateFile } from '../../src/validate/validate.ts';
import { ggufFile, ggufText, ggufTexts } from '../support/gguf.ts';
import { onnxFile } from '../support/onnx.ts';
import {
  callOf,
  globalOp,
  op,
  pickleOf,
  stateDict,
  text,
  torchTensor,
} from '../support/pickles.ts';
import { runs } from '../support/runs.ts';
import { safetensorsFile } from '../support/safetensors.ts';
import { CountedSource } from '../support/validate.ts';
import { zipFile } from '../support/zip.ts';

const evil = callOf(globalOp('os', 'system'));
const weights = stateDict({ a: torchTensor('0', 4), b: torchTensor('1', 9, 'HalfStorage') });

/** Whole files of formats with many parts, by name. */
const whole: ReadonlyArray<readonly [string, Buffer]> = [
  [
    'm.safetensors',
    safetensorsFile([
      { name: 'a', bytes: Buffer.alloc(40) },
      { name: 'b', bytes: Buffer.alloc(9) },
    ]),
  ],
  [
    'm.gguf',
    ggufFile([{ name: 'a', bytes: Buffer.alloc(64), type: 0, shape: [4, 4] }], {
      metadata: { k: ggufText('v'), t: ggufTexts(['a', 'b']) },
    }),
  ],
  ['m.onnx', onnxFile([{ name: 'w', bytes: Buffer.alloc(12) }], ['n'])],
  [
    'm.pt',
    zipFile(
      [
        { name: 'a/data.pkl', bytes: weights },
        { name: 'a/data/0', bytes: Buffer.alloc(16) },
      ],
      { alignment: 64 },
    ),
  ],
  ['m.pkl', weights],
  [
    'm.npz',
    zipFile([
      {
        name: 'a.npy',
        bytes: Buffer.from(
          "\x93NUMPY\x01\x00\x3b\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }     \n",
          'latin1',
        ),
      },
    ]),
  ],
  [
    'm.keras',
    zipFile([
      { name: 'config.json', bytes: Buffer.from('{"class_name":"Dense","config":{}}') },
      { name: 'metadata.json', bytes: Buffer.from('{}') },
    ]),
  ],
  [
    'm.tflite',
    Buffer.concat([Buffer.from([32, 0, 0, 0]), Buffer.from('TFL3'), Buffer.alloc(90, 4)]),
  ],
  ['saved_model.pb', onnxFile([], ['n'])],
  ['config.json', Buffer.from('{"id2label":{"0":"a"},"auto_map":{"x":"y"}}')],
  ['tokenizer.json', Buffer.from('{"version":"1","added_tokens":[],"model":{"vocab":{"a":1}}}')],
  [
    'model.json',
    Buffer.from(
      '{"weightsManifest":[{"paths":["a"],"weights":[{"name":"w","shape":[1],"dtype":"int32"}]}]}',
    ),
  ],
  ['m.safetensors.index.json', Buffer.from('{"weight_map":{"a":"b"}}')],
  ['labels.txt', Buffer.from('a\nb\n')],
];

const edits = fc.array(fc.record({ at: fc.nat(2000), byte: fc.nat(255), kind: fc.nat(3) }), {
  minLength: 1,
  maxLength: 6,
});

/** Sets, inserts and removes bytes, and cuts the end. */
function mutate(
  bytes: Buffer,
  changes: ReadonlyArray<{ at: number; byte: number; kind: number }>,
): Buffer {
  let changed = Buffer.from(bytes);
  for (const { at, byte, kind } of changes) {
    const place = changed.length === 0 ? 0 : at % changed.length;
    if (kind === 0) changed[place] = byte;
    else if (kind === 1)
      changed = Buffer.concat([
        changed.subarray(0, place),
        Buffer.from([byte]),
        changed.subarray(place),
      ]);
    else if (kind === 2)
      changed = Buffer.concat([changed.subarray(0, place), changed.subarray(place + 1)]);
    else changed = changed.subarray(0, Math.max(place, changed.length >> 1));
  }
  return changed;
}

/** Validates, and checks what holds of every result. */
function check(name: string, bytes: Buffer): void {
  const source = new CountedSource(name, bytes);
  const { findings, verdict } = validateFile(source);
  expect(source.opened).toBe(0);
  const isBad = findings.some(({ severity }) => severity !== 'notice');
  expect(verdict === 'ok').toBe(!isBad);
  // Members of an archive are read for their headers, their content and once more to be searched.
  expect(source.bytesRead).toBeLessThan(40 * bytes.length + 100_000);
}

describe('validation', () => {
  it('never fails on any bytes under any name', () => {
    const name = fc.constantFrom(
      ...whole.map(([one]) => one),
      'm.h5',
      'm.npy',
      'm.joblib',
      'm.bin',
      'x',
    );
    fc.assert(
      fc.property(name, fc.uint8Array({ maxLength: 600 }), (given, bytes) =>
        check(given, Buffer.from(bytes)),
      ),
      runs(300),
    );
  });

  it('never fails on files that were changed a little', () => {
    fc.assert(
      fc.property(fc.constantFrom(...whole), edits, ([name, bytes], changes) =>
        check(name, mutate(bytes, changes)),
      ),
      runs(1500),
    );
  });

  it('never fails on opcodes in any order', () => {
    const opcode = fc.oneof(
      fc.constantFrom(...Object.values(op), evil, text('os'), text('a.b'), globalOp('a', 'b')),
      fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(opcode, { maxLength: 60 }), (parts) =>
        check('m.pkl', pickleOf(2, ...parts)),
      ),
      runs(600),
    );
  });

  it('finds a call whatever harmless opcodes stand before it', () => {
    const harmless = fc.constantFrom(
      op.none,
      op.emptyDict,
      op.emptyList,
      op.mark,
      text('x'),
      op.memoize,
    );
    fc.assert(
      fc.property(fc.array(harmless, { maxLength: 40 }), (parts) => {
        const source = new CountedSource('m.pkl', pickleOf(4, op.none, ...parts, evil));
        expect(validateFile(source).verdict).toBe('dangerous');
      }),
      runs(200),
    );
  });
});
