import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type Call,
  type Fault,
  type InjectedResult,
  type Injector,
  runInjected,
} from './crash-calls.ts';
import { check, checkTemps } from './crash-checks.ts';
import type { CrashCommand } from './crash-commands.ts';
import { World, type WorldView } from './crash-world.ts';

/** How many points of a command are tried. */
export interface CrashOptions {
  /** Points at most: a sample that is the same each time. */
  readonly pointsMax?: number;
  /** Points of the sample that are left out, from its start. */
  readonly skip?: number;
  /** Asked before each trial; false ends the command. */
  readonly goOn?: () => boolean;
}

/** What came of the trials of one command. */
export interface TrialReport {
  readonly command: string;
  /** Calls that can fail in an undisturbed run. */
  readonly calls: number;
  /** All that could be tried. */
  readonly points: number;
  /** What was tried, by what came of it. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

/** What a command makes of a world when nothing fails. */
export interface Undisturbed {
  readonly before: WorldView;
  readonly after: WorldView;
  readonly calls: readonly Call[];
}

/** A call of an undisturbed run, and what is done to it. */
export interface Point {
  readonly call: Call;
  readonly fault: Fault;
}

/** Several equal worlds in which trials go on side by side. */
export class CrashLanes {
  readonly #injector: Injector;
  readonly #base: World;
  readonly #worlds: readonly World[];

  private constructor(injector: Injector, base: World, worlds: readonly World[]) {
    this.#injector = injector;
    this.#base = base;
    this.#worlds = worlds;
  }

  /** @param folder where the worlds are made, best in memory */
  static async start(injector: Injector, folder: string): Promise<CrashLanes> {
    const count = Math.max(1, Math.min(4, os.availableParallelism()));
    const worlds = Array.from({ length: count }, (_, n) => newWorld(folder, `lane${n}`));
    const base = newWorld(folder, 'base');
    await base.make();
    base.keep();
    return new CrashLanes(injector, base, worlds);
  }

  /** The first of the worlds, for what is done once. */
  get world(): World {
    return this.#worlds[0] as World;
  }

  /** Makes all worlds ready for a command, and runs it once without a fault. */
  async prepare(command: CrashCommand): Promise<Undisturbed> {
    const first = this.world;
    first.copyFrom(this.#base);
    first.reset();
    await command.prepare?.(first);
    first.keep();
    for (const world of this.#worlds.slice(1)) world.copyFrom(first);
    const before = await first.view();
    first.reset();
    const { code, stdout, stderr, calls } = await this.run(command, first);
    if (code !== 0) throw new Error(`${command.name} fails by itself: ${stdout}${stderr}`);
    check(calls.length > 0, 'no calls were seen');
    const after = await first.view();
    check(!isDeepStrictEqual(before, after), `${command.name} changes nothing`);
    checkTemps(first);
    return { before, after, calls };
  }

  /** Runs a command as it is under the injector, with a fault where one is named. */
  run(
    { place, args }: CrashCommand,
    world: World,
    more: { readonly point?: Point; readonly data?: string } = {},
  ): Promise<InjectedResult> {
    const { point, data } = more;
    return runInjected(this.#injector, {
      cwd: world.at(place),
      args: [...args, '--json'],
      root: world.folder,
      ...(point && { fault: { at: point.call.number, how: point.fault } }),
      ...(data && { data }),
    });
  }

  /**
   * Tries a sample of the points, in all worlds.
   * @param trials `seed` names a point in all runs alike, `describe` for whoever reads of a failure; `work`
   * returns what came of it
   */
  async each<T>(
    { command, calls }: { readonly command: string; readonly calls: readonly Call[] },
    points: readonly T[],
    options: CrashOptions,
    trials: {
      readonly seed: (point: T) => string;
      readonly describe: (point: T) => string;
      readonly work: (point: T, world: World) => Promise<string>;
    },
  ): Promise<TrialReport> {
    const waiting = sample(points, trials.seed, options).reverse();
    const outcomes: Record<string, number> = {};
    const failures: string[] = [];
    await Promise.all(
      this.#worlds.map(async (world) => {
        for (let point = waiting.pop(); point !== undefined; point = waiting.pop()) {
          if (options.goOn?.() === false) return;
          let outcome = 'failed';
          try {
            outcome = await trials.work(point, world);
          } catch (error) {
            const message = error instanceof Error ? error.message : String(error);
            failures.push(`${command}: ${trials.describe(point)}: ${message}`);
          }
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        }
      }),
    );
    const numbered = calls.filter(({ number }) => number > 0).length;
    return { command, calls: numbered, points: points.length, outcomes, failures };
  }
}

function newWorld(folder: string, lane: string): World {
  const own = path.join(folder, lane);
  fs.mkdirSync(own, { recursive: true });
  return new World(own);
}

/**
 * Runs a command again after what befell it; it must succeed.
 * @param options `mayRefuse` lets it refuse to overwrite files, and then makes it do so
 */
export async function runAgain(
  command: CrashCommand,
  world: World,
  options: { readonly mayRefuse?: boolean } = {},
): Promise<void> {
  const again = (...more: string[]): Promise<InjectedResult> => {
    const args = [...command.args, '--json', ...more];
    return runInjected(undefined, { cwd: world.at(command.place), args, root: world.folder });
  };
  let { code, stdout, stderr } = await again();
  const refused = code === 6 && stdout.includes('"would-overwrite"');
  if (refused && options.mayRefuse) ({ code, stdout, stderr } = await again('--force'));
  if (code === 0 || code === command.again) return;
  throw new Error(`run again it ends with ${code}: ${stdout}${stderr}`);
}

/** Chooses points by a hash of their names: the same each time, and spread over all. */
function sample<T>(
  points: readonly T[],
  seed: (point: T) => string,
  { skip = 0, pointsMax = points.length }: CrashOptions,
): T[] {
  const ranked = points.map((point) => ({
    point,
    rank: createHash('sha256').update(seed(point)).digest('hex'),
  }));
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1));
  return ranked.slice(skip, skip + pointsMax).map(({ point }) => point);
}

/** Names a point, with paths from the top of the world. */
export function describePoint({ call, fault }: Point): string {
  return `${fault} at ${describeCall(call)}`;
}

/** Names a call, with paths from the top of the world. */
export function describeCall({ number, name, path: at, second }: Call): string {
  const short = (full: string): string => full.replace(/^.*?\/world\//, '').slice(0, 100);
  return `${number} ${name} ${short(at)}${second === '' ? '' : ` ${short(second)}`}`;
}
