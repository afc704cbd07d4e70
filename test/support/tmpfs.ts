import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { TestRunner } from 'vitest';

/**
 * Skips the running test when `condition` does not hold: on the machine of a contributor, never where
 * CI is set, so that nothing is lost there unseen.
 */
export function requireOrSkip(condition: boolean, why: string): void {
  if (condition) return;
  if ((process.env.CI ?? '') !== '') throw new Error(`May not be skipped in CI: ${why}`);
  TestRunner.getCurrentTest()?.context.skip(why);
}

/** A small file system of its own, mounted for one test. */
export interface Tmpfs {
  readonly folder: string;
  /** Makes it read-only or writable again, for all users. */
  remount(mode: 'ro' | 'rw'): void;
}

/** Runs `test` on a fresh file system of `sizeBytes`; skips the test where none can be mounted. */
export async function withTmpfs(
  sizeBytes: number,
  test: (tmpfs: Tmpfs) => Promise<void> | void,
): Promise<void> {
  const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-tmpfs-'));
  const mounted = run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', folder]);
  try {
    requireOrSkip(mounted, 'No file system can be mounted here');
    await test({
      folder,
      remount(mode) {
        if (!run('mount', ['-o', `remount,${mode}`, folder])) throw new Error('Cannot remount');
      },
    });
  } finally {
    if (mounted && !run('umount', [folder])) run('umount', ['-l', folder]);
    fs.rmdirSync(folder);
  }
}

function run(program: string, args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
