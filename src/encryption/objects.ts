import type { Random } from '../base/clock.ts';
import type { RemoteSource } from '../remote/remote.ts';
import { readSource } from '../remote/source.ts';
import type { MasterKey } from './keys.ts';
import {
  formatHead,
  type ObjectHead,
  SegmentCipher,
  saltBytes,
  sealedSegmentBytes,
  sealedSize,
  segmentBytes,
  segmentsOf,
  tagBytes,
} from './object-format.ts';

/** Segments that are handed to a backend at once: few large writes in place of many. */
const segmentsAtOnce = 16;

/** Where an object is, and by what it is encrypted. */
export interface SealedPlace {
  readonly master: MasterKey;
  /** The clear key of the object. */
  readonly key: string;
}

/**
 * Makes a source that yields the encrypted bytes of another. Each time it is opened it draws a new salt, and with it
 * a new key: a second try may meet other bytes, which must never be encrypted under the nonces of the first.
 *
 * Memory: 2 MiB while it is read.
 */
export function sealedSource(
  { master, key }: SealedPlace,
  source: RemoteSource,
  random: Random,
): RemoteSource {
  return {
    size: sealedSize(source.size),
    open() {
      const head = formatHead(source.size, Buffer.from(random.hex(saltBytes), 'hex'));
      // Whoever reads it watches the signal.
      const blocks = readSource(key, source, undefined);
      return sealBlocks(new SegmentCipher(master, key, head), head, blocks);
    },
  };
}

async function* sealBlocks(
  cipher: SegmentCipher,
  head: ObjectHead,
  blocks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  yield head.bytes;
  const clear = Buffer.allocUnsafeSlow(Math.min(segmentBytes, head.size));
  const out = Buffer.allocUnsafeSlow(
    Math.min(segmentsAtOnce * sealedSegmentBytes, sealedSize(head.size)),
  );
  const last = segmentsOf(head.size) - 1;
  let [number, filled, ready] = [0, 0, 0];
  const seal = (segment: Uint8Array) => {
    cipher.seal(number, segment, out.subarray(ready));
    ready += segment.length + tagBytes;
    number++;
  };
  const lengthOf = () => (number < last ? segmentBytes : head.size - last * segmentBytes);
  for await (const block of blocks) {
    for (let at = 0; at < block.length; ) {
      const length = lengthOf();
      const piece = block.subarray(at, at + length - filled);
      at += piece.length;
      if (piece.length === length) {
        seal(piece);
      } else {
        clear.set(piece, filled);
        filled += piece.length;
        if (filled < length) continue;
        seal(clear.subarray(0, filled));
        filled = 0;
      }
      if (number <= last && out.length - ready >= sealedSegmentBytes) continue;
      yield out.subarray(0, ready);
      ready = 0;
    }
  }
  if (head.size === 0) seal(clear);
  if (ready > 0) yield out.subarray(0, ready);
}

/**
 * Decrypts the segments that blocks hold, one behind the other from segment `from` to before segment `to`, and yields each
 * once its tag was checked. Memory: one segment beside the blocks.
 * @param damaged makes the error of what is not as it was made: changed, cut off, in another order, or too long
 */
export async function* openSegments(
  cipher: SegmentCipher,
  { size }: ObjectHead,
  blocks: AsyncIterable<Uint8Array>,
  { from, to }: { readonly from: number; readonly to: number },
  damaged: (what: string) => Error,
): AsyncGenerator<Buffer, void, void> {
  const last = segmentsOf(size) - 1;
  const carried = Buffer.allocUnsafeSlow(Math.min(sealedSegmentBytes, sealedSize(size)));
  let [number, filled] = [from, 0];
  for await (const block of blocks) {
    for (let at = 0; at < block.length; ) {
      if (number === to) throw damaged('it is longer than it says');
      const length = number < last ? sealedSegmentBytes : size - last * segmentBytes + tagBytes;
      const piece = block.subarray(at, at + length - filled);
      at += piece.length;
      let sealed = piece;
      if (piece.length < length) {
        carried.set(piece, filled);
        filled += piece.length;
        if (filled < length) continue;
        sealed = carried.subarray(0, length);
        filled = 0;
      }
      const segment = cipher.open(number, sealed);
      if (segment === undefined) throw damaged(`segment ${number} is not what was encrypted`);
      number++;
      yield segment;
    }
  }
  if (number < to) throw damaged('it ends before it should');
}
