import type { ByteReader } from './byte-reader.ts';
import type { Extent } from './extents.ts';
import { decimalBytes } from './onnx-places.ts';
import {
  lengthDelimited,
  type MessageKinds,
  type MessageVisitor,
  walkMessages,
} from './protobuf.ts';
import { expectFormat, ifThisFormat } from './window-reader.ts';

/** The messages of an ONNX model that are looked into. */
export type OnnxKind =
  | 'model'
  | 'graph'
  | 'node'
  | 'attribute'
  | 'function'
  | 'training'
  | 'sparse'
  | 'tensor'
  | 'entry';

/**
 * Where tensors are found: in initializers, also sparse ones, in attributes of nodes, in graphs inside
 * attributes, in functions and in training information. Source: onnx/onnx.proto of onnx/onnx.
 */
export const onnxKinds: MessageKinds<OnnxKind> = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  training: { 1: 'graph', 2: 'graph' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: { 13: 'entry' },
  entry: {},
};

/** The tag of the field ir_version, which comes first in a model. */
const firstByte = 0x08;
/** float_data, int32_data, int64_data, raw_data, double_data, uint64_data. */
const dataFields: ReadonlySet<number> = new Set([4, 5, 7, 9, 10, 11]);
const keyField = 1;
const valueField = 2;
const textBytesMax = 4096;

/** Tells whether a file may be an ONNX model by its first byte. */
export function looksLikeOnnx(head: DataView): boolean {
  return head.byteLength > 0 && head.getUint8(0) === firstByte;
}

/** Tells whether a file is an ONNX model, by the tags of its outermost fields. */
export function isOnnx(file: ByteReader): boolean {
  let graphs = 0;
  const walked = ifThisFormat(() => {
    expectFormat(file.read(0, 1)[0] === firstByte);
    walkMessages<OnnxKind>(file, 'model', onnxKinds, {
      enter: () => false,
      field({ number, wireType, value, start }) {
        if (number === 1) expectFormat(start <= 3 && wireType === 0 && value > 0 && value < 128);
        if (number === 7) graphs++;
        expectFormat(number <= 64);
      },
    });
    return true;
  });
  return walked === true && graphs > 0;
}

/**
 * Finds the data of tensors in an ONNX model: of those whose data has at least `bytesMin` bytes.
 * Messages below that are passed over, as no such tensor is in them.
 * @returns in the order of the file; undefined when the file is no ONNX model, or a damaged one
 */
export function readOnnxTensors(file: ByteReader, bytesMin: number): Extent[] | undefined {
  const tensors: Extent[] = [];
  return walkModel(file, {
    enter: (kind, length) => kind !== 'entry' && length >= bytesMin,
    field({ kind, number, wireType, start, end }) {
      if (kind !== 'tensor' || wireType !== lengthDelimited) return;
      if (dataFields.has(number) && end - start >= bytesMin) tensors.push({ start, end });
    },
  })
    ? tensors
    : undefined;
}

/** Where a tensor lies whose data is in another file than the model. */
export interface OnnxExternalData {
  /** As the model has it: unchecked, meant relative to the folder of the model. */
  readonly location: string;
  readonly offset: number;
  /** Undefined when it reaches to the end of the file. */
  readonly length: number | undefined;
}

/**
 * Lists the tensors of an ONNX model whose data is in other files.
 * @returns in the order of the model, without tensors whose place is given wrongly; nothing for other or
 * damaged files
 */
export function readOnnxExternalData(file: ByteReader): OnnxExternalData[] {
  const found: OnnxExternalData[] = [];
  let values = new Map<string, string>();
  let key = '';
  let value = '';
  const walked = walkModel(file, {
    enter: (kind) => {
      if (kind === 'tensor') values = new Map();
      if (kind === 'entry') key = value = '';
      return true;
    },
    field({ kind, number, wireType, start, end }, reader) {
      if (kind !== 'entry' || wireType !== lengthDelimited || end - start > textBytesMax) return;
      if (number === keyField) key = reader.text(end - start);
      else if (number === valueField) value = reader.text(end - start);
    },
    leave(kind) {
      if (kind === 'entry') values.set(key, value);
      if (kind !== 'tensor' || values.size === 0) return;
      const place = externalPlace(values);
      if (place !== undefined) found.push(place);
    },
  });
  return walked ? found : [];
}

function externalPlace(values: ReadonlyMap<string, string>): OnnxExternalData | undefined {
  const location = values.get('location') ?? '';
  const offset = decimalBytes(values.get('offset') ?? '0');
  const lengthText = values.get('length');
  const length = lengthText === undefined ? undefined : decimalBytes(lengthText);
  const bad = offset === undefined || (lengthText !== undefined && length === undefined);
  return location === '' || bad ? undefined : { location, offset, length };
}

/** Walks a file and tells whether it is a model with a graph. */
function walkModel(file: ByteReader, visitor: MessageVisitor<OnnxKind>): boolean {
  let graphs = 0;
  const walked = ifThisFormat(() => {
    const head = file.read(0, 1);
    expectFormat(head[0] === firstByte);
    walkMessages(file, 'model', onnxKinds, {
      ...visitor,
      enter(kind, length, parent) {
        if (parent === 'model' && kind === 'graph') graphs++;
        return visitor.enter(kind, length, parent);
      },
    });
    return true;
  });
  return walked === true && graphs > 0;
}
