import { type Digest, digestBytes, sha256Raw } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { removeFile } from '../../base/files.ts';
import { SequentialFile } from '../../base/sequential-file.ts';
import type { PackFooter } from '../../pack/format.ts';
import { bytesSource, readObject } from '../../remote/remote.ts';
import { BlobReader } from '../../store/blob-reader.ts';
import { ChunkReader } from '../../store/chunk-reader.ts';
import { indexKey, packKey, quarantinePrefix, recipeKey } from '../../store/keys.ts';
import { Store } from '../../store/local-store.ts';
import { fileSource } from '../../store/pack-transfer.ts';
import { formatRecipe, type Recipe, recipeBytesMax } from '../../store/recipe.ts';
import type { WorkOptions } from '../add.ts';
import type { RemoteChoice } from '../several-remotes.ts';
import type { Found } from '../verify/found.ts';
import { isLocalDamage } from '../verify/harm.ts';
import { type DamagedPack, isObjectFault } from '../verify/packs.ts';
import type { VerifiedPlace } from '../verify/place.ts';
import type { Proofs } from '../verify/proofs.ts';
import type { Workspace } from '../workspace.ts';
import { bringNear, type NearLog, withStore } from './near.ts';
import { findFooter, salvage } from './salvage.ts';
import { RepairSink } from './sink.ts';

/** What a remote is repaired with. */
export interface RemoteRepairParts {
  readonly place: VerifiedPlace;
  readonly found: Found;
  /** The other remotes, in the order in which they are asked. */
  readonly remotes: readonly RemoteChoice[];
  readonly proofs: Proofs;
  readonly options: WorkOptions & { readonly log: NearLog };
}

/**
 * Heals a remote. What the local store lacks for it is brought there first, from other remotes and from files. What
 * is whole in damaged packs, and what could be healed, is created in new packs with their index objects, and only
 * then the damaged ones are deleted; one of which something could not be healed is created below `quarantine/`
 * before. Ended at any moment, nothing is lost that was not lost before, and another run goes on.
 */
export async function repairRemote(workspace: Workspace, parts: RemoteRepairParts): Promise<void> {
  const { clock, random } = workspace.surroundings;
  const near = new Store(workspace.store.folder, clock, random);
  near.prepareWriting();
  const { found, remotes, options } = parts;
  const lost = [...found.chunks.lost()];
  const whole = new Set([...found.recipes.unusable, ...found.missing.keys()]);
  const blobs = new Set([...found.recipes.bad.keys(), ...found.missing.keys()]);
  const wanted = { chunks: lost, recipes: whole, blobs };
  await bringNear(withStore(workspace, near), wanted, remotes, options, options.log);
  const repair = new RemoteRepair(near, parts);
  try {
    await repair.run(lost);
  } finally {
    repair.close();
  }
}

class RemoteRepair {
  readonly #near: Store;
  readonly #place: VerifiedPlace;
  readonly #found: Found;
  readonly #proofs: Proofs;
  readonly #sink: RepairSink;
  readonly #reader: ChunkReader;
  readonly #blobs: BlobReader;
  readonly #footers = new Map<Digest, PackFooter>();

  constructor(near: Store, { place, found, proofs }: RemoteRepairParts) {
    this.#near = near;
    this.#place = place;
    this.#found = found;
    this.#proofs = proofs;
    this.#sink = new RepairSink(place, near, (pack) => found.packs.damaged.has(pack));
    this.#reader = new ChunkReader(near);
    this.#blobs = new BlobReader(near, 1);
  }

