import type { Tracked } from '../../src/flow/tracked.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { RemoteObject, RemotePruner } from '../../src/remote/remote.ts';
import { readSource } from '../../src/remote/source.ts';
import type { Store } from '../../src/store/local-store.ts';
import { epochMs, type Network, type Program } from './client.ts';
import { blobsOf } from './oracle.ts';
import { type Promisee, RootRecords } from './root-records.ts';

/** How long a call of a shared disk may take, milliseconds. */
const diskMsMax = 1_500;

interface Promised {
  readonly item: Tracked;
  readonly name: string;
  /** Root records that keep it. */
  readonly records: readonly string[];
}

/** A local store that several workspaces of one machine use, on a slow disk. */
export class SharedStore {
  readonly folder: string;
  /** The repositories whose workspaces use it. */
  readonly repositories: readonly string[];
  readonly records: RootRecords;
  /** Packs whose times were set. */
  readonly stamped = new Set<string>();
  readonly #network: Network;
  /** When objects were created by {@link place}, by the clock of the simulation. */
  readonly #times = new Map<string, number>();
  readonly #calls = new Map<string, number>();
  #promises: Promised[] = [];

  constructor(folder: string, repositories: readonly string[], network: Network) {
    this.folder = folder;
    this.repositories = repositories;
    this.#network = network;
    this.records = new RootRecords(() => network.events.now);
  }

  /**
   * Opens the store as clean-ups do, and those who watch for them. Each call takes a while before it has its
   * effect, so that commands of other workspaces come between.
   */
  async place(program: Program): Promise<RemotePruner> {
    const disk = await openRemote(this.folder, { base: this.folder });
    const { events, chance, weather } = this.#network;
    const turn = (what: string): Promise<void> => {
      const name = `${program.name} ${what}`;
      const number = this.#calls.get(name) ?? 0;
      this.#calls.set(name, number + 1);
      const longest = diskMsMax * weather.pace(chance, program.name);
      const ms = 1 + Math.round(chance.fraction('disk', name, number) ** 3 * longest);
      const asleep = weather.sleeps(program.host, events.now + ms);
      return new Promise((resolve) => {
        events.after(ms + asleep, `${name} disk ${number}`, () => {
          if (program.isAlive()) resolve();
        });
      });
    };
    const { records } = this;
    const times = this.#times;
    return {
      ...disk,
      async *get(key, range, options) {
        await turn(`get ${key}`);
        yield* disk.get(key, range, options);
      },
      async stat(key, options) {
        await turn(`stat ${key}`);
        return disk.stat(key, options);
      },
      async *list(prefix, options) {
        await turn(`list ${prefix}`);
        const rows: RemoteObject[] = [];
        for await (const row of disk.list(prefix, options)) rows.push(row);
        for (const row of rows) yield { ...row, time: times.get(row.key) ?? row.time };
      },
      async create(key, source, options) {
        await turn(`create ${key}`);
        const outcome = await disk.create(key, source, options);
        if (outcome !== 'created') return outcome;
        const blocks: Buffer[] = [];
        for await (const block of readSource(key, source, undefined)) {
          blocks.push(Buffer.from(block));
        }
        times.set(key, epochMs + events.now);
        records.created(key, Buffer.concat(blocks), program.name);
        return outcome;
      },
      async delete(key, options) {
        await turn(`delete ${key}`);
        await disk.delete(key, options);
        times.delete(key);
        records.deleted(key);
      },
    };
  }

  /**
   * A command that began at `began` was told that contents are in the store: they are and stay there until the
   * records that keep them are given up.
   * @returns what is wrong, if anything
   */
  acknowledged(items: readonly Tracked[], by: Promisee, store: Store): string | undefined {
    const { name, repository, began } = by;
    for (const item of items) {
      const records = this.records.keeping(item.pointer.sha256, by);
      if (records.length > 0) this.#promises.push({ item, name, records });
      else if (!this.records.wereGivenUpSince(repository, began)) {
        return `${name} was told that ${item.path} is in the store, and no record keeps it there`;
      }
    }
    return this.broken(store);
  }

  /** Says which promise is broken, if any is. */
  broken(store: Store): string | undefined {
    this.#promises = this.#promises.filter(({ records }) => {
      return !records.every((key) => this.records.isGivenUp(key));
    });
    store.reopen();
    for (const { item, name } of this.#promises) {
      const lost = blobsOf(item.pointer).find((blob) => !store.has(blob));
      if (lost === undefined) continue;
      return `${name} was told that ${item.path} is in the store, and ${lost} is not`;
    }
    return undefined;
  }
}
