/** Runs commands against the clock and keeps what was measured by name and round. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

const timeProgram = ['/usr/bin/time', '/bin/time'].find((file) => fs.existsSync(file));
/** Nothing here takes as long; a command that does hangs. */
const commandMsMax = 20 * 60_000;

/** A command that did not succeed, with the end of what it said. */
class CommandFailure extends Error {}

/**
 * Runs a command to its end. The peak of memory and the time of processors come from the `time` program,
 * which starts the command in a process of its own: what a child of this process reports includes the
 * memory of this one.
 */
export function run(command, args, { cwd, env, peakFile } = {}) {
  const probed = peakFile !== undefined && timeProgram !== undefined;
  const [program, words] = probed
    ? [timeProgram, ['-q', '-f', '%M %U %S', '-o', peakFile, command, ...args]]
    : [command, args];
  const start = process.hrtime.bigint();
  const result = spawnSync(program, words, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 * 1024 * 1024,
    timeout: commandMsMax,
  });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (result.status !== 0) throw new CommandFailure(failureText(command, args, result));
  return { seconds, ...(probed ? usage(peakFile) : {}), stdout: result.stdout.toString() };
}

function usage(file) {
  const [kibibytes, user, system] = fs.readFileSync(file, 'utf8').split(' ').map(Number);
  return { peakBytes: kibibytes * 1024, cpuSeconds: user + system };
}

function failureText(command, args, { status, signal, error, stderr }) {
  const said = (stderr ?? '').toString().trim().split('\n').slice(-3).join(' / ');
  const how = error?.message ?? signal ?? `exit code ${status}`;
  const words = args.filter((word) => !word.includes('\n')).join(' ');
  return `${path.basename(command)} ${words}: ${how}: ${said}`.slice(0, 400);
}

/** Numbers by section, operation and who did it; one for each round, or none where it did not run. */
export class Measures {
  #figures = new Map();
  #peaks = new Map();
  #stored = new Map();
  round = 0;

  /** Keeps figures by their names: `seconds`, `cpuSeconds` and such add up in a round, `peakBytes` does not. */
  add(section, operation, who, { peakBytes, ...figures }) {
    const key = [section, operation, who].join('/');
    const kept = this.#figures.get(key) ?? {};
    for (const [name, value] of Object.entries(figures)) {
      kept[name] ??= [];
      kept[name][this.round] = (kept[name][this.round] ?? 0) + value;
    }
    this.#figures.set(key, kept);
    if (peakBytes !== undefined)
      this.#peaks.set(key, Math.max(peakBytes, this.#peaks.get(key) ?? 0));
  }

  store(section, when, who, bytes) {
    this.#stored.set([section, when, who].join('/'), bytes);
  }

  /** Drops all that somebody measured in a section, for one whose result was wrong. */
  forget(section, who) {
    for (const map of [this.#figures, this.#peaks, this.#stored]) {
      for (const key of map.keys())
        if (key.startsWith(`${section}/`) && key.endsWith(`/${who}`)) map.delete(key);
    }
  }

  rounds(section, operation, who, figure = 'seconds') {
    return this.#figures.get([section, operation, who].join('/'))?.[figure] ?? [];
  }

  stored(section, when, who) {
    return this.#stored.get([section, when, who].join('/'));
  }

  peak(section, operation, who) {
    return this.#peaks.get([section, operation, who].join('/'));
  }

  seconds(section, operation, who) {
    return spread(this.rounds(section, operation, who));
  }
}

/** Median, smallest and largest; of rounds that ran. */
export function spread(values) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], count: sorted.length };
}

/** The spread of the ratios of each round: both sides of one were measured close to each other. */
export function ratioSpread(upper, lower) {
  const ratios = upper.map((value, i) =>
    value === undefined || lower[i] === undefined ? undefined : value / lower[i],
  );
  return spread(Array.from(ratios));
}

/** Adds rounds of one measure to those of another; a round that either lacks is lacking. */
export function sumRounds(one, other) {
  return Array.from(one, (value, i) =>
    value === undefined || other[i] === undefined ? undefined : value + other[i],
  );
}
