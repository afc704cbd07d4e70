import type { Digest } from '../../src/base/digest.ts';
import type { Tracked } from '../../src/flow/tracked.ts';
import { modelsPrefix, parseRegistryKey } from '../../src/registry/keys.ts';
import type { Registry } from '../../src/registry/registry.ts';
import type { RegistryConflict } from '../../src/registry/sync.ts';
import { packsPrefix, recipesPrefix, rootsPrefix } from '../../src/store/keys.ts';
import type { Pointer } from '../../src/worktree/pointer.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import type { Chance } from './chance.ts';
import { Entries, entryOf } from './entries.ts';
import { blobsOf, type Oracle } from './oracle.ts';
import { digestsOfRoot, RootRecords } from './root-records.ts';
import type { Server, Watcher } from './server.ts';

/** All objects of a local registry, by key. */
export type LocalRegistry = ReadonlyMap<string, Buffer>;

/** Files of a content by path, as `stateOf` describes them. */
type State = Readonly<Record<string, string>>;

interface Published {
  readonly item: Tracked;
  /** The root records that keep it. */
  readonly records: readonly string[];
}

/** What a command wants to fetch. */
interface Wanted {
  readonly pointer: Pointer;
  /** Whether it was not promised at some time since then. */
  mayLack: boolean;
}

/** What commands were told, to be held against what the remote has. */
export class Ledger implements Watcher {
  readonly entries = new Entries();
  readonly #oracle: Oracle;
  readonly #server: Server;
  readonly #now: () => number;
  readonly #records: RootRecords;
  /** Plain descriptions of everything that was ever added, by the digest in its pointer. */
  readonly #states = new Map<string, State>();
  readonly #pointers = new Map<string, Pointer>();
  readonly #wanted = new Map<string, Wanted>();
  #published: Published[] = [];
  /** Pushes by name: whose they are, and when they began. */
  readonly #begun = new Map<string, { readonly repository: string; readonly at: number }>();
  /** Until when the remote led to something that was not there, as far as it was looked at. */
  #incompleteUntil = Number.NEGATIVE_INFINITY;

  constructor(oracle: Oracle, server: Server, now: () => number) {
    this.#now = now;
    this.#oracle = oracle;
    this.#server = server;
    this.#records = new RootRecords(now);
  }

  /** Something was added to a store. */
  added({ pointer }: Tracked, state: State): void {
    this.#states.set(pointer.sha256, state);
    this.#pointers.set(pointer.sha256, pointer);
  }

