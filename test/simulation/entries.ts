import { isMstoreError } from '../../src/base/errors.ts';
import { isLogKey, parseRegistryKey } from '../../src/registry/keys.ts';
import type { Server } from './server.ts';

/** How often the entry of a command must be on the remote, and at which number. */
interface Expected {
  readonly least: number;
  readonly most: number;
  readonly number?: number;
}

/** What commands that append to histories were told, to be held against the histories of the remote. */
export class Entries {
  readonly #expected = new Map<string, Expected>();

  /**
   * An entry was acknowledged: on the remote, where it must be, or on the host alone, where it may be pushed
   * later; or there was nothing to do.
   */
  appended(command: string, where: 'there' | 'here' | 'nothing', number?: number): void {
    if (where === 'nothing') this.#expected.set(command, { least: 0, most: 0 });
    else if (where === 'here') this.#expected.set(command, { least: 0, most: 1 });
    else {
      const at = number === undefined ? {} : { number };
      this.#expected.set(command, { least: 1, most: 1, ...at });
    }
  }

  /** A command failed: what was refused must not be there, what was unclear may be. */
  failed(command: string, error: unknown): void {
    const isUnclear = isMstoreError(error, 'remote-unreachable');
    this.#expected.set(command, { least: 0, most: isUnclear ? 1 : 0 });
  }

  /** A command was killed. */
  killed(command: string): void {
    this.#expected.set(command, { least: 0, most: 1 });
  }

  /** Compares all entries of the remote with what was told of them; returns what is wrong. */
  wrong({ objects }: Server): string[] {
    const found = new Map<string, number[]>();
    for (const [key, { bytes }] of objects) {
      const named = parseRegistryKey(key);
      if (named === undefined || !isLogKey(named)) continue;
      const { reason = '' } = entryOf(bytes);
      found.set(reason, [...(found.get(reason) ?? []), named.number]);
    }
    return [...this.#expected].flatMap(([command, { least, most, number }]) => {
      const numbers = found.get(command) ?? [];
      const right =
        numbers.length >= least &&
        numbers.length <= most &&
        (number === undefined || numbers[0] === number);
      const there = numbers.join(', ') || 'none';
      const must = `it must have ${least} to ${most}, ${number ?? 'any number'}`;
      return right ? [] : [`${command} has the entries ${there}; ${must}`];
    });
  }
}

/** Reads an entry of a history. */
export function entryOf(bytes: Buffer): { reason?: string; state?: string; version?: string } {
  return JSON.parse(bytes.toString()).entry;
}
