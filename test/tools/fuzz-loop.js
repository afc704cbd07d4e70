/**
 * One process of the fuzzer: tries inputs on one target, keeps those that reach new code, and ends with the time or
 * with the first fault. The input under way is in a file, so that what ends or stops the process is known.
 *
 *   node test/tools/fuzz-loop.js SCRIPT TARGET SECONDS FOLDER
 *
 * Code is covered as V8 itself counts it, in blocks. A look at its counts costs as much as many inputs, so it is taken
 * once for a batch, and for each input of a batch in which there was something new.
 */
import * as fs from 'node:fs';
import { Session } from 'node:inspector';
import * as path from 'node:path';

const [script, name, seconds, folder] = process.argv.slice(2);
const { Chance, fuzzTargets, keptInputs, mutate, seedInputs } = await import(script);
const target = fuzzTargets.get(name);
const batchInputs = 64;
/** Mebibytes of the process; V8's own heap has its bound by a flag. */
const mebibytesMax = 1024;

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** By function: the part of its text that no input has run so far. */
const untouched = new Map();
/** How often something new was reached. */
let steps = 0;

/**
 * Takes the counts since the last time.
 * @param remember whether what ran is known from then on
 * @returns whether a part ran that was not known to run
 */
function reachesNew(remember) {
  let scripts = [];
  session.post('Profiler.takePreciseCoverage', (_, answer) => {
    scripts = answer?.result ?? [];
  });
  let found = false;
  const own = scripts.find(({ url }) => url.endsWith(path.basename(script)));
  for (const { ranges } of own?.functions ?? []) {
    if ((ranges[0]?.count ?? 0) > 0 && touches(ranges, remember)) found = true;
  }
  return found;
}

function touches([{ startOffset, endOffset }, ...inner], remember) {
  const key = startOffset * 2 ** 24 + endOffset;
  const known = untouched.get(key);
  const zero = inner.filter(({ count }) => count === 0);
  const now = zero.flatMap(({ startOffset: start, endOffset: end }) => [[start, end]]);
  const left = known === undefined ? now : intersection(known, now);
  if (known !== undefined && bytesOf(left) === bytesOf(known)) return false;
  if (remember) {
    untouched.set(key, left);
    steps++;
  }
  return true;
}

/** The parts that are in both lists of parts, each in its order. */
function intersection(a, b) {
  const found = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const start = Math.max(a[i][0], b[j][0]);
    const end = Math.min(a[i][1], b[j][1]);
    if (start < end) found.push([start, end]);
    if (a[i][1] < b[j][1]) i++;
    else j++;
  }
  return found;
}

function bytesOf(parts) {
  return parts.reduce((sum, [start, end]) => sum + end - start, 0);
}

const current = fs.openSync(path.join(folder, 'current'), 'w+');

async function run(bytes) {
  fs.ftruncateSync(current, bytes.length);
  if (bytes.length > 0) fs.writeSync(current, bytes, 0, bytes.length, 0);
  try {
    await target.run(Buffer.from(bytes));
  } catch (error) {
    fs.writeFileSync(path.join(folder, 'fault'), String(error?.stack ?? error));
    process.exit(3);
  }
}

const kept = path.join(folder, 'corpus');
fs.mkdirSync(kept, { recursive: true });
const found = fs.readdirSync(kept).map((file) => fs.readFileSync(path.join(kept, file)));
const given = [seedInputs(target), keptInputs(target, 'corpus'), keptInputs(target, 'crashes')];
const corpus = [];
let runs = 0;

async function tryOne(bytes, isNew) {
  await run(bytes);
  runs++;
  if (!reachesNew(true)) return;
  corpus.push(bytes);
  if (isNew)
    fs.writeFileSync(path.join(kept, `${Date.now().toString(36)}-${corpus.length}`), bytes);
}

const end = Date.now() + Number(seconds) * 1000;
for (const { bytes } of given.flat()) await tryOne(bytes, false);
for (const bytes of found) await tryOne(bytes, false);
const { words = [], bytesMax } = target;
const chance = new Chance(Date.now() & 0xffffff);
while (Date.now() < end) {
  const inputs = corpus.length > 0 ? corpus : [Buffer.alloc(0)];
  const batch = Array.from({ length: batchInputs }, () =>
    mutate(chance, { inputs, words, bytesMax }),
  );
  for (const bytes of batch) await run(bytes);
  runs += batch.length;
  if (process.memoryUsage.rss() > mebibytesMax * 2 ** 20) {
    fs.writeFileSync(path.join(folder, 'fault'), `More than ${mebibytesMax} MiB of memory`);
    process.exit(3);
  }
  if (!reachesNew(false)) continue;
  for (const bytes of batch) await tryOne(bytes, true);
}
fs.writeFileSync(
  path.join(folder, 'result'),
  JSON.stringify({ runs, steps, inputs: corpus.length }),
);
process.exit(0);
