import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installing } from './install-lock.ts';

/** Packages that load models, each of one version, and small enough to be installed for a test. */
const packages = [
  'huggingface_hub==2.4.0',
  'numpy==2.4.6',
  'onnxruntime==1.31.1',
  'safetensors==0.8.0',
  'transformers==5.23.0',
];
const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-python', import.meta.url));
const place = path.join(
  kept,
  createHash('sha256').update(packages.join()).digest('hex').slice(0, 16),
);
const program = path.join(place, 'bin/python');

/** Installs the packages with Python's installer, once, into a folder of their own. */
export function installPython(): Promise<void> {
  return installing(install);
}

function install(): void {
  if (fs.existsSync(program)) return;
  const made = `${place}-${process.pid}`;
  execFileSync('python3', ['-m', 'venv', made], { stdio: 'inherit' });
  // Compiling all of it takes longer than what the tests import of it.
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', ...packages];
  execFileSync(path.join(made, 'bin/python'), pip, { stdio: 'inherit' });
  fs.rmSync(place, { recursive: true, force: true });
  // Programs of such a folder name it; a link in its place keeps them right.
  fs.symlinkSync(made, place);
}

/** Runs a script in a folder and returns what it prints; it may not ask the Hub for anything. */
export function python(
  script: string,
  args: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): string {
  return execFileSync(program, ['-c', script, ...args], {
    cwd,
    env: { ...env, HF_HUB_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The same without holding up this thread, for a script that asks a Hub of this process. */
export async function pythonAside(
  script: string,
  args: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<string> {
  const how = { cwd, env: { ...env, PYTHONDONTWRITEBYTECODE: '1' }, encoding: 'utf8' } as const;
  const { stdout } = await promisify(execFile)(program, ['-c', script, ...args], how);
  return stdout;
}
