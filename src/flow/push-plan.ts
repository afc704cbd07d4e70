import { Breather } from '../base/abort.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import { digestToRaw } from '../base/digest.ts';
import { isMstoreError } from '../base/errors.ts';
import type { ChunkIndex, ChunkPlace } from '../index/chunk-index.ts';
import type { IndexedPack } from '../index/indexed-pack.ts';
import type { Recipe } from '../store/recipe.ts';
import type { RemoteStore, TransferOptions } from '../store/remote-store.ts';
import { keptFiles } from './known-trees.ts';
import { damageHere, type MissingPath, missingError, orDamage } from './missing.ts';
import { checkSize, type NeededBlob, neededBlobs, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Rows of packs of the local store, with the stored length of each. */
type WantedRows = ReadonlyMap<IndexedPack, ReadonlyMap<number, number>>;

/** What a push sends. */
export interface PushPlan {
  readonly blobs: number;
  /** Packs of which every chunk is wanted there. */
  readonly whole: readonly IndexedPack[];
  /** Rows wanted of the other packs. */
  readonly parts: ReadonlyArray<{ readonly pack: IndexedPack; readonly rows: readonly number[] }>;
  readonly recipes: readonly Recipe[];
  readonly chunks: number;
  readonly bytes: number;
}

/**
 * Finds out what a push has to send.
 * @throws MstoreError `objects-missing` when neither side has some bytes; `corrupt-pack` or `corrupt-remote` when
 * they may be in what is damaged
 */
export async function planPush(
  workspace: Workspace,
  tracked: readonly Tracked[],
  there: RemoteStore,
  transfer: TransferOptions,
): Promise<PushPlan> {
  const { store } = workspace;
  let survey = await surveyPush(workspace, tracked, there, transfer);
  const again =
    survey.missing.length === 0
      ? await there.repair(transfer)
      : store.recheck() || (await there.recheck(transfer));
  if (again) survey = await surveyPush(workspace, tracked, there, transfer);
  const { missing, blobs, recipes, wanted } = survey;
  if (missing.length > 0)
    throw orDamage(
      missingError(
        missing,
        'neither in the local store nor on the remote',
        'Fetch them from a remote that has them ("mstore fetch", with --all-versions for older ones), or restore the files and add them again; restore a pointer that was changed by mistake from Git',
      ),
      [...damageHere(store), ...there.damage()],
    );
  return { blobs, recipes, ...split(wanted) };
}

/**
 * Finds the contents of which the local store and the remote together are not known to have every byte (what is in a
 * directory is known from its list, which has to be here): nobody can send them from here. Where something is damaged that may hold the rest, none is found: the push of them ends, and says what to heal.
 */
export async function lackingContents(
  workspace: Workspace,
  contents: readonly Tracked[],
  there: RemoteStore,
  transfer: TransferOptions,
): Promise<Tracked[]> {
  const { store } = workspace;
  const find = async (among: readonly Tracked[]) => {
    const surveys = await mapConcurrently(among, transfer.jobs, (item) =>
      surveyPush(workspace, [item], there, transfer),
    );
    return among.filter((_, i) => (surveys[i]?.missing.length ?? 0) > 0);
  };
  let lacking = await find(contents);
  if (lacking.length === 0) return [];
  if (store.recheck() || (await there.recheck(transfer))) lacking = await find(lacking);
  const isDamaged = store.damagedPacks().size > 0 || there.damage().length > 0;
  return isDamaged ? [] : lacking;
}

interface PushSurvey {
  readonly blobs: number;
  readonly recipes: readonly Recipe[];
  readonly wanted: WantedRows;
  readonly missing: readonly MissingPath[];
}

/** Finds out what the remote lacks, and what nobody has. */
async function surveyPush(
  workspace: Workspace,
  tracked: readonly Tracked[],
  there: RemoteStore,
  transfer: TransferOptions,
): Promise<PushSurvey> {
  const { store } = workspace;
  const index = await there.index(transfer);
  const wanted = new Map<IndexedPack, Map<number, number>>();
  const recipes: Recipe[] = [];
  const missing: MissingPath[] = [];
  let blobs = 0;
  const breather = new Breather(transfer.signal);
  for (const item of tracked) {
    let needed: NeededBlob[];
    try {
      needed = neededBlobs(store, item, keptFiles(workspace, item));
    } catch (error) {
      if (!isMstoreError(error, 'objects-missing')) throw error;
      missing.push({ path: item.path, bytes: item.pointer.size });
      continue;
    }
    let lacking = 0;
    for (const blob of needed) {
      blobs++;
      if (breather.due()) await breather.turn();
      const id = digestToRaw(blob.sha256);
      const sole = store.index().find(id);
      if (sole !== undefined) {
        checkSize(item.path, blob, sole.rawLength);
        if (!index.has(id)) want(wanted, sole);
        continue;
      }
      const recipe = store.recipe(blob.sha256);
      if (recipe === undefined) {
        if (!(await isThere(there, index, blob, transfer))) lacking += blob.size;
        continue;
      }
      checkSize(item.path, blob, recipe.size);
      if (recipe.count > 1) recipes.push(recipe);
      lacking += collect(store.index(), index, recipe, wanted);
    }
    if (lacking > 0) missing.push({ path: item.path, bytes: lacking });
  }
  return { blobs, recipes, wanted, missing };
}

/** Notes the chunks of a blob that the remote lacks; returns the bytes that nobody has. */
function collect(
  here: ChunkIndex,
  there: ChunkIndex,
  recipe: Recipe,
  wanted: Map<IndexedPack, Map<number, number>>,
): number {
  let lacking = 0;
  for (let row = 0; row < recipe.count; row++) {
    const at = recipe.idOffset(row);
    if (there.has(recipe.rows, at)) continue;
    const place = here.find(recipe.rows, at);
    if (place === undefined) {
      lacking += recipe.length(row);
      continue;
    }
    want(wanted, place);
  }
  return lacking;
}

function want(
  wanted: Map<IndexedPack, Map<number, number>>,
  { pack, number, storedLength }: ChunkPlace,
): void {
  const rows = wanted.get(pack);
  if (rows === undefined) wanted.set(pack, new Map([[number, storedLength]]));
  else rows.set(number, storedLength);
}

/** Tells whether the remote has a blob that is unknown here. */
async function isThere(
  there: RemoteStore,
  index: ChunkIndex,
  blob: NeededBlob,
  transfer: TransferOptions,
): Promise<boolean> {
  if (index.has(Buffer.from(blob.sha256, 'hex'))) return true;
  const recipe = await there.recipe(blob.sha256, transfer);
  if (recipe === undefined) return false;
  for (let row = 0; row < recipe.count; row++) {
    if (!index.has(recipe.rows, recipe.idOffset(row))) return false;
  }
  return true;
}

function split(wanted: WantedRows): Omit<PushPlan, 'blobs' | 'recipes'> {
  const whole: IndexedPack[] = [];
  const parts: Array<{ pack: IndexedPack; rows: number[] }> = [];
  let chunks = 0;
  let bytes = 0;
  for (const [pack, rows] of wanted) {
    chunks += rows.size;
    if (rows.size === pack.count) {
      whole.push(pack);
      bytes += pack.packBytes;
      continue;
    }
    parts.push({ pack, rows: [...rows.keys()].sort((a, b) => a - b) });
    for (const storedLength of rows.values()) bytes += storedLength;
  }
  return { whole, parts, chunks, bytes };
}
