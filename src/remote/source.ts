import { throwIfAborted } from '../base/abort.ts';
import { MstoreError } from '../base/errors.ts';
import type { PartMemory } from './part-memory.ts';
import type { RemoteSource } from './remote.ts';

/**
 * Reads a source once, for a backend that stores it under `key`. Ends at once when the signal is
 * aborted, even while the source keeps silent; ended early, it ends the source.
 * @throws MstoreError `file-changed` when the source yields more or fewer bytes than its size
 */
export async function* readSource(
  key: string,
  source: RemoteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  throwIfAborted(signal);
  const abort = watchAbort(signal);
  const iterator = source.open()[Symbol.asyncIterator]();
  let state: 'between' | 'waiting' | 'ended' = 'between';
  let received = 0;
  try {
    for (;;) {
      state = 'waiting';
      const next = iterator.next().catch((error: unknown) => {
        state = 'ended';
        throw error;
      });
      const step = await Promise.race([next, abort.happened]);
      if (step.done === true) {
        state = 'ended';
        break;
      }
      state = 'between';
      received += step.value.length;
      if (received > source.size) throw wrongSize(key, source.size, received);
      yield step.value;
      throwIfAborted(signal);
    }
    if (received !== source.size) throw wrongSize(key, source.size, received);
  } finally {
    abort.stop();
    const ended = state === 'ended' ? undefined : iterator.return?.();
    // A source that is still busy with its next block may never answer: it is told, not waited for.
    if (state === 'waiting') ended?.catch(() => {});
    else await ended;
  }
}

/**
 * Gathers a source in one buffer of the memory for bodies and sends it. A buffer whose bytes were not taken
 * is not filled anew: a request that broke off may still be reading it.
 */
export async function sendWhole(
  memory: PartMemory,
  key: string,
  source: RemoteSource,
  signal: AbortSignal | undefined,
  send: (bytes: Buffer) => Promise<'created' | 'exists'>,
): Promise<'created' | 'exists'> {
  const bytes = await memory.take(source.size, signal);
  let arrived = false;
  try {
    let filled = 0;
    for await (const block of readSource(key, source, signal)) {
      bytes.set(block, filled);
      filled += block.length;
    }
    const outcome = await send(bytes);
    arrived = outcome === 'created';
    return outcome;
  } finally {
    memory.give(bytes, arrived);
  }
}

function watchAbort(signal: AbortSignal | undefined): {
  readonly happened: Promise<never>;
  stop(): void;
} {
  const { promise, reject } = deferred();
  const onAbort = () => {
    try {
      throwIfAborted(signal);
    } catch (error) {
      reject(error);
    }
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  return { happened: promise, stop: () => signal?.removeEventListener('abort', onAbort) };
}

function deferred(): { promise: Promise<never>; reject: (error: unknown) => void } {
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<never>((_, rejectPromise) => {
    reject = rejectPromise;
  });
  // Nobody may be waiting when it is rejected; that is no unhandled failure.
  promise.catch(() => {});
  return { promise, reject };
}

function wrongSize(key: string, expected: number, received: number): MstoreError {
  const amount = received > expected ? `at least ${received}` : `${received}`;
  return new MstoreError(
    'file-changed',
    `Cannot send ${key}: its source gave ${amount} bytes instead of ${expected}; it changed or was cut off`,
    {
      hint: 'Run the same command again; nothing of it was stored on the remote',
      details: { key, expected, received },
    },
  );
}

/** How {@link cut} cuts. */
interface CutOptions {
  /** Bytes of the source. */
  readonly total: number;
  readonly size: number;
  readonly memory: PartMemory;
  readonly signal: AbortSignal;
}

/** Cuts blocks into buffers of `size` bytes, the last of which may be shorter; the caller gives them back. */
export async function* cut(
  blocks: AsyncIterable<Uint8Array>,
  { total, size, memory, signal }: CutOptions,
): AsyncGenerator<Buffer, void, void> {
  let left = total;
  let part: Buffer | undefined;
  let filled = 0;
  try {
    for await (const block of blocks) {
      for (let at = 0; at < block.length; ) {
        part ??= await memory.take(Math.min(size, left), signal);
        const piece = block.subarray(at, at + part.length - filled);
        part.set(piece, filled);
        filled += piece.length;
        at += piece.length;
        // The last part waits for the end of the source, which may turn out to be longer or cut off.
        if (filled < part.length || filled === left) continue;
        left -= filled;
        const full = part;
        [part, filled] = [undefined, 0];
        yield full;
      }
    }
    const last = part;
    part = undefined;
    if (last !== undefined) yield last;
  } finally {
    if (part !== undefined) memory.give(part, true);
  }
}
