import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

/**
 * Loads a module that was bundled to one function expression, `(require, import, exports, moduleUrl) => …`,
 * with what V8 kept of compiling it when it was built: that takes less than half the time of compiling it
 * again. Another V8 than the one it was built with refuses what was kept, and compiles.
 * @param module the file of the function, beside this one; what was kept lies there too, with `.compiled`
 * at the end of its name
 * @returns what the module exports
 */
export function loadCompiled(module: URL): unknown {
  return runCompiled(compiledScript(module), module);
}

/** Runs the script of {@link compiledScript} and returns what the module exports. */
export function runCompiled(script: Script, module: URL): unknown {
  const exports = {};
  // Compiled with what was kept, a script has no `import()` of its own.
  const load = (specifier: string) => import(specifier);
  script.runInThisContext()(createRequire(module), load, exports, module.href);
  return exports;
}

/**
 * The script of {@link loadCompiled}, not run yet.
 * @param module the file of the function
 */
export function compiledScript(module: URL): Script {
  const filename = fileURLToPath(module);
  // One byte a character, as V8 wants it: the build writes nothing but ASCII.
  const source = fs.readFileSync(filename);
  const cachedData = keptData(`${filename}.compiled`, source);
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

function keptData(file: string, source: Uint8Array): Buffer | undefined {
  try {
    const bytes = fs.readFileSync(file);
    const data = bytes.subarray(digestBytes);
    return bytes.subarray(0, digestBytes).equals(digestOf(source, data)) ? data : undefined;
  } catch {
    // It only saves time.
    return undefined;
  }
}

function digestOf(source: Uint8Array, data: Uint8Array): Buffer {
  return createHash('sha256').update(source).update(data).digest();
}
