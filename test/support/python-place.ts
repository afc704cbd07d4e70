import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installing } from './install-lock.ts';

/** Where a script runs. */
export interface ScriptPlace {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Packages of Python in a folder of their own. */
export interface PythonPlace {
  /** Installs the packages with Python's installer, once. */
  readonly install: () => Promise<void>;
  /** A program that came with them; `python` by default. */
  readonly program: (name?: string) => string;
  /** Runs a script without holding up this thread, and returns what it prints. */
  readonly run: (script: string, args: readonly string[], place: ScriptPlace) => Promise<string>;
}

/**
 * Names a place for packages.
 * @param name folder below `node_modules/.cache`
 * @param packages each of one version
 */
export function pythonPlace(name: string, packages: readonly string[]): PythonPlace {
  const kept = fileURLToPath(new URL(`../../node_modules/.cache/${name}`, import.meta.url));
  const digest = createHash('sha256').update(packages.join()).digest('hex').slice(0, 16);
  const place = path.join(kept, digest);
  const program = (named = 'python'): string => path.join(place, 'bin', named);
  const install = (): void => {
    if (fs.existsSync(program())) return;
    const made = `${place}-${process.pid}`;
    execFileSync('python3', ['-m', 'venv', made], { stdio: 'inherit' });
    // Compiling all of it takes longer than what the tests import of it.
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', ...packages];
    execFileSync(path.join(made, 'bin/python'), pip, { stdio: 'inherit' });
    fs.rmSync(place, { recursive: true, force: true });
    // Programs of such a folder name it; a link in its place keeps them right.
    fs.symlinkSync(made, place);
  };
  return {
    install: () => installing(install),
    program,
    run: async (script, args, { cwd, env }) => {
      const how = { cwd, env: { ...env, PYTHONDONTWRITEBYTECODE: '1' }, encoding: 'utf8' } as const;
      const { stdout } = await promisify(execFile)(program(), ['-c', script, ...args], how);
      return stdout;
    },
  };
}
