import type { Digest } from '../../base/digest.ts';
import { digestToRaw } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import type { ChunkIndex } from '../../index/chunk-index.ts';
import type { IndexedPack } from '../../index/indexed-pack.ts';
import { bytesSource, type RemoteReader } from '../../remote/remote.ts';
import {
  cleanUpId,
  formatMark,
  type Mark,
  markKey,
  markObjectsMax,
  readMarks,
} from '../../store/clean-up.ts';
import { indexKey } from '../../store/keys.ts';
import { RemoteStore, type TransferOptions } from '../../store/remote-store.ts';
import { publishRoot } from '../roots.ts';
import { SweepWatch } from '../sweep-watch.ts';
import { contentName } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';
import type { GcOptions, GivenUp } from './options.ts';
import { type Candidate, type GcPlace, isOwn, type Listing, listPlace } from './place.ts';
import { Reach } from './reach.ts';
import { rewritePacks } from './rewrite.ts';
import { type PlaceRoots, placeRoots } from './roots.ts';
import { refuseMissing } from './sweep-errors.ts';

/** The grace periods where none is given: of remotes a week, of the local store an hour. */
const remoteGraceMs = 7 * 24 * 60 * 60_000;
const localGraceMs = 60 * 60_000;
/** Packs that were written anew stay this long at least, for readers that are at them. */
const readerGraceMs = 60 * 60_000;
const rewriteShareDefault = 0.5;
const givenUpMax = 1_000;
/** Times that it is looked because another clean-up ran meanwhile. */
const triesMax = 8;

/** What marks name that were written before. */
interface Marked {
  readonly packs: Set<Digest>;
  readonly indexes: Set<Digest>;
  readonly recipes: Set<Digest>;
  readonly roots: Set<string>;
}

/** All that is known of a place before anything is changed. */
interface Found {
  readonly listing: Listing;
  readonly marked: Marked;
  readonly there: RemoteStore;
  readonly index: ChunkIndex;
  readonly roots: PlaceRoots;
  readonly reach: Reach;
}

/** What is to be marked. */
export interface Needless {
  readonly packs: readonly Candidate[];
  readonly indexes: readonly Candidate[];
  readonly recipes: readonly Candidate[];
  readonly roots: readonly string[];
  readonly bytes: number;
  /** Bytes of what is too young. */
  readonly youngBytes: number;
}

/** Finds and marks what nothing needs in a place. */
export class Marker {
  readonly #workspace: Workspace;
  readonly #place: GcPlace;
  readonly #options: GcOptions;
  readonly #transfer: TransferOptions;
  readonly #found: Found;
  readonly needless: Needless;

  private constructor(workspace: Workspace, place: GcPlace, options: GcOptions, found: Found) {
    this.#workspace = workspace;
    this.#place = place;
    this.#options = options;
    this.#transfer = transferOf(place, options);
    this.#found = found;
    this.needless = this.#judge();
  }

  /**
   * Looks at a place. What another clean-up takes away meanwhile, with what led to it, is no damage: it is looked
   * again then.
   * @throws MstoreError `corrupt-remote` when something that is kept is not all there
   */
  static async open(workspace: Workspace, place: GcPlace, options: GcOptions): Promise<Marker> {
    const { signal } = options;
    const watch = await SweepWatch.begin(place.remote, workspace.surroundings, {
      signal,
      isOwn: isOwn(place),
    });
    for (let tries = 1; ; tries++) {
      try {
        const marker = await Marker.#look(workspace, place, options);
        if (!place.isLocal) refuseMissing(place, marker.#found.reach);
        return marker;
      } catch (error) {
        const mayPass = isMstoreError(error, 'corrupt-remote', 'not-found') && tries < triesMax;
        if (!mayPass || !(await watch.mayHaveLost())) throw error;
      }
    }
  }

  /** Objects are listed before roots are read, so that none is judged whose root came later. */
  static async #look(workspace: Workspace, place: GcPlace, options: GcOptions): Promise<Marker> {
    const transfer = transferOf(place, options);
    const listing = await listPlace(place, transfer);
    const marked = await markedOf(place.remote, transfer);
    const { plan, policy, forget } = options;
    const roots = await placeRoots(
      workspace,
      place,
      plan === undefined
        ? { policy, forget }
        : { policy: plan.policy, forget: plan.forget, only: new Set(plan.roots) },
      // Whether records are old enough is asked again by the clock of the place before they go.
      { without: marked.roots, placeNow: workspace.surroundings.clock.now() },
      transfer,
    );
    // After the roots: what they lead to is in it.
    const there = await RemoteStore.open(place.remote, workspace.store, marked.packs);
    const index = await there.index(transfer);
    const reach = new Reach(there, workspace.store, transfer);
    await reach.add(roots.kept);
    return new Marker(workspace, place, options, { listing, marked, there, index, roots, reach });
  }

