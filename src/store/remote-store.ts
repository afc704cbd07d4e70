import type { Clock, Random } from '../base/clock.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import type { Digest } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import type { ChunkIndex } from '../index/chunk-index.ts';
import type { IndexedPack, ListedPack } from '../index/indexed-pack.ts';
import { type PackFooter, parseFooter, parseTrailer, trailerBytes } from '../pack/format.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteObject,
  type RemoteReader,
  type RemoteWriter,
  readObject,
} from '../remote/remote.ts';
import { formatHeader, parseHeader, type StoreHeader } from './header.ts';
import { pushedAgain } from './hints.ts';
import { KeptIndexes } from './kept-indexes.ts';
import {
  blobOfRecipeKey,
  headerKey,
  indexKey,
  indexPrefix,
  keysPrefix,
  packKey,
  packOfIndexKey,
  packOfKey,
  packsPrefix,
  probesPrefix,
  recipeKey,
  recipesPrefix,
} from './keys.ts';
import type { Store } from './local-store.ts';
import { indexObjectBytesMax } from './pack-files.ts';
import { parseRecipe, type Recipe, recipeBytesMax } from './recipe.ts';
import { readRange } from './remote-ranges.ts';

/** Above this many, one listing costs less than asking for each recipe. */
const recipesAskedMax = 200;

/** Damaged objects of one remote that are told one by one. */
const damageMax = 16;

/** Options of the calls that talk to a remote. */
export interface TransferOptions extends RemoteCallOptions {
  /** Calls at once. */
  readonly jobs: number;
}

/**
 * Makes an empty place an mstore remote; one that is a remote already is left as it is.
 * @param ready called before the header of a new remote is written, and says what the header says of encryption; its failure
 * leaves the place empty
 * @throws MstoreError `not-a-remote` when it holds something else
 */
export async function initRemote(
  remote: RemoteWriter,
  clock: Clock,
  random: Random,
  ready?: () => Promise<JsonObject | undefined>,
): Promise<'created' | 'exists'> {
  if ((await remote.stat(headerKey)) !== undefined) {
    await readHeader(remote);
    return 'exists';
  }
  const object = await firstForeign(remote);
  if (object !== undefined) {
    throw new MstoreError(
      'not-a-remote',
      `${remote.location} holds other files (${object.key}) and no mstore remote`,
      {
        hint: 'Use an empty or a new directory for the remote',
        details: { location: remote.location },
      },
    );
  }
  const encryption = await ready?.();
  return remote.create(headerKey, bytesSource(formatHeader(clock, random, encryption)));
}

/**
 * Returns the first object of a place that is no probe, and no key of an encrypted remote that was not made to its end; or
 * undefined when the place is as good as empty.
 */
export async function firstForeign(
  remote: RemoteReader,
  options: RemoteCallOptions = {},
): Promise<RemoteObject | undefined> {
  for await (const object of remote.list('', options)) {
    const isLeftOver = object.key.startsWith(probesPrefix) || object.key.startsWith(keysPrefix);
    if (!isLeftOver) return object;
  }
  return undefined;
}

/**
 * Reads the header of a remote.
 * @throws MstoreError `not-a-remote`, `corrupt-remote`, `newer-format`
 */
export async function readHeader(
  remote: RemoteReader,
  options: RemoteCallOptions = {},
): Promise<StoreHeader> {
  try {
    const bytes = await readObject(remote, headerKey, limits.headerBytesMax, options);
    return parseHeader(bytes, remote.location);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) throw await noHeader(remote, options);
    if (isMstoreError(error, 'corrupt-store')) {
      const { message, details } = error;
      throw new MstoreError('corrupt-remote', message, { hint: headerHint, details, cause: error });
    }
    throw error;
  }
}

const headerHint =
  'Restore the file from a backup, or copy .modelstore/store/mstore.json there; the packs beside it are unharmed';

/** A place that holds packs is a remote that has lost its header, and none that was never one. */
async function noHeader(remote: RemoteReader, options: RemoteCallOptions): Promise<MstoreError> {
  const { location } = remote;
  for await (const _ of remote.list(packsPrefix, options)) {
    return new MstoreError('corrupt-remote', `${location}/mstore.json is gone; packs are there`, {
      hint: headerHint,
      details: { key: headerKey, location },
    });
  }
  return new MstoreError('not-a-remote', `${location} is no mstore remote: it has no mstore.json`, {
    hint: 'Check the path; "mstore remote add NAME DIR" makes a new remote in an empty place',
    details: { location },
  });
}

