import { execFileSync } from 'node:child_process';
import { pythonPlace, type ScriptPlace } from './python-place.ts';

/** Packages that load models, each of one version, and small enough to be installed for a test. */
const place = pythonPlace('mstore-python', [
  'huggingface_hub==2.4.0',
  'numpy==2.4.6',
  'onnxruntime==1.31.1',
  'safetensors==0.8.0',
  'transformers==5.23.0',
]);

/** Installs the packages. */
export const installPython = place.install;

/** A program that came with the packages. */
export const pythonProgram = place.program;

/** Runs a script in a folder and returns what it prints; it may not ask the Hub for anything. */
export function python(script: string, args: readonly string[], { cwd, env }: ScriptPlace): string {
  return execFileSync(place.program(), ['-c', script, ...args], {
    cwd,
    env: { ...env, HF_HUB_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The same without holding up this thread, for a script that asks a Hub of this process. */
export const pythonAside = place.run;