  get graceMs(): number {
    return this.#options.graceMs ?? (this.#place.isLocal ? localGraceMs : remoteGraceMs);
  }

  get roots(): PlaceRoots {
    return this.#found.roots;
  }

  /** What is needed. */
  kept(): { packs: number; bytes: number; blobs: number } {
    const { index, reach } = this.#found;
    let packs = 0;
    let bytes = 0;
    for (const { id, packBytes } of index.packs()) {
      if (reach.usedRows(id) === undefined) continue;
      packs++;
      bytes += packBytes;
    }
    return { packs, bytes, blobs: reach.blobs.size };
  }

  /** Identity of the place. */
  get placeId(): string {
    return this.#found.there.id;
  }

  /** Blobs that are needed. */
  get neededBlobs(): ReadonlySet<Digest> {
    return this.#found.reach.blobs;
  }

  /** Packs that are there and cannot be read, which are left alone. */
  unreadable(): number {
    const { listing, index } = this.#found;
    return [...listing.packs.keys()].filter((pack) => index.pack(pack) === undefined).length;
  }

  /** What is not kept any more and is there, by name. */
  givenUp(): GivenUp[] {
    const { roots, reach, index, listing } = this.#found;
    const told = new Map<string, GivenUp>();
    for (const { name, item } of roots.givenUp) {
      const { sha256, size } = item.pointer;
      if (told.size === givenUpMax) break;
      const isHere = listing.recipes.has(sha256) || index.has(digestToRaw(sha256));
      if (isHere && !reach.blobs.has(sha256)) told.set(`${sha256} ${name}`, { name, size });
    }
    return [...told.values()];
  }

