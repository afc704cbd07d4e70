import * as fs from 'node:fs';
import { getRawAsset, isSea } from 'node:sea';
import { fileURLToPath } from 'node:url';

/**
 * Returns the bytes of a file that belongs to the program. In the single executable they lie in the
 * executable itself, in memory that nobody may write to: whoever changes them ends the process.
 * @param name path from the top of the package, such as `package.json`
 */
export function programFile(name: string): Uint8Array {
  if (isSea()) return new Uint8Array(getRawAsset(name) as ArrayBuffer);
  return fs.readFileSync(new URL(`../../${name}`, import.meta.url));
}

/** What a thread is started from. */
export interface ProgramThread {
  /** Place of a module, or a script. */
  readonly entry: URL | string;
  readonly isScript: boolean;
}

/**
 * Returns what a thread of the program is started from. Threads run what is built, from the sources too.
 * @param name path of its module below `dist`, without `.js`
 */
export function programThread(name: string): ProgramThread {
  if (isSea())
    return { entry: Buffer.from(programFile(`dist/${name}.cjs`)).toString(), isScript: true };
  return { entry: new URL(`../../dist/${name}.js`, import.meta.url), isScript: false };
}

/** The file that starts the program: an executable by itself, or a script of Node. */
export function programEntry(): { readonly file: string; readonly isScript: boolean } {
  if (isSea()) return { file: process.execPath, isScript: false };
  return { file: fileURLToPath(new URL('../../bin/mstore.js', import.meta.url)), isScript: true };
}
