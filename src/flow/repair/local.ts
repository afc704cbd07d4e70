import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, systemCode } from '../../base/errors.ts';
import { ensureFolder, removeFile, syncFolder } from '../../base/files.ts';
import type { PackFooter } from '../../pack/format.ts';
import { indexKey, packKey, quarantinePrefix, recipeKey } from '../../store/keys.ts';
import { Store } from '../../store/local-store.ts';
import { publishObjects } from '../../store/publish.ts';
import type { WorkOptions } from '../add.ts';
import type { RemoteChoice } from '../several-remotes.ts';
import type { Found } from '../verify/found.ts';
import type { DamagedPack } from '../verify/packs.ts';
import type { LocalPlace, VerifiedPlace } from '../verify/place.ts';
import type { Workspace } from '../workspace.ts';
import { bringNear, type NearLog, withStore } from './near.ts';
import { findFooter, salvage } from './salvage.ts';
import { RepairSink } from './sink.ts';

/**
 * Heals the local store. What is whole in damaged packs is written to new ones first; only when that is durable
 * they are moved to `quarantine/`, and what they lack is brought from elsewhere. Ended at any moment, nothing is
 * lost that was not lost before, and another run goes on.
 * @param remotes where lost chunks are looked for, in this order; the files of the workspace come last
 */
export async function repairLocal(
  workspace: Workspace,
  place: LocalPlace,
  found: Found,
  remotes: readonly RemoteChoice[],
  options: WorkOptions & { readonly log: NearLog },
): Promise<void> {
  const { store } = place;
  store.prepareWriting();
  try {
    await saveWhole(place, found);
    for (const { pack, note } of found.packs.indexes) {
      if (found.packs.damaged.has(pack)) continue;
      const footer = await footerOf(place, pack);
      if (footer === undefined) continue;
      await publishObjects(store, [{ key: indexKey(pack), bytes: footer.bytes }]);
      note.repair = 'The index object was made again from the end of its pack';
    }
    for (const { pack } of found.packs.left) moveAway(store, indexKey(pack));
    for (const blob of found.recipes.unusable) moveAway(store, recipeKey(blob));
  } catch (error) {
    throw fromSystemError(error, `repairing the store ${store.folder}`);
  }
  const { clock, random } = workspace.surroundings;
  const fresh = withStore(workspace, new Store(store.folder, clock, random));
  const wanted = {
    chunks: [...found.chunks.lost()],
    recipes: new Set(found.recipes.unusable),
    blobs: new Set(found.recipes.bad.keys()),
  };
  await bringNear(fresh, wanted, remotes, options, options.log);
}

/** Writes what is whole in damaged packs to new ones, then moves those away. */
async function saveWhole(place: LocalPlace, { packs, chunks }: Found): Promise<void> {
  const { store } = place;
  const footers = new Map<Digest, PackFooter>();
  const sink = new RepairSink(place, store, () => false);
  try {
    for (const damaged of packs.damaged.values()) {
      const footer = await findFooter(place, damaged);
      if (footer !== undefined) footers.set(damaged.pack, footer);
      const wanted = (id: Buffer): boolean => chunks.findSafe(id) === undefined && !sink.has(id);
      for await (const { id, stored, form } of salvage(place, damaged, footer, wanted))
        if (wanted(id)) await sink.append(id, stored, form);
    }
    await sink.finish();
  } finally {
    sink.close();
  }
  for (const damaged of packs.damaged.values()) {
    const footer = footers.get(damaged.pack);
    if (sink.wrote(damaged.pack)) damaged.note.repair = 'The pack was written anew';
    else await quarantine(store, damaged, footer);
  }
}

async function footerOf(place: VerifiedPlace, pack: Digest): Promise<PackFooter | undefined> {
  const size = await place.objects.stat(packKey(pack));
  return size === undefined ? undefined : findFooter(place, { pack, size });
}

/** Moves a damaged pack away; its footer goes first, so that it stays known what was in it. */
async function quarantine(
  store: Store,
  { pack, note }: DamagedPack,
  footer: PackFooter | undefined,
): Promise<void> {
  if (footer !== undefined)
    await publishObjects(store, [{ key: quarantinePrefix + indexKey(pack), bytes: footer.bytes }]);
  moveAway(store, packKey(pack));
  removeFile(store.file(indexKey(pack)));
  note.repair = `The pack was moved to ${quarantinePrefix}${packKey(pack)}, and what is whole in it to a new one`;
}

/** Moves an object to its place in `quarantine/`; one that is gone is left so. */
function moveAway(store: Store, key: string): void {
  const target = store.file(quarantinePrefix + key);
  ensureFolder(path.dirname(target));
  try {
    fs.renameSync(store.file(key), target);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  syncFolder(path.dirname(target));
  syncFolder(path.dirname(store.file(key)));
}

/** Removes objects from `quarantine/` that nobody needs any more. */
export function clearQuarantine(store: Store, keys: readonly string[]): void {
  for (const key of keys) removeFile(store.file(quarantinePrefix + key));
}
