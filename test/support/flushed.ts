import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { vi } from 'vitest';

/**
 * Runs `work` and returns the files and folders that were flushed meanwhile, in order, relative to a
 * folder; the folder itself is `.`, and what lies elsewhere is left out.
 */
export async function flushedBelow(folder: string, work: () => unknown): Promise<string[]> {
  const paths = new Map<number, string>();
  const flushed: string[] = [];
  const { openSync, fsyncSync } = fs;
  const open = vi.spyOn(fs, 'openSync').mockImplementation((file, ...rest) => {
    const fd = openSync(file, ...rest);
    paths.set(fd, path.resolve(String(file)));
    return fd;
  });
  const fsync = vi.spyOn(fs, 'fsyncSync').mockImplementation((fd) => {
    const relative = path.relative(folder, paths.get(fd) ?? '/');
    if (!relative.startsWith('..')) flushed.push(relative === '' ? '.' : relative);
    fsyncSync(fd);
  });
  // Modules that import single functions see the change of a built-in module only after this.
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    open.mockRestore();
    fsync.mockRestore();
    syncBuiltinESMExports();
  }
  return flushed;
}

/** Makes a folder look as if nothing in it had been named for a day. */
export function ageFolder(folder: string): void {
  const then = Date.now() / 1000 - 24 * 60 * 60;
  fs.utimesSync(folder, then, then);
}
