import type { Random } from '../base/clock.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import type { RemoteSource } from './remote.ts';

/** The name under which each object carries the number of the write that made it. */
export const writeName = 'mstore-write';

/** Numbers of writes whose end is not known, by source and key: a later try settles them. */
export type UnclearWrites = WeakMap<RemoteSource, Map<string, string>>;

/** The number of one write of one object, which all its requests share. */
export interface WriteNumber {
  /** Drawn for this write. The object that carries it was made by this write. */
  readonly number: string;
  /** Whether an earlier try under this number may have been done. */
  readonly repeated: boolean;
}

/**
 * Does a write under a number: that of the try before with the same source and key, when its end was not
 * clear, or a new one.
 */
export async function underNumber<T>(
  unclear: UnclearWrites,
  source: RemoteSource,
  key: string,
  random: Random,
  write: (number: WriteNumber) => Promise<T>,
): Promise<T> {
  const earlier = unclear.get(source)?.get(key);
  const number = earlier ?? random.hex(16);
  try {
    const outcome = await write({ number, repeated: earlier !== undefined });
    unclear.get(source)?.delete(key);
    return outcome;
  } catch (error) {
    if (isMstoreError(error, 'remote-unreachable', 'interrupted')) {
      const numbers = unclear.get(source) ?? new Map<string, string>();
      unclear.set(source, numbers.set(key, number));
    }
    throw error;
  }
}

/** Tells whether a failed request may have been done all the same; one that was turned away was not. */
export function mayBeDone({ details }: MstoreError): boolean {
  return details['reason'] !== 'throttled' && details['reason'] !== 'no-endpoint';
}
