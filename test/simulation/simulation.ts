import { isMstoreError } from '../../src/base/errors.ts';
import { formatHeader } from '../../src/store/header.ts';
import { headerKey } from '../../src/store/keys.ts';
import { clearScratch, scratchFolder } from '../support/flow-scratch.ts';
import { Chance } from './chance.ts';
import { epochMs, type Network, type Program } from './client.ts';
import { type CommandKind, carryOut, drawKind, mayBeRefused, type Setting } from './commands.ts';
import { cleanEverything, readEverything } from './end.ts';
import { Events } from './events.ts';
import { Host, type Wrap } from './host.ts';
import { Ledger } from './ledger.ts';
import { Oracle } from './oracle.ts';
import { Server } from './server.ts';
import { Weather } from './weather.ts';

const hour = 60 * 60_000;

/** Options of {@link simulate}. */
export interface SimulationOptions {
  /** The commands that are given, by name; all by default. */
  readonly only?: ReadonlySet<string> | undefined;
  /** Puts something in front of the remote, to see whether it is noticed. */
  readonly wrap?: Wrap;
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
    // Small worlds find most, and cost little; a few are large.
    const hosts = chance.pick([2, 2, 3, 3, 6], 'hosts');
    const names = Array.from({ length: hosts }, (_, n) => `host${n + 1}`);
    this.#commandsPerShell = chance.pick([4, 6, 8, 15], 'commands');
    const isForCleaning = chance.happens(0.5, 'cleaning');
    const pauses = isForCleaning ? [500, 5_000, 60_000] : [500, 5_000, 60_000, hour];
    this.#pauseMsMax = chance.pick(pauses, 'pauses');
    const spanMs = this.#commandsPerShell * (this.#pauseMsMax / 2 + 20_000);
    const weather = new Weather(chance, { hosts: names, spanMs, isForCleaning });
    const lag = (key: string, what: string): number =>
      weather.isQuiet ? 0 : Math.round(chance.fraction('lag', key, what) * weather.lagMs);
    const watcher = {
      created: (key: string, bytes: Buffer) => {
        this.#oracle.created(key, bytes);
        this.#ledger.created(key, bytes);
      },
      deleted: (key: string) => this.#oracle.deleted(key),
    };
    const server = new Server(() => this.#events.now, lag, watcher);
    this.#network = { events: this.#events, server, chance, weather };
    this.#ledger = new Ledger(this.#oracle, server, () => this.#events.now);
    const repositories = isForCleaning
      ? names.length
      : chance.between(1, names.length, 'repositories');
    const { wrap = (remote) => remote } = options;
    this.#hosts = names.map((name, n) => {
      const repository = String(n % repositories).padStart(32, '0');
      const hasTwoShells = chance.happens(0.25, 'shells', name);
      const parts = { name, root: scratchFolder(), repository, hasTwoShells };
      return new Host({ ...parts, network: this.#network, wrap });
    });
  }

  async run(): Promise<Outcome> {
    const { server, chance, weather } = this.#network;
    this.#events.tell(`seed ${this.#seed}: ${weather}`);
    const clock = { now: () => epochMs, monotonic: () => 0 };
    server.create(headerKey, formatHeader(clock, chance.sequence('header')), 'header');
    try {
      for (const host of this.#hosts) {
        await host.init(new Run(`${host.name}.0`, host.name));
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
      else this.#begin(host, id, drawKind(chance, weather, id, number), next);
    });
  }

  #begin(host: Host, id: string, kind: CommandKind, next: () => void): void {
    const { weather } = this.#network;
    const began = this.#events.now;
    const killedAt = this.#chance.happens(weather.crashes, id, 'crash')
      ? this.#chance.between(1, 60, id, 'crash at')
      : undefined;
    const end = (how: string, what: string): void => {
      host.stampPacks();
      this.#events.tell(`${id} ${kind} ${what}`);
      this.#count(`${kind} ${how}`);
      next();
    };
    const program = new Run(id, host.name, killedAt, () => {
      this.#ledger.killed(id);
      this.#ledger.forgotten(id);
      end('killed', 'is killed');
    });
    this.#commands.push(id);
    this.#events.tell(`${id} ${kind} begins`);
    const count = (what: string) => this.#count(what);
    const setting = { host, program, chance: this.#chance, ledger: this.#ledger, weather, count };
    carryOut(kind, setting).then(
      (what) => end('done', what),
      (error: unknown) => {
        this.#judge(kind, setting, error, began);
        end(isMstoreError(error) ? error.code : 'broke', `fails: ${messageOf(error)}`);
      },
    );
  }

  #judge(kind: CommandKind, { host, program }: Setting, error: unknown, began: number): void {
    this.#ledger.failed(program.name, error);
    this.#ledger.forgotten(program.name);
    const { weather, server } = this.#network;
    if (mayBeRefused(kind, error)) return;
    // What a push that was killed has left unfinished keeps clean-ups off.
    const cleans = kind === 'gc' && isMstoreError(error, 'corrupt-remote');
    if (cleans && this.#ledger.isIncomplete()) return;
    // A list that was behind did not show what was new when the command began.
    const isNew = weather.lagMs > 0 && server.changedSince(began - weather.lagMs);
    const mayLack = isNew || this.#ledger.mayLack(program.name);
    if (kind.startsWith('pull') && mayLack && isMstoreError(error, 'objects-missing')) return;
    if (isMstoreError(error, 'remote-unreachable') && !weather.isQuiet) return;
    if (kind === 'push' && host.storeWasLost && isMstoreError(error, 'objects-missing')) return;
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
    const network = this.#network;
    const { chance, weather } = network;
    const { wrap = (remote) => remote } = this.#options;
    const parts = { root: scratchFolder(), repository: 'f'.repeat(32), hasTwoShells: false };
    const host = new Host({ ...parts, name, network, wrap });
    const program = new Run(name, name);
    await host.init(program);
    this.#busy++;
    const count = (what: string) => this.#count(what);
    work({ host, program, chance, ledger: this.#ledger, weather, count }).then(
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

/** One run of a program. */
class Run implements Program {
  readonly name: string;
  readonly host: string;
  readonly #killedAt: number | undefined;
  readonly #onKill: () => void;
  #steps = 0;
  #numbers = 0;
  #isAlive = true;

  constructor(name: string, host: string, killedAt?: number, onKill: () => void = () => {}) {
    this.name = name;
    this.host = host;
    this.#killedAt = killedAt;
    this.#onKill = onKill;
  }

  nextNumber(): number {
    return this.#numbers++;
  }

  isAlive(): boolean {
    return this.#isAlive;
  }

  onStep(): void {
    if (!this.#isAlive || ++this.#steps !== this.#killedAt) return;
    this.#isAlive = false;
    this.#onKill();
  }
}

/** Says what an error is, the same in each run. */
function messageOf(error: unknown): string {
  const text = isMstoreError(error)
    ? `${error.code}: ${error.message}`
    : String(error instanceof Error ? error.stack : error);
  return text.replace(/[^ ]*mstore-test-\w+/g, 'FOLDER');
}
