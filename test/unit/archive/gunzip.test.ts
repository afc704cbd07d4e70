import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gunzipped } from '../../../src/archive/gunzip.ts';
import { limits } from '../../../src/base/limits.ts';

/** Unpacks bytes that come in blocks of a size; returns how many came of them. */
async function unpacked(bytes: Buffer, blockBytes = 65_536): Promise<number> {
  const source = (async function* () {
    for (let at = 0; at < bytes.length; at += blockBytes) yield bytes.subarray(at, at + blockBytes);
  })();
  let size = 0;
  for await (const part of gunzipped(source, 'x')) size += part.length;
  return size;
}

describe('unpacking gzip', () => {
  it('goes no further than what is packed can be: a small file is no large one', async () => {
    const { packageSpareBytes, packageRatioMax } = limits;
    const spare = gzipSync(Buffer.alloc(packageSpareBytes), { level: 1 });
    expect(await unpacked(spare)).toBe(packageSpareBytes);
    const bomb = gzipSync(Buffer.alloc(packageSpareBytes * 1.5));
    expect(bomb.length * packageRatioMax).toBeLessThan(packageSpareBytes / 2);
    await expect(unpacked(bomb)).rejects.toMatchObject({
      code: 'corrupt-package',
      message: expect.stringMatching(/packed to less than 1\/100/),
    });
  });

  it('takes several members as one, as gzip does, and nothing behind them', async () => {
    const two = Buffer.concat([gzipSync('one'), gzipSync('two')]);
    for (const blockBytes of [1, 7, 65_536]) {
      expect(await unpacked(two, blockBytes)).toBe(6);
      for (const more of ['x', '\0', '\x1f', '\x1f\x8b']) {
        const longer = Buffer.concat([two, Buffer.from(more, 'latin1')]);
        await expect(unpacked(longer, blockBytes), `${blockBytes} ${more}`).rejects.toMatchObject({
          code: 'corrupt-package',
        });
      }
      for (let cut = 1; cut < two.length; cut++) {
        const shorter = two.subarray(0, cut);
        const isWhole = cut === gzipSync('one').length;
        if (isWhole) expect(await unpacked(shorter, blockBytes)).toBe(3);
        else {
          await expect(unpacked(shorter, blockBytes), `cut at ${cut}`).rejects.toMatchObject({
            code: 'corrupt-package',
          });
        }
      }
    }
  });
});
