import type { ByteReader } from '../weights/byte-reader.ts';
import { expectFormat, ifThisFormat } from '../weights/window-reader.ts';
import { quoted, type Report } from './report.ts';

const tableMax = 1_000_000;
const textBytesMax = 1024;
/** Fields of the table Model. Source: tensorflow/lite/schema/schema.fbs. */
const versionField = 0;
const operatorsField = 1;
const subgraphsField = 2;
/** Fields of OperatorCode and SubGraph. */
const customField = 1;
const tensorsField = 0;
const schemaVersion = 3;

/** Tells whether a file is a model of TensorFlow Lite by its first eight bytes. */
export function looksLikeTflite(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(4, 8)).toString('latin1') === 'TFL3';
}

/** Checks the outer tables of a model of TensorFlow Lite: version, operators and count of tensors. */
export function checkTflite(file: ByteReader, report: Report): void {
  const done = ifThisFormat(() => {
    const tables = new FlatTables(file);
    const root = tables.u32(0);
    const version = tables.field(root, versionField);
    const number = version === undefined ? 0 : tables.u32(version);
    report.summary.version = String(number);
    if (number !== schemaVersion)
      report.add('tflite-version', `The version of the schema is ${number}`);
    const operators = tables.list(root, operatorsField);
    for (const operator of operators) tellOperator(tables, operator, report);
    let tensors = 0;
    for (const subgraph of tables.list(root, subgraphsField))
      tensors += tables.list(subgraph, tensorsField).length;
    report.summary.tensors = tensors;
    return true;
  });
  if (done === undefined) report.add('tflite-layout', 'A table lies outside of the file');
}

function tellOperator(tables: FlatTables, operator: number, report: Report): void {
  const at = tables.field(operator, customField);
  if (at === undefined) return;
  const name = tables.text(at);
  const what = name.startsWith('Flex') ? 'needs the Flex delegate' : 'needs code of its own';
  report.add('tflite-custom', `The operator ${quoted(name)} ${what}`);
}

/** Reads tables of FlatBuffers: each is at the place that an offset names, relative to where it stands. */
class FlatTables {
  readonly #file: ByteReader;

  constructor(file: ByteReader) {
    this.#file = file;
  }

  u32(at: number): number {
    return this.#bytes(at, 4).readUInt32LE(0);
  }

  /** Offset of a field of a table; undefined where it is left out. */
  field(table: number, index: number): number | undefined {
    const vtable = table - this.#bytes(table, 4).readInt32LE(0);
    const size = this.#bytes(vtable, 2).readUInt16LE(0);
    const at = 4 + 2 * index;
    if (at + 2 > size) return undefined;
    const offset = this.#bytes(vtable + at, 2).readUInt16LE(0);
    return offset === 0 ? undefined : table + offset;
  }

  /** Offsets of the tables in a list that is a field. */
  list(table: number, index: number): number[] {
    const at = this.field(table, index);
    if (at === undefined) return [];
    const start = at + this.u32(at);
    const count = this.u32(start);
    expectFormat(count <= tableMax && start + 4 + count * 4 <= this.#file.size);
    const offsets = this.#bytes(start + 4, count * 4);
    return Array.from({ length: count }, (_, i) => start + 4 + i * 4 + offsets.readUInt32LE(i * 4));
  }

  text(at: number): string {
    const start = at + this.u32(at);
    const length = this.u32(start);
    return this.#bytes(start + 4, Math.min(length, textBytesMax)).toString();
  }

  #bytes(at: number, length: number): Buffer {
    expectFormat(at >= 0 && at + length <= this.#file.size);
    const bytes = Buffer.from(this.#file.read(at, length));
    expectFormat(bytes.length === length);
    return bytes;
  }
}
