import type { Clock } from '../../src/base/clock.ts';
import { MstoreError } from '../../src/base/errors.ts';
import { checkKey, checkPrefix, checkRange, noObject } from '../../src/remote/keys.ts';
import type { RemoteObject, RemotePruner } from '../../src/remote/remote.ts';
import { readSource } from '../../src/remote/source.ts';
import { type UnclearWrites, underNumber } from '../../src/remote/unclear-writes.ts';
import { retrying, retryPolicy } from '../../src/remote/wrappers/retry.ts';
import type { Chance } from './chance.ts';
import type { Events } from './events.ts';
import type { ListedObject, Server } from './server.ts';
import type { Weather } from './weather.ts';

/** What a simulated network needs to know of one program that runs on a host. */
export interface Program {
  readonly host: string;
  /** The command that it carries out. */
  readonly kind: string;
  /** Unique in the simulation. */
  readonly name: string;
  /** Whether it still runs; what a program that was killed has sent may arrive all the same. */
  isAlive(): boolean;
  /** A number that it had not before. */
  nextNumber(): number;
  /** Told of each step that a request takes, and may end the program there. */
  onStep(): void;
}

/** The parts of a simulation that a client is made of. */
export interface Network {
  readonly events: Events;
  readonly server: Server;
  readonly chance: Chance;
  readonly weather: Weather;
}

/** Wall-clock time at which simulations begin, by the clock of the service. */
export const epochMs = Date.UTC(2026, 0, 1);

const location = 'memory://origin';

/** What became of a request, until it is told. */
type Answer<T> = { readonly value: T } | { readonly error: MstoreError };

/**
 * The remote as one program sees it: each call is a request that takes time on its way, takes effect at one
 * moment, and an answer that takes time again; either may be lost. As all services, it is tried again.
 */
export function simulatedRemote(network: Network, program: Program): RemotePruner {
  const { chance, weather } = network;
  const unclear: UnclearWrites = new WeakMap();
  const random = chance.sequence(`random ${program.name}`);
  const calls = new Calls(network, program);
  const bare: RemotePruner = {
    location,
    async *get(key, range) {
      checkKey(key);
      const { value, cut } = await calls.read(`get ${key}`, (server) => {
        const bytes = server.objects.get(key)?.bytes;
        if (bytes === undefined) throw noObject(key, location);
        const { start, end } = checkRange(key, range, bytes.length, location);
        return Buffer.from(bytes.subarray(start, end));
      });
      const whole = value.length;
      if (cut === undefined) {
        if (whole > 0) yield value;
        return;
      }
      yield value.subarray(0, Math.floor(whole * cut));
      throw unreachable(`the answer to get ${key} broke off`);
    },
    async stat(key) {
      checkKey(key);
      return calls.call(`stat ${key}`, ({ objects }) => objects.get(key)?.bytes.length);
    },
    async *list(prefix) {
      checkPrefix(prefix);
      let after = '';
      for (;;) {
        const start = after;
        const count = weather.pageRows;
        const name = `list ${prefix} ${start === '' ? 'from the start' : `after ${start}`}`;
        const page = await calls.call(name, (server) => server.list(prefix, start, count));
        for (const row of page) yield listed(row);
        if (page.length < count) return;
        after = page.at(-1)?.key ?? '';
      }
    },
    async create(key, source, options) {
      checkKey(key);
      return underNumber(unclear, source, key, random, async ({ number }) => {
        const blocks: Buffer[] = [];
        for await (const block of readSource(key, source, options?.signal)) {
          blocks.push(Buffer.from(block));
        }
        const bytes = Buffer.concat(blocks);
        const by = { write: number, program: program.name };
        return calls.call(`create ${key}`, (server) => server.create(key, bytes, by));
      });
    },
    async delete(key) {
      checkKey(key);
      await calls.call(`delete ${key}`, (server) => server.delete(key, program.name));
    },
  };
  const clock = hostClock(network, program.host);
  const sleep = sleeper(network, program);
  return retrying(bare, retryPolicy({ clock, random, sleep, triesMax: weather.triesMax }));
}

/** The clock of a host: wrong as the weather says, and its monotonic one stands still while the host sleeps. */
export function hostClock({ events, weather }: Network, host: string): Clock {
  return {
    now: () => epochMs + events.now + weather.skew(host, events.now),
    monotonic: () => events.now - weather.slept(host, events.now),
  };
}

