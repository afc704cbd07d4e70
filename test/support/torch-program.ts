import { execFileSync, spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installDebianPackages } from './debian.ts';
import { installing } from './install-lock.ts';

/** Python as Debian has it: what is installed as a package of Debian is imported by that alone. */
export const debianPython = '/usr/bin/python3';
const safetensors = 'safetensors==0.8.0';
const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-torch', import.meta.url));
const place = path.join(kept, safetensors);

/**
 * Installs PyTorch for processors alone: the registry of Python has only builds of several gigabytes for graphics cards,
 * Debian has one of 150 MB with all that it needs. Beside it, in a folder of its own, what reads safetensors.
 */
export async function installTorch(): Promise<void> {
  if (!imports('torch')) await installDebianPackages('python3-torch');
  await installing(() => {
    if (imports('safetensors.torch')) return;
    const pip = ['-m', 'pip', '--python', debianPython, 'install', '--quiet', '--no-deps'];
    execFileSync('python3', [...pip, '--target', place, safetensors], { stdio: 'inherit' });
  });
}

function imports(name: string): boolean {
  return spawnSync(debianPython, ['-c', `import ${name}`], { env: environment() }).status === 0;
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], PYTHONPATH: place, PYTHONDONTWRITEBYTECODE: '1' };
}

/** Runs a program that may import `torch` and `safetensors` in a folder, and returns what it prints. */
export function runTorch(script: string, cwd: string, args: readonly string[] = []): string {
  const env = { ...environment(), HOME: cwd };
  const how = { cwd, env, encoding: 'utf8', stdio: 'pipe', timeout: 240_000 } as const;
  return execFileSync(debianPython, ['-W', 'ignore', '-c', script, ...args], how);
}
