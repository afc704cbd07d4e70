import * as fs from 'node:fs';
import * as path from 'node:path';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { type ErrorCode, fromSystemError, isMstoreError } from '../../base/errors.ts';
import { removeFile } from '../../base/files.ts';
import { silentProgress } from '../../base/progress.ts';
import type { PackFooter } from '../../pack/format.ts';
import { bytesSource, readObject } from '../../remote/remote.ts';
import {
  indexKey,
  indexPrefix,
  packKey,
  packOfIndexKey,
  packOfKey,
  packsPrefix,
} from '../../store/keys.ts';
import type { Store } from '../../store/local-store.ts';
import { indexObjectBytesMax, listFolder, readIndexObject } from '../../store/pack-files.ts';
import { publishObjects } from '../../store/publish.ts';
import type { WorkOptions } from '../add.ts';
import type { OwnedRemote } from '../remotes.ts';
import { isObjectFault, readOwnFooter } from '../verify/packs.ts';
import { localPlace, remotePlace, type VerifiedPlace } from '../verify/place.ts';
import type { Workspace } from '../workspace.ts';

/** What {@link rebuildIndex} did. */
export interface RebuildReport {
  readonly place: 'local' | 'remote';
  /** The name of the remote. */
  readonly remote?: string;
  readonly location: string;
  readonly packs: number;
  readonly chunks: number;
  /** Index objects that were missing or wrong, and were written. */
  readonly indexesWritten: number;
  /** Keys of packs whose end cannot be read; their index objects stay as they are. Bounded. */
  readonly unreadable: readonly string[];
  /** The error code that the command ends with; null when all packs could be read. */
  readonly code: ErrorCode | null;
}

/** Packs that are told one by one. */
const unreadableMax = 100;

/**
 * Makes the index of a place again from its packs alone: an index object for each, and what is kept of it here: the
 * chunk tables, and of a remote the copies of its index objects. Packs are not read but for their ends.
 * @param chosen a remote; undefined for the local store, with which what is kept of all remotes is looked through
 */
export async function rebuildIndex(
  workspace: Workspace,
  chosen: OwnedRemote | undefined,
  options: WorkOptions = {},
): Promise<RebuildReport> {
  const place =
    chosen === undefined
      ? await localPlace(workspace, options)
      : await remotePlace(workspace, chosen, options);
  const remake = new Remake(place, options);
  await remake.run();
  forgetKept(workspace.store, place);
  await (chosen === undefined
    ? localPlace(workspace)
    : remotePlace(workspace, chosen, options)
  ).then((again) => again.index());
  const { packs, chunks, written: indexesWritten, unreadable } = remake;
  const damage = place.kind === 'local' ? 'corrupt-store' : 'corrupt-remote';
  return {
    place: place.kind,
    ...(place.kind === 'remote' ? { remote: place.name } : {}),
    location: place.objects.location,
    packs,
    chunks,
    indexesWritten,
    unreadable,
    code: unreadable.length > 0 ? damage : null,
  };
}

class Remake {
  packs = 0;
  chunks = 0;
  written = 0;
  readonly unreadable: string[] = [];
  readonly #place: VerifiedPlace;
  readonly #options: WorkOptions;

  constructor(place: VerifiedPlace, options: WorkOptions) {
    this.#place = place;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { objects, requests, store } = this.#place;
    const { progress = silentProgress } = this.#options;
    store?.prepareWriting();
    const packs: Array<{ pack: Digest; size: number }> = [];
    for await (const { key, size } of objects.list(packsPrefix, requests)) {
      const pack = packOfKey(key);
      if (pack !== undefined) packs.push({ pack, size });
    }
    progress.start('verify', { filesTotal: packs.length });
    await mapConcurrently(packs, requests.jobs, async (one) => {
      const footer = await readOwnFooter(objects, one, requests);
      progress.advance({ files: 1 });
      this.packs++;
      this.chunks += footer?.count ?? 0;
      if (footer !== undefined) await this.#write(footer);
      else if (this.unreadable.length < unreadableMax) this.unreadable.push(packKey(one.pack));
    });
    progress.finish();
  }

  async #write(footer: PackFooter): Promise<void> {
    const { objects, requests, store } = this.#place;
    const key = indexKey(footer.id);
    const there = await this.#there(key);
    if (there?.equals(footer.bytes)) return;
    this.written++;
    if (store !== undefined) {
      await publishObjects(store, [{ key, bytes: footer.bytes }]);
      return;
    }
    await objects.delete(key, requests);
    await objects.create(key, bytesSource(footer.bytes), requests);
  }

  async #there(key: string): Promise<Buffer | undefined> {
    const { objects, requests } = this.#place;
    try {
      return await readObject(objects, key, indexObjectBytesMax, requests);
    } catch (error) {
      if (isObjectFault(error) || isMstoreError(error, 'not-found')) return undefined;
      throw error;
    }
  }
}

/** Removes what is kept of a place beside it: of the local store also the damaged copies of index objects of remotes. */
function forgetKept({ folder }: Store, { kind, id }: VerifiedPlace): void {
  const remotes = path.join(folder, 'remotes');
  const kept = kind === 'remote' ? [String(id)] : listFolder(remotes);
  try {
    if (kind === 'local') removeTables(path.join(folder, 'tables'));
    for (const remote of kept) {
      removeTables(path.join(remotes, remote, 'tables'));
      removeIndexes(path.join(remotes, remote), kind === 'remote');
    }
  } catch (error) {
    throw fromSystemError(error, `removing chunk tables of ${folder}`);
  }
}

function removeTables(folder: string): void {
  fs.rmSync(folder, { recursive: true, force: true });
}

function removeIndexes(folder: string, all: boolean): void {
  const top = path.join(folder, indexPrefix);
  for (const shard of listFolder(top)) {
    for (const name of listFolder(path.join(top, shard))) {
      const file = path.join(top, shard, name);
      const pack = packOfIndexKey(`${indexPrefix}${shard}/${name}`);
      if (all || pack === undefined || readIndexObject(file, pack) === undefined) removeFile(file);
    }
  }
}
