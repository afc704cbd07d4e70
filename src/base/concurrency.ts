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
