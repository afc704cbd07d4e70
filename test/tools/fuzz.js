/**
 * Fuzzes the parsers of outside bytes, guided by the code that inputs reach.
 *
 *   npm run fuzz                        every target, 60 s each
 *   npm run fuzz -- pointer tree        these
 *   npm run fuzz -- --seconds 600       for so long each
 *   npm run fuzz -- --keep pointer      afterwards keeps the smallest inputs that were found in test/fuzz/corpus
 *
 * An input that a parser neither takes nor refuses, or that it needs too long or too much memory for, is kept in
 * test/fuzz/crashes, where `npm test` tries it from then on, and the run fails.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { buildTargets, cacheFolder } from './fuzz-bundle.js';

const loop = path.join(import.meta.dirname, 'fuzz-loop.js');
/** An input that takes longer has no end. */
const inputMsMax = 20_000;
const heapMebibytesMax = 512;
/** Inputs that `--keep` keeps of a target: so many, of so many bytes. */
const keptMax = 24;
const keptBytesMax = 512;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '60' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const script = await buildTargets();
const { fuzzTargets } = await import(script);

function readOr(file, otherwise) {
  return fs.existsSync(file) ? fs.readFileSync(file) : otherwise;
}

/** Runs the loop on one target; ends it when one input takes too long. */
function run(name, folder) {
  const args = [
    `--max-old-space-size=${heapMebibytesMax}`,
    loop,
    script,
    name,
    values.seconds,
    folder,
  ];
  const current = path.join(folder, 'current');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stalled = false;
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (part) => {
      text = (text + part).slice(-8 * 1024);
    });
    const watch = setInterval(() => {
      const since = fs.statSync(current, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if (Date.now() - since < inputMsMax) return;
      stalled = true;
      child.kill('SIGKILL');
    }, 1_000);
    child.once('error', reject);
    child.once('close', (code) => {
      clearInterval(watch);
      resolve({ code, text: stalled ? `One input took more than ${inputMsMax} ms` : text });
    });
  });
}

async function fuzz(name) {
  const folder = path.join(cacheFolder, name);
  fs.mkdirSync(folder, { recursive: true });
  for (const file of ['current', 'fault', 'result'])
    fs.rmSync(path.join(folder, file), { force: true });
  const { code, text } = await run(name, folder);
  const {
    runs = 0,
    steps = 0,
    inputs = 0,
  } = JSON.parse(String(readOr(path.join(folder, 'result'), '{}')));
  const result = { target: name, runs, steps, inputs };
  if (values.keep) keep(name, folder);
  if (code === 0) return result;
  const crash = keepCrash(name, readOr(path.join(folder, 'current'), Buffer.alloc(0)));
  return { ...result, fault: String(readOr(path.join(folder, 'fault'), text)), crash };
}

/** Keeps a crash for ever, under the digest of its bytes. */
function keepCrash(name, bytes) {
  const place = path.join(import.meta.dirname, '../fuzz/crashes', name);
  fs.mkdirSync(place, { recursive: true });
  const file = path.join(place, createHash('sha256').update(bytes).digest('hex').slice(0, 16));
  fs.writeFileSync(file, bytes);
  return file;
}

/** Keeps the smallest inputs that reached something new. */
function keep(name, folder) {
  const from = path.join(folder, 'corpus');
  const to = path.join(import.meta.dirname, '../fuzz/corpus', name);
  const small = fs
    .readdirSync(from)
    .map((file) => ({ file, size: fs.statSync(path.join(from, file)).size }))
    .filter(({ size }) => size <= keptBytesMax)
    .sort((a, b) => a.size - b.size);
  fs.rmSync(to, { recursive: true, force: true });
  fs.mkdirSync(to, { recursive: true });
  const step = Math.max(1, small.length / keptMax);
  for (let i = 0; i < small.length; i += step) {
    fs.copyFileSync(
      path.join(from, small[Math.floor(i)].file),
      path.join(to, String(Math.round(i / step))),
    );
  }
}

const names = positionals.length === 0 ? [...fuzzTargets.keys()] : positionals;
const unknown = names.filter((name) => !fuzzTargets.has(name));
if (unknown.length > 0) {
  process.stderr.write(
    `No target ${unknown.join(', ')}. Targets: ${[...fuzzTargets.keys()].join(', ')}\n`,
  );
  process.exit(2);
}
let failed = false;
for (const name of names) {
  const result = await fuzz(name);
  const { runs, steps, inputs, fault, crash } = result;
  failed ||= fault !== undefined;
  const told = `${name}: ${runs} inputs, ${steps} steps to new code, ${inputs} in the corpus\n`;
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : told);
  if (fault === undefined) continue;
  process.stderr.write(`${fault}\nThe input is kept in ${path.relative('.', crash)}\n`);
}
process.exit(failed ? 1 : 0);
