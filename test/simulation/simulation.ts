import { isMstoreError } from '../../src/base/errors.ts';
import { formatHeader } from '../../src/store/header.ts';
import { headerKey } from '../../src/store/keys.ts';
import { clearScratch, scratchFolder } from '../support/flow-scratch.ts';
import { Chance } from './chance.ts';
import { CleanUpRules } from './clean-up-rules.ts';
import { epochMs, type Network } from './client.ts';
import { type CommandKind, carryOut, drawKind, mayBeRefused, type Setting } from './commands.ts';
import { cleanEverything, readEverything } from './end.ts';
import { Events } from './events.ts';
import { Host, type Wraps } from './host.ts';
import { Ledger } from './ledger.ts';
import { Oracle } from './oracle.ts';
import { Run } from './run.ts';
import { Server, type Watcher } from './server.ts';
import { SharedStore } from './shared-store.ts';
import { Weather } from './weather.ts';

const hour = 60 * 60_000;

/** Options of {@link simulate}: what is put in front of places is there to see whether it is noticed. */
export interface SimulationOptions extends Wraps {
  /** The commands that are given, by name; all by default. */
  readonly only?: ReadonlySet<string> | undefined;
}

/** How a simulation went. */
export interface Outcome {
  readonly seed: number;
  /** What happened, line by line; the same for the same seed. */
  readonly trace: readonly string[];
  /** Names of the commands that were given. */
  readonly commands: readonly string[];
  /** The promise that was broken; undefined when all were kept. */
  readonly violation: string | undefined;
  /** How often what happened. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Lets many hosts work on one remote, and checks that every promise is kept. */
export async function simulate(seed: number, options: SimulationOptions = {}): Promise<Outcome> {
  const simulation = new Simulation(seed, options);
  try {
    return await simulation.run();
  } finally {
    clearScratch();
  }
}

class Simulation {
  readonly #seed: number;
  readonly #chance: Chance;
  readonly #events = new Events();
  readonly #oracle = new Oracle();
  readonly #network: Network;
  readonly #ledger: Ledger;
  readonly #hosts: readonly Host[];
  readonly #options: SimulationOptions;
  /** What learns of changes of the remote, in this order. */
  readonly #watchers: readonly Watcher[];
  readonly #commandsPerShell: number;
  readonly #pauseMsMax: number;
  readonly #commands: string[] = [];
  readonly #counts: Record<string, number> = {};
  #busy = 0;

