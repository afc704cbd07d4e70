import { inflateRawSync } from 'node:zlib';

/**
 * Decodes a chunk byte by byte, by docs/format.md and not by the code of the store. Bytes that are not
 * what their encoding says give an error or wrong bytes.
 */
export function naiveDecode(stored: Uint8Array, encoding: number, rawLength: number): Buffer {
  if (encoding === 0) return Buffer.from(stored);
  if (encoding === 1) return inflateRawSync(stored);
  const count = encoding === 2 ? 2 : 4;
  const bytes = Buffer.from(stored);
  const raw = Buffer.alloc(rawLength);
  let at = count * 4;
  for (let plane = 0; plane < count; plane++) {
    const length = bytes.readUInt32LE(plane * 4);
    const part = bytes.subarray(at, at + length);
    at += length;
    let whole = 0;
    for (let i = plane; i < rawLength; i += count) whole++;
    const values = length === whole ? part : inflateRawSync(part);
    for (let i = 0; i < whole; i++) raw[i * count + plane] = values.readUInt8(i);
  }
  return raw;
}
