import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { type FileEntry, isFileEntry, type TreeEntry } from '../../base/tree.ts';
import { formatChunkParams } from '../../chunk/chunker.ts';
import type { Store } from '../../store/local-store.ts';
import { listFolder } from '../../store/pack-files.ts';
import type { Recipe } from '../../store/recipe.ts';
import { digestOfFile } from '../resolve/tree-check.ts';
import type { SyncSession } from './session.ts';

/** Files that are lent to the store at once: an index holds the lists of so many in memory. */
const lentFilesMax = 200;

/** A file of a version that is here. */
interface FileHere {
  readonly entry: FileEntry;
  /** Absolute. */
  readonly file: string;
}

/** Lists the files of the versions here but one, those of what was live last first. */
function* filesHere({ state, place }: SyncSession, besides: string): Generator<FileHere> {
  for (const { version, tree } of state.value.versions) {
    if (version === besides) continue;
    for (const entry of (state.list(tree) ?? []).filter(isFileEntry)) {
      yield { entry, file: path.join(place.directoryOf(version), entry.path) };
    }
  }
}

/** Finds for each content a file that should hold it, in the versions that are here but one. */
export function sharedFiles(session: SyncSession, besides: string): Map<Digest, string> {
  const found = new Map<Digest, string>();
  for (const { entry, file } of filesHere(session, besides)) {
    if (!found.has(entry.sha256)) found.set(entry.sha256, file);
  }
  return found;
}

/** Finds the files that are whole in the directory of a version that is not: each is hashed. */
export async function soundFiles(
  { work }: SyncSession,
  directory: string,
  entries: readonly TreeEntry[],
): Promise<Map<Digest, string>> {
  const found = new Map<Digest, string>();
  for (const { path: name, sha256, size } of entries.filter(isFileEntry)) {
    const file = path.join(directory, name);
    const stat = fs.lstatSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile() || stat.size !== size || found.has(sha256)) continue;
    try {
      if ((await digestOfFile(file, work.signal)) === sha256) found.set(sha256, file);
    } catch (error) {
      if (isMstoreError(error, 'interrupted')) throw error;
      // What cannot be read is fetched.
    }
  }
  return found;
}

/**
 * Lends the store the large files of the versions here, so that of a file that was changed only the chunks are
 * fetched that none of them has. Nothing of them is copied.
 */
export function lendFiles(
  session: SyncSession,
  besides: string,
  lacking: readonly FileEntry[],
): void {
  const { workspace, hasOwnStore } = session;
  if (!hasOwnStore || !lacking.some(({ size }) => size > formatChunkParams.min)) return;
  const large = [...filesHere(session, besides)]
    .filter(({ entry }) => entry.size > formatChunkParams.min)
    .sort((a, b) => b.entry.size - a.entry.size);
  let lent = 0;
  for (const { entry, file } of large) {
    const recipe = recipeOf(workspace.store, entry.sha256);
    if (recipe === undefined || recipe.count < 2) continue;
    const stat = fs.lstatSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile() || stat.size !== recipe.size) continue;
    workspace.store.lend(recipe, file);
    if (++lent === lentFilesMax) return;
  }
}

function recipeOf(store: Store, blob: Digest): Recipe | undefined {
  try {
    return store.recipe(blob);
  } catch (error) {
    if (isMstoreError(error)) return undefined;
    throw error;
  }
}

/**
 * Empties the store: a version that was built has all that was fetched for it. What stays is small: how the files that
 * are here are put together, and what is known of the remotes.
 */
export function tidyStore(
  { workspace, hasOwnStore, state }: SyncSession,
  entries: readonly TreeEntry[],
): void {
  if (!hasOwnStore) return;
  const { store } = workspace;
  store.giveBack();
  for (const name of ['packs', 'index', 'tables']) {
    fs.rmSync(path.join(store.folder, name), { recursive: true, force: true });
  }
  store.reopen();
  const needed = new Set<string>(entries.filter(isFileEntry).map(({ sha256 }) => sha256));
  for (const { tree } of state.value.versions) {
    for (const entry of (state.list(tree) ?? []).filter(isFileEntry)) needed.add(entry.sha256);
  }
  const recipes = path.join(store.folder, 'recipes');
  for (const shard of listFolder(recipes)) {
    for (const name of listFolder(path.join(recipes, shard))) {
      if (!needed.has(name)) fs.rmSync(path.join(recipes, shard, name), { force: true });
    }
  }
}
