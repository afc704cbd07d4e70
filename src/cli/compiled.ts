import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

/**
 * Loads a module that was bundled to one function expression, `(require, exports, moduleUrl) => …`, with
 * what V8 kept of compiling it when it was built: that takes less than half the time of compiling it
 * again. Another V8 than the one it was built with refuses what was kept, and compiles.
 * @param module the file of the function, beside this one; what was kept lies there too, with `.compiled`
 * at the end of its name
 * @returns what the module exports
 */
export function loadCompiled(module: URL): unknown {
  return runCompiled(compiledScript(module), module);
}

/**
 * Runs the script of {@link compiledScript} and returns what the module exports.
 * @param require loads what the module asks for; by default as a module at its place would
 */
export function runCompiled(
  script: Script,
  module: URL,
  require: (id: string) => unknown = createRequire(module),
): unknown {
  const exports = {};
  script.runInThisContext()(require, exports, module.href);
  return exports;
}

/**
 * The script of {@link loadCompiled}, not run yet.
 * @param module the file of the function
 */
export function compiledScript(module: URL): Script {
  const filename = fileURLToPath(module);
  const source = fs.readFileSync(filename);
  return scriptOf(filename, source, keptFile(`${filename}.compiled`));
}

/**
 * The script of a function expression whose source holds nothing but ASCII, as the build writes it.
 * @param kept by {@link compiledFile}: not used unless it is whole and of this source
 */
export function scriptOf(filename: string, source: Buffer, kept: Uint8Array | undefined): Script {
  const cachedData = kept === undefined ? undefined : keptData(kept, source);
  // One byte a character, as V8 wants it.
  return new Script(source.toString('latin1'), {
    filename,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
}

/**
 * The bytes of a file `.compiled`: the digest over the source and the data, then the data. V8 looks at the
 * length of the source alone and runs damaged data as it is, up to a crash.
 * @param source of the function
 * @param data by `createCachedData` of its script
 */
export function compiledFile(source: Uint8Array, data: Uint8Array): Buffer {
  return Buffer.concat([digestOf(source, data), data]);
}

const digestBytes = 32;

function keptFile(file: string): Buffer | undefined {
  try {
    return fs.readFileSync(file);
  } catch {
    // It only saves time.
    return undefined;
  }
}

function keptData(kept: Uint8Array, source: Uint8Array): Buffer | undefined {
  const data = Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength).subarray(digestBytes);
  return digestOf(source, data).equals(kept.subarray(0, digestBytes)) ? data : undefined;
}

function digestOf(source: Uint8Array, data: Uint8Array): Buffer {
  return createHash('sha256').update(source).update(data).digest();
}
