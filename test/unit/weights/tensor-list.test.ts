import { describe, expect, it } from 'vitest';
import { openTensor } from '../../../src/weights/tensor-data.ts';
import { readTensors, tensorFormatOf } from '../../../src/weights/tensor-list.ts';
import { type TensorFormat, TensorsUnreadable } from '../../../src/weights/tensors.ts';
import { ggufFile } from '../../support/gguf.ts';
import { field, nodeProto, numberField, onnxModel } from '../../support/onnx.ts';
import { withHeader } from '../../support/safetensors.ts';
import { floats, onnxTensor, onnxWithExternal, typedFile } from '../../support/tensors.ts';
import { readerOf } from '../../support/weights.ts';

const list = (bytes: Buffer, format: TensorFormat) => readTensors(readerOf(bytes), format);
const raw = (bytes: string) => [9, Buffer.from(bytes, 'hex')] as const;

/** The bytes of the tensors of an ONNX model, by name. */
function bytesOf(model: Buffer): Record<string, string> {
  const file = readerOf(model);
  const entries = readTensors(file, 'onnx').flatMap((entry) => {
    const { data } = entry;
    if (data.kind === 'none' || data.kind === 'external') return [];
    const open = openTensor(entry, data, file);
    return [[entry.name, Buffer.from(open.read(0, open.size)).toString('hex')] as const];
  });
  return Object.fromEntries(entries);
}

describe('the format of a file', () => {
  it('is told by its content first, then by its name', () => {
    const formatOf = (bytes: Buffer, name: string) => tensorFormatOf(readerOf(bytes), name);
    expect(formatOf(ggufFile([]), 'm.safetensors')).toBe('gguf');
    expect(formatOf(typedFile([]), 'weights')).toBe('safetensors');
    expect(formatOf(onnxModel([]), 'm')).toBe('onnx');
    expect(formatOf(Buffer.from('x'), 'M.ONNX')).toBe('onnx');
    expect(formatOf(Buffer.from('{"a": "a long text"}'), 'config')).toBeUndefined();
    expect(formatOf(Buffer.alloc(0), 'm')).toBeUndefined();
  });
});

describe('tensors of safetensors', () => {
  it('are listed with type, shape and place', () => {
    const file = typedFile([floats('a', [1, 2], [2, 1]), floats('__proto__', [])]);
    const [a, proto] = list(file, 'safetensors');
    expect(a).toMatchObject({ name: 'a', dtype: 'F32', shape: [2, 1], bytes: 8 });
    expect(a?.data).toEqual({ kind: 'plain', start: file.length - 8, end: file.length });
    expect(proto).toMatchObject({ name: '__proto__', shape: [0], bytes: 0 });
  });

  it.each([
    ['{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,5]}}', /do not need the 5 bytes/],
    ['{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9]}}', /leave the file/],
    ['{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', /leave the file/],
    ['{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}', /shape of whole numbers/],
    ['{"a":{"dtype":"F32","shape":[9e15,9e15],"data_offsets":[0,4]}}', /too large/],
    ['{"a":1,"a":2}', /stands twice/],
    ['[1]', /no JSON object/],
  ])('that cannot be are told: %s', (header, message) => {
    expect(() => list(withHeader(header, Buffer.alloc(5)), 'safetensors')).toThrow(message);
  });
});

describe('tensors of GGUF', () => {
  it('have their shapes as NumPy has them, and sizes by their blocks', () => {
    const file = ggufFile([
      { name: 'q', bytes: Buffer.alloc(6 * 18), type: 2, shape: [64, 3] },
      { name: 'odd', bytes: Buffer.alloc(32), type: 99, shape: [7] },
      { name: 'f', bytes: Buffer.alloc(8), type: 0, shape: [2] },
    ]);
    expect(list(file, 'gguf')).toMatchObject([
      {
        name: 'q',
        dtype: 'Q4_0',
        shape: [3, 64],
        bytes: 108,
        coding: { unit: 'blocks', elementBits: 4.5 },
      },
      { name: 'odd', dtype: 'type 99', bytes: 32, coding: { unit: 'bytes' } },
      { name: 'f', dtype: 'F32', bytes: 8, coding: { kind: 'f32' } },
    ]);
  });

  it.each([
    [ggufFile([], { version: 1 }), /version 1/],
    [ggufFile([], { tensorCount: 10n }), /no room for 10 tensors/],
    [
      ggufFile([{ name: 'q', bytes: Buffer.alloc(18), type: 2, shape: [31] }]),
      /no whole blocks of 32/,
    ],
    [ggufFile([{ name: 'f', bytes: Buffer.alloc(4), type: 0, shape: [99] }]), /leave the file/],
    [
      ggufFile([
        { name: 'f', bytes: Buffer.alloc(0) },
        { name: 'f', bytes: Buffer.alloc(0) },
      ]),
      /twice/,
    ],
    [ggufFile([]).subarray(0, 20), /cut short/],
  ])('that cannot be are told (%#)', (file, message) => {
    expect(() => list(file, 'gguf')).toThrow(message);
  });
});

