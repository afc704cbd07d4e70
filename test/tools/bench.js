#!/usr/bin/env node
/**
 * Measures the hot paths against floors in the same run and prints ratios: single times say little on a
 * machine that others use, ratios of runs that alternate say much. Data is made on the fly.
 *
 *   npm run bench                        the whole table
 *   npm run bench -- --size 256 --runs 1 a quick look
 *
 * Options: --size MiB (default 1024), --files N (default 10000), --runs N (default 5), --write FILE
 * (Markdown; the same as JSON beside it).
 *
 * H is `openssl dgst -sha256` of the file, D a direct write of the same bytes by dd, C `cp` of what is
 * moved. Peers are measured where they are installed: none of them is needed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const mstoreProgram = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '1024' },
    files: { type: 'string', default: '10000' },
    runs: { type: 'string', default: '5' },
    write: { type: 'string' },
  },
});
const mebibyte = 1024 * 1024;
const sizeMiB = Number(values.size);
const fileCount = Number(values.files);
const runs = Number(values.runs);
const place = fs.mkdtempSync(
  path.join(process.env.MSTORE_BENCH_DIR ?? os.tmpdir(), 'mstore-bench-'),
);
const env = { ...process.env, GIT_CONFIG_GLOBAL: os.devNull, GIT_CONFIG_NOSYSTEM: '1' };
/** Seconds by measure, in the order of the runs. */
const times = new Map();
const peaks = new Map();

function at(...parts) {
  return path.join(place, ...parts);
}

function makeData() {
  process.stderr.write(`making ${sizeMiB} MiB and ${fileCount} files\n`);
  const block = Buffer.alloc(16 * mebibyte);
  const one = fs.openSync(at('v1.bin'), 'w');
  for (let left = sizeMiB * mebibyte; left > 0; left -= block.length) {
    randomFillSync(block);
    fs.writeSync(one, block, 0, Math.min(left, block.length));
  }
  fs.closeSync(one);
  makeSecond(block);
  for (let i = 0; i < fileCount; i++) {
    const folder = at('tree', `part-${Math.floor(i / 100)}`);
    if (i % 100 === 0) fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, `file-${i}`), randomFillSync(Buffer.alloc(4096)));
  }
}

/** 1 KiB inserted at the head, 1 % overwritten in regions of 1 MiB spread evenly. */
function makeSecond(block) {
  const regions = Math.max(1, Math.round(sizeMiB / 100));
  fs.writeFileSync(at('v2.bin'), randomFillSync(Buffer.alloc(1024)));
  execFileSync('sh', ['-c', 'cat "$1" >> "$2"', 'sh', at('v1.bin'), at('v2.bin')]);
  const fd = fs.openSync(at('v2.bin'), 'r+');
  for (let i = 0; i < regions; i++) {
    const where = Math.floor(((i + 0.5) / regions) * (sizeMiB - 1) * mebibyte);
    randomFillSync(block, 0, mebibyte);
    fs.writeSync(fd, block, 0, mebibyte, where);
  }
  fs.closeSync(fd);
}

