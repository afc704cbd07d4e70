import { createCipheriv, createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { onTestFinished } from 'vitest';

/** Space that a file system must have free to be used for tests. */
const freeBytesMin = 1024 ** 3;

/**
 * Makes an empty folder that is removed when the test has finished: on a file system in memory where
 * there is one with enough space, because the flows flush everything they write and tests are many.
 */
export function scratchFolder(): string {
  const folder = fs.mkdtempSync(path.join(fastTop(), 'mstore-test-'));
  if (made.size === 0) onTestFinished(clearScratch);
  made.add(folder);
  return folder;
}

const made = new Set<string>();

/** Removes all scratch folders at once: for a test that goes through many cases. */
export function clearScratch(): void {
  for (const folder of made) fs.rmSync(folder, { recursive: true, force: true });
  made.clear();
}

let top: string | undefined;

/** The folder in which files of tests are made: in memory where there is space. */
export function fastTop(): string {
  top ??= hasSpace('/dev/shm') ? '/dev/shm' : fs.realpathSync(os.tmpdir());
  return top;
}

function hasSpace(folder: string): boolean {
  try {
    fs.accessSync(folder, fs.constants.W_OK);
    const { bavail, bsize } = fs.statfsSync(folder);
    return bavail * bsize >= freeBytesMin;
  } catch {
    return false;
  }
}

/** Makes bytes without any pattern, the same for the same seed: content that is cut like real weights. */
export function noise(size: number, seed: string | number = 'seed'): Buffer {
  const key = createHash('sha256').update(String(seed)).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}