/** What a remote holds, as far as this host knows. Index objects are kept locally once fetched. */
export class RemoteStore {
  readonly remote: RemoteReader;
  /** Identity of the remote, whatever it is called here. */
  readonly id: string;
  readonly #kept: KeptIndexes;
  readonly #last: ReadonlySet<Digest>;
  #index: ChunkIndex | undefined;
  /** Packs that have an index object there. */
  readonly #indexed = new Set<Digest>();
  readonly #damage = new Map<string, MstoreError>();
  #recipes: Set<Digest> | undefined;

  private constructor(remote: RemoteReader, id: string, store: Store, last: ReadonlySet<Digest>) {
    this.remote = remote;
    this.id = id;
    this.#kept = new KeptIndexes(store, id);
    this.#last = last;
  }

  /**
   * Opens a remote and checks its header.
   * @param last packs in which a chunk is found only if no other has it
   */
  static async open(
    remote: RemoteReader,
    store: Store,
    last: ReadonlySet<Digest> = new Set(),
  ): Promise<RemoteStore> {
    return new RemoteStore(remote, (await readHeader(remote)).id, store, last);
  }

  /**
   * The index of all packs that are whole by their size, opened at the first call. Only index objects that
   * neither the local store nor an earlier call has are fetched. Memory: as {@link ChunkIndex}, and some
   * 300 bytes a pack.
   */
  async index(options: TransferOptions): Promise<ChunkIndex> {
    this.#index ??= await this.#openIndex(options);
    return this.#index;
  }

