import type { ByteReader } from '../weights/byte-reader.ts';
import { ggufTypeBlocks, ggufTypeNames } from '../weights/dtypes.ts';
import { NotThisFormat, WindowReader } from '../weights/window-reader.ts';
import { quoted, type Report, TensorTally } from './report.ts';

const headerBytesMax = 256 * 1024 * 1024;
const keyBytesMax = 64 * 1024;
const stringBytesMax = 16 * 1024 * 1024;
const nameBytesMax = 63;
const dimensionsMax = 4;
const alignmentDefault = 32;
/** Tensors, and values of metadata: real files have a thousandth. */
const countMax = 1_000_000;
/** Bytes of the smallest entries of metadata and of the table of tensors. */
const valueBytesMin = 8 + 4 + 1;
const tensorBytesMin = 8 + 4 + 4 + 8;

const typeU32 = 4;
const typeString = 8;
const typeArray = 9;
/** Bytes of metadata values of fixed size, by type. */
const scalarBytes: readonly (number | undefined)[] = [
  ...[1, 1, 2, 2, 4, 4, 4, 1],
  ...[undefined, undefined, 8, 8, 8],
];

/**
 * Checks a GGUF file as ggml does before it takes one. Only metadata and the table of tensors are read.
 * Source: docs/gguf.md and src/gguf.cpp of ggml-org/ggml.
 */
export function checkGguf(file: ByteReader, report: Report): void {
  const check = new GgufCheck(file, report);
  try {
    check.run();
  } catch (error) {
    if (!(error instanceof NotThisFormat)) throw error;
    report.add(
      'gguf-header',
      'Metadata or table of tensors are cut short, or a length in them cannot be',
      `byte ${check.at}`,
    );
  }
}

class GgufCheck {
  readonly #file: ByteReader;
  readonly #report: Report;
  readonly #reader: WindowReader;
  readonly #keys = new Set<string>();
  #alignment: number | undefined = alignmentDefault;

  constructor(file: ByteReader, report: Report) {
    this.#file = file;
    this.#report = report;
    this.#reader = new WindowReader(file, 4, headerBytesMax);
  }

  get at(): number {
    return this.#reader.at;
  }

  run(): void {
    const reader = this.#reader;
    const version = reader.u32();
    this.#report.summary.version = String(version);
    if (version !== 0 && (version & 0xffff) === 0) {
      this.#report.add('gguf-endian', 'The file is big-endian, and was not looked into', 'byte 4');
      return;
    }
    if (version !== 2 && version !== 3) {
      this.#report.add('gguf-version', `There is no support for version ${version}`, 'byte 4');
      return;
    }
    const tensorCount = this.#count('tensors', tensorBytesMin);
    const valueCount = this.#count('metadata', valueBytesMin);
    if (tensorCount === undefined || valueCount === undefined) return;
    for (let i = 0; i < valueCount; i++) if (!this.#metadata()) return;
    if (!this.#keys.has('general.architecture'))
      this.#report.add('gguf-architecture', 'The metadata have no general.architecture');
    this.#tensors(tensorCount);
  }

  /** Reads how many there are of something that has at least some bytes each. */
  #count(what: string, bytesMin: number): number | undefined {
    const { at } = this.#reader;
    const low = this.#reader.u32();
    const count = low + this.#reader.u32() * 2 ** 32;
    const hasRoom = count * bytesMin <= this.#file.size - this.#reader.at;
    if (hasRoom && count <= countMax) return count;
    const message = hasRoom
      ? `It has ${count} ${what}; at most ${countMax} are read`
      : `The file has no room for ${count} ${what}`;
    this.#report.add('gguf-header', message, `byte ${at}`);
    return undefined;
  }

  /** Reads one value of the metadata; false where the next one cannot be found. */
  #metadata(): boolean {
    const { at } = this.#reader;
    const key = this.#text(keyBytesMax);
    const where = `key ${quoted(key)}`;
    if (key === '' || key.includes('\0'))
      this.#report.add('gguf-key', 'A key is empty, or has a NUL', `byte ${at}`);
    if (this.#keys.has(key)) this.#report.add('gguf-key', 'The key stands twice', where);
    this.#keys.add(key);
    const type = this.#reader.u32();
    if (key === 'general.alignment') return this.#alignmentValue(type);
    if (key === 'tokenizer.chat_template' || key.startsWith('tokenizer.chat_template.'))
      this.#report.add('chat-template', 'The file has a chat template', where);
    if (key === 'general.architecture' && type === typeString) {
      this.#report.summary.architecture = this.#text(keyBytesMax);
      return true;
    }
    return this.#value(type, where);
  }

  #alignmentValue(type: number): boolean {
    const where = 'key "general.alignment"';
    if (type !== typeU32) {
      this.#report.add('gguf-alignment', `Its type is ${type}, not u32`, where);
      this.#alignment = undefined;
      return this.#value(type, where);
    }
    const value = this.#reader.u32();
    const isPower = value > 0 && (value & (value - 1)) === 0;
    if (!isPower) this.#report.add('gguf-alignment', `${value} is no power of two`, where);
    this.#alignment = isPower ? value : undefined;
    return true;
  }

