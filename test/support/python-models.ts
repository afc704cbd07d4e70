import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installing } from './install-lock.ts';

/** Packages of Python that write models, or look into them, of one version each. */
const packages = [
  ...['numpy==2.4.6', 'safetensors==0.8.0', 'onnx==1.23.2', 'gguf==0.19.0', 'h5py==3.16.0'],
  ...['joblib==1.6.0', 'picklescan==1.0.5', 'fickling==0.1.12'],
  // Of the parts that Keras may compute by, NumPy is the smallest; it takes JAX along.
  ...['keras==3.15.1', 'scipy==1.17.1', 'jax==0.10.2'],
];

/** Other tools that look for code in pickles, as tables name them. */
export const scanners = ['picklescan 1.0.5', 'fickling 0.1.12'] as const;

const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-scanners', import.meta.url));
const folder = path.join(
  kept,
  createHash('sha256').update(packages.join()).digest('hex').slice(0, 12),
);

/** Installs the packages with Python's package installer, once, into a folder of their own. */
export function installPython(): Promise<void> {
  return installing(install);
}

function install(): void {
  const done = path.join(folder, 'installed');
  if (fs.existsSync(done)) return;
  fs.rmSync(folder, { recursive: true, force: true });
  execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
  // Compiling all of it takes longer than what the tests import of it.
  const install = ['-m', 'pip', 'install', '--quiet', '--no-compile', '--only-binary', ':all:'];
  execFileSync(path.join(folder, 'bin/python'), [...install, ...packages], { stdio: 'inherit' });
  fs.writeFileSync(done, '');
}

/** Runs a program in a folder and returns what it prints. */
export function runPython(program: string, cwd: string): string {
  const python = path.join(folder, 'bin/python');
  const env = { PATH: process.env['PATH'], HOME: cwd, PYTHONDONTWRITEBYTECODE: '1' };
  return execFileSync(python, ['-c', program], { cwd, env, encoding: 'utf8', timeout: 240_000 });
}
