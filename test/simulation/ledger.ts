import type { Digest } from '../../src/base/digest.ts';
import { isMstoreError } from '../../src/base/errors.ts';
import type { Tracked } from '../../src/flow/tracked.ts';
import { modelsPrefix, parseRegistryKey } from '../../src/registry/keys.ts';
import type { Registry } from '../../src/registry/registry.ts';
import type { RegistryConflict } from '../../src/registry/sync.ts';
import { rootsPrefix } from '../../src/store/keys.ts';
import type { Pointer } from '../../src/worktree/pointer.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import type { Chance } from './chance.ts';
import { blobsOf, type Oracle } from './oracle.ts';
import type { Server } from './server.ts';

/** How long what a program has sent may be under way, milliseconds. */
const messageMsMax = 10 * 60_000;
const noRepository = 'e'.repeat(32);

/** All objects of a local registry, by key. */
export type LocalRegistry = ReadonlyMap<string, Buffer>;

/** Files of a content by path, as `stateOf` describes them. */
type State = Readonly<Record<string, string>>;

interface Published {
  readonly item: Tracked;
  readonly repository: string;
}

/** What commands were told, to be held against what the remote has. */
export class Ledger {
  readonly #oracle: Oracle;
  readonly #server: Server;
  readonly #now: () => number;
  /** Plain descriptions of everything that was ever added, by the digest in its pointer. */
  readonly #states = new Map<string, State>();
  readonly #pointers = new Map<string, Pointer>();
  readonly #wanted = new Map<string, Pointer>();
  #published: Published[] = [];
  /** Pushes by name: whose they are, and when they began. */
  readonly #begun = new Map<string, { readonly repository: string; readonly at: number }>();
  /** Clean-ups that gave a repository up, and until when that may take effect. */
  readonly #forgets = new Map<string, { readonly repository: string; until: number }>();
  /** For each command that tried to append an entry: how often it must be there, and at which number. */
  readonly #appended = new Map<string, { least: number; most: number; number?: number }>();

