import type { RemotePruner } from '../../src/remote/remote.ts';

/** A remote that lets something happen in the middle of what others do with it. */
export interface HookedRemote extends RemotePruner {
  /** Lets `work` happen once, before the `call`-th call from now on, the first being 1. */
  before(call: number, work: () => Promise<void>): void;
  /** Calls so far. */
  readonly calls: number;
  /** Whether `work` has happened. */
  readonly happened: boolean;
}

/** Puts hooks in front of a remote. */
export function hooked(remote: RemotePruner): HookedRemote {
  let calls = 0;
  let at = 0;
  let planned: (() => Promise<void>) | undefined;
  let happened = false;
  const next = async (): Promise<void> => {
    calls++;
    if (calls !== at || planned === undefined) return;
    const work = planned;
    planned = undefined;
    happened = true;
    await work();
  };
  return {
    location: remote.location,
    get calls() {
      return calls;
    },
    get happened() {
      return happened;
    },
    before(call, work) {
      at = calls + call;
      planned = work;
      happened = false;
    },
    async *get(...args) {
      await next();
      yield* remote.get(...args);
    },
    async stat(...args) {
      await next();
      return remote.stat(...args);
    },
    async *list(...args) {
      await next();
      yield* remote.list(...args);
    },
    async create(...args) {
      await next();
      return remote.create(...args);
    },
    async delete(...args) {
      await next();
      return remote.delete(...args);
    },
  };
}