  constructor(seed: number, options: SimulationOptions) {
    this.#seed = seed;
    this.#options = options;
    const chance = new Chance(seed);
    this.#chance = chance;
    const isForCleaning = chance.happens(0.65, 'cleaning');
    const isSharing = isForCleaning && chance.happens(0.35, 'shared store');
    // Small worlds find most, and cost little; a few are large.
    const hosts = chance.pick(isSharing ? [2, 2, 3] : [2, 2, 3, 3, 5], 'hosts');
    const names = Array.from({ length: hosts }, (_, n) => `host${n + 1}`);
    const commands = isForCleaning ? [8, 10, 12] : [4, 6, 8, 15];
    this.#commandsPerShell = chance.pick(isSharing ? [15] : commands, 'commands');
    // Clean-ups and pushes take seconds to minutes: they overlap where pauses are no longer.
    const pauses = isForCleaning ? [500, 2_000, 10_000] : [500, 5_000, 60_000, hour];
    this.#pauseMsMax = chance.pick(isSharing ? [100, 1_000] : pauses, 'pauses');
    const spanMs = this.#commandsPerShell * (this.#pauseMsMax / 2 + 20_000);
    const weather = new Weather(chance, { hosts: names, spanMs, isForCleaning });
    const lag = (key: string, what: string): number => {
      if (weather.isQuiet || weather.lagMs === 0) return 0;
      return Math.round(chance.fraction('lag', key, what) * weather.lagMs);
    };
    const now = () => this.#events.now;
    const server = new Server(now, lag, {
      created: (...change) => {
        for (const watcher of this.#watchers) watcher.created(...change);
      },
      deleted: (...change) => {
        for (const watcher of this.#watchers) watcher.deleted(...change);
      },
    });
    this.#network = { events: this.#events, server, chance, weather };
    this.#ledger = new Ledger(this.#oracle, server, now);
    const rules = new CleanUpRules(now, (what) => this.#oracle.fail(what));
    this.#watchers = [this.#oracle, this.#ledger, rules];
    this.#hosts = this.#makeHosts(names, isSharing);
  }

  /** @param isSharing whether the first two are neighbours on one machine, and share a local store */
  #makeHosts(names: readonly string[], isSharing: boolean): Host[] {
    const { chance, weather } = this.#network;
    const repositories = weather.isForCleaning
      ? names.length
      : chance.between(1, names.length, 'repositories');
    const repositoryOf = (n: number) => String(n % repositories).padStart(32, '0');
    const shared = isSharing
      ? new SharedStore(scratchFolder(), [repositoryOf(0), repositoryOf(1)], this.#network)
      : undefined;
    return names.map((name, n) => {
      const isNeighbour = isSharing && n < 2;
      return new Host({
        name,
        machine: isNeighbour ? (names[0] as string) : name,
        root: scratchFolder(),
        repository: repositoryOf(n),
        hasTwoShells: !isNeighbour && chance.happens(0.25, 'shells', name),
        shared: isNeighbour ? shared : undefined,
        network: this.#network,
        wraps: this.#options,
      });
    });
  }

  async run(): Promise<Outcome> {
    const { server, chance, weather } = this.#network;
    this.#events.tell(`seed ${this.#seed}: ${weather}`);
    const clock = { now: () => epochMs, monotonic: () => 0 };
    const by = { write: 'header', program: 'header' };
    server.create(headerKey, formatHeader(clock, chance.sequence('header')), by);
    try {
      for (const host of this.#hosts) {
        const { name, machine } = host;
        await host.init(new Run({ name: `${name}.0`, kind: 'init', machine }));
        for (const shell of shells(host)) {
          this.#busy++;
          this.#next(host, shell, 1);
        }
      }
      await this.#runToEnd();
      if (this.#oracle.violation === undefined) await this.#end();
    } catch (error) {
      this.#oracle.fail(messageOf(error));
    }
    return {
      seed: this.#seed,
      trace: this.#events.trace,
      commands: this.#commands,
      violation: this.#oracle.violation?.message,
      counts: this.#counts,
    };
  }

  async #runToEnd(): Promise<void> {
    await this.#events.run(() => this.#busy === 0 || this.#oracle.violation !== undefined);
    if (this.#busy > 0) this.#oracle.fail(`${this.#busy} shells wait for what never comes`);
  }

  /** Plans the next command of a shell. */
  #next(host: Host, shell: string, number: number): void {
    const id = `${shell}.${number}`;
    if (number > this.#commandsPerShell) {
      this.#busy--;
      return;
    }
    const pause = this.#chance.fraction(id, 'pause') ** 2 * this.#pauseMsMax;
    const { chance, weather } = this.#network;
    const next = () => this.#next(host, shell, number + 1);
    this.#events.after(pause, `${id} begins`, () => {
      if (this.#options.only?.has(id) === false) next();
      else this.#begin(host, id, drawKind(chance, weather, host, { id, number }), next);
    });
  }

  #begin(host: Host, id: string, kind: CommandKind, next: () => void): void {
    const { weather, server } = this.#network;
    const began = this.#events.now;
    const killedAt = this.#chance.happens(weather.crashes, id, 'crash')
      ? this.#chance.between(1, 60, id, 'crash at')
      : undefined;
    const end = (how: string, what: string): void => {
      host.stampPacks();
      this.#events.tell(`${id} ${kind} ${what}`);
      this.#count(`${kind} ${how}`);
      if (kind === 'push' && how === 'done' && server.lostPacksSince(began)) {
        this.#count('push while packs were removed');
      }
      next();
    };
    const onKill = () => {
      this.#ledger.entries.killed(id);
      end('killed', 'is killed');
    };
    const program = new Run({ name: id, kind, machine: host.machine, killedAt, onKill });
    this.#commands.push(id);
    this.#events.tell(`${id} ${kind} begins`);
    const setting = this.#setting(host, program);
    carryOut(kind, setting).then(
      (what) => end('done', what),
      (error: unknown) => {
        this.#judge(kind, setting, error);
        end(isMstoreError(error) ? error.code : 'broke', `fails: ${messageOf(error)}`);
      },
    );
  }

  #setting(host: Host, program: Run): Setting {
    const { chance, weather } = this.#network;
    return {
      host,
      program,
      chance,
      ledger: this.#ledger,
      weather,
      began: this.#events.now,
      count: (what) => this.#count(what),
    };
  }

