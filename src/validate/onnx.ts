import type { ByteReader } from '../weights/byte-reader.ts';
import { onnxTypes } from '../weights/dtypes.ts';
import { type OnnxKind, onnxKinds } from '../weights/onnx.ts';
import {
  type Field,
  lengthDelimited,
  type MessageKinds,
  TooManyFields,
  walkMessages,
} from '../weights/protobuf.ts';
import { expectFormat, NotThisFormat, type WindowReader } from '../weights/window-reader.ts';
import { checkExternalPlaces, type ExternalPlace } from './onnx-external.ts';
import { quoted, type Report, TensorTally } from './report.ts';
import type { Neighbours } from './source.ts';

type Kind = OnnxKind | 'opset';

const kinds: MessageKinds<Kind> = {
  ...onnxKinds,
  model: { ...onnxKinds.model, 8: 'opset' },
  function: { ...onnxKinds.function, 9: 'opset' },
  opset: {},
};

/** Domains of operators that runtimes bring along. */
const knownDomains = new Set([
  '',
  'ai.onnx',
  'ai.onnx.ml',
  'ai.onnx.training',
  'ai.onnx.preview.training',
  'com.microsoft',
]);
const textBytesMax = 4096;
const dimensionsMax = 64;
/** Tensors with data elsewhere, and domains, that are noted. */
const placesMax = 100_000;
const domainsMax = 1000;
/** Fields that are looked at: the largest graphs have some hundred thousand. */
const fieldsMax = 20 * 1024 * 1024;
/** Protocol Buffers do not parse more. */
const modelBytesMax = 2 ** 31 - 1;

/**
 * Checks an ONNX model by its fields, without the data of tensors, and that the files of its external data
 * are where it says.
 * @param around absent where the files beside the model are not known
 */
export function checkOnnx(file: ByteReader, around: Neighbours | undefined, report: Report): void {
  const model = new ModelCheck(report);
  if (file.size > modelBytesMax)
    report.add('onnx-size', `The file has ${file.size} bytes; a model has less than 2 GiB`);
  try {
    walkMessages(file, 'model', kinds, model, fieldsMax);
  } catch (error) {
    if (!(error instanceof NotThisFormat)) throw error;
    if (error instanceof TooManyFields)
      report.add('not-read-to-end', `Only ${fieldsMax} fields are looked at`, `byte ${model.at}`);
    else
      report.add('onnx-damaged', 'A field is damaged, or leaves its message', `byte ${model.at}`);
  }
  model.finish();
  checkExternalPlaces(model.places, around, report);
}

/** What was read of one TensorProto. */
class TensorParts {
  name = '';
  type = 0;
  elements = 1;
  dimensions = 0;
  rawBytes: number | undefined;
  isExternal = false;
  readonly entries = new Map<string, string>();
}

class ModelCheck {
  readonly places: ExternalPlace[] = [];
  /** Offset of the last field that was read. */
  at = 0;
  readonly #report: Report;
  readonly #tally = new TensorTally();
  readonly #opset = new Map<string, number>();
  readonly #domains = new Set<string>();
  readonly #ownDomains = new Set<string>();
  readonly #modelKinds: Kind[] = [];
  #irVersion: number | undefined;
  #graphs = 0;
  #nodes = 0;
  #tensor = new TensorParts();
  #key = '';
  #value = '';
  #domain = '';
  #version = 0;

  constructor(report: Report) {
    this.#report = report;
  }

  enter(kind: Kind, _length: number, parent: Kind): boolean {
    this.#modelKinds.push(kind);
    if (kind === 'graph' && parent === 'model') this.#graphs++;
    if (kind === 'node') this.#nodes++;
    if (kind === 'tensor') this.#tensor = new TensorParts();
    if (kind === 'entry') this.#key = this.#value = '';
    if (kind === 'opset' || kind === 'function') {
      this.#domain = '';
      this.#version = 0;
    }
    return true;
  }

