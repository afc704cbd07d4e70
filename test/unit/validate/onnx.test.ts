import { describe, expect, it } from 'vitest';
import { validateFile } from '../../../src/validate/validate.ts';
import {
  externalTensor,
  field,
  nodeProto,
  numberField,
  type OnnxTensor,
  onnxFile,
  onnxModel,
  tensorProto,
} from '../../support/onnx.ts';
import { brokenRules, CountedSource, validateBytes } from '../../support/validate.ts';

const node = field(1, nodeProto('n'));
const weights: OnnxTensor = { name: 'w', bytes: Buffer.alloc(12) };
const validate = (bytes: Buffer, around?: Record<string, Buffer>) =>
  validateBytes('m.onnx', bytes, around);
const rulesOf = (bytes: Buffer, around?: Record<string, Buffer>): string[] =>
  brokenRules(validate(bytes, around));

/** A model with one tensor of 12 bytes in another file. */
const external = (place: Record<string, string>): Buffer =>
  onnxModel([
    node,
    field(5, [
      numberField(1, 12),
      numberField(2, 2),
      field(8, 'w'),
      ...Object.entries(place).map(([key, value]) => field(13, [field(1, key), field(2, value)])),
      numberField(14, 1),
    ]),
  ]);

describe('a whole ONNX model', () => {
  it('is ok, with its tensors told', () => {
    expect(validate(onnxFile([weights], ['n']))).toMatchObject({
      format: 'onnx',
      verdict: 'ok',
      findings: [],
      summary: {
        version: '8',
        producer: 'test',
        opset: { 'ai.onnx': 17 },
        tensors: 1,
        parameters: 12,
        dtypes: { UINT8: 1 },
      },
    });
  });

  it('names the files of its external data', () => {
    const bytes = external({ location: 'data/w.bin', offset: '4', length: '12' });
    const result = validate(bytes, { 'data/w.bin': Buffer.alloc(16) });
    expect(result).toMatchObject({
      verdict: 'ok',
      findings: [],
      summary: { files: ['data/w.bin'] },
    });
    expect(rulesOf(bytes)).toEqual([]);
  });

  it('is known by its content', () => {
    expect(validateBytes('m.bin', onnxFile([weights], ['n']))).toMatchObject({ format: 'onnx' });
  });
});

describe('a broken ONNX model', () => {
  const graph = [field(2, 'main'), node];
  const bare = (...fields: Buffer[]): Buffer => Buffer.concat(fields);
  const opset = field(8, [field(1, ''), numberField(2, 17)]);
  const cases: Array<[string, string, Buffer]> = [
    ['cut short', 'onnx-damaged', onnxFile([weights], ['n']).subarray(0, -30)],
    [
      'a length that leaves its message',
      'onnx-damaged',
      bare(numberField(1, 8), opset, field(7, [...graph, Buffer.from([0x2a, 0x7f])])),
    ],
    [
      'a group',
      'onnx-damaged',
      bare(numberField(1, 8), opset, field(7, graph), Buffer.from([0x0b])),
    ],
    ['no ir_version', 'onnx-ir-version', bare(numberField(1, 0), opset, field(7, graph))],
    ['no opset', 'onnx-opset', bare(numberField(1, 8), field(7, graph))],
    ['no nodes', 'onnx-graph', onnxFile([weights])],
    ['no graph', 'onnx-graph', bare(numberField(1, 8), opset)],
    ['two graphs', 'onnx-graph', onnxModel([node], [field(7, graph)])],
    [
      'a tensor of the wrong size',
      'onnx-tensor',
      onnxModel([
        node,
        field(5, [numberField(1, 5), numberField(2, 1), field(8, 'w'), field(9, Buffer.alloc(19))]),
      ]),
    ],
    [
      'a tensor of the wrong size in packed dims',
      'onnx-tensor',
      onnxModel([
        node,
        field(5, [
          field(1, Buffer.from([2, 3])),
          numberField(2, 1),
          field(8, 'w'),
          field(9, Buffer.alloc(20)),
        ]),
      ]),
    ],
  ];
  it.each(cases)('has %s', (_, rule, bytes) => {
    const result = validate(bytes);
    expect(brokenRules(result)).toContain(rule);
    expect(result.verdict).toBe('invalid');
  });

  it('is one of more than 2 GiB', () => {
    const bytes = onnxFile([weights], ['n']);
    const source = new CountedSource('m.onnx', bytes, 2 ** 31);
    expect(brokenRules(validateFile(source))).toContain('onnx-size');
  });

  it('needs operators of its own', () => {
    const custom = (domain: string): Buffer =>
      onnxModel([field(1, [...nodeProto('n'), field(7, domain)])]);
    expect(rulesOf(custom('my.ops'))).toEqual(['onnx-domain']);
    expect(validate(custom('my.ops')).verdict).toBe('warning');
    expect(rulesOf(custom('com.microsoft'))).toEqual([]);
    expect(
      rulesOf(Buffer.concat([custom('local'), field(25, [field(1, 'f'), field(10, 'local')])])),
    ).toEqual([]);
  });
});

