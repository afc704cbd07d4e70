import * as fs from 'node:fs';
import { Breather } from '../../base/abort.ts';
import type { Digest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import type { ChunkIndex } from '../../index/chunk-index.ts';
import { beginSweep, cleanUpId, endSweep } from '../../store/clean-up.ts';
import { indexKey, packKey } from '../../store/keys.ts';
import { RemoteStore, type TransferOptions } from '../../store/remote-store.ts';
import type { WorkOptions } from '../add.ts';
import { isRemoteFailure } from '../fetch-receive.ts';
import type { OwnedRemote } from '../remotes.ts';
import type { Workspace } from '../workspace.ts';
import { markedOf } from './mark.ts';
import { type GcPlace, listPlace } from './place.ts';

/** What {@link evict} did. */
export interface Evicted {
  readonly place: string;
  readonly location: string;
  readonly dryRun: boolean;
  /** Bytes of the packs before and after. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly packs: number;
  /** Packs that would have gone and are not, or not all, on a remote. */
  readonly unsaved: number;
  /** Remotes that could not be asked. */
  readonly warnings: readonly string[];
}

/** Options of {@link evict}. */
export interface EvictOptions extends WorkOptions {
  /** Bytes that packs may take afterwards. */
  readonly bytesMax: number;
  readonly dryRun?: boolean;
}

/** What one remote holds that will stay there. */
interface Holding {
  readonly index: ChunkIndex;
  /** Packs that are marked to be removed. */
  readonly marked: ReadonlySet<Digest>;
}

/**
 * Removes packs from the local store until the others fit, those first that were not used for the longest time, and
 * only those of which a remote holds every chunk. Recipes stay, so that `fetch` brings back what is asked
 * for. When a pack was used is the time of its last reading, as far as the file system keeps it, else of its making.
 * @param remotes those whose listing is believed
 */
export async function evict(
  workspace: Workspace,
  place: GcPlace,
  remotes: readonly OwnedRemote[],
  { bytesMax, dryRun = false, signal }: EvictOptions,
): Promise<Evicted> {
  const { store, surroundings } = workspace;
  const transfer = { signal, jobs: place.jobs };
  const { packs } = await listPlace(place, transfer);
  const bytesBefore = [...packs.values()].reduce((sum, { size }) => sum + size, 0);
  const about = { place: place.name, location: place.remote.location, dryRun, bytesBefore };
  const nothing = { bytesAfter: bytesBefore, packs: 0, unsaved: 0, warnings: [] };
  if (bytesBefore <= bytesMax) return { ...about, ...nothing };
  if (remotes.length === 0) {
    throw new MstoreError(
      'unknown-remote',
      'No remote is set up: nothing here is stored elsewhere',
      {
        hint: 'Run "mstore remote add NAME DIR" and "mstore push" first',
      },
    );
  }
  const { holdings, warnings } = await holdingsOf(workspace, remotes, transfer);
  const byAge = [...packs.values()]
    .map((pack) => ({ ...pack, used: lastUse(store.file(packKey(pack.digest))) }))
    .sort((a, b) => a.used - b.used);
  const chosen: Digest[] = [];
  let bytesAfter = bytesBefore;
  let unsaved = 0;
  const breather = new Breather(signal);
  for (const { digest, size } of byAge) {
    if (bytesAfter <= bytesMax) break;
    if (breather.due()) await breather.turn();
    if (isHeld(workspace, digest, holdings)) {
      chosen.push(digest);
      bytesAfter -= size;
    } else unsaved++;
  }
  if (!dryRun) await remove(place, chosen, surroundings, transfer);
  return { ...about, bytesAfter, packs: chosen.length, unsaved, warnings };
}

/**
 * Asks the remotes what they hold; those that cannot be asked hold nothing for now.
 * @throws MstoreError the failure of the first when none can be asked
 */
async function holdingsOf(
  workspace: Workspace,
  remotes: readonly OwnedRemote[],
  options: TransferOptions,
): Promise<{ holdings: Holding[]; warnings: string[] }> {
  const holdings: Holding[] = [];
  const failures: MstoreError[] = [];
  for (const { remote } of remotes) {
    try {
      holdings.push(await holdingOf(workspace, remote, options));
    } catch (error) {
      if (!isRemoteFailure(error)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (holdings.length === 0 && first !== undefined) throw first;
  return { holdings, warnings: failures.map(({ message }) => message) };
}

async function holdingOf(
  { store }: Workspace,
  remote: OwnedRemote['remote'],
  options: TransferOptions,
): Promise<Holding> {
  const { packs: marked } = await markedOf(remote, options);
  const there = await RemoteStore.open(remote, store, marked);
  const index = await there.index(options);
  // What a killed push left there unflushed would be the only copy.
  await remote.settle?.(options);
  return { index, marked };
}

/** Tells whether every chunk of a pack is on a remote, in a pack that stays there. */
function isHeld({ store }: Workspace, pack: Digest, holdings: readonly Holding[]): boolean {
  const footer = store.footer(pack);
  if (footer === undefined) return false;
  for (let row = 0; row < footer.count; row++) {
    const at = footer.idOffset(row);
    const isThere = holdings.some(({ index, marked }) => {
      const found = index.find(footer.bytes, at);
      return found !== undefined && !marked.has(found.pack.id);
    });
    if (!isThere) return false;
  }
  return true;
}

function lastUse(file: string): number {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? 0 : Math.max(stat.atimeMs, stat.mtimeMs);
}

/** Removes packs in the sight of commands that may rely on them: they store again what they need. */
async function remove(
  { remote }: GcPlace,
  packs: readonly Digest[],
  { clock, random }: Workspace['surroundings'],
  options: TransferOptions,
): Promise<void> {
  if (packs.length === 0) return;
  const id = cleanUpId(new Date(clock.now()).toISOString(), random.hex(4));
  const number = random.hex(4);
  await beginSweep(remote, id, number, options);
  try {
    for (const pack of packs) {
      await remote.delete(indexKey(pack), options);
      await remote.delete(packKey(pack), options);
    }
  } finally {
    await endSweep(remote, id, number);
  }
}