  constructor(oracle: Oracle, server: Server, now: () => number) {
    this.#now = now;
    this.#oracle = oracle;
    this.#server = server;
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
    if (found !== wanted) this.#oracle.fail(`${path} came back as ${found} instead of ${wanted}`);
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
    repository: string,
    tracked: readonly Tracked[],
    registry: { readonly before: LocalRegistry; readonly after: LocalRegistry },
    conflicts: readonly RegistryConflict[],
  ): void {
    for (const item of this.#isForgotten(command) ? [] : tracked) {
      this.#oracle.need(item.pointer, { name: `the push ${command}`, repository });
      this.#published.push({ item, repository });
    }
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
        this.#oracle.fail(`${command} was told that ${key} is there as it is here`);
      }
      if (isSame && named.kind === 'versions') this.#needVersion(key, bytes);
    }
    for (const { model, name: part } of conflicts) {
      const name = `${model}@${part}`;
      // A history speaks of versions: where one of them differs, it is told as well.
      if (!lost.has(model) && !this.#hasTwoMeanings(name, after)) {
        this.#oracle.fail(`${command} was told of a conflict about ${name}, and there is none`);
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

  /** An object of the registry appeared on the remote. */
  created(key: string, bytes: Buffer): void {
    const named = parseRegistryKey(key);
    if (named?.kind !== 'states' || entryOf(bytes).state !== 'deleted') return;
    this.#oracle.release(({ name }) => name === `${named.model}@${named.name}`);
  }

  /** A push begins. */
  begins(command: string, repository: string): void {
    this.#begun.set(command, { repository, at: this.#now() });
  }

  /** A clean-up begins to give up what a repository has pushed: nobody is promised any of it any more. */
  forgets(command: string, repository: string): void {
    this.#forgets.set(command, { repository, until: Number.POSITIVE_INFINITY });
    this.#oracle.release(({ repository: whose }) => whose === repository);
    this.#published = this.#published.filter((one) => one.repository !== repository);
  }

  /** A clean-up has ended, in whatever way; what it has sent may be under way for a while. */
  forgotten(command: string): void {
    const one = this.#forgets.get(command);
    if (one !== undefined) one.until = this.#now() + messageMsMax;
  }

  /** Chooses a repository that has begun to push. */
  drawRepository(chance: Chance, command: string): string {
    const all = [...new Set([...this.#begun.values()].map(({ repository }) => repository))].sort();
    return all.length === 0 ? noRepository : chance.pick(all, command, 'repository');
  }

  /** Whether what a push acknowledges was given up while it ran. */
  #isForgotten(command: string): boolean {
    const begun = this.#begun.get(command);
    return [...this.#forgets.values()].some(
      ({ repository, until }) => repository === begun?.repository && begun.at <= until,
    );
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
      if (key.startsWith(rootsPrefix)) digests.push(...rootOf(bytes));
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

  /** Everything that has to be removed by clean-ups must be gone. */
  checkGarbage(): void {
    const [first, ...more] = this.#oracle.garbage(this.#server, this.reachable());
    if (first === undefined) return;
    this.fail(`Nothing leads to ${first} and ${more.length} more, and clean-ups have left it`);
  }

  /** A command is about to fetch something. */
  wants(command: string, { pointer }: Tracked): void {
    this.#wanted.set(command, pointer);
  }

  /** Whether a command may find that what it wants is not there: nobody was promised it, or not any more. */
  mayLack(command: string): boolean {
    const pointer = this.#wanted.get(command);
    return (
      pointer !== undefined && !this.#oracle.needs(this.#pointers.get(pointer.sha256) ?? pointer)
    );
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

  /** All that was pushed. */
  published(): readonly Tracked[] {
    return this.#published.map(({ item }) => item);
  }

  /**
   * An entry was acknowledged: on the remote, where it must be, or on the host alone, where it may be pushed
   * later; or there was nothing to do.
   */
  appended(command: string, where: 'there' | 'here' | 'nothing', number?: number): void {
    if (where === 'nothing') this.#appended.set(command, { least: 0, most: 0 });
    else if (where === 'here') this.#appended.set(command, { least: 0, most: 1 });
    else {
      this.#appended.set(command, {
        least: 1,
        most: 1,
        ...(number === undefined ? {} : { number }),
      });
    }
  }

  /** A command failed: what was refused must not be there, what was unclear may be. */
  failed(command: string, error: unknown): void {
    const isUnclear = isMstoreError(error, 'remote-unreachable');
    this.#appended.set(command, { least: 0, most: isUnclear ? 1 : 0 });
  }

  /** A command was killed. */
  killed(command: string): void {
    this.#appended.set(command, { least: 0, most: 1 });
  }

  /** Compares all entries of the remote with what was told of them. */
  checkEntries(): void {
    const found = new Map<string, number[]>();
    for (const [key, { bytes }] of this.#server.objects) {
      const named = parseRegistryKey(key);
      if (named === undefined || named.kind === 'versions') continue;
      const { reason = '' } = entryOf(bytes);
      found.set(reason, [...(found.get(reason) ?? []), named.number]);
    }
    for (const [command, { least, most, number }] of this.#appended) {
      const numbers = found.get(command) ?? [];
      const right =
        numbers.length >= least &&
        numbers.length <= most &&
        (number === undefined || numbers[0] === number);
      if (!right) {
        this.#oracle.fail(
          `${command} has the entries ${numbers.join(', ') || 'none'}; it must have ${least} to ${most}, ${number ?? 'any number'}`,
        );
      }
    }
  }
}

function rootOf(bytes: Buffer): string[] {
  return JSON.parse(bytes.toString()).paths.map((item: { sha256: string }) => item.sha256);
}

function entryOf(bytes: Buffer): { reason?: string; state?: string; version?: string } {
  return JSON.parse(bytes.toString()).entry;
}

function contentOf(bytes: Buffer): string {
  return JSON.parse(bytes.toString()).record.content.sha256;
}
