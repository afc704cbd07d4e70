import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import type { RemoteReader, RemoteReadOptions, RemoteSource } from '../../src/remote/remote.ts';

/** Makes bytes that look random and are the same each time. */
export function testBytes(size: number, seed = 'seed'): Buffer {
  const blocks: Buffer[] = [];
  for (let made = 0, n = 0; made < size; made += 32 * 1024, n++) {
    // One hash fills 32 KiB: cheap, and no two blocks are equal.
    blocks.push(Buffer.alloc(32 * 1024, createHash('sha512').update(`${seed} ${n}`).digest()));
  }
  return Buffer.concat(blocks).subarray(0, size);
}

/** Makes a source that yields `blocks` and says that it has `size` bytes, true or not. */
export function blocksSource(
  blocks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  size: number,
): RemoteSource {
  return {
    size,
    open: async function* () {
      yield* blocks;
    },
  };
}

/** Reads an object, or a range of it, whole. Copies, because blocks may be reused. */
export async function readObject(
  remote: RemoteReader,
  key: string,
  range?: { start: number; end: number },
  options?: RemoteReadOptions,
): Promise<Buffer> {
  const blocks: Buffer[] = [];
  for await (const block of remote.get(key, range, options)) blocks.push(Buffer.from(block));
  return Buffer.concat(blocks);
}

/** Lists keys. */
export async function listKeys(remote: RemoteReader, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const object of remote.list(prefix)) keys.push(object.key);
  return keys;
}

/** Names the open files of this process below a folder; none where the system does not tell. */
export function openFilesBelow(folder: string): string[] {
  if (!fs.existsSync('/proc/self/fd')) return [];
  const targets = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target.startsWith(`${folder}/`));
}