  #judge(kind: CommandKind, { host, program, began }: Setting, error: unknown): void {
    this.#ledger.entries.failed(program.name, error);
    const { weather, server } = this.#network;
    if (mayBeRefused(kind, error)) return;
    // What a push that was killed has left unfinished keeps clean-ups off, and so does one that is under way.
    const cleans = kind === 'gc' && isMstoreError(error, 'corrupt-remote');
    if (cleans && this.#ledger.wasIncompleteSince(began)) return;
    // A list that was behind did not show what was new when the command began.
    const isNew = weather.lagMs > 0 && server.changedSince(began - weather.lagMs);
    const mayLack = isNew || this.#ledger.mayLack(program.name) || host.mayLackSince(began);
    if (kind.startsWith('pull') && mayLack && isMstoreError(error, 'objects-missing')) return;
    if (isMstoreError(error, 'remote-unreachable') && !weather.isQuiet) return;
    if (kind === 'push' && host.mayLackData() && isMstoreError(error, 'objects-missing')) return;
    // Where neighbours clean up, waiting for them may come to an end.
    if (host.shared !== undefined && isMstoreError(error, 'locked')) return;
    this.#oracle.fail(`${program.name} ${kind} must not fail: ${messageOf(error)}`);
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  /** All goes well again: a new host must get everything that was acknowledged, before and after a clean-up. */
  async #end(): Promise<void> {
    this.#network.weather.calm();
    this.#ledger.checkEntries();
    await this.#lastly('reader', (setting) => readEverything(setting));
    await this.#lastly('cleaner', (setting) => cleanEverything(setting, this.#network));
    await this.#lastly('reader again', (setting) => readEverything(setting));
    this.#ledger.checkEntries();
  }

  /** Lets a new host do something, which must succeed. */
  async #lastly(name: string, work: (setting: Setting) => Promise<void>): Promise<void> {
    if (this.#oracle.violation !== undefined) return;
    const host = new Host({
      name,
      machine: name,
      root: scratchFolder(),
      repository: 'f'.repeat(32),
      hasTwoShells: false,
      network: this.#network,
      wraps: this.#options,
    });
    const program = new Run({ name, kind: 'end', machine: name });
    await host.init(program);
    this.#busy++;
    work(this.#setting(host, program)).then(
      () => this.#busy--,
      (error: unknown) => this.#oracle.fail(`The ${name} must not fail: ${messageOf(error)}`),
    );
    await this.#runToEnd();
  }
}

/** Where commands are typed: each runs one at a time. Two of a host share its workspace. */
function shells({ name, hasTwoShells }: Host): string[] {
  return hasTwoShells ? [name, `${name}b`] : [name];
}

/** Says what an error is, the same in each run. */
function messageOf(error: unknown): string {
  const text = isMstoreError(error)
    ? `${error.code}: ${error.message}`
    : String(error instanceof Error ? error.stack : error);
  return text.replace(/[^ ]*mstore-test-\w+/g, 'FOLDER');
}