/** Runs a command, keeps its time under a name and, for mstore, its peak of memory. */
function measure(name, command, args, options = {}) {
  const start = process.hrtime.bigint();
  const result = spawnSync(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (result.status !== 0)
    throw new Error(`${name}: ${command} ${args.join(' ')}\n${result.stderr}`);
  times.set(name, [...(times.get(name) ?? []), seconds]);
  return result;
}

const peakProbe = `
const { main } = await import(process.argv[1]);
process.exitCode = await main(process.argv.slice(2));
process.stderr.write('peak ' + process.resourceUsage().maxRSS + '\\n');
`;

function mstore(name, cwd, ...args) {
  const entry = new URL('../dist/cli/main.js', `file://${mstoreProgram}`).href;
  const result = measure(
    name,
    process.execPath,
    ['--input-type=module', '-e', peakProbe, entry, ...args],
    { cwd },
  );
  const peak = Number(/peak (\d+)/.exec(result.stderr.toString())?.[1] ?? 0) * 1024;
  peaks.set(name, Math.max(peaks.get(name) ?? 0, peak));
  return result;
}

function quietly(cwd, ...args) {
  execFileSync(process.execPath, [mstoreProgram, ...args], { cwd, env, stdio: 'ignore' });
}

function fresh(name) {
  fs.rmSync(at(name), { recursive: true, force: true });
  fs.mkdirSync(at(name));
  quietly(at(name), 'init', '--no-git');
  quietly(at(name), 'remote', 'add', 'origin', `../${name}-remote`);
}

function clear(name) {
  for (const folder of [name, `${name}-remote`, `${name}-clone`, `${name}-copy`]) {
    fs.rmSync(at(folder), { recursive: true, force: true });
  }
}

function floors(file) {
  measure('H', 'openssl', ['dgst', '-sha256', file]);
  measure('sha256sum', 'sha256sum', [file]);
  measure('D', 'dd', [
    `if=${file}`,
    `of=${at('direct.bin')}`,
    'bs=4M',
    'oflag=direct',
    'conv=fdatasync',
    'status=none',
  ]);
  fs.rmSync(at('direct.bin'));
}

function largeFile() {
  fresh('large');
  const model = at('large/model.bin');
  fs.copyFileSync(at('v1.bin'), model);
  floors(model);
  mstore('add 1', at('large'), 'add', 'model.bin');
  storedBytes('stored 1', at('large/.modelstore/store'));
  measure('C packs', 'cp', ['-r', at('large/.modelstore/store/packs'), at('large-copy')]);
  mstore('push 1', at('large'), 'push');
  fs.copyFileSync(at('v2.bin'), model);
  measure('H2', 'openssl', ['dgst', '-sha256', model]);
  mstore('add 2', at('large'), 'add', 'model.bin');
  storedBytes('stored 2', at('large/.modelstore/store'));
  mstore('push 2', at('large'), 'push');
  const again = mstore('push again', at('large'), 'push', '--json');
  const { bytesSent } = JSON.parse(again.stdout.toString());
  if (bytesSent !== 0) throw new Error(`the second push sent ${bytesSent} bytes`);
  fs.rmSync(model);
  mstore('checkout', at('large'), 'checkout');
  execFileSync('cmp', [model, at('v2.bin')]);
  fs.mkdirSync(at('large-clone'));
  quietly(at('large-clone'), 'init', '--no-git');
  fs.copyFileSync(at('large/model.bin.mstore'), at('large-clone/model.bin.mstore'));
  mstore('pull', at('large-clone'), 'pull', '--remote', '../large-remote');
  execFileSync('cmp', [at('large-clone/model.bin'), at('v2.bin')]);
  clear('large');
}

const stored = new Map();
function storedBytes(name, folder) {
  let bytes = 0;
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile())
      bytes += fs.statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size;
  }
  stored.set(name, bytes);
}

function manyFiles() {
  fresh('many');
  fs.cpSync(at('tree'), at('many/tree'), { recursive: true });
  measure('C tree', 'cp', ['-r', at('tree'), at('many-copy')]);
  mstore('add tree', at('many'), 'add', 'tree');
  mstore('status tree', at('many'), 'status');
  mstore('push tree', at('many'), 'push');
  fs.rmSync(at('many/tree'), { recursive: true });
  mstore('checkout tree', at('many'), 'checkout');
  fs.mkdirSync(at('many-clone'));
  quietly(at('many-clone'), 'init', '--no-git');
  fs.copyFileSync(at('many/tree.mstore'), at('many-clone/tree.mstore'));
  mstore('pull tree', at('many-clone'), 'pull', '--remote', '../many-remote');
  execFileSync('diff', ['-r', at('tree'), at('many-clone/tree')]);
  clear('many');
}

function startUp() {
  fresh('small');
  fs.writeFileSync(at('small/model.bin'), 'weights');
  quietly(at('small'), 'add', 'model.bin');
  measure('node -e 0', process.execPath, ['-e', '0']);
  measure('--version', process.execPath, [mstoreProgram, '--version']);
  measure('status small', process.execPath, [mstoreProgram, 'status'], { cwd: at('small') });
  clear('small');
}

