import { throwIfAborted } from '../base/abort.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { checkKey, checkPrefix, checkRange, noObject } from './keys.ts';
import type { RemotePruner } from './remote.ts';
import { readSource } from './source.ts';

const blockBytes = 1024 * 1024;

/**
 * Makes a remote that lives in memory: the reference for all others, and the remote of most tests.
 * @param clock the clock of the place
 */
export function memoryRemote(location = 'memory', clock: Clock = systemClock): RemotePruner {
  const objects = new Map<string, Buffer>();
  const times = new Map<string, number>();
  return {
    location,

    async *get(key, range, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      const bytes = objects.get(key);
      if (bytes === undefined) throw noObject(key, location);
      const { start, end } = checkRange(key, range, bytes.length, location);
      for (let at = start; at < end; at += blockBytes) {
        throwIfAborted(options?.signal);
        // A copy, because a reader may write into what it was given.
        yield Buffer.from(bytes.subarray(at, Math.min(at + blockBytes, end)));
      }
    },

    async stat(key, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      return objects.get(key)?.length;
    },

    async *list(prefix, options) {
      checkPrefix(prefix);
      throwIfAborted(options?.signal);
      // Keys are ASCII, so the order of strings is the order of their bytes.
      for (const key of [...objects.keys()].sort()) {
        const size = objects.get(key)?.length;
        if (size === undefined || !key.startsWith(prefix)) continue;
        throwIfAborted(options?.signal);
        yield { key, size, time: times.get(key) };
      }
    },

    async create(key, source, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      if (objects.has(key)) return 'exists';
      const blocks: Buffer[] = [];
      for await (const block of readSource(key, source, options?.signal)) {
        blocks.push(Buffer.from(block));
      }
      throwIfAborted(options?.signal);
      if (objects.has(key)) return 'exists';
      objects.set(key, Buffer.concat(blocks));
      times.set(key, clock.now());
      return 'created';
    },

    async delete(key, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      objects.delete(key);
    },
  };
}