  async run(lost: readonly Buffer[]): Promise<void> {
    const { packs, recipes, missing } = this.#found;
    for (const damaged of packs.damaged.values()) await this.#saveWhole(damaged);
    for (const id of lost) await this.#takeNear(id);
    const needed = [...recipes.unusable, ...missing.keys()];
    const good = new Map<Digest, Recipe>();
    for (const blob of needed) {
      const recipe = this.#goodRecipe(blob);
      if (recipe === undefined || !(await this.#takeBlob(recipe))) continue;
      good.set(blob, recipe);
    }
    await this.#sink.finish();
    for (const damaged of packs.damaged.values()) await this.#removePack(damaged);
    for (const { pack, footer } of packs.left) await this.#removeLeft(pack, footer);
    await this.#indexes();
    for (const blob of recipes.unusable) await this.#recipe(blob, good.get(blob));
    for (const [blob, note] of missing) {
      const recipe = good.get(blob);
      if (recipe === undefined) continue;
      if (recipe.count > 1) await this.#createRecipe(recipe);
      note.repair = 'The content was sent from the local store';
    }
  }

  /** Tells whether the remote has a good copy of a chunk that stays, or gets one. */
  #has(ids: Uint8Array, at = 0): boolean {
    return this.#sink.has(ids, at) || this.#found.chunks.findSafe(ids, at) !== undefined;
  }

  async #saveWhole(damaged: DamagedPack): Promise<void> {
    const footer = await findFooter(this.#place, damaged);
    if (footer !== undefined) this.#footers.set(damaged.pack, footer);
    const wanted = (id: Buffer): boolean => !this.#has(id);
    for await (const { id, stored, form } of salvage(this.#place, damaged, footer, wanted))
      if (wanted(id)) await this.#sink.append(id, stored, form);
  }

  /** Takes a chunk from the local store; returns whether the remote has it now, or gets it. */
  async #takeNear(ids: Uint8Array, at = 0): Promise<boolean> {
    if (this.#has(ids, at)) return true;
    const place = this.#near.index().find(ids, at);
    if (place === undefined) return false;
    try {
      for (const { stored } of this.#reader.read([place])) {
        const id = Buffer.from(ids.subarray(at, at + digestBytes));
        await this.#sink.append(id, stored, place);
      }
      return true;
    } catch (error) {
      // A copy that is damaged as well heals nothing.
      if (isLocalDamage(error)) return false;
      throw error;
    }
  }

  async #takeBlob(recipe: Recipe): Promise<boolean> {
    for (let row = 0; row < recipe.count; row++) {
      if (!(await this.#takeNear(recipe.rows, recipe.idOffset(row)))) return false;
    }
    return true;
  }

  /** Returns the recipe that the local store has of a blob, if it proves right. */
  #goodRecipe(blob: Digest): Recipe | undefined {
    try {
      const recipe = this.#near.recipe(blob);
      if (recipe === undefined || recipe.count < 2) return recipe;
      const digest = sha256Raw(formatRecipe(recipe));
      if (this.#proofs.has(digest)) return recipe;
      for (const _ of this.#blobs.read(blob));
      this.#proofs.add(digest);
      return recipe;
    } catch (error) {
      if (isLocalDamage(error)) return undefined;
      throw error;
    }
  }

  async #removePack(damaged: DamagedPack): Promise<void> {
    const { objects, requests } = this.#place;
    const { pack, note } = damaged;
    const footer = this.#footers.get(pack);
    const isHealed = footer !== undefined && this.#hasAll(footer);
    if (!isHealed && !(await this.#quarantine(damaged, footer))) {
      note.repair =
        'What is whole was written to new packs; the damaged one could not be copied and stays';
      return;
    }
    await objects.delete(indexKey(pack), requests);
    await objects.delete(packKey(pack), requests);
    note.repair = isHealed
      ? 'Its chunks were written to new packs, and the damaged one was deleted'
      : `What is whole was written to new packs, and the rest moved to ${quarantinePrefix}${packKey(pack)}`;
  }

  #hasAll(footer: PackFooter): boolean {
    for (let row = 0; row < footer.count; row++) {
      if (!this.#has(footer.bytes, footer.idOffset(row))) return false;
    }
    return true;
  }

  /** Copies a damaged pack as it is, with its footer; returns whether that was possible. */
  async #quarantine({ pack, size }: DamagedPack, footer: PackFooter | undefined): Promise<boolean> {
    const { objects, requests } = this.#place;
    // By way of a file: a request that waits for another one of the same remote might wait for ever.
    const temp = this.#near.tempFile();
    try {
      const out = new SequentialFile(temp, { size });
      try {
        for await (const block of objects.get(packKey(pack), undefined, requests))
          await out.append(block);
        await out.settled();
        out.end();
      } finally {
        out.close();
      }
      await objects.create(quarantinePrefix + packKey(pack), fileSource(temp), requests);
    } catch (error) {
      if (isObjectFault(error)) return false;
      if (!isMstoreError(error, 'not-found')) throw error;
    } finally {
      removeFile(temp);
    }
    if (footer !== undefined)
      await objects.create(quarantinePrefix + indexKey(pack), bytesSource(footer.bytes), requests);
    return true;
  }

  async #removeLeft(pack: Digest, footer: PackFooter | undefined): Promise<void> {
    const { objects, requests } = this.#place;
    if (this.#sink.wrote(pack) || (footer !== undefined && !this.#hasAll(footer))) return;
    await objects.delete(indexKey(pack), requests);
  }

  async #indexes(): Promise<void> {
    const { objects, requests } = this.#place;
    for (const { pack, state, note } of this.#found.packs.indexes) {
      const size = this.#found.packs.damaged.has(pack)
        ? undefined
        : await objects.stat(packKey(pack), requests);
      const footer = size && (await findFooter(this.#place, { pack, size }));
      if (!footer) continue;
      if (state === 'damaged') await objects.delete(indexKey(pack), requests);
      await objects.create(indexKey(pack), bytesSource(footer.bytes), requests);
      note.repair = 'The index object was made again from the end of its pack';
    }
  }

  /** Puts a good recipe in the place of one that is damaged or wrong. */
  async #recipe(blob: Digest, good: Recipe | undefined): Promise<void> {
    const { objects, requests } = this.#place;
    const key = recipeKey(blob);
    const notes = this.#found.recipes.bad.get(blob) ?? [];
    if (good === undefined && !(await this.#quarantineRecipe(key))) return;
    await objects.delete(key, requests);
    if (good !== undefined && good.count > 1) await this.#createRecipe(good);
    for (const note of notes.filter(({ kind }) => kind !== 'pack-damaged')) {
      note.repair =
        good === undefined
          ? `The recipe was moved to ${quarantinePrefix}${key}`
          : 'The recipe was replaced by that of the local store, which proved right';
    }
  }

  /** Copies a recipe as it is; returns whether it is still there. */
  async #quarantineRecipe(key: string): Promise<boolean> {
    const { objects, requests } = this.#place;
    try {
      const bytes = await readObject(objects, key, recipeBytesMax, requests);
      await objects.create(quarantinePrefix + key, bytesSource(bytes), requests);
      return true;
    } catch (error) {
      if (isObjectFault(error) || isMstoreError(error, 'not-found')) return false;
      throw error;
    }
  }

  async #createRecipe(recipe: Recipe): Promise<void> {
    const { objects, requests } = this.#place;
    await objects.create(recipeKey(recipe.blob), bytesSource(formatRecipe(recipe)), requests);
  }

  close(): void {
    this.#sink.close();
    this.#reader.close();
    this.#blobs.close();
  }
}

/** Deletes objects from `quarantine/` of which nothing is needed any more. */
export async function clearRemoteQuarantine(
  { objects, requests }: VerifiedPlace,
  keys: readonly string[],
): Promise<void> {
  for (const key of keys) await objects.delete(quarantinePrefix + key, requests);
}
