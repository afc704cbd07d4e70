import { execFileSync } from 'node:child_process';
import { gitTestEnv } from './git.ts';
import { pythonPlace } from './python-place.ts';

/** The version that docs and code speak of. */
const place = pythonPlace('mstore-gto', ['gto==1.10.1']);

/** Installs GTO. */
export const installGto = place.install;

/** Runs GTO in a repository and returns what it prints. */
export function gto(repo: string, ...args: string[]): string {
  const env = Object.fromEntries(
    Object.entries(gitTestEnv).filter(([name]) => !/^GIT_COMMITTER_DATE$/.test(name)),
  );
  return execFileSync(place.program('gto'), args, { cwd: repo, env, encoding: 'utf8' });
}
