import { randomBytes } from 'node:crypto';

/** The only source of wall-clock time. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. */
  now(): number;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
}

/** The only source of chance. */
export interface Random {
  /** Returns `bytes` random bytes as lowercase hexadecimal digits. */
  hex(bytes: number): string;
  /** Returns a number in [0, 1). */
  fraction(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

export const systemRandom: Random = {
  hex: (bytes) => randomBytes(bytes).toString('hex'),
  fraction: () => randomBytes(4).readUInt32LE() / 2 ** 32,
};
