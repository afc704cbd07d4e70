/**
 * Builds the targets of the fuzzer as one plain script, so that a process that runs them starts at once and has one
 * file whose blocks are counted. Packages that are no parsers of outside bytes stay outside.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = path.resolve(import.meta.dirname, '../..');
/** What the fuzzer makes on its way: the script, and the inputs that it found to reach new code. */
export const cacheFolder = path.join(root, 'node_modules/.cache/mstore-fuzz');

/** Packages whose parsers are ours to answer for. */
const inside = ['yaml', 'smol-toml', 'ignore'];

const outside = {
  name: 'outside',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^[@a-z]/ }, ({ path: name }) =>
      inside.includes(name) ? undefined : { path: name, external: true },
    );
    // Files find their neighbours by where they are, which the script is not.
    onLoad({ filter: /[\\/](?:src|test)[\\/].*\.ts$/ }, async ({ path: file }) => {
      const text = await fs.promises.readFile(file, 'utf8');
      const contents = text
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(file).href))
        .replaceAll('import.meta.dirname', JSON.stringify(path.dirname(file)));
      return { contents, loader: 'ts' };
    });
  },
};

/** Builds the script; returns its path. */
export async function buildTargets() {
  const outfile = path.join(cacheFolder, 'targets.mjs');
  await build({
    stdin: {
      contents: ['all-targets', 'hostile', 'kept', 'mutate']
        .map((name) => `export * from './test/fuzz/${name}.ts';\n`)
        .join(''),
      resolveDir: root,
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    // Packages that are no modules ask for parts of Node so.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    target: 'node20',
    outfile,
    logLevel: 'error',
    plugins: [outside],
  });
  return outfile;
}