/** Waits of a program after which timers are late: one that polls for an hour does not do so a thousand times. */
const waitsInTime = 20;
const lateness = 20;

/** Lets a program wait; one that is killed meanwhile does not wake. */
export function sleeper(
  { events, weather }: Network,
  program: Program,
): (ms: number) => Promise<void> {
  return (asked) =>
    new Promise((resolve) => {
      const number = program.nextNumber();
      const ms = number < waitsInTime ? asked : asked * lateness;
      const asleep = weather.sleeps(program.host, events.now + ms);
      events.after(ms + asleep, `${program.name} wakes ${number}`, () => {
        if (program.isAlive()) resolve();
      });
    });
}

function listed({ key, size, created }: ListedObject): RemoteObject {
  return { key, size, time: epochMs + created };
}

function unreachable(what: string): MstoreError {
  return new MstoreError('remote-unreachable', `The simulated network failed: ${what}`, {
    hint: 'This failure is part of a test',
  });
}

/** Requests of one program. */
class Calls {
  readonly #network: Network;
  readonly #program: Program;
  /** How often each was sent: what is asked twice has its own luck each time. */
  readonly #sent = new Map<string, number>();

  constructor(network: Network, program: Program) {
    this.#network = network;
    this.#program = program;
  }

  async call<T>(what: string, effect: (server: Server) => T): Promise<T> {
    return (await this.#send(what, effect)).value;
  }

  /** The same for a body, which may break off: `cut` is the part of it that arrives. */
  async read<T>(
    what: string,
    effect: (server: Server) => T,
  ): Promise<{ value: T; cut: number | undefined }> {
    const { value, id } = await this.#send(what, effect);
    const { chance, weather } = this.#network;
    const breaks = weather.loses(chance, id, 'body');
    return { value, cut: breaks ? chance.fraction(id, 'part') : undefined };
  }

  #send<T>(what: string, effect: (server: Server) => T): Promise<{ value: T; id: string }> {
    const { events, chance, weather, server } = this.#network;
    const program = this.#program;
    const number = this.#sent.get(what) ?? 0;
    this.#sent.set(what, number + 1);
    const id = `${program.name} ${what} #${number}`;
    return new Promise((resolve, reject) => {
      const told = (answer: Answer<T>, ms: number): void => {
        const asleep = weather.sleeps(program.host, events.now + ms);
        events.after(ms + asleep, `${id} answer`, () => {
          if (!program.isAlive()) return;
          program.onStep();
          if (!program.isAlive()) return;
          if ('error' in answer) reject(answer.error);
          else resolve({ value: answer.value, id });
        });
      };
      const lose = (why: string): void => {
        events.tell(`${program.name} ${what}: ${why}`);
        told({ error: unreachable(`${what}, ${why}`) }, weather.timeoutMs);
      };
      program.onStep();
      if (!program.isAlive()) return;
      events.after(weather.latency(chance, program.name, id, 'way'), `${id} arrives`, () => {
        // What a program sent before it was killed may have been on its way already.
        if (!program.isAlive() && chance.happens(0.5, id, 'dies')) return;
        if (weather.isCut(program.host, events.now) || weather.loses(chance, id, 'request')) {
          lose('the request is lost');
          return;
        }
        const answer = attempt(() => effect(server));
        const ms = weather.latency(chance, program.name, id, 'back');
        if (weather.isCut(program.host, events.now + ms) || weather.loses(chance, id, 'reply')) {
          lose(`${describe(answer)}, and the reply is lost`);
          return;
        }
        events.tell(`${program.name} ${what}: ${describe(answer)}`);
        told(answer, ms);
      });
    });
  }
}

function attempt<T>(work: () => T): Answer<T> {
  try {
    return { value: work() };
  } catch (error) {
    if (error instanceof MstoreError) return { error };
    throw error;
  }
}

function describe(answer: Answer<unknown>): string {
  if ('error' in answer) return answer.error.code;
  const { value } = answer;
  if (Buffer.isBuffer(value)) return `${value.length} bytes`;
  if (Array.isArray(value)) return `${value.length} rows`;
  return value === undefined ? 'none' : String(value);
}
