#!/usr/bin/env node
/**
 * Builds dist/ anew: the library and the threads by the TypeScript compiler, the kernels by
 * AssemblyScript, and the command line bundled on top, which halves the time it takes to start. Every
 * part of the bundle lies in dist/cli, so that paths relative to a module are those of the sources.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dist = path.join(root, 'dist');

function run(tool, ...args) {
  const program = path.join(root, 'node_modules', tool);
  execFileSync(process.execPath, [program, ...args], { cwd: root, stdio: 'inherit' });
}

function kernel(name, ...features) {
  const out = `dist/chunk/${name}.wasm`;
  const memory = ['--importMemory', '--sharedMemory', '--maximumMemory', '4096'];
  const shape = ['--runtime', 'stub', '--optimizeLevel', '3', '--noAssert', '--enable', 'threads'];
  run(
    'assemblyscript/bin/asc.js',
    `src/chunk/wasm/${name}.ts`,
    '--outFile',
    out,
    ...memory,
    ...shape,
    ...features,
  );
}

fs.rmSync(dist, { recursive: true, force: true });
run('typescript/bin/tsc', '-p', '.');
kernel('mh8', '--enable', 'simd');
kernel('mh8-scalar');
fs.rmSync(path.join(dist, 'cli'), { recursive: true });

/** Making a segmenter of text takes longer than most commands; only layouts of help need one. */
const lazySegmenters = {
  name: 'lazy-segmenters',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]string-width[/\\]index\.js$/ }, ({ path: file }) => {
      const eager = 'new Intl.Segmenter()';
      const lazy =
        '{ segment: (text) => (globalThis.mstoreSegmenter ??= new Intl.Segmenter()).segment(text) }';
      return { contents: fs.readFileSync(file, 'utf8').replace(eager, lazy) };
    });
  },
};

/** Parts that are loaded when they are needed; each is one file, since every file costs some 0.5 ms. */
const parts = {
  main: 'src/cli/main.ts',
  run: 'src/cli/run.ts',
  'isomorphic-git': 'isomorphic-git',
  's3-sdk': 'src/remote/s3-sdk.ts',
  'gcs-sdk': 'src/remote/gcs-sdk.ts',
  'yaml-parser': 'src/registry/yaml-parser.ts',
  'tar-stream': 'src/archive/tar-stream.ts',
  'hub-sdk': 'src/source/hub-sdk.ts',
};
const lazyParts = {
  name: 'lazy-parts',
  setup({ onResolve }) {
    onResolve(
      { filter: /^isomorphic-git$|^\.\/(run|s3-sdk|gcs-sdk|yaml-parser|tar-stream|hub-sdk)\.ts$/ },
      ({ kind, path: wanted }) =>
        kind === 'dynamic-import'
          ? { path: `./${path.basename(wanted, '.ts')}.js`, external: true }
          : undefined,
    );
  },
};

await build({
  absWorkingDir: root,
  entryPoints: parts,
  outdir: 'dist/cli',
  bundle: true,
  plugins: [lazySegmenters, lazyParts],
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  mainFields: ['module', 'main'],
  // Loaded only when a bar is shown, from where it is installed; compiled code cannot be bundled.
  external: ['cli-progress', '@node-rs/crc32'],
  banner: {
    // Parts that are CommonJS ask for built-in modules by require.
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  logLevel: 'warning',
});
