import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError } from '../base/errors.ts';
import { writeAtomically } from '../base/files.ts';
import { withLock } from '../base/lock.ts';
import { formatTokens, readTokens, type TokenRecord } from './tokens.ts';

/**
 * Changes a file of tokens, which is made where there is none: whole or not at all, by one program at a time, readable
 * by its owner alone.
 * @param change returns the tokens that the file is to have
 */
export async function changeTokens(
  file: string,
  change: (tokens: TokenRecord[]) => TokenRecord[],
): Promise<void> {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
  } catch (error) {
    throw fromSystemError(error, `making the folder of ${file}`);
  }
  await withLock(`${file}.lock`, () => {
    const tokens = change(readTokens(file));
    writeAtomically(file, formatTokens(tokens), { mode: 0o600 });
  });
}
