import { execFile } from 'node:child_process';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { gitTestEnv } from './git.ts';
import { type PythonPlace, pythonPlace } from './python-place.ts';

/** A release of DVC. */
interface DvcRelease {
  readonly version: string;
  readonly place: PythonPlace;
}

/** The newest release, and the last of version 2, which breaks with later releases of two of its packages, and does not say so. */
export const dvcReleases = {
  new: { version: '3.67.1', place: pythonPlace('mstore-dvc', ['dvc[s3]==3.67.1']) },
  old: {
    version: '2.58.2',
    place: pythonPlace('mstore-dvc', ['dvc==2.58.2', 'pathspec<0.12', 'dulwich<0.22']),
  },
} as const satisfies Readonly<Record<string, DvcRelease>>;

/** Installs a release. */
export function installDvc({ place }: DvcRelease): Promise<void> {
  return place.install();
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
  const program = release.place.program('dvc');
  const how = {
    cwd,
    env: { ...env, PATH: `${env['PATH']}${path.delimiter}${path.dirname(program)}` },
    encoding: 'utf8',
  } as const;
  const { stdout } = await promisify(execFile)(program, args, how);
  return stdout;
}