  field(field: Field<Kind>, reader: WindowReader): void {
    this.at = field.start;
    const text = (): string => {
      const length = field.end - field.start;
      const isText = field.wireType === lengthDelimited && length <= textBytesMax;
      return isText ? reader.text(length) : '';
    };
    switch (field.kind) {
      case 'model':
        this.#modelField(field, text);
        break;
      case 'node':
        if (field.number === 7) this.#note(this.#domains, text());
        break;
      case 'function':
        if (field.number === 10) this.#note(this.#ownDomains, text());
        break;
      case 'opset':
        if (field.number === 1) this.#domain = text();
        if (field.number === 2) this.#version = field.value;
        break;
      case 'entry':
        if (field.number === 1) this.#key = text();
        if (field.number === 2) this.#value = text();
        break;
      case 'tensor':
        this.#tensorField(field, reader, text);
        break;
      default:
    }
  }

  leave(kind: Kind): void {
    this.#modelKinds.pop();
    if (kind === 'opset' && this.#modelKinds.length === 0 && this.#opset.size < domainsMax)
      this.#opset.set(this.#domain, this.#version);
    if (kind === 'entry') this.#tensor.entries.set(this.#key, this.#value);
    if (kind === 'tensor') this.#endTensor(this.#tensor);
  }

  #note(domains: Set<string>, domain: string): void {
    if (domains.size < domainsMax) domains.add(domain);
  }

  #modelField({ number, value }: Field<Kind>, text: () => string): void {
    const { summary } = this.#report;
    if (number === 1) {
      this.#irVersion = value;
      summary.version = String(value);
    }
    if (number === 2) summary.producer = text();
  }

  #tensorField(field: Field<Kind>, reader: WindowReader, text: () => string): void {
    const tensor = this.#tensor;
    const { number, wireType, value, start, end } = field;
    if (number === 1 && wireType === 0) this.#dimension(value);
    else if (number === 1) {
      while (reader.at < end) this.#dimension(reader.anyVarint());
    } else if (number === 2) tensor.type = value;
    else if (number === 8) tensor.name = text();
    else if (number === 9) tensor.rawBytes = end - start;
    else if (number === 14) tensor.isExternal = value === 1;
  }

  #dimension(length: number): void {
    const tensor = this.#tensor;
    tensor.dimensions++;
    expectFormat(tensor.dimensions <= dimensionsMax);
    tensor.elements *= length;
  }

  #endTensor(tensor: TensorParts): void {
    const { name, type, elements, rawBytes, isExternal, entries } = tensor;
    const where = `tensor ${quoted(name)}`;
    const [typeName, bits] = onnxTypes[type] ?? [`type ${type}`, undefined];
    this.#tally.add(typeName, elements);
    const bytes = bits === undefined ? undefined : Math.ceil((elements * bits) / 8);
    if (rawBytes !== undefined && !isExternal && bytes !== undefined && bytes !== rawBytes) {
      const message = `Its dims and type need ${bytes} bytes; raw_data has ${rawBytes}`;
      this.#report.add('onnx-tensor', message, where);
    }
    if (!isExternal && entries.size === 0) return;
    if (this.places.length < placesMax) this.places.push({ where, entries, bytes });
    else this.#report.add('not-read-to-end', `Only ${placesMax} tensors elsewhere are looked at`);
  }

  /** Tells what can be told only of the whole model. */
  finish(): void {
    const { summary } = this.#report;
    this.#tally.into(summary);
    summary.opset = Object.fromEntries(
      [...this.#opset].map(([domain, version]) => [domain === '' ? 'ai.onnx' : domain, version]),
    );
    if (!this.#irVersion) this.#report.add('onnx-ir-version', 'The model has no ir_version');
    if (this.#opset.size === 0) this.#report.add('onnx-opset', 'The model imports no opset');
    if (this.#graphs !== 1)
      this.#report.add('onnx-graph', `The model has ${this.#graphs} graphs, not one`);
    else if (this.#nodes === 0) this.#report.add('onnx-graph', 'The graph has no nodes');
    for (const domain of this.#domains) {
      if (knownDomains.has(domain) || this.#ownDomains.has(domain)) continue;
      const message = `Operators of the domain ${quoted(domain)} need a library of their own`;
      this.#report.add('onnx-domain', message);
    }
  }
}
