/** The polynomial of Castagnoli, reflected. */
const polynomial = 0x82f63b78;
/** Bytes that are looked up at once. */
const step = 8;

/** For each of so many places in a step, and for each byte there: what it adds to the sum. */
let tables: Int32Array | undefined;

function makeTables(): Int32Array {
  const made = new Int32Array(step * 256);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? polynomial : 0);
    made[byte] = sum;
  }
  for (let at = 256; at < made.length; at++) {
    const nearer = made[at - 256] as number;
    made[at] = (nearer >>> 8) ^ (made[nearer & 255] as number);
  }
  return made;
}

/**
 * Computes the CRC-32C of bytes: what `@node-rs/crc32` does, without compiled code, which a program that
 * consists of one file cannot load.
 * @param before the sum of what comes before these bytes
 */
export function crc32c(bytes: Uint8Array, before = 0): number {
  tables ??= makeTables();
  const table = tables;
  const look = (place: number, byte: number): number =>
    table[(place << 8) | (byte & 255)] as number;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let sum = ~before;
  let at = 0;
  for (; at + step <= bytes.length; at += step) {
    const low = sum ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    sum = look(7, low) ^ look(6, low >>> 8) ^ look(5, low >>> 16) ^ look(4, low >>> 24);
    sum ^= look(3, high) ^ look(2, high >>> 8) ^ look(1, high >>> 16) ^ look(0, high >>> 24);
  }
  for (; at < bytes.length; at++) sum = (sum >>> 8) ^ look(0, sum ^ view.getUint8(at));
  return ~sum >>> 0;
}