  /** What a fetch and a checkout gave must be what was added, byte for byte. */
  checkContent({ path, pointer }: Tracked, state: State): void {
    const wanted = JSON.stringify(Object.entries(this.#states.get(pointer.sha256) ?? {}).sort());
    const found = JSON.stringify(Object.entries(state).sort());
    if (found !== wanted) this.fail(`${path} came back as ${found} instead of ${wanted}`);
  }

  /** Everything in a local registry, before it is pushed. */
  async readRegistry({ place }: Registry): Promise<LocalRegistry> {
    const keys = await listKeys(place, modelsPrefix);
    const objects = new Map<string, Buffer>();
    for (const key of keys) objects.set(key, await readObject(place, key));
    return objects;
  }

  /**
   * A push was acknowledged: what it names is there and stays, every object of the registry is there as it is
   * here, what is not is a conflict that was told, and no other conflict was.
   */
  pushed(
    command: string,
    tracked: readonly Tracked[],
    registry: { readonly before: LocalRegistry; readonly after: LocalRegistry },
    conflicts: readonly RegistryConflict[],
  ): void {
    this.#promise(command, tracked);
    // Another shell may have added to it meanwhile, or set aside what differed.
    const { before, after } = registry;
    const here = new Map([...before].filter(([key, bytes]) => after.get(key)?.equals(bytes)));
    const told = new Set(conflicts.map(({ model, name }) => `${model}@${name}`));
    const lost = new Set<string>();
    for (const [key, bytes] of [...before, ...after]) {
      if (!this.#isThere(key, bytes)) lost.add(parseRegistryKey(key)?.model ?? '');
    }
    for (const [key, bytes] of here) {
      const named = parseRegistryKey(key);
      if (named === undefined) continue;
      const name = `${named.model}@${named.name}`;
      const isSame = this.#isThere(key, bytes);
      if (!isSame && !told.has(name)) {
        this.fail(`${command} was told that ${key} is there as it is here`);
      }
      if (isSame && named.kind === 'versions') this.#needVersion(key, bytes);
    }
    for (const { model, name: part } of conflicts) {
      const name = `${model}@${part}`;
      // A history speaks of versions: where one of them differs, it is told as well.
      if (!lost.has(model) && !this.#hasTwoMeanings(name, after)) {
        this.fail(`${command} was told of a conflict about ${name}, and there is none`);
      }
    }
  }

  /** What was pushed stays as long as one of the records that list it is not given up. */
  #promise(command: string, tracked: readonly Tracked[]): void {
    const begun = this.#begun.get(command);
    if (begun === undefined) throw new Error(`${command} has not begun`);
    const { repository, at } = begun;
    const by = { name: command, repository, began: at };
    for (const item of tracked) {
      const records = this.#records.keeping(item.pointer.sha256, by);
      if (records.length > 0) {
        this.#oracle.need(item.pointer, { name: `the push ${command}`, records });
        this.#published.push({ item, records });
      } else if (!this.#records.wereGivenUpSince(repository, at)) {
        this.fail(`${command} was told that ${item.path} is kept, and no record lists it`);
      }
    }
  }

  #isThere(key: string, bytes: Buffer): boolean {
    return this.#server.objects.get(key)?.bytes.equals(bytes) ?? false;
  }

  /** Whether a name is a version on one side and an environment on the other. */
  #hasTwoMeanings(name: string, here: LocalRegistry): boolean {
    const keysOf = (keys: Iterable<string>) =>
      [...keys].filter((key) => {
        const named = parseRegistryKey(key);
        return named !== undefined && `${named.model}@${named.name}` === name;
      });
    const kinds = [...keysOf(here.keys()), ...keysOf(this.#server.objects.keys())].map((key) => {
      return parseRegistryKey(key)?.kind;
    });
    return kinds.includes('versions') && kinds.includes('environments');
  }

  #needVersion(key: string, bytes: Buffer): void {
    const named = parseRegistryKey(key);
    if (named === undefined || this.#isDeleted(named.model, named.name)) return;
    const pointer = this.#pointers.get(contentOf(bytes));
    if (pointer !== undefined) this.#oracle.need(pointer, { name: `${named.model}@${named.name}` });
  }

  /** Whether the remote says that a version is deleted. */
  #isDeleted(model: string, version: string): boolean {
    const prefix = `${modelsPrefix}${model}/states/${version}/`;
    const last = [...this.#server.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const bytes = this.#server.objects.get(last.at(-1) ?? '')?.bytes;
    return bytes !== undefined && entryOf(bytes).state === 'deleted';
  }

