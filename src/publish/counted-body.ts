import type { StreamedBody } from '../remote/http-exchange.ts';

/**
 * Makes a body that tells of its bytes once, however often they are sent.
 * @param blocks yields all bytes, from the first one on each time
 * @param sent is called with the bytes that were sent for the first time since the last call
 */
export function countedBody(
  length: number,
  blocks: () => Iterable<Uint8Array>,
  sent: (bytes: number) => void,
): StreamedBody {
  let told = 0;
  return {
    length,
    async *blocks() {
      let at = 0;
      for (const block of blocks()) {
        yield block;
        at += block.length;
        if (at > told) sent(at - told);
        told = Math.max(told, at);
      }
    },
  };
}