function median(name) {
  const sorted = [...(times.get(name) ?? [])].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** The median of the ratios of each run: both sides of a ratio were measured within seconds. */
function ratio(name, floor) {
  const own = times.get(name) ?? [];
  const base = times.get(floor) ?? [];
  const ratios = own.map((seconds, i) => seconds / base[i]).sort((a, b) => a - b);
  return ratios[Math.floor(ratios.length / 2)];
}

function report() {
  const rows = [
    ['add, first version', 'add 1', 'H'],
    ['add, second version (1 % edited, 1 KiB inserted)', 'add 2', 'H2'],
    ['checkout, verified', 'checkout', 'H2'],
    ['push, first version', 'push 1', 'C packs'],
    ['push, second version', 'push 2', 'C packs'],
    ['push, nothing new', 'push again', 'node -e 0'],
    ['pull, verified, with checkout', 'pull', 'C packs'],
    [`add, ${fileCount} files of 4 KiB`, 'add tree', 'C tree'],
    [`status, ${fileCount} unchanged files`, 'status tree', 'C tree'],
    [`push, ${fileCount} files`, 'push tree', 'C tree'],
    [`checkout, ${fileCount} files`, 'checkout tree', 'C tree'],
    [`pull, ${fileCount} files`, 'pull tree', 'C tree'],
    ['--version', '--version', 'node -e 0'],
    ['status, one small file', 'status small', 'node -e 0'],
  ];
  const results = rows.map(([about, name, floor]) => ({
    about,
    seconds: median(name),
    floor,
    floorSeconds: median(floor),
    ratio: ratio(name, floor),
    peakMB: peaks.has(name) ? peaks.get(name) / 1e6 : undefined,
  }));
  const document = {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpus: os.cpus().length,
      model: os.cpus()[0]?.model,
      memoryGB: Math.round(os.totalmem() / 1e9),
    },
    node: process.version,
    sizeMiB,
    fileCount,
    runs,
    floors: Object.fromEntries(
      ['H', 'sha256sum', 'D', 'C packs', 'C tree', 'node -e 0'].map((name) => [name, median(name)]),
    ),
    storedRatio: {
      first: stored.get('stored 1') / (sizeMiB * mebibyte),
      both: stored.get('stored 2') / (sizeMiB * mebibyte),
    },
    results,
  };
  const text = markdown(document);
  process.stdout.write(text);
  if (values.write !== undefined) {
    fs.writeFileSync(values.write, text);
    fs.writeFileSync(
      values.write.replace(/\.md$/, '.json'),
      `${JSON.stringify(document, null, 2)}\n`,
    );
  }
}

function markdown(document) {
  const { machine, floors: f } = document;
  const line = ({ about, seconds, floor, ratio: r, peakMB }) =>
    `| ${about} | ${seconds.toFixed(2)} | ${r.toFixed(2)} ${floor} | ${peakMB === undefined ? '' : peakMB.toFixed(0)} |`;
  return [
    '# Benchmarks',
    '',
    `\`npm run bench\`, ${document.date}: ${machine.cpus} x ${machine.model}, ${machine.memoryGB} GB, Node ${document.node.slice(1)}.`,
    `A file of ${document.sizeMiB} MiB of random bytes, a tree of ${document.fileCount} files of 4 KiB, warm cache;`,
    `medians of ${document.runs} runs, in which mstore and the floors alternate.`,
    '',
    '| path | seconds | ratio to the floor | peak memory, MB |',
    '| --- | --- | --- | --- |',
    ...document.results.map(line),
    '',
    'Floors, seconds:',
    '',
    '| floor | what | seconds |',
    '| --- | --- | --- |',
    `| H | \`openssl dgst -sha256\` of the large file (H2: of its second version) | ${f.H.toFixed(2)} |`,
    `| | \`sha256sum\` of it | ${f.sha256sum.toFixed(2)} |`,
    `| D | \`dd bs=4M oflag=direct conv=fdatasync\` of it | ${f.D.toFixed(2)} |`,
    `| C packs | \`cp -r\` of the packs of the first version, not flushed | ${f['C packs'].toFixed(2)} |`,
    `| C tree | \`cp -r\` of the tree, not flushed | ${f['C tree'].toFixed(2)} |`,
    `| node -e 0 | starting Node | ${f['node -e 0'].toFixed(3)} |`,
    '',
    `Stored: the first version ${document.storedRatio.first.toFixed(3)} of the file, both ${document.storedRatio.both.toFixed(3)}.`,
    '',
  ].join('\n');
}

try {
  makeData();
  for (let run = 0; run < runs; run++) {
    process.stderr.write(`run ${run + 1} of ${runs}\n`);
    largeFile();
    manyFiles();
    startUp();
  }
  report();
} finally {
  fs.rmSync(place, { recursive: true, force: true });
}
