import { crc32 } from 'node:zlib';

/** Bytes of one stored block of RFC 1951, the most there can be. */
const blockBytes = 65_535;
/** Final mark, length, and its complement. */
const blockHeadBytes = 5;
/** Blocks handed out at once: 4 MiB. */
const blocksAtOnce = 64;

/**
 * The head of every package: gzip, deflate, no flags, no time, no level, no system. What a compressor of the
 * system writes here tells where it runs.
 */
const head = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

/**
 * Puts bytes into the form of gzip, stored and not compressed, in blocks of one size: the same bytes give the same
 * file whatever machine, program or library did it, and however they were handed in. A compressor may find other
 * matches in its next version, and few in weights.
 * @returns blocks, each valid until the next step
 */
export async function* storedGzip(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const out = Buffer.allocUnsafe(blocksAtOnce * (blockHeadBytes + blockBytes));
  let checksum = 0;
  let size = 0;
  let start = 0;
  let fill = 0;
  yield head;
  for await (const bytes of source) {
    checksum = crc32(bytes, checksum);
    size += bytes.length;
    for (let from = 0; from < bytes.length; ) {
      // A full block is closed when more comes: the last one, which says so, is never empty beside it.
      if (fill === blockBytes) {
        start = closeBlock(out, start, fill, false);
        fill = 0;
      }
      if (start === out.length) {
        yield out;
        start = 0;
      }
      const count = Math.min(bytes.length - from, blockBytes - fill);
      out.set(bytes.subarray(from, from + count), start + blockHeadBytes + fill);
      fill += count;
      from += count;
    }
  }
  yield out.subarray(0, closeBlock(out, start, fill, true));
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(checksum, 0);
  tail.writeUInt32LE(size % 2 ** 32, 4);
  yield tail;
}

/** Writes the head of a block that is full or the last one; returns where the next one starts. */
function closeBlock(out: Buffer, start: number, length: number, last: boolean): number {
  out[start] = last ? 1 : 0;
  out.writeUInt16LE(length, start + 1);
  out.writeUInt16LE(length ^ 0xffff, start + 3);
  return start + blockHeadBytes + length;
}