  created(key: string, bytes: Buffer, command: string): void {
    if (this.#records.created(key, bytes, command)) this.#giveUp();
    const named = parseRegistryKey(key);
    if (named?.kind === 'states' && entryOf(bytes).state === 'deleted') {
      this.#release(({ name }) => name === `${named.model}@${named.name}`);
    }
    if (named?.kind === 'versions' || isData(key)) this.#lookWhole();
  }

  deleted(key: string): void {
    this.#records.deleted(key);
    if (isData(key)) this.#lookWhole();
  }

  /** Takes back promises that rest on records which were given up. */
  #giveUp(): void {
    const isOver = (records: readonly string[]): boolean =>
      records.every((key) => this.#records.isGivenUp(key));
    this.#release(({ records }) => records !== undefined && isOver(records));
    this.#published = this.#published.filter(({ records }) => !isOver(records));
  }

  #release(isOver: Parameters<Oracle['release']>[0]): void {
    this.#oracle.release(isOver);
    for (const wanted of this.#wanted.values()) wanted.mayLack ||= !this.#isPromised(wanted);
  }

  /** Notes whether the remote leads to something that is not there. */
  #lookWhole(): void {
    if (this.#incompleteUntil === Number.POSITIVE_INFINITY) this.#incompleteUntil = this.#now();
    if (this.isIncomplete()) this.#incompleteUntil = Number.POSITIVE_INFINITY;
  }

  /** A push begins. */
  begins(command: string, repository: string): void {
    this.#begun.set(command, { repository, at: this.#now() });
  }

  /** A clean-up is told to give up what repositories have pushed. */
  forgets(command: string, repositories: readonly string[]): void {
    this.#records.tell(command, repositories);
  }

  /** Repositories that have begun to push. */
  repositories(): string[] {
    return [...new Set([...this.#begun.values()].map(({ repository }) => repository))].sort();
  }

  /** Blobs that anything on the remote leads to: root records, versions that are in use, environments. */
  reachable(): Set<Digest> {
    const inUse = new Set<string>();
    for (const [key, { bytes }] of this.#server.objects) {
      const named = parseRegistryKey(key);
      if (named?.kind !== 'environments') continue;
      inUse.add(`${named.model}@${entryOf(bytes).version}`);
    }
    const digests: string[] = [];
    for (const [key, { bytes }] of this.#server.objects) {
      if (key.startsWith(rootsPrefix)) digests.push(...digestsOfRoot(bytes));
      const named = parseRegistryKey(key);
      if (named?.kind !== 'versions') continue;
      const isKept = inUse.has(`${named.model}@${named.name}`);
      if (isKept || !this.#isDeleted(named.model, named.name)) digests.push(contentOf(bytes));
    }
    return new Set(
      digests.flatMap((digest) => {
        const pointer = this.#pointers.get(digest);
        return pointer === undefined ? [] : blobsOf(pointer);
      }),
    );
  }

  /** Whether something that the remote leads to is not there: of a command that was not acknowledged. */
  isIncomplete(): boolean {
    return [...this.reachable()].some((blob) => !this.#oracle.has(blob));
  }

  /** Whether that was so at a moment or later. */
  wasIncompleteSince(at: number): boolean {
    return this.#incompleteUntil >= at;
  }

  /** Everything that has to be removed by clean-ups must be gone. */
  checkGarbage(): void {
    const [first, ...more] = this.#oracle.garbage(this.#server, this.reachable());
    if (first === undefined) return;
    this.fail(`Nothing leads to ${first} and ${more.length} more, and clean-ups have left it`);
  }

  /** A command is about to fetch something. */
  wants(command: string, { pointer }: Tracked): void {
    const wanted = { pointer: this.#pointers.get(pointer.sha256) ?? pointer, mayLack: false };
    wanted.mayLack = !this.#isPromised(wanted);
    this.#wanted.set(command, wanted);
  }

  #isPromised({ pointer }: Wanted): boolean {
    return this.#oracle.needs(pointer);
  }

  /** Whether a command may find that what it wants is not there: nobody was promised it, or not all the time. */
  mayLack(command: string): boolean {
    return this.#wanted.get(command)?.mayLack ?? false;
  }

  /** Notes a broken promise. */
  fail(what: string): void {
    this.#oracle.fail(what);
  }

  /** Chooses something that was pushed. */
  choosePublished(chance: Chance, command: string): Tracked | undefined {
    if (this.#published.length === 0) return undefined;
    return chance.pick(this.#published, command, 'published').item;
  }

  /** All that was pushed, each content once. */
  published(): readonly Tracked[] {
    return [...new Map(this.#published.map(({ item }) => [item.pointer.sha256, item])).values()];
  }

  /** Compares all entries of the remote with what was told of them. */
  checkEntries(): void {
    for (const what of this.entries.wrong(this.#server)) this.fail(what);
  }
}

/** Whether an object is part of what roots lead to, or a root. */
function isData(key: string): boolean {
  return [packsPrefix, recipesPrefix, rootsPrefix].some((prefix) => key.startsWith(prefix));
}

function contentOf(bytes: Buffer): string {
  return JSON.parse(bytes.toString()).record.content.sha256;
}
