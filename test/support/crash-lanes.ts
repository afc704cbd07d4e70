import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type HereResult, runHere } from './cli-here.ts';
import {
  type Call,
  type Fault,
  type InjectedResult,
  type Injector,
  runInjected,
} from './crash-calls.ts';
import { check, checkTemps } from './crash-checks.ts';
import type { CrashCommand } from './crash-commands.ts';
import { StoreReader } from './crash-stores.ts';
import { World, type WorldImage, type WorldView } from './crash-world.ts';

/** How many points of a command are tried. */
export interface CrashOptions {
  /** Points at most. */
  readonly pointsMax?: number;
  /** Points of the sample that are left out, from its start. */
  readonly skip?: number;
  /** Chooses the sample; without one it is the same each time. */
  readonly seed?: number;
  /** Asked before each trial; false ends the command. */
  readonly goOn?: () => boolean;
}

/** What came of the trials of one command. */
export interface TrialReport {
  /** Calls that can fail in an undisturbed run. */
  readonly calls: number;
  /** All that could be tried. */
  readonly points: number;
  /** What was tried, by what came of it. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

/** A command in a world in which it has something to do, and what it makes of that when nothing fails. */
export interface Prepared {
  readonly command: CrashCommand;
  readonly image: WorldImage;
  readonly before: WorldView;
  readonly after: WorldView;
  readonly calls: readonly Call[];
  /** The bytes that were written. */
  readonly data: Buffer;
  /** What the files were known by at the end. */
  readonly stamps: ReadonlyMap<string, string>;
  /** The folder that the calls name. */
  readonly folder: string;
}

/** A call of an undisturbed run, and what is done to it. */
export interface Point {
  readonly call: Call;
  readonly fault: Fault;
}

/** Several worlds in which trials go on side by side. */
export class CrashLanes {
  readonly #injector: Injector;
  readonly #folder: string;
  readonly #base: WorldImage;
  readonly #worlds: readonly World[];
  readonly #prepared = new Map<CrashCommand, Prepared>();

  private constructor(
    injector: Injector,
    folder: string,
    { base, worlds }: { readonly base: WorldImage; readonly worlds: readonly World[] },
  ) {
    this.#injector = injector;
    this.#folder = folder;
    this.#base = base;
    this.#worlds = worlds;
  }

  /** @param folder where the worlds are made, best in memory */
  static async start(injector: Injector, folder: string): Promise<CrashLanes> {
    const count = Math.max(1, Math.min(4, os.availableParallelism()));
    const reader = new StoreReader();
    const worlds = Array.from({ length: count }, (_, n) => newWorld(folder, `lane${n}`, reader));
    const first = worlds[0] as World;
    await first.make();
    const base = first.keep(path.join(folder, 'base'));
    return new CrashLanes(injector, folder, { base, worlds });
  }

  /** Makes a world ready for a command, and runs it once without a fault; each command once. */
  async prepare(command: CrashCommand): Promise<Prepared> {
    const prepared = this.#prepared.get(command) ?? (await this.#prepare(command));
    this.#prepared.set(command, prepared);
    return prepared;
  }

  async #prepare(command: CrashCommand): Promise<Prepared> {
    const world = this.#worlds[0] as World;
    world.reset(this.#base);
    await command.prepare?.(world);
    const image = world.keep(path.join(this.#folder, `image${this.#prepared.size}`));
    const before = await world.view();
    world.reset(image);
    const { code, stdout, stderr, calls, data } = await this.record(command, world);
    if (code !== 0) throw new Error(`${command.name} fails by itself: ${stdout}${stderr}`);
    check(calls.length > 0, 'no calls were seen');
    const stamps = world.stamps();
    const after = await world.view();
    check(!isDeepStrictEqual(before, after), `${command.name} changes nothing`);
    checkTemps(world);
    return { command, image, before, after, calls, data, stamps, folder: world.folder };
  }

  /** Runs a command as it is under the injector, with a fault where one is named. */
  run(
    { place, args }: CrashCommand,
    world: World,
    more: { readonly point?: Point | undefined; readonly data?: string } = {},
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

  /** Runs a command and keeps the bytes that it writes, as far as the injector tells them. */
  async record(
    command: CrashCommand,
    world: World,
    point?: Point,
  ): Promise<InjectedResult & { readonly data: Buffer }> {
    const data = `${world.folder}.data`;
    fs.writeFileSync(data, '');
    const result = await this.run(command, world, { point, data });
    return { ...result, data: fs.readFileSync(data) };
  }

  /**
   * Tries a sample of the points, in all worlds.
   * @param trials `nameOf` names a point in all runs alike, `describe` for whoever reads of a failure; `work`
   * returns what came of it
   */
  async each<T>(
    { command: { name }, calls }: Prepared,
    points: readonly T[],
    options: CrashOptions,
    trials: {
      readonly nameOf: (point: T) => string;
      readonly describe: (point: T) => string;
      readonly work: (point: T, world: World) => Promise<string>;
    },
  ): Promise<TrialReport> {
    const waiting = sample(points, trials.nameOf, options).reverse();
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
            failures.push(`${name}: ${trials.describe(point)}: ${message}`);
          }
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        }
      }),
    );
    const numbered = calls.filter(({ number }) => number > 0).length;
    return { calls: numbered, points: points.length, outcomes, failures };
  }
}

function newWorld(folder: string, lane: string, reader: StoreReader): World {
  const own = path.join(folder, lane);
  fs.mkdirSync(own, { recursive: true });
  return new World(own, reader);
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
  const again = (...more: string[]): Promise<HereResult> =>
    runHere(world.at(command.place), [...command.args, ...more], {
      MSTORE_CACHE: world.at('cache'),
    });
  let result = await again();
  if (options.mayRefuse && result.error?.code === 'would-overwrite')
    result = await again('--force');
  const { exit, error, document } = result;
  if (exit === 0 || exit === command.again) return;
  throw new Error(`run again it ends with ${exit}: ${error?.message} ${JSON.stringify(document)}`);
}

/** Chooses points by a hash of their names, so that they are spread over all. */
function sample<T>(
  points: readonly T[],
  nameOf: (point: T) => string,
  { seed = 0, skip = 0, pointsMax = points.length }: CrashOptions,
): T[] {
  const ranked = points.map((point) => ({
    point,
    rank: createHash('sha256')
      .update(`${seed} ${nameOf(point)}`)
      .digest('hex'),
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
