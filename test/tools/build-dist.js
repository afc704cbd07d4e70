#!/usr/bin/env node
/**
 * Builds dist/ anew: the library and the threads by the TypeScript compiler, the kernels by
 * AssemblyScript, the page of the server, and the command line bundled on top, which halves the time it takes to start.
 * Every part of the bundle lies in dist/cli, so that paths relative to a module are those of the sources.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { isBuiltin } from 'node:module';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildWeb } from './build-web.js';

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
await buildWeb(root);

/** The patterns and segmenters for the width of text take longer than most commands; only help needs them. */
const lazyWidths = {
  name: 'lazy-widths',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\](string-width|strip-ansi)[/\\]index\.js$/ }, ({ path: file }) => {
      const lines = fs.readFileSync(file, 'utf8').split('\n');
      const isImport = (line) => line.startsWith('import ');
      const body = lines.filter((line) => !isImport(line)).join('\n');
      const name = /^export default function (\w+)\(/m.exec(body)?.[1];
      if (name === undefined || body.match(/^export /gm).length > 1)
        throw new Error(`${file} has other exports than before`);
      const inside = body.replace('export default function', 'function');
      const make = `let made;\nfunction make() {\n${inside}\nreturn ${name};\n}`;
      const contents = [
        ...lines.filter(isImport),
        make,
        'export default (...args) => (made ??= make())(...args);',
      ].join('\n');
      return { contents };
    });
  },
};

/**
 * Whenever the parser of arguments looks for its settings in a package.json, in vain, a check of it fails:
 * the module `assert` takes longer to load, and to describe that, than the parser to do its work.
 */
const plainAssert = {
  name: 'plain-assert',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^assert$/ }, ({ importer }) =>
      /[/\\]yargs[/\\]/.test(importer) ? { path: 'assert', namespace: 'plain-assert' } : undefined,
    );
    const check = (name, fails) =>
      `export const ${name} = (a, b, message) => { if (${fails}) throw new Error(message); };`;
    onLoad({ filter: /.*/, namespace: 'plain-assert' }, () => ({
      contents: [
        check('strictEqual', '!Object.is(a, b)'),
        check('notStrictEqual', 'Object.is(a, b)'),
      ].join('\n'),
    }));
  },
};

/** Parts that are loaded when they are needed; each is one file, since every file costs some 0.5 ms. */
const parts = {
  'isomorphic-git': 'isomorphic-git',
  's3-sdk': 'src/remote/s3-sdk.ts',
  'gcs-sdk': 'src/remote/gcs-sdk.ts',
  'yaml-parser': 'src/registry/yaml-parser.ts',
  'tar-stream': 'src/archive/tar-stream.ts',
  'hub-sdk': 'src/source/hub-sdk.ts',
  framework: 'src/server/framework.ts',
  'proxy-sdk': 'src/source/proxy-sdk.ts',
  'age-sdk': 'src/encryption/age-sdk.ts',
  'sigstore-sdk': 'src/signing/sigstore-sdk.ts',
  'sigstore-client': 'src/signing/sigstore-client.ts',
  blake3: 'src/signing/blake3.ts',
};
const lazyParts = {
  name: 'lazy-parts',
  setup({ onResolve }) {
    onResolve(
      {
        filter:
          /^isomorphic-git$|^\.\/(s3-sdk|gcs-sdk|yaml-parser|tar-stream|hub-sdk|proxy-sdk|age-sdk|framework|sigstore-sdk|sigstore-client|blake3)\.ts$/,
      },
      ({ kind, path: wanted }) =>
        kind === 'dynamic-import'
          ? { path: `./${path.basename(wanted, '.ts')}.cjs`, external: true }
          : undefined,
    );
    onResolve({ filter: /^\.\/compiled\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './compiled.cjs', external: true } : undefined,
    );
  },
};

/** In a bundle that is CommonJS a package that is one too is asked for by the `require` of the bundle. */
const plainRequire = {
  name: 'plain-require',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]progress-display\.ts$/ }, ({ path: file }) => {
      const text = fs.readFileSync(file, 'utf8');
      const contents = text.replace('createRequire(import.meta.url)(', 'require(');
      if (contents === text) throw new Error(`${file} asks for its package in another way`);
      return { contents, loader: 'ts' };
    });
  },
};

/** What all bundles have in common. */
const shared = {
  absWorkingDir: root,
  outdir: 'dist/cli',
  bundle: true,
  plugins: [lazyWidths, plainAssert, lazyParts, plainRequire],
  platform: 'node',
  target: 'node20.19',
  mainFields: ['module', 'main'],
  // Loaded only when a bar is shown, from where it is installed; compiled code cannot be bundled.
  external: ['cli-progress', '@node-rs/crc32'],
  logLevel: 'warning',
};

// All is CommonJS: the loader of ES modules takes longer to begin than most of these files to run.
const module = {
  ...shared,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': 'moduleUrl' },
  banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
};
await build({
  ...module,
  entryPoints: { ...parts, main: 'src/cli/main.ts', compiled: 'src/cli/compiled.ts' },
});

/** Every module would make a copy of its own of each built-in module that it imports. */
function withSharedBuiltins(text) {
  return text.replaceAll(/__toESM\(require\("([\w:/]+)"\),\s*1\)/g, (whole, name) =>
    isBuiltin(name) ? `builtin("${name}")` : whole,
  );
}

// One function, for src/cli/compiled.ts; names stay, so that a stack trace can be read.
const bundle = await build({
  ...shared,
  entryPoints: { run: 'src/cli/run.ts' },
  format: 'cjs',
  charset: 'ascii',
  minifySyntax: true,
  minifyWhitespace: true,
  // A script has no loader of modules.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': 'mstoreModuleUrl', 'import.meta.resolve': 'undefined' },
  write: false,
});
const [{ path: bundleFile, text }] = bundle.outputFiles;
// src/cli/compiled.ts reads a byte as a character. Regular expressions stay as they were written, whatever the charset.
if (/[^\0-\x7f]/.test(text)) throw new Error(`${bundleFile} is not ASCII`);
fs.writeFileSync(
  bundleFile,
  `(function (require, exports, mstoreModuleUrl) {
var module = { exports };
var builtins = {};
function builtin(name) {
  var module = require(name);
  return (builtins[name] ??= Object.create(module, { default: { value: module } }));
}
${withSharedBuiltins(text)}
Object.assign(exports, module.exports);
})`,
);
execFileSync(process.execPath, [path.join(root, 'test/tools/compile-bundle.js')], {
  stdio: ['ignore', 'ignore', 'inherit'],
});
