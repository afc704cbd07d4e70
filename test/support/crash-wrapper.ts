import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Injector } from './crash-calls.ts';
import { installDebian } from './debian.ts';

/**
 * Builds the library that numbers system calls and makes them fail, which needs a C compiler.
 * @param folder where the library is put
 */
export async function systemInjector(folder: string): Promise<Injector> {
  await installDebian('gcc', 'gcc', 'libc6-dev');
  const library = path.join(folder, 'crash-wrapper.so');
  const source = path.resolve(import.meta.dirname, 'crash-wrapper.c');
  fs.mkdirSync(folder, { recursive: true });
  const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...flags, '-Wno-nonnull-compare', '-o', library, source, '-ldl']);
  return { nodeArgs: [], env: { LD_PRELOAD: library } };
}
