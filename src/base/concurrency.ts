import pLimit from 'p-limit';

/**
 * Runs `work` for every item, at most `atOnce` at a time. After the first failure nothing new is begun;
 * what runs is waited for, so that nothing goes on behind the caller's back, then the failure is thrown.
 * @returns the results in the order of the items
 */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const limit = pLimit(atOnce);
  let failed = false;
  const settled = await Promise.allSettled(
    items.map((item) =>
      limit(async () => {
        if (failed) throw notBegun;
        try {
          return await work(item);
        } catch (error) {
          failed = true;
          throw error;
        }
      }),
    ),
  );
  const failure = settled.find((one) => one.status === 'rejected' && one.reason !== notBegun);
  if (failure?.status === 'rejected') throw failure.reason;
  return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

const notBegun = new Error('not begun');

/** Bounds of {@link mapInOrder}. */
export interface AheadLimits<T> {
  /** Items worked on at once. */
  readonly atOnce: number;
  /** What the result of an item takes, in bytes. */
  readonly bytesOf: (item: T) => number;
  /** Bytes of all items that are begun and not yet used up; one item may have more by itself. */
  readonly bytesMax: number;
}

/** Results that may wait for their turn, beside the bound of bytes. */
const waitingMax = 1024;

/**
 * Runs `work` for every item, several at once, and hands the results out in the order of the items. A
 * result counts against the bounds until the next one is asked for. A failure is thrown in its turn, and
 * nothing new is begun after it; ended in any way, it waits for what still runs.
 */
export async function* mapInOrder<T, R>(
  items: readonly T[],
  { atOnce, bytesOf, bytesMax }: AheadLimits<T>,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, void> {
  const limit = pLimit(atOnce);
  const ahead: Array<{ readonly bytes: number; readonly result: Promise<R> }> = [];
  let bytes = 0;
  let next = 0;
  let ended = false;
  const begin = (item: T): void => {
    const result = limit(async () => {
      if (ended) throw notBegun;
      try {
        return await work(item);
      } catch (error) {
        ended = true;
        throw error;
      }
    });
    // It is awaited in its turn; until then nobody listens.
    result.catch(() => {});
    ahead.push({ bytes: bytesOf(item), result });
    bytes += bytesOf(item);
  };
  const fits = (item: T): boolean =>
    ahead.length === 0 || (ahead.length < waitingMax && bytes + bytesOf(item) <= bytesMax);
  try {
    while (next < items.length || ahead.length > 0) {
      while (!ended && next < items.length && fits(items[next] as T)) begin(items[next++] as T);
      const first = ahead[0] as (typeof ahead)[number];
      yield await first.result;
      ahead.shift();
      bytes -= first.bytes;
    }
  } finally {
    ended = true;
    await Promise.allSettled(ahead.map(({ result }) => result));
  }
}
