import { MstoreError } from '../../src/base/errors.ts';
import type { RemotePruner, RemoteSource } from '../../src/remote/remote.ts';

/**
 * How a call fails. All but the last two throw `remote-unreachable`:
 * `before` changes nothing; `midway` comes after half of the bytes or of the list (create: nothing
 * appears); `afterWrite` loses the reply of what was done; `truncate` ends a read silently after half
 * of the bytes; `flip` turns one bit in the middle of what is read.
 */
export interface FaultKinds {
  get: 'before' | 'midway' | 'truncate' | 'flip';
  stat: 'before';
  list: 'before' | 'midway';
  create: 'before' | 'midway' | 'afterWrite';
  delete: 'before' | 'afterWrite';
}

type Method = keyof FaultKinds;
type How = FaultKinds[Method];

const kindsOf: { readonly [M in Method]: readonly FaultKinds[M][] } = {
  get: ['before', 'midway', 'truncate', 'flip'],
  stat: ['before'],
  list: ['before', 'midway'],
  create: ['before', 'midway', 'afterWrite'],
  delete: ['before', 'afterWrite'],
};

/** A remote that fails where it is told to; see {@link faulty}. */
export interface FaultyRemote extends RemotePruner {
  /** Lets one call of a method fail: the `call`-th from now on, the first being 1 (the default). */
  fail<M extends Method>(method: M, options: { call?: number; how: FaultKinds[M] }): void;
  /**
   * Lets the `call`-th call of any method fail, counted from the making of the remote. Where the method
   * does not know `how`, it fails `before`.
   */
  failAt(call: number, how?: How): void;
  /** Takes back all faults that have not happened. */
  heal(): void;
  /** Calls of all methods so far. */
  readonly calls: number;
  /** Faults that have happened. */
  readonly faults: number;
}

/** Puts faults in front of a remote; without any it is transparent. */
export function faulty(remote: RemotePruner): FaultyRemote {
  const planned: { method: Method; left: number; how: How }[] = [];
  const plannedAt = new Map<number, How>();
  let calls = 0;
  let faults = 0;

  const next = <M extends Method>(method: M): FaultKinds[M] | undefined => {
    calls++;
    let how = plannedAt.get(calls);
    for (const plan of planned) {
      if (plan.method === method && --plan.left === 0) how = plan.how;
    }
    if (how === undefined) return undefined;
    faults++;
    const kinds: readonly FaultKinds[M][] = kindsOf[method];
    return kinds.find((kind) => kind === how) ?? kinds[0];
  };

  return {
    location: remote.location,
    probe: remote.probe,
    uploads: remote.uploads,
    get calls() {
      return calls;
    },
    get faults() {
      return faults;
    },
    fail(method, { call = 1, how }) {
      planned.push({ method, left: call, how });
    },
    failAt(call, how = 'before') {
      plannedAt.set(call, how);
    },
    heal() {
      planned.length = 0;
      plannedAt.clear();
    },
    get(key, range, options) {
      const how = next('get');
      const blocks = () => remote.get(key, range, options);
      return how === undefined ? blocks() : brokenRead(blocks, `get ${key}`, how);
    },
    async stat(key, options) {
      if (next('stat') !== undefined) throw fault(`stat ${key}`);
      return remote.stat(key, options);
    },
    list(prefix, options) {
      const how = next('list');
      const objects = () => remote.list(prefix, options);
      return how === undefined ? objects() : brokenList(objects, `list ${prefix}`, how);
    },
    async create(key, source, options) {
      const how = next('create');
      const what = `create ${key}`;
      if (how === undefined) return remote.create(key, source, options);
      if (how === 'midway') await remote.create(key, cutSource(source, what), options);
      if (how === 'afterWrite') await remote.create(key, source, options);
      throw fault(what);
    },
    async delete(key, options) {
      const how = next('delete');
      if (how === undefined) return remote.delete(key, options);
      if (how === 'afterWrite') await remote.delete(key, options);
      throw fault(`delete ${key}`);
    },
  };
}

function fault(what: string): MstoreError {
  return new MstoreError('remote-unreachable', `Injected fault in ${what}`, {
    hint: 'This failure is part of a test',
  });
}

async function collect<T>(items: AsyncIterable<T>, copy: (item: T) => T): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(copy(item));
  return all;
}

async function* brokenRead(
  blocks: () => AsyncIterable<Uint8Array>,
  what: string,
  how: FaultKinds['get'],
): AsyncGenerator<Uint8Array, void, void> {
  if (how === 'before') throw fault(what);
  const bytes = Buffer.concat(await collect(blocks(), (block) => Buffer.from(block)));
  const middle = Math.floor(bytes.length / 2);
  if (how === 'flip') bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  if (middle > 0) yield bytes.subarray(0, middle);
  if (how === 'midway') throw fault(what);
  if (how === 'flip' && middle < bytes.length) yield bytes.subarray(middle);
}

async function* brokenList<T>(
  objects: () => AsyncIterable<T>,
  what: string,
  how: FaultKinds['list'],
): AsyncGenerator<T, void, void> {
  if (how === 'midway') {
    const all = await collect(objects(), (object) => object);
    yield* all.slice(0, Math.floor(all.length / 2));
  }
  throw fault(what);
}

function cutSource(source: RemoteSource, what: string): RemoteSource {
  return {
    size: source.size,
    open: async function* () {
      let left = Math.floor(source.size / 2);
      for await (const block of source.open()) {
        if (left > 0) yield block.subarray(0, left);
        left -= block.length;
        if (left <= 0) break;
      }
      throw fault(what);
    },
  };
}
