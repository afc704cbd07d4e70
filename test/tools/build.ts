import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');

/**
 * Builds `dist/` before the tests that start the real command line, unless it is newer than all it is
 * made from.
 */
export function setup(): void {
  const main = path.join(root, 'dist/mstore.js');
  const built = fs.statSync(main, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = ['src', 'tsconfig.json', 'package.json'];
  if (sources.every((name) => newest(path.join(root, name)) < built)) return;
  execFileSync('npm', ['run', '--silent', 'build'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
}

/** Time of the last change at or below a path; folders count, so that removed files do. */
function newest(at: string): number {
  const stat = fs.statSync(at);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return fs
    .readdirSync(at)
    .reduce((latest, name) => Math.max(latest, newest(path.join(at, name))), stat.mtimeMs);
}
