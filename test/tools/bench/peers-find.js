/** Whether a program is installed, and which version of it. */
import { spawnSync } from 'node:child_process';

/** The version that a program tells; undefined where it cannot be run. */
export function installedVersion(command, args, pattern) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) return undefined;
  return (pattern.exec(stdout) ?? [])[1];
}
