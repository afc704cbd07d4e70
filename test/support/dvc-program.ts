import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gitTestEnv } from './git.ts';
import { installing } from './install-lock.ts';

/** A release of DVC, with what its packages need that they do not say themselves. */
interface DvcRelease {
  readonly version: string;
  readonly packages: readonly string[];
}

/** The newest release, and the last of version 2, which breaks with later releases of two of its packages. */
export const dvcReleases = {
  new: { version: '3.67.1', packages: ['dvc[s3]==3.67.1'] },
  old: { version: '2.58.2', packages: ['dvc==2.58.2', 'pathspec<0.12', 'dulwich<0.22'] },
} as const satisfies Readonly<Record<string, DvcRelease>>;

const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-dvc', import.meta.url));

function placeOf({ packages }: DvcRelease): string {
  return path.join(kept, createHash('sha256').update(packages.join()).digest('hex').slice(0, 16));
}

/** Installs a release with Python's installer, once, into a folder of its own. */
export function installDvc(release: DvcRelease): Promise<void> {
  return installing(() => {
    const place = placeOf(release);
    if (fs.existsSync(path.join(place, 'bin/dvc'))) return;
    const made = `${place}-${process.pid}`;
    execFileSync('python3', ['-m', 'venv', made], { stdio: 'inherit' });
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', ...release.packages];
    execFileSync(path.join(made, 'bin/python'), pip, { stdio: 'inherit' });
    fs.rmSync(place, { recursive: true, force: true });
    // Programs of such a folder name it; a link in its place keeps them right.
    fs.symlinkSync(made, place);
  });
}

/** The environment in which DVC tells nobody of its use, and finds no settings of whoever runs it. */
export function dvcEnv(home: string): NodeJS.ProcessEnv {
  return {
    ...gitTestEnv,
    DVC_NO_ANALYTICS: '1',
    HOME: home,
    DVC_GLOBAL_CONFIG_DIR: path.join(home, 'dvc'),
    DVC_SYSTEM_CONFIG_DIR: path.join(home, 'system'),
    DVC_SITE_CACHE_DIR: path.join(home, 'site'),
    PYTHONDONTWRITEBYTECODE: '1',
  };
}

/** Runs DVC, which must succeed, without holding up this thread; returns what it prints. */
export async function dvc(
  release: DvcRelease,
  cwd: string,
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<string> {
  const bin = path.join(placeOf(release), 'bin');
  const how = {
    cwd,
    env: { ...env, PATH: `${env['PATH']}${path.delimiter}${bin}` },
    encoding: 'utf8',
  } as const;
  const { stdout } = await promisify(execFile)(path.join(bin, 'dvc'), args, how);
  return stdout;
}
