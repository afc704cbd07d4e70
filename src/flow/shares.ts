import { Breather } from '../base/abort.ts';
import { mapInOrder } from '../base/concurrency.ts';
import type { Digest } from '../base/digest.ts';
import { isFileEntry } from '../base/tree.ts';
import type { ChunkIndex, ChunkPlace } from '../index/chunk-index.ts';
import type { Store } from '../store/local-store.ts';
import { emptyBlob } from '../store/recipe.ts';
import type { RemoteStore, TransferOptions } from '../store/remote-store.ts';
import type { Pointer } from '../worktree/pointer.ts';
import { eachChunk, listEntries } from './gc/reach.ts';

/** Contents that are counted together. */
export type ShareGroup = readonly Pointer[];

/** What a group of contents takes in a place. */
export interface GroupShare {
  /** Bytes of its chunks as they are stored, each once. */
  readonly stored: number;
  /** Bytes of those that no other group needs. */
  readonly own: number;
  /** Bytes of those that no group before it needs. */
  readonly added: number;
  /** Blobs that are not there, or not all of them. */
  readonly absent: number;
}

interface ShareParts {
  readonly there: RemoteStore;
  /** Where lists of directories are read first; the local store. */
  readonly near: Store;
  readonly transfer: TransferOptions;
}

/**
 * Counts what groups of contents take in a place, and share there. Packs are not read: recipes and indexes tell it.
 * Memory: 4 bytes a chunk of the packs that are used, some 200 a blob, and a bit for each chunk of the packs that a group uses.
 * @throws MstoreError `corrupt-remote`, `corrupt-recipe` for what cannot be followed
 */
export async function sharesOf(
  groups: readonly ShareGroup[],
  { there, near, transfer }: ShareParts,
): Promise<Shares> {
  const index = await there.index(transfer);
  const blobs = await blobsOf(groups, there, near, transfer);
  const count = () => countShares(blobs, groups.length, { there, index, transfer });
  const shares = await count();
  // Nothing is called absent because of a wrong table of what is here.
  return shares.isLacking && (await there.recheck(transfer)) ? count() : shares;
}

/** Lists the blobs of all groups, each with the numbers of the groups that need it. */
async function blobsOf(
  groups: readonly ShareGroup[],
  there: RemoteStore,
  near: Store,
  transfer: TransferOptions,
): Promise<Map<Digest, number[]>> {
  const blobs = new Map<Digest, number[]>();
  const note = (blob: Digest, group: number): void => {
    if (blob === emptyBlob) return;
    const users = blobs.get(blob);
    if (users === undefined) blobs.set(blob, [group]);
    // Groups come one after the other.
    else if (users.at(-1) !== group) users.push(group);
  };
  const roots = groups.flatMap((pointers, group) =>
    pointers.map((pointer) => ({ pointer, group })),
  );
  const breather = new Breather(transfer.signal);
  const arriving = mapInOrder(
    roots,
    { atOnce: transfer.jobs, bytesOf: () => 1, bytesMax: transfer.jobs },
    async ({ pointer, group }) => {
      const entries =
        pointer.kind === 'file' ? [] : await listEntries(there, near, pointer, transfer);
      return { pointer, group, entries };
    },
  );
  for await (const { pointer, group, entries } of arriving) {
    note(pointer.sha256, group);
    for (const entry of entries ?? []) {
      if (isFileEntry(entry)) note(entry.sha256, group);
      if (breather.due()) await breather.turn();
    }
  }
  return blobs;
}

async function countShares(
  blobs: ReadonlyMap<Digest, readonly number[]>,
  groups: number,
  { there, index, transfer }: { there: RemoteStore; index: ChunkIndex; transfer: TransferOptions },
): Promise<Shares> {
  const shares = new Shares(groups);
  const arriving = mapInOrder(
    [...blobs],
    { atOnce: transfer.jobs, bytesOf: () => 1, bytesMax: transfer.jobs },
    async ([blob, users]) => {
      const onChunk = (place: ChunkPlace): void => shares.use(place, users);
      return { users, found: await eachChunk(there, index, blob, onChunk, transfer) };
    },
  );
  for await (const { users, found } of arriving) if (!found.isWhole) shares.lack(users);
  return shares;
}

/** Who uses a chunk: nobody, the group of that number less one, or with this added that group first and others too. */
const nobody = 0;
const several = 2 ** 31;

/** What one group uses. */
interface Share {
  stored: number;
  own: number;
  added: number;
  absent: number;
  /** Rows of packs that were counted, one bit each. */
  readonly seen: Map<Digest, Uint8Array>;
}

/** The bytes of chunks, by the groups that use them. */
export class Shares {
  /** Bytes of all chunks that are used. */
  stored = 0;
  readonly #users = new Map<Digest, Uint32Array>();
  readonly #groups: readonly Share[];

  constructor(groups: number) {
    this.#groups = Array.from({ length: groups }, () => {
      return { stored: 0, own: 0, added: 0, absent: 0, seen: new Map() };
    });
  }

  /** What one of the groups takes, by its place among them. */
  of(group: number): GroupShare {
    const { stored, own, added, absent } = this.#at(group);
    return { stored, own, added, absent };
  }

  #at(group: number): Share {
    return this.#groups[group] as Share;
  }

  /** Whether a blob of any group is not all there. */
  get isLacking(): boolean {
    return this.#groups.some(({ absent }) => absent > 0);
  }

  /** Notes that a blob of groups is not all there. */
  lack(groups: readonly number[]): void {
    for (const group of groups) this.#at(group).absent++;
  }

  /** Notes that groups use a chunk. */
  use({ pack, number, storedLength }: ChunkPlace, groups: readonly number[]): void {
    const users = this.#users.get(pack.id) ?? new Uint32Array(pack.count);
    this.#users.set(pack.id, users);
    for (const group of groups) {
      const share = this.#at(group);
      const seen = share.seen.get(pack.id) ?? new Uint8Array(Math.ceil(pack.count / 8));
      share.seen.set(pack.id, seen);
      const bit = 1 << (number & 7);
      if (((seen[number >> 3] as number) & bit) !== 0) continue;
      seen[number >> 3] = (seen[number >> 3] as number) | bit;
      share.stored += storedLength;
      const user = users[number] as number;
      if (user === nobody) {
        users[number] = group + 1;
        share.own += storedLength;
        share.added += storedLength;
        this.stored += storedLength;
        continue;
      }
      const first = this.#at((user % several) - 1);
      if (user < several) first.own -= storedLength;
      // Blobs are followed several at once, and come in no order.
      const isBefore = group < (user % several) - 1;
      if (isBefore) {
        first.added -= storedLength;
        share.added += storedLength;
      }
      users[number] = several + (isBefore ? group + 1 : user % several);
    }
  }
}
