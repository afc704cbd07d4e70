import * as fs from 'node:fs';
import * as path from 'node:path';

const folder = path.resolve(import.meta.dirname, '../long');
const minutesDefault = 60;

/** The time that one file of `test/long` has. */
export interface LongTime {
  readonly minutes: number;
  /** Tells whether some of it is left: asked before each step, so that the last one may end later. */
  goOn(): boolean;
}

/**
 * Starts the time of a file of `test/long`: its share of `MSTORE_TEST_MINUTES`, which all files have in
 * equal parts, one after the other.
 */
export function longTime(): LongTime {
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('.test.ts'));
  const all = Number(process.env['MSTORE_TEST_MINUTES'] ?? minutesDefault);
  if (!(all > 0)) throw new Error('MSTORE_TEST_MINUTES is a number above 0');
  const minutes = all / files.length;
  const start = performance.now();
  return { minutes, goOn: () => performance.now() - start < minutes * 60_000 };
}
