import { readCacheDocument, writeCacheFile } from '../base/cache-file.ts';

/** A file that is longer is none of ours. */
const bytesMax = 256 * 1024 * 1024;
const format = 1;

/**
 * What monitors have counted, on the disk: a server that is started anew goes on with it. It can be had again by waiting, so that a file
 * that cannot be read or written counts for nothing.
 */
export class MonitorState {
  readonly #file: string;
  /** What was read and not yet taken over. */
  readonly #left: Map<string, unknown>;

  constructor(file: string) {
    this.#file = file;
    this.#left = read(file);
  }

  /** What was kept of an environment; once. */
  take(key: string): unknown {
    const value = this.#left.get(key);
    this.#left.delete(key);
    return value;
  }

  /** Keeps the states of environments, and what of the others was not taken over yet. */
  save(states: ReadonlyArray<readonly [key: string, state: object]>): void {
    const all = [...this.#left, ...states];
    if (all.length > 0) writeCacheFile(this.#file, JSON.stringify({ format, states: all }));
  }
}

function read(file: string): Map<string, unknown> {
  const states: unknown = readCacheDocument(file, format, bytesMax)?.['states'];
  if (!Array.isArray(states)) return new Map();
  return new Map(
    (states as unknown[]).filter(
      (pair): pair is [string, unknown] => Array.isArray(pair) && typeof pair[0] === 'string',
    ),
  );
}