describe('external data', () => {
  const around = { 'w.bin': Buffer.alloc(16) };

  it.each([
    '/etc/passwd',
    '../w.bin',
    'a/../../w.bin',
    'a\\w.bin',
    'C:w.bin',
    'https://example.com/w',
    'w\0.bin',
    '',
    '.',
  ])('may not lie at %j', (location) => {
    const result = validate(external({ location }), around);
    expect(brokenRules(result)).toEqual(['onnx-external-path']);
    expect(result.verdict).toBe('dangerous');
  });

  it('must be there, and inside its file', () => {
    expect(rulesOf(external({ location: 'x.bin' }), around)).toEqual(['onnx-external-file']);
    const place = { location: 'w.bin', offset: '8' };
    expect(rulesOf(external({ ...place, length: '12' }), around)).toEqual(['onnx-external-range']);
    expect(rulesOf(external({ ...place, length: '8' }), around)).toEqual(['onnx-external-range']);
    expect(rulesOf(external({ ...place, offset: '5' }), around)).toEqual(['onnx-external-range']);
    expect(rulesOf(external({ ...place, offset: 'five' }), around)).toEqual([
      'onnx-external-range',
    ]);
    expect(rulesOf(external({ ...place, offset: '4' }), around)).toEqual([]);
    expect(rulesOf(external({ location: './w.bin' }), around)).toEqual([]);
  });

  it('is refused by ONNX where it is a link', () => {
    const source = new CountedSource('m.onnx', external({ location: 'w.bin' }));
    const find = () => new CountedSource('w.bin', Buffer.alloc(16), 16, true);
    expect(brokenRules(validateFile(source, { around: { find } }))).toEqual(['onnx-external-link']);
  });

  const inner = field(5, externalTensor('w', { location: '../x' }));
  const tensor = externalTensor('w', { location: '../x' });
  it.each([
    ['a sparse initializer', onnxModel([node, field(15, [field(1, tensor)])])],
    [
      'an attribute',
      onnxModel([field(1, nodeProto('n', [Buffer.concat([field(1, 't'), field(5, tensor)])]))]),
    ],
    [
      'a graph in an attribute',
      onnxModel([
        field(1, nodeProto('If', [Buffer.concat([field(1, 'then'), field(6, [inner])])])),
      ]),
    ],
    [
      'a list in an attribute',
      onnxModel([field(1, nodeProto('n', [Buffer.concat([field(1, 't'), field(10, tensor)])]))]),
    ],
    [
      'a function',
      onnxModel(
        [node],
        [field(25, [field(7, nodeProto('n', [Buffer.concat([field(1, 't'), field(5, tensor)])]))])],
      ),
    ],
    ['training information', onnxModel([node], [field(20, [field(1, [inner])])])],
  ])('is found in %s', (_, bytes) => {
    expect(rulesOf(bytes, around)).toContain('onnx-external-path');
  });

  it('of a usual tensor is none', () => {
    expect(rulesOf(onnxModel([node, field(5, tensorProto(weights))]))).toEqual([]);
  });
});
