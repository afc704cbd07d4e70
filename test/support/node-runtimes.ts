import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Packages of runtimes, of one version each. */
const versions = {
  'onnxruntime-node': '1.30.0',
  '@tensorflow/tfjs': '4.22.0',
} as const;

const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-runtimes', import.meta.url));

/**
 * Installs a runtime with npm, once, into a folder of its own. Scripts are left out: that of ONNX Runtime gets
 * libraries for graphics cards.
 */
export function installRuntime(name: keyof typeof versions): void {
  const folder = folderOf(name);
  if (fs.existsSync(path.join(folder, 'node_modules', name))) return;
  const made = `${folder}-${process.pid}`;
  fs.mkdirSync(made, { recursive: true });
  fs.writeFileSync(path.join(made, 'package.json'), '{"private":true}');
  const install = ['install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
  execFileSync('npm', [...install, `${name}@${versions[name]}`], { cwd: made, stdio: 'inherit' });
  fs.rmSync(folder, { recursive: true, force: true });
  fs.renameSync(made, folder);
}

function folderOf(name: keyof typeof versions): string {
  return path.join(kept, `${name.replace(/\W+/g, '-')}-${versions[name]}`);
}

/** Imports a runtime from where {@link installRuntime} put it, as a program that has it installed would. */
export async function importInstalled(name: string): Promise<Record<string, unknown>> {
  const folder = folderOf(name as keyof typeof versions);
  const file = createRequire(path.join(folder, 'main.js')).resolve(name);
  return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Record<string, unknown>;
}