  #value(type: number, where: string): boolean {
    if (type === typeArray) return this.#array(where);
    if (type === typeString) {
      this.#skipText();
      return true;
    }
    const bytes = scalarBytes[type];
    if (bytes === undefined) {
      this.#report.add('gguf-value', `There is no type ${type}`, where);
      return false;
    }
    this.#reader.skip(bytes);
    return true;
  }

  #array(where: string): boolean {
    const type = this.#reader.u32();
    const count = this.#reader.u64();
    const bytes = type === typeString ? 8 : scalarBytes[type];
    if (bytes === undefined) {
      const what = type === typeArray ? 'an array of arrays' : `an array of type ${type}`;
      this.#report.add('gguf-value', `It is ${what}, which ggml does not read`, where);
      return false;
    }
    if (count * bytes > this.#file.size - this.#reader.at) throw new NotThisFormat();
    if (type !== typeString) this.#reader.skip(count * bytes);
    else for (let i = 0; i < count; i++) this.#skipText();
    return true;
  }

  #text(bytesMax: number): string {
    const length = this.#reader.u64();
    if (length > bytesMax) throw new NotThisFormat();
    return this.#reader.text(length);
  }

  #skipText(): void {
    const length = this.#reader.u64();
    if (length > stringBytesMax) throw new NotThisFormat();
    this.#reader.skip(length);
  }

  #tensors(count: number): void {
    const tally = new TensorTally();
    const names = new Set<string>();
    const expected = new DataPlaces(this.#alignment, this.#report);
    for (let i = 0; i < count; i++) {
      const name = this.#text(keyBytesMax);
      const where = `tensor ${quoted(name)}`;
      if (name === '' || Buffer.byteLength(name) > nameBytesMax || names.has(name)) {
        const what = names.has(name) ? 'stands twice' : `has not 1 to ${nameBytesMax} bytes`;
        this.#report.add('gguf-tensor', `The name ${what}`, where);
      }
      names.add(name);
      const dimensions = this.#reader.u32();
      if (dimensions > dimensionsMax) {
        this.#report.add('gguf-tensor', `It has ${dimensions} dimensions; 4 are possible`, where);
        return;
      }
      const shape = Array.from({ length: dimensions }, () => this.#reader.u64());
      const type = this.#reader.u32();
      const offset = this.#reader.u64();
      tally.add(ggufTypeNames[type] ?? `type ${type}`, product(shape));
      expected.add(this.#bytes(shape, type, where), offset, where);
    }
    tally.into(this.#report.summary);
    if (this.#alignment !== undefined && count > 0)
      expected.finish(this.#reader.at, this.#file.size);
  }

  /** Bytes of a tensor; undefined when its type is unknown or its shape does not fit it. */
  #bytes(shape: readonly number[], type: number, where: string): number | undefined {
    const block = ggufTypeBlocks[type];
    if (block === undefined) {
      this.#report.add('gguf-type', `There is no known type ${type}`, where);
      return undefined;
    }
    const [elements, bytes] = block;
    const total = product(shape);
    if ((shape[0] ?? 1) % elements !== 0 || !Number.isSafeInteger(total * bytes)) {
      const message = `Rows of ${shape[0] ?? 1} elements are no whole blocks of ${elements}, or too many`;
      this.#report.add('gguf-tensor', message, where);
      return undefined;
    }
    return (total / elements) * bytes;
  }
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, length) => all * length, 1);
}

/** Checks that tensors follow each other in the order of the table, each from the alignment on. */
class DataPlaces {
  readonly #alignment: number | undefined;
  readonly #report: Report;
  /** Where the next tensor must start; undefined behind one of unknown size. */
  #next: number | undefined = 0;
  /** End of the data without the last padding. */
  #end = 0;

  constructor(alignment: number | undefined, report: Report) {
    this.#alignment = alignment;
    this.#report = report;
  }

  add(bytes: number | undefined, offset: number, where: string): void {
    if (this.#alignment === undefined) return;
    if (this.#next !== undefined && offset !== this.#next) {
      const message = `Its data starts at ${offset}; behind the tensor before it is ${this.#next}`;
      this.#report.add('gguf-offset', message, where);
    }
    this.#end = Math.max(this.#end, offset + (bytes ?? 0));
    this.#next =
      bytes === undefined
        ? undefined
        : Math.ceil((offset + bytes) / this.#alignment) * this.#alignment;
  }

  finish(headerEnd: number, fileSize: number): void {
    const alignment = this.#alignment ?? alignmentDefault;
    const start = Math.ceil(headerEnd / alignment) * alignment;
    const end = start + this.#end;
    if (end > fileSize) {
      this.#report.add('gguf-end', `The tensors need ${end} bytes; the file has ${fileSize}`);
    } else if (this.#next !== undefined && start + this.#next > fileSize) {
      this.#report.add('gguf-padding', 'The padding behind the last tensor is missing');
    }
  }
}
