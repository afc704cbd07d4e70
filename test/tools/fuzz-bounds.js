/**
 * Measures what inputs cost that are meant to cost much: for each of them a process that parses it once, at the
 * largest size that its parser takes, up to 16 MiB. Fails where one takes more than it may.
 *
 *   npm run fuzz:bounds                 all
 *   npm run fuzz:bounds -- pointer      these targets
 *   npm run fuzz:bounds -- --json       one JSON document a line
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { buildTargets } from './fuzz-bundle.js';

const mebibyte = 2 ** 20;
/** Seconds of processor time and MiB of memory beyond an idle process, for each MiB of an input. */
const secondsMax = 12;
const mebibytesMax = 240;
/** What small inputs may take whatever their size. */
const mebibytesFree = 64;

/** Bytes of the largest input of each parser, where that is more than 1 MiB. */
const sizes = {
  pointer: 16 * mebibyte,
  tree: 16 * mebibyte,
  'git-config': 16 * mebibyte,
  'registry-file': 4 * mebibyte,
  record: 4 * mebibyte,
  config: mebibyte / 8,
  'toml-edit': mebibyte / 8,
  'ignore-file': mebibyte / 4,
};

/** Targets that do their work more than once for one input, as no command does. */
const repeats = { 'toml-edit': 8 };

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, one: { type: 'string' } },
});

/** Parses one input and tells what it cost; run in a process of its own. */
async function measure(script, name, shape, bytes) {
  const { fuzzTargets, hostileShapes } = await import(script);
  const make = hostileShapes[name]?.[shape];
  const input = make === undefined ? Buffer.alloc(0) : Buffer.from(make(bytes));
  const before = process.cpuUsage();
  await fuzzTargets.get(name).run(input);
  const { user, system } = process.cpuUsage(before);
  const memory = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(JSON.stringify({ seconds: (user + system) / 1e6, memory }));
}

function measured(script, name, shape, bytes) {
  const args = [
    '--max-old-space-size=4096',
    import.meta.filename,
    '--one',
    JSON.stringify([script, name, shape, bytes]),
  ];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    timeout: 300_000,
    encoding: 'utf8',
  });
  return status === 0
    ? JSON.parse(stdout)
    : { fault: stderr.slice(-2_000) || 'it took more than 300 s' };
}

if (values.one !== undefined) {
  await measure(...JSON.parse(values.one));
} else {
  const script = await buildTargets();
  const { hostileShapes } = await import(script);
  let failed = false;
  for (const [name, shapes] of Object.entries(hostileShapes)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const idle = measured(script, name, '', 0).memory ?? 0;
    for (const shape of Object.keys(shapes)) {
      const bytes = sizes[name] ?? mebibyte;
      const { seconds, memory, fault } = measured(script, name, shape, bytes);
      const more = Math.max(0, memory - idle);
      const amount = ((repeats[name] ?? 1) * bytes) / mebibyte;
      const right =
        fault === undefined &&
        seconds <= secondsMax * amount &&
        more <= mebibytesFree + mebibytesMax * amount;
      failed ||= !right;
      const result = {
        target: name,
        shape,
        bytes,
        seconds,
        mebibytes: Math.round(more),
        fault,
        right,
      };
      const told = `${right ? 'right' : 'WRONG'}  ${name}, ${shape}: ${seconds?.toFixed(2)} s, ${Math.round(more)} MiB for ${bytes / mebibyte} MiB${fault ?? ''}\n`;
      process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : told);
    }
  }
  process.exit(failed ? 1 : 0);
}
