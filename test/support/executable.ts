import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { installDebian, installDebianPackages } from './debian.ts';

/** Machines that the single executable is built for. */
export type Arch = 'x64' | 'arm64';

const top = path.resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

/** What runs programs of the other machine here, with the libraries of Debian for it. */
export const armWords = ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'] as const;

/** Installs {@link armWords} and the libraries where they are missing, as root alone may; nothing on such a machine. */
async function installArm(): Promise<string[]> {
  if (process.arch === 'arm64') return [];
  await installDebian(armWords[0], 'qemu-user-static');
  if (!fs.existsSync('/usr/aarch64-linux-gnu/lib/libstdc++.so.6'))
    await installDebianPackages('libc6-arm64-cross', 'libstdc++6-arm64-cross');
  return ['--run-with', armWords.join(' ')];
}

/**
 * Returns the single executable of what is in `dist`, which is built where none is there. Throws with what
 * the build said when it fails.
 */
export async function executableFor(arch: Arch): Promise<string> {
  const file = path.join(top, `dist/executable/mstore-linux-${arch}`);
  if (fs.existsSync(file)) return file;
  const build = ['test/tools/build-executable.js', '--arch', arch];
  const runner = arch === 'arm64' ? await installArm() : [];
  await run(process.execPath, [...build, ...runner], { cwd: top });
  return file;
}