  #judge(): Needless {
    const { listing, marked, index, roots, reach } = this.#found;
    const { plan } = this.#options;
    let youngBytes = 0;
    const isOld = ({ size, time }: Candidate): boolean => {
      const isYoung = this.#isYoung(time);
      if (isYoung) youngBytes += size;
      return !isYoung;
    };
    const planned = (names: readonly Digest[] | undefined) => {
      const set = names && new Set(names);
      return (one: Candidate) => set === undefined || set.has(one.digest);
    };
    const packs = [...listing.packs.values()]
      .filter(({ digest }) => index.pack(digest) !== undefined && !marked.packs.has(digest))
      .filter(({ digest }) => reach.usedRows(digest) === undefined)
      .filter(planned(plan?.packs))
      .filter(isOld);
    const indexes = [...listing.indexes.values()]
      .filter(({ digest }) => !listing.packs.has(digest) && !marked.indexes.has(digest))
      .filter(planned(plan?.indexes))
      .filter(isOld);
    const recipes = [...listing.recipes.values()]
      .filter(({ digest }) => !reach.needsRecipe(digest) && !marked.recipes.has(digest))
      .filter(planned(plan?.recipes))
      .filter(isOld);
    const bytes = [...packs, ...indexes, ...recipes].reduce((sum, { size }) => sum + size, 0);
    return { packs, indexes, recipes, roots: roots.expired, bytes, youngBytes };
  }

  /** In the local store, what was just written may be that of a command which has not come to its end. */
  #isYoung(time: number | undefined): boolean {
    if (!this.#place.isLocal || this.graceMs === 0) return false;
    const now = this.#workspace.surroundings.clock.now();
    return time === undefined || now - time < this.graceMs;
  }

  /**
   * Makes the index objects that are missing of packs that stay: a process that was killed did not come to write
   * them, and the packs with the same chunks that have one may be given up now.
   */
  async completeIndexes(): Promise<void> {
    const { index, reach, listing, there } = this.#found;
    for (const pack of index.packs()) {
      if (listing.indexes.has(pack.id) || reach.usedRows(pack.id) === undefined) continue;
      const { bytes } = await there.footerOf(pack, this.#transfer);
      await this.#place.remote.create(indexKey(pack.id), bytesSource(bytes), this.#transfer);
    }
  }

  /** Packs of which so much is needless that they are worth being written anew. */
  async sparsePacks(): Promise<IndexedPack[]> {
    const { index, reach, marked, there, listing } = this.#found;
    const share = this.#options.rewriteShare ?? rewriteShareDefault;
    if (share > 1 || this.#options.plan !== undefined) return [];
    const sparse: IndexedPack[] = [];
    for (const pack of index.packs()) {
      if (reach.usedRows(pack.id) === undefined || marked.packs.has(pack.id)) continue;
      const listed = listing.packs.get(pack.id);
      if (listed === undefined || this.#isYoung(listed.time)) continue;
      const footer = await there.footerOf(pack, this.#transfer);
      let used = 0;
      for (let row = 0; row < pack.count; row++) {
        if (reach.isUsed(pack.id, row)) used += footer.row(row).storedLength;
      }
      if (pack.payloadBytes - used >= share * pack.payloadBytes && used < pack.payloadBytes) {
        sparse.push(pack);
      }
    }
    return sparse;
  }

  /** Writes what is needed of sparse packs anew, and marks these. */
  async rewrite(): Promise<{ packs: number; bytes: number; warnings: readonly string[] }> {
    const { there, reach } = this.#found;
    const sparse = await this.sparsePacks();
    if (sparse.length === 0) return { packs: 0, bytes: 0, warnings: [] };
    const { replaced, warnings } = await rewritePacks(
      this.#workspace,
      this.#place,
      sparse,
      { there, reach },
      this.#transfer,
    );
    const bytes = replaced.reduce((sum, { packBytes }) => sum + packBytes, 0);
    if (replaced.length > 0) {
      await this.#write({
        ...this.#newMark('packs of which little is needed, written anew'),
        graceMs: Math.max(this.graceMs, readerGraceMs),
        packs: replaced.map(({ id }) => id),
        bytes,
      });
    }
    return { packs: replaced.length, bytes, warnings };
  }

  /** Marks what nothing needs; what is kept of records that are given up is published anew before. */
  async mark(): Promise<void> {
    const { renewed } = this.#found.roots;
    const distinct = new Map(renewed.map(({ item }) => [contentName(item), item]));
    const items = [...distinct.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    await publishRoot(this.#workspace, this.#place.remote, items, this.#transfer);
    for (const mark of this.marks()) await this.#write(mark);
  }

  /** The marks of what nothing needs; none where there is nothing. */
  marks(): Mark[] {
    const { packs, indexes, recipes, roots } = this.needless;
    const all = [
      ...packs.map((one) => ({ kind: 'packs' as const, name: one.digest, size: one.size })),
      ...indexes.map((one) => ({ kind: 'indexes' as const, name: one.digest, size: one.size })),
      ...recipes.map((one) => ({ kind: 'recipes' as const, name: one.digest, size: one.size })),
      ...roots.map((name) => ({ kind: 'roots' as const, name, size: 0 })),
    ];
    const marks: Mark[] = [];
    for (let at = 0; at < all.length; at += markObjectsMax) {
      const part = all.slice(at, at + markObjectsMax);
      const of = (kind: string) => part.filter((one) => one.kind === kind).map(({ name }) => name);
      marks.push({
        ...this.#newMark(this.#reason()),
        packs: of('packs') as Digest[],
        indexes: of('indexes') as Digest[],
        recipes: of('recipes') as Digest[],
        roots: of('roots'),
        bytes: part.reduce((sum, { size }) => sum + size, 0),
      });
    }
    return marks;
  }

  #reason(): string {
    const { plan, policy = {}, forget = [] } = this.#options;
    if (plan !== undefined) return plan.reason;
    const { last, withinMs, tags } = policy;
    const parts = [
      last === undefined ? [] : [`--keep-last ${last}`],
      withinMs === undefined ? [] : [`--keep-within ${Math.round(withinMs / 86_400_000)}d`],
      (tags ?? []).map((tag) => `--keep-tag ${tag}`),
      forget.map((repository) => `--forget ${repository}`),
    ].flat();
    return parts.length === 0 ? 'nothing leads to it' : parts.join(' ');
  }

  /** A mark that names nothing. */
  emptyMark(): Mark {
    return this.#newMark(this.#reason());
  }

  #newMark(reason: string): Mark {
    const { clock, random } = this.#workspace.surroundings;
    const created = new Date(clock.now()).toISOString();
    const { policy, forget = [] } = this.#options.plan ?? this.#options;
    return {
      id: cleanUpId(created, random.hex(4)),
      created,
      reason,
      // What is young in the local store is not marked at all.
      graceMs: this.#place.isLocal ? 0 : this.graceMs,
      bytes: 0,
      ...(policy === undefined ? {} : { policy }),
      ...(forget.length === 0 ? {} : { forget }),
      ...{ packs: [], indexes: [], recipes: [], roots: [] },
    };
  }

  async #write(mark: Mark): Promise<void> {
    await this.#place.remote.create(
      markKey(mark.id),
      bytesSource(formatMark(mark)),
      this.#transfer,
    );
  }
}

/** How the objects of a place are asked for. */
export function transferOf({ jobs, requestsMax }: GcPlace, { signal }: GcOptions): TransferOptions {
  return { signal, jobs, requestsMax };
}

/** Lists what the marks of a place name that are not swept yet. */
export async function markedOf(remote: RemoteReader, options: TransferOptions): Promise<Marked> {
  const marked = {
    packs: new Set<Digest>(),
    indexes: new Set<Digest>(),
    recipes: new Set<Digest>(),
    roots: new Set<string>(),
  };
  for await (const { mark } of readMarks(remote, options)) {
    const { packs, indexes, recipes, roots } = mark;
    for (const pack of packs) marked.packs.add(pack);
    for (const pack of indexes) marked.indexes.add(pack);
    for (const blob of recipes) marked.recipes.add(blob);
    for (const key of roots) marked.roots.add(key);
  }
  return marked;
}
