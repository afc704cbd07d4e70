import type { RemotePruner } from '../remote.ts';

/** How often a method was called and how many bytes of objects went through it. */
export interface MethodCount {
  readonly calls: number;
  readonly bytes: number;
}

/** The counts of all methods of a remote. */
export type RemoteCounts = Readonly<
  Record<'get' | 'stat' | 'list' | 'create' | 'delete', MethodCount>
>;

/** A remote that counts; see {@link counting}. */
export interface CountingRemote extends RemotePruner {
  /** Returns the counts so far, as a copy that stays as it is. */
  counts(): RemoteCounts;
}

/**
 * Counts the calls of each method, failed ones too, and the bytes that were moved: those that `get`
 * yielded and those that `create` took from its source, so that an object which is there already and is
 * not sent counts no bytes.
 */
export function counting(remote: RemotePruner): CountingRemote {
  const none = () => ({ calls: 0, bytes: 0 });
  const tally = { get: none(), stat: none(), list: none(), create: none(), delete: none() };
  return {
    location: remote.location,
    probe: remote.probe,
    uploads: remote.uploads,
    settle: (options) => remote.settle?.(options) ?? Promise.resolve(),
    counts: () => structuredClone(tally),
    get(key, range, options) {
      tally.get.calls++;
      return counted(remote.get(key, range, options), tally.get);
    },
    stat(key, options) {
      tally.stat.calls++;
      return remote.stat(key, options);
    },
    list(prefix, options) {
      tally.list.calls++;
      return remote.list(prefix, options);
    },
    create(key, source, options) {
      tally.create.calls++;
      const open = () => counted(source.open(), tally.create);
      return remote.create(key, { size: source.size, open }, options);
    },
    delete(key, options) {
      tally.delete.calls++;
      return remote.delete(key, options);
    },
  };
}

async function* counted(
  blocks: AsyncIterable<Uint8Array>,
  count: { bytes: number },
): AsyncGenerator<Uint8Array, void, void> {
  for await (const block of blocks) {
    count.bytes += block.length;
    yield block;
  }
}
