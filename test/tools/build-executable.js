#!/usr/bin/env node
/**
 * Builds the single executable for Linux: Node with everything in dist/ inside of it. `npm run build` comes
 * before it. Options:
 *   --arch x64|arm64   the machine it is for; that of this machine by default
 *   --output FILE      where it goes; dist/executable/mstore-linux-ARCH by default
 *   --run-with COMMAND runs programs of that machine here, such as "qemu-aarch64-static -L /usr/aarch64-linux-gnu":
 *                      without it, what is built for another machine starts slower, as its V8 kept nothing
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = path.join(root, 'node_modules/.cache/mstore-executable');

/** The Node that goes into it, of one version: the packages hold what the project Node releases. */
const nodeVersion = '24.21.0';
const nodeSums = {
  x64: '3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  arm64: 'FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
};

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch },
    output: { type: 'string' },
    'run-with': { type: 'string' },
  },
});
const { arch } = options;
if (!Object.hasOwn(nodeSums, arch)) fail(`--arch cannot be ${arch}: write x64 or arm64`);
if (process.platform !== 'linux') fail('The executable is built on Linux, for Linux');
const output = path.resolve(
  options.output ?? path.join(root, `dist/executable/mstore-linux-${arch}`),
);
for (const needed of ['dist/cli/run.js', 'dist/chunk/mh8.wasm'])
  if (!fs.existsSync(path.join(root, needed)))
    fail(`There is no ${needed}: run "npm run build" first`);

fs.mkdirSync(cache, { recursive: true });
const stage = fs.mkdtempSync(path.join(cache, 'stage-'));
try {
  await buildExecutable();
} finally {
  fs.rmSync(stage, { recursive: true, force: true });
}

async function buildExecutable() {
  const node = nodeOf(arch);
  const builder = nodeOf(process.arch);
  await bundle();
  const assets = { ...filesOfProgram(), ...kept(node) };
  const config = {
    main: path.join(stage, 'executable.cjs'),
    output: path.join(stage, 'blob'),
    disableExperimentalSEAWarning: true,
    useSnapshot: false,
    useCodeCache: false,
    assets,
  };
  const configFile = path.join(stage, 'config.json');
  fs.writeFileSync(configFile, JSON.stringify(config));
  quietly(builder, '--experimental-sea-config', configFile);
  const program = path.join(stage, 'mstore');
  fs.copyFileSync(node, program);
  fs.chmodSync(program, 0o755);
  const injector = path.join(root, 'node_modules/postject/dist/cli.js');
  const fuse = ['--sentinel-fuse', 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'];
  quietly(process.execPath, injector, program, 'NODE_SEA_BLOB', config.output, ...fuse);
  place(program);
}

/** Runs a program that says more than anybody wants to know, unless it fails. */
function quietly(program, ...args) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) fail(`${path.basename(program)} ${args.join(' ')} failed:\n${stdout}${stderr}`);
}

/** What the package has as modules and packages, and the executable as files of its own. */
async function bundle() {
  await build({
    absWorkingDir: root,
    entryPoints: {
      executable: 'src/cli/executable.ts',
      'cli-progress': 'cli-progress',
      crc32c: 'src/remote/crc32c.ts',
      'hash-worker': 'src/store/hash-worker.ts',
    },
    outdir: stage,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    mainFields: ['module', 'main'],
    define: { 'import.meta.url': '"file:///proc/self/mstore/dist/cli/executable.cjs"' },
    logLevel: 'warning',
  });
}

/** All that the program reads, under the paths it has in the package. */
function filesOfProgram() {
  const starts = new Set(['main.cjs', 'compiled.cjs', 'run.js.compiled']);
  const below = (folder, isTaken) =>
    fs.existsSync(path.join(root, folder))
      ? fs
          .readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile() && isTaken(entry.name))
          .map((entry) => path.join(entry.parentPath, entry.name))
      : [];
  const files = [
    path.join(root, 'package.json'),
    ...below('dist/cli', (name) => !starts.has(name)),
    ...below('dist/chunk', (name) => name.endsWith('.wasm')),
    ...below('dist/web', () => true),
  ];
  return {
    ...Object.fromEntries(files.map((file) => [path.relative(root, file), file])),
    'dist/cli/cli-progress.cjs': path.join(stage, 'cli-progress.cjs'),
    'dist/cli/crc32c.cjs': path.join(stage, 'crc32c.cjs'),
    'dist/store/hash-worker.cjs': path.join(stage, 'hash-worker.cjs'),
  };
}

/** What the V8 of that Node keeps of compiling the command line: it differs between versions and machines. */
function kept(node) {
  const runner = options['run-with']?.split(' ') ?? (arch === process.arch ? [] : undefined);
  if (runner === undefined) {
    process.stderr.write(`No --run-with: it will compile the command line at each start\n`);
    return {};
  }
  const file = path.join(stage, 'run.js.compiled');
  const [program, ...args] = [
    ...runner,
    node,
    path.join(root, 'test/tools/compile-bundle.js'),
    file,
  ];
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  return { 'dist/cli/run.js.compiled': file };
}

/** Gets a Node from the package registry, once, and returns its place. */
function nodeOf(wanted) {
  const name = `node-linux-${wanted}`;
  const folder = path.join(cache, `${name}-${nodeVersion}`);
  const program = path.join(folder, 'package/bin/node');
  if (fs.existsSync(program)) return program;
  const made = fs.mkdtempSync(`${folder}.`);
  try {
    const pack = ['pack', `${name}@${nodeVersion}`, '--silent', '--pack-destination', made];
    execFileSync('npm', pack, { cwd: made, stdio: ['ignore', 'ignore', 'inherit'] });
    const archive = path.join(made, `${name}-${nodeVersion}.tgz`);
    const sum = createHash('sha512').update(fs.readFileSync(archive)).digest('base64');
    if (sum !== nodeSums[wanted]) fail(`${name}@${nodeVersion} is not what it was: ${sum}`);
    execFileSync('tar', ['-xzf', archive, '-C', made]);
    fs.rmSync(archive);
    // Another build may have been faster, and runs what it put there.
    if (!fs.existsSync(program)) fs.renameSync(made, folder);
  } finally {
    fs.rmSync(made, { recursive: true, force: true });
  }
  return program;
}

/** Gives the executable its name, which it has only when it is whole. */
function place(built) {
  fs.mkdirSync(path.dirname(output), { recursive: true });
  const made = `${output}.${process.pid}.tmp`;
  fs.copyFileSync(built, made);
  fs.chmodSync(made, 0o755);
  fs.renameSync(made, output);
  const bytes = fs.readFileSync(output);
  const sum = createHash('sha256').update(bytes).digest('hex');
  fs.writeFileSync(`${output}.sha256`, `${sum}  ${path.basename(output)}\n`);
  process.stdout.write(`${sum}  ${path.relative(process.cwd(), output)}, ${bytes.length} bytes\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