describe('tensors of ONNX', () => {
  it('are named by where they are', () => {
    const constant = (name: string, value: string) =>
      Buffer.concat([field(1, name), field(5, onnxTensor('inner', 2, [1], raw(value)))]);
    const branch = Buffer.concat([
      field(1, 'then_branch'),
      field(6, [field(5, onnxTensor('w', 2, [1], raw('03')))]),
    ]);
    const sparse = [
      field(1, onnxTensor('s', 2, [1], raw('05'))),
      field(2, onnxTensor('', 2, [1], raw('06'))),
    ];
    const model = onnxModel([
      field(5, onnxTensor('w', 2, [1], raw('01'))),
      field(1, nodeProto('c', [constant('value', '02')])),
      field(1, nodeProto('if', [branch])),
      field(1, [field(3, 'unused'), field(5, constant('v', '04'))]),
      field(15, sparse),
    ]);
    expect(bytesOf(model)).toEqual({
      w: '01',
      'c_out.value': '02',
      'if_out.then_branch/w': '03',
      'unused.v': '04',
      s: '05',
      's.indices': '06',
    });
  });

  it('are decoded to plain bytes, whatever field they are in', () => {
    const minusOne = 'ffffffffffffffffff01';
    const model = onnxModel([
      field(5, onnxTensor('raw', 1, [1], raw('0000803f'))),
      field(5, onnxTensor('float', 1, [1], [4, Buffer.from('0000803f', 'hex')])),
      field(5, onnxTensor('i64', 7, [2], [7, Buffer.from(`9601${minusOne}`, 'hex')])),
      field(5, onnxTensor('i8', 3, [2], [5, Buffer.from(`05${minusOne}`, 'hex')])),
      field(5, onnxTensor('half', 10, [1], [5, Buffer.from('8078', 'hex')])),
      field(5, onnxTensor('nibbles', 22, [3], [5, Buffer.from('2101', 'hex')])),
      field(5, onnxTensor('text', 8, [1], [6, Buffer.from('ab')])),
      field(5, onnxTensor('none', 1, [0], [4, Buffer.alloc(0)])),
    ]);
    expect(bytesOf(model)).toEqual({
      raw: '0000803f',
      float: '0000803f',
      i64: `9600000000000000${'ff'.repeat(8)}`,
      i8: '05ff',
      half: '003c',
      nibbles: '2101',
      text: '6162',
      none: '',
    });
  });

  it('with other numbers of values than their shapes are told', () => {
    const model = onnxModel([field(5, onnxTensor('i', 6, [3], [5, Buffer.from([1, 2])]))]);
    expect(() => bytesOf(model)).toThrow(TensorsUnreadable);
    const short = onnxModel([field(5, onnxTensor('w', 1, [2], raw('00000000')))]);
    expect(list(short, 'onnx')[0]?.data).toEqual({
      kind: 'none',
      why: 'have 4 bytes; its type and shape need 8',
    });
  });

  it.each([
    [{ location: '../w' }, 'which leaves the folder of the model'],
    [{ location: '/w' }, 'which is absolute'],
    [{ location: 'w', offset: '-1' }, 'no number of bytes'],
    [{ location: 'w', length: '5' }, 'have 5 bytes'],
  ])('whose data are nowhere are told: %j', (place, why) => {
    const [tensor] = list(onnxWithExternal('w', place), 'onnx');
    expect(tensor?.data).toEqual({ kind: 'none', why: expect.stringContaining(why) });
  });

  it('whose names are long by being in each other are refused before they fill the memory', () => {
    const label = 'x'.repeat(4000);
    let graph = field(5, onnxTensor('w', 2, [1], raw('01')));
    for (let depth = 0; depth < 18; depth++) {
      const attribute = Buffer.concat([field(1, label), field(6, [graph])]);
      graph = field(1, [field(2, 'o'), field(5, attribute)]);
    }
    expect(() => list(onnxModel([graph]), 'onnx')).toThrow(/too long/);
    const damaged = Buffer.concat([onnxModel([]), numberField(1, 1).subarray(0, 1)]);
    expect(() => list(damaged, 'onnx')).toThrow(/no ONNX model/);
  });
});
