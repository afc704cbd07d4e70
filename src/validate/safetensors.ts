import { isJsonObject } from '../base/json.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { safetensorsBits } from '../weights/dtypes.ts';
import { readJson } from '../weights/json-text.ts';
import { headerBytesMax } from '../weights/safetensors-tensors.ts';
import { quoted, type Report, TensorTally } from './report.ts';

const lengthBytes = 8;
/** The reference implementation counts elements, and bits, in 64 bits. */
const elementsMax = 2n ** 64n;
const openingBrace = 0x7b;

interface Place {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

/**
 * Checks a safetensors file by the rules of the reference implementation, and those of its format that it
 * does not enforce. Only the header is read. Source: safetensors/src/tensor.rs of huggingface/safetensors.
 */
export function checkSafetensors(file: ByteReader, report: Report): void {
  if (file.size < lengthBytes) {
    report.add('safetensors-length', `The file has ${file.size} bytes, less than its first field`);
    return;
  }
  const head = file.read(0, lengthBytes);
  const length = new DataView(head.buffer, head.byteOffset, head.length).getBigUint64(0, true);
  if (length > BigInt(headerBytesMax) || Number(length) > file.size - lengthBytes) {
    const most = Math.min(headerBytesMax, file.size - lengthBytes);
    report.add(
      'safetensors-length',
      `The header is said to have ${length} bytes; ${most} are possible`,
      'byte 0',
    );
    return;
  }
  const bytes = file.read(lengthBytes, Number(length));
  if (bytes[0] !== openingBrace) {
    report.add('safetensors-header', 'The header does not start with {', `byte ${lengthBytes}`);
    return;
  }
  const { value, problem, duplicate, isTooLarge } = readJson(bytes);
  if (duplicate !== undefined)
    report.add('safetensors-duplicate', `The key ${quoted(duplicate)} stands twice`);
  if (isJsonObject(value)) checkHeader(value, file.size - lengthBytes - Number(length), report);
  else if (isTooLarge) report.add('not-read-to-end', `The header was not looked into: ${problem}`);
  else
    report.add('safetensors-header', `The header is no JSON object: ${problem ?? 'another value'}`);
}

function checkHeader(
  header: Readonly<Record<string, unknown>>,
  dataBytes: number,
  report: Report,
): void {
  const tally = new TensorTally();
  const places: Place[] = [];
  let isWhole = true;
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      checkMetadata(value, report);
      continue;
    }
    const place = checkTensor(name, value, report, tally);
    if (place === undefined) isWhole = false;
    else places.push(place);
  }
  tally.into(report.summary);
  if (isWhole) checkPlaces(places, dataBytes, report);
}

function checkMetadata(value: unknown, report: Report): void {
  if (!isJsonObject(value)) {
    report.add('safetensors-metadata', '__metadata__ is no object', '__metadata__');
    return;
  }
  const wrong = Object.entries(value).find(([, text]) => typeof text !== 'string');
  if (wrong !== undefined)
    report.add(
      'safetensors-metadata',
      `The value of ${quoted(wrong[0])} is no text`,
      '__metadata__',
    );
}

/** Checks one entry; returns where its data is, undefined when that cannot be told. */
function checkTensor(
  name: string,
  value: unknown,
  report: Report,
  tally: TensorTally,
): Place | undefined {
  const where = `tensor ${quoted(name)}`;
  const entry = isJsonObject(value) ? value : {};
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  if (typeof dtype !== 'string' || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    report.add(
      'safetensors-entry',
      'It needs a dtype, a shape of whole numbers and two data_offsets',
      where,
    );
    return undefined;
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) {
    report.add('safetensors-entry', `Its data ends at ${end}, before its start at ${begin}`, where);
    return undefined;
  }
  const elements = product(shape);
  tally.add(dtype, Number(elements));
  const bits = safetensorsBits.get(dtype);
  if (bits === undefined)
    report.add('safetensors-dtype', `${quoted(dtype)} is no known dtype`, where);
  else checkSize(elements * BigInt(bits), end - begin, where, report);
  return { name, begin, end };
}

/** Multiplies lengths, no further than to what is too much: a shape may have a million of them. */
function product(shape: readonly number[]): bigint {
  let all = 1n;
  for (const length of shape) {
    all *= BigInt(length);
    if (all >= elementsMax) return elementsMax;
  }
  return all;
}

function checkSize(bits: bigint, bytes: number, where: string, report: Report): void {
  if (bits >= elementsMax) report.add('safetensors-size', 'Its shape is too large', where);
  else if (bits % 8n !== 0n)
    report.add('safetensors-size', `Its ${bits} bits are no whole number of bytes`, where);
  else if (bits / 8n !== BigInt(bytes)) {
    const message = `Its shape and dtype need ${bits / 8n} bytes; data_offsets give ${bytes}`;
    report.add('safetensors-size', message, where);
  }
}

function isCounts(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((item) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0)
  );
}

/** The data of tensors must fill the file from the header to its end, each byte once. */
function checkPlaces(places: readonly Place[], dataBytes: number, report: Report): void {
  const sorted = [...places].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of sorted) {
    const where = `tensor ${quoted(name)}`;
    if (begin > at)
      report.add('safetensors-gap', `${begin - at} bytes before its data are of no tensor`, where);
    if (begin < at)
      report.add('safetensors-overlap', `Its data starts at ${begin}, before ${at}`, where);
    at = Math.max(at, end);
  }
  if (at === dataBytes) return;
  const message =
    at < dataBytes
      ? `${dataBytes - at} bytes behind the last tensor are of no tensor`
      : `The tensors need ${at} bytes of data; the file has ${dataBytes}`;
  report.add('safetensors-end', message);
}