  async #openIndex(options: TransferOptions): Promise<ChunkIndex> {
    // Before the listing: a table of packs that are not listed yet would be taken for useless.
    const index = this.#kept.openIndex();
    const listed: ListedPack[] = [];
    for await (const { key, size, time = 0 } of this.remote.list(packsPrefix, options)) {
      const pack = packOfKey(key);
      if (pack !== undefined) listed.push({ pack, size, time: this.#last.has(pack) ? -1 : time });
    }
    for await (const { key } of this.remote.list(indexPrefix, options)) {
      const pack = packOfIndexKey(key);
      if (pack !== undefined) this.#indexed.add(pack);
    }
    const near = this.#kept.list();
    const attached = index.attach(listed.filter(({ pack }) => near.has(pack)));
    const far = listed.filter(({ pack }) => !near.has(pack));
    await mapConcurrently([...attached, ...far], options.jobs, async (one) => {
      // A pack of another size is damaged: what it holds counts as absent, so that it is sent again.
      const footer = await this.#footer(one, options);
      if (footer === gone) return;
      if (footer?.packBytes === one.size) index.addPack(footer, one.time);
      else this.#noteDamage(packKey(one.pack), packDamage(one.size, footer?.packBytes));
    });
    index.settle();
    return index;
  }

  /**
   * Objects that turned out to be damaged while the index was opened, by their keys: packs that count as
   * absent for it, and index objects in whose place the end of the pack serves. Bounded.
   */
  damage(): readonly MstoreError[] {
    return [...this.#damage.values()];
  }

  #noteDamage(key: string, what: string): void {
    if (this.#damage.size >= damageMax) return;
    const error = new MstoreError(
      'corrupt-remote',
      `${this.remote.location}/${key} is damaged: ${what}`,
      {
        hint: pushedAgain('that object'),
        details: { key, location: this.remote.location },
      },
    );
    this.#damage.set(key, error);
  }

  /**
   * Returns the footer of a pack that the index knows; one that cannot be read here any more is fetched.
   * @throws MstoreError `corrupt-remote` when that fails
   */
  async footerOf({ id, packBytes }: IndexedPack, options: TransferOptions): Promise<PackFooter> {
    const near = (await this.index(options)).footer(id);
    const footer = near ?? (await this.#footer({ pack: id, size: packBytes }, options));
    if (footer !== gone && footer?.packBytes === packBytes) return footer;
    throw new MstoreError('corrupt-remote', `${this.remote.location}/${packKey(id)} is damaged`, {
      hint: pushedAgain('that pack'),
      details: { key: packKey(id), location: this.remote.location },
    });
  }

  /** Takes note of a pack that was sent with its index object, once the {@link index} is open. */
  addPack(footer: PackFooter): void {
    this.#kept.keep(footer);
    this.#index?.addPack(footer);
    this.#index?.settle();
  }

  /** Packs that are whole and have no index object, known with the {@link index}. */
  async packsWithoutIndex(options: TransferOptions): Promise<readonly Digest[]> {
    const index = await this.index(options);
    const packs: Digest[] = [];
    for (const { id } of index.packs()) if (!this.#indexed.has(id)) packs.push(id);
    return packs;
  }

  /**
   * Fetches index objects again that were kept and turned out to be damaged: until then, what their packs
   * hold counts as absent.
   * @returns whether there were any, so that it is worth looking again
   */
  async repair(options: TransferOptions): Promise<boolean> {
    const index = await this.index(options);
    const unreadable = [...this.#kept.unreadable];
    this.#kept.unreadable.clear();
    await mapConcurrently(unreadable, options.jobs, async ([pack, size]) => {
      const footer = await this.#footer({ pack, size }, options);
      if (footer !== gone && footer?.packBytes === size) index.addPack(footer);
    });
    return unreadable.length > 0;
  }

  /**
   * Makes sure that nothing counts as missing because of what is kept here of the remote: damaged index
   * objects, or a wrong chunk table.
   * @returns whether it is worth looking again
   */
  async recheck(options: TransferOptions): Promise<boolean> {
    const wrong = (await this.index(options)).recheck();
    return (await this.repair(options)) || wrong;
  }

  /** Returns a footer that is here: that of the same pack in the local store, or one kept of the remote. */
  keptFooter(pack: Digest): PackFooter | undefined {
    return this.#kept.read(pack);
  }

  /**
   * Finds a footer where it costs least: local store, kept index objects, the remote.
   * @returns undefined for a pack that is damaged, `gone` for one that was removed since it was listed
   */
  async #footer(
    { pack, size }: { pack: Digest; size: number },
    options: TransferOptions,
  ): Promise<PackFooter | typeof gone | undefined> {
    const near = this.#kept.read(pack);
    if (near !== undefined) return near;
    const footer = await this.#fetchFooter(pack, size, this.#indexed.has(pack), options);
    if (footer !== undefined && footer !== gone) this.#kept.keep(footer);
    return footer;
  }

  /** Fetches an index object; where it is missing or damaged, the pack's own footer serves. */
  async #fetchFooter(
    pack: Digest,
    size: number,
    indexed: boolean,
    options: TransferOptions,
  ): Promise<PackFooter | typeof gone | undefined> {
    try {
      if (indexed)
        return parseFooter(
          await readObject(this.remote, indexKey(pack), indexObjectBytesMax, options),
          pack,
        );
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-pack', 'corrupt-remote', 'not-found')) throw error;
      if (error.code !== 'not-found') {
        this.#noteDamage(indexKey(pack), 'it is not the index of its pack, whose own end is read');
      }
    }
    try {
      if (size < trailerBytes) return undefined;
      const range = { start: size - trailerBytes, end: size };
      const trailer = await readRange(this.remote, packKey(pack), range, options);
      const { footerStart, footerLength } = parseTrailer(trailer, size);
      const footerRange = { start: footerStart, end: footerStart + footerLength };
      return parseFooter(await readRange(this.remote, packKey(pack), footerRange, options), pack);
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return gone;
      if (isMstoreError(error, 'corrupt-pack', 'corrupt-remote')) return undefined;
      throw error;
    }
  }

  /**
   * Fetches the recipe of a blob of more than one chunk.
   * @returns undefined when the remote has none
   * @throws MstoreError `corrupt-remote` when it is damaged
   */
  async recipe(blob: Digest, options: TransferOptions): Promise<Recipe | undefined> {
    try {
      return parseRecipe(
        await readObject(this.remote, recipeKey(blob), recipeBytesMax, options),
        blob,
      );
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return undefined;
      if (isMstoreError(error, 'corrupt-recipe')) throw damagedThere(this.remote, blob, error);
      throw error;
    }
  }

  /** Returns those of the blobs for which the remote has no recipe. */
  async withoutRecipe(blobs: readonly Digest[], options: TransferOptions): Promise<Digest[]> {
    if (blobs.length > recipesAskedMax || this.#recipes !== undefined) {
      this.#recipes ??= await this.#listRecipes(options);
      const known = this.#recipes;
      return blobs.filter((blob) => !known.has(blob));
    }
    const sizes = await mapConcurrently(blobs, options.jobs, (blob) =>
      this.remote.stat(recipeKey(blob), options),
    );
    return blobs.filter((_, i) => sizes[i] === undefined);
  }

  async #listRecipes(options: TransferOptions): Promise<Set<Digest>> {
    const recipes = new Set<Digest>();
    for await (const { key } of this.remote.list(recipesPrefix, options)) {
      const blob = blobOfRecipeKey(key);
      if (blob !== undefined) recipes.add(blob);
    }
    return recipes;
  }
}

/** Stands for what another host removed since it was listed, which is no damage. */
const gone = 'gone';

function packDamage(size: number, expected: number | undefined): string {
  if (expected === undefined) return 'its end is not that of a pack';
  return `it has ${size} bytes instead of ${expected}`;
}

function damagedThere(remote: RemoteReader, blob: Digest, cause: MstoreError): MstoreError {
  return new MstoreError(
    'corrupt-remote',
    `${remote.location} sent damaged data. ${cause.message}`,
    {
      hint: pushedAgain(recipeKey(blob)),
      details: { key: recipeKey(blob), location: remote.location },
      cause,
    },
  );
}
