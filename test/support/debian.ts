import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { installing } from './install-lock.ts';

/**
 * Installs packages of Debian where a program of theirs is missing, as root alone may: what the peers
 * of some tests need. Throws when that fails.
 * @param program what the packages are wanted for
 */
export async function installDebian(program: string, ...packages: string[]): Promise<void> {
  if (spawnSync(program, ['--version']).error === undefined) return;
  await installDebianPackages(...packages);
}

/** Installs packages of Debian, as root alone may. Throws when that fails. */
export async function installDebianPackages(...packages: string[]): Promise<void> {
  // Waited for without holding up this thread: the test runner wants to hear from it meanwhile.
  const run = promisify(execFile);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const how = { env, maxBuffer: 64 * 1024 * 1024 };
  await installing(async () => {
    await run('apt-get', ['update', '-q'], how);
    await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], how);
  });
}
