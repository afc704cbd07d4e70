import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gitTestEnv } from './git.ts';
import { installing } from './install-lock.ts';

/** The version that docs and code speak of. */
const gtoVersion = '1.10.1';
const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-gto', import.meta.url));
const program = path.join(kept, gtoVersion, 'bin/gto');

/** Installs GTO with Python's package installer, once, into a folder of its own. */
export function installGto(): Promise<void> {
  return installing(install);
}

function install(): void {
  if (fs.existsSync(program)) return;
  const made = `${path.dirname(path.dirname(program))}-${process.pid}`;
  execFileSync('python3', ['-m', 'venv', made], { stdio: 'inherit' });
  const pip = ['-m', 'pip', 'install', '--quiet', `gto==${gtoVersion}`];
  execFileSync(path.join(made, 'bin/python'), pip, { stdio: 'inherit' });
  fs.rmSync(path.dirname(path.dirname(program)), { recursive: true, force: true });
  // Programs of such a folder name it; a link in its place keeps them right.
  fs.symlinkSync(made, path.dirname(path.dirname(program)));
}

/** Runs GTO in a repository and returns what it prints. */
export function gto(repo: string, ...args: string[]): string {
  const env = Object.fromEntries(
    Object.entries(gitTestEnv).filter(([name]) => !/^GIT_COMMITTER_DATE$/.test(name)),
  );
  return execFileSync(program, args, { cwd: repo, env, encoding: 'utf8' });
}
