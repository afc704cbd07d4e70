import { isBuiltin } from 'node:module';
import { getRawAsset } from 'node:sea';
import { Script } from 'node:vm';
import { invariant, systemCode } from '../base/errors.ts';
import { runCompiled, scriptOf } from './compiled.ts';
import { type CommandLine, main } from './main.ts';

/*
 * The entry of the single executable: what `bin/mstore.js` is for the package. All files of the program
 * lie in the executable under the paths they have in the package, and nothing is ever loaded from the
 * disk: what stands in a folder that a command runs in, or in one of Node's, is no part of the program.
 */

const folder = 'dist/cli';

/** Packages that the bundle does not hold: the file that stands for each of them. */
const packages: Readonly<Record<string, string>> = {
  'cli-progress': './cli-progress.cjs',
  '@node-rs/crc32': './crc32c.cjs',
};

const loaded = new Map<string, { exports: unknown }>();

function requireInside(id: string): unknown {
  if (isBuiltin(id)) return process.getBuiltinModule(id);
  const name = `${folder}/${(packages[id] ?? id).replace(/^\.\//, '')}`;
  const known = loaded.get(name);
  if (known !== undefined) return known.exports;
  const source = inside(name);
  // What packages look for in vain, such as others that they would use, they know by this code.
  if (source === undefined)
    throw Object.assign(new Error(`Cannot find module '${id}'`), { code: 'MODULE_NOT_FOUND' });
  const body = `(function (require, module, exports, __filename) {${source.toString()}\n})`;
  const script = new Script(body, { filename: name });
  const module = { exports: {} };
  loaded.set(name, module);
  script.runInThisContext()(requireInside, module, module.exports, placeOf(name).pathname);
  return module.exports;
}

function inside(name: string): Buffer | undefined {
  try {
    return Buffer.from(getRawAsset(name) as ArrayBuffer);
  } catch (error) {
    if (systemCode(error) === 'ERR_SINGLE_EXECUTABLE_APPLICATION_ASSET_NOT_FOUND') return undefined;
    throw error;
  }
}

/** A place where nobody can put a file: the parser of arguments looks for its texts beside itself. */
function placeOf(name: string): URL {
  return new URL(`file:///proc/self/mstore/${name}`);
}

async function loadInside(): Promise<CommandLine> {
  const name = `${folder}/run.js`;
  const source = inside(name);
  invariant(source !== undefined, 'the executable holds its command line');
  const script = scriptOf(name, source, inside(`${name}.compiled`));
  return runCompiled(script, placeOf(name), requireInside) as CommandLine;
}

main(process.argv.slice(2), loadInside).then((code) => {
  process.exitCode = code;
});
