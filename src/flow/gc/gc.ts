import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { readBounded, writeAtomically } from '../../base/files.ts';
import { isJsonObject, parseJsonBytes } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import { silentProgress } from '../../base/progress.ts';
import { formatMark, type Mark, markKey, parseMark, readMarks } from '../../store/clean-up.ts';
import { readHeader } from '../../store/remote-store.ts';
import type { WorkOptions } from '../add.ts';
import { ActLog } from '../audit/act-log.ts';
import { SweepWatch } from '../sweep-watch.ts';
import type { Workspace } from '../workspace.ts';
import { Marker, transferOf } from './mark.ts';
import type { GcOptions, GivenUp } from './options.ts';
import { type GcPlace, isOwn } from './place.ts';
import { type KeptByPlace, keptByPlace } from './refused.ts';
import { type PendingMark, type SweepResult, type Swept, sweepPlace } from './sweep.ts';

/** What {@link cleanUp} found and did. */
export interface GcResult {
  readonly place: string;
  readonly location: string;
  readonly dryRun: boolean;
  readonly kept: { readonly packs: number; readonly bytes: number; readonly blobs: number };
  /** What nothing needs, marked now. */
  readonly marked: {
    readonly packs: number;
    readonly recipes: number;
    readonly roots: number;
    readonly bytes: number;
  };
  /** What is not kept any more, by name; the first thousand. */
  readonly givenUp: readonly GivenUp[];
  /** Bytes that nothing needs and that are too young. */
  readonly youngBytes: number;
  /** Packs of which little is needed, and their bytes: written anew. */
  readonly rewritten: { readonly packs: number; readonly bytes: number };
  readonly swept: Swept;
  readonly pending: readonly PendingMark[];
  /** What the place does not let go; absent where nothing was refused. */
  readonly refused?: KeptByPlace;
  readonly warnings: readonly string[];
}

const noneSwept: Swept = { packs: 0, recipes: 0, indexes: 0, roots: 0, bytes: 0, rescued: 0 };

/**
 * Cleans a place up. What no root leads to is marked; what was marked a grace period ago, and still nothing leads
 * to, is removed. It takes no lock: see {@link SweepWatch} for how writers notice.
 * @throws MstoreError `corrupt-remote` when something that is kept is not all there, or cannot be read; `locked`
 * when another clean-up does not end
 */
export async function cleanUp(
  workspace: Workspace,
  place: GcPlace,
  options: GcOptions = {},
): Promise<GcResult> {
  const { dryRun = false, progress = silentProgress } = options;
  progress.start('gc');
  const marker = await Marker.open(workspace, place, options);
  if (dryRun) return wouldDo(workspace, place, marker, options);
  const acts = place.isLocal ? undefined : new ActLog(workspace, place.remote);
  await acts?.demand();
  // Also where nothing is written there: a clean-up that was killed may have left what it was writing.
  workspace.store.prepareWriting();
  await marker.completeIndexes();
  const rewriting = await marker.rewrite();
  await marker.mark();
  const sweeping = await sweepPlace(workspace, place, options);
  if (place.isLocal) clearCopies(workspace, marker);
  progress.finish();
  const refused = await keptByPlace(place, sweeping.refused);
  const found = resultOf(place, marker, { dryRun, rewriting, sweeping });
  const result = refused === undefined ? found : { ...found, refused };
  const counts = countsOf(result);
  if (acts === undefined || Object.values(counts).every((amount) => amount === 0)) return result;
  const told = await acts.log({ act: 'gc', objects: [], counts });
  return { ...result, warnings: [...result.warnings, ...told.map(({ message }) => message)] };
}

/** What the audit log says of a clean-up. */
function countsOf({ marked, swept }: GcResult): Readonly<Record<string, number>> {
  return {
    markedPacks: marked.packs,
    markedBytes: marked.bytes,
    sweptPacks: swept.packs,
    sweptRecipes: swept.recipes,
    sweptRoots: swept.roots,
    sweptBytes: swept.bytes,
  };
}

/** What a clean-up would do; nothing is changed. */
async function wouldDo(
  workspace: Workspace,
  place: GcPlace,
  marker: Marker,
  options: GcOptions,
): Promise<GcResult> {
  const rewriting = await sparseOf(marker);
  const pending = await pendingOf(workspace, place, options);
  options.progress?.finish();
  const sweeping = { swept: noneSwept, pending, damage: [], refused: { objects: 0, bytes: 0 } };
  return resultOf(place, marker, { dryRun: true, rewriting, sweeping });
}

/** Packs of which little is needed, and what was found damaged in them. */
interface Rewriting {
  readonly packs: number;
  readonly bytes: number;
  readonly warnings: readonly string[];
}

function resultOf(
  place: GcPlace,
  marker: Marker,
  parts: { dryRun: boolean; rewriting: Rewriting; sweeping: SweepResult },
): GcResult {
  const { dryRun, rewriting, sweeping } = parts;
  const { swept, pending, damage } = sweeping;
  const { packs, recipes, roots, bytes, youngBytes } = marker.needless;
  const unreadable = marker.unreadable();
  return {
    place: place.name,
    location: place.remote.location,
    dryRun,
    kept: marker.kept(),
    marked: { packs: packs.length, recipes: recipes.length, roots: roots.length, bytes },
    givenUp: marker.givenUp(),
    youngBytes,
    rewritten: { packs: rewriting.packs, bytes: rewriting.bytes },
    swept,
    pending,
    warnings: [
      ...marker.roots.warnings,
      ...rewriting.warnings,
      ...damage.map(({ message }) => message),
      ...(unreadable === 0
        ? []
        : [`${unreadable} packs cannot be read and are left alone; "mstore verify" says more`]),
    ],
  };
}

async function sparseOf(marker: Marker): Promise<Rewriting> {
  const sparse = await marker.sparsePacks();
  const bytes = sparse.reduce((sum, { packBytes }) => sum + packBytes, 0);
  return { packs: sparse.length, bytes, warnings: [] };
}

/** The marks that are there, by a clock of this host: only a sweep asks that of the place. */
async function pendingOf(
  { surroundings }: Workspace,
  place: GcPlace,
  options: GcOptions,
): Promise<PendingMark[]> {
  const transfer = transferOf(place, options);
  const pending: PendingMark[] = [];
  for await (const { mark, time } of readMarks(place.remote, transfer)) {
    const { id, bytes, packs, reason, graceMs } = mark;
    const ageMs = time === undefined ? 0 : surroundings.clock.now() - time;
    const dueInSeconds = Math.max(0, Math.ceil((graceMs - ageMs) / 1000));
    pending.push({ id, bytes, packs: packs.length, reason, dueInSeconds });
  }
  return pending;
}

/** Takes whole copies of blobs that nothing needs from the local store, and the tables made to look at it. */
function clearCopies({ store }: Workspace, { neededBlobs, placeId }: Marker): void {
  fs.rmSync(store.file(`remotes/${placeId}`), { recursive: true, force: true });
  const top = store.file('files');
  for (const shard of fs.existsSync(top) ? fs.readdirSync(top) : []) {
    for (const name of fs.readdirSync(path.join(top, shard))) {
      if (!neededBlobs.has(name.replace(/\.x$/, '') as Digest))
        fs.rmSync(path.join(top, shard, name));
    }
  }
}

/** What {@link takeBack} did. */
export interface TakenBack {
  readonly place: string;
  readonly location: string;
  /** Marks that name nothing any more. */
  readonly marks: readonly PendingMark[];
  readonly warnings: readonly string[];
}

/**
 * Takes marks back: what they name stays, and records that were given up keep again what they list. A sweep
 * that is under way is waited for; what it removed is gone.
 * @param id one mark; all by default
 * @throws MstoreError `not-found` when there is no such mark
 */
export async function takeBack(
  workspace: Workspace,
  place: GcPlace,
  id: string | undefined,
  options: WorkOptions = {},
): Promise<TakenBack> {
  const pending = await pendingOf(workspace, place, options);
  const chosen = id === undefined ? pending : pending.filter((one) => one.id === id);
  const { remote, name } = place;
  if (id !== undefined && chosen.length === 0) {
    throw new MstoreError('not-found', `There is no mark ${printable(id)} in ${remote.location}`, {
      hint: 'Run "mstore gc --dry-run" there to see what waits to be removed',
      details: { id },
    });
  }
  const watch = await SweepWatch.begin(remote, workspace.surroundings, {
    ...options,
    isOwn: isOwn(place),
  });
  const transfer = transferOf(place, options);
  const acts = place.isLocal || chosen.length === 0 ? undefined : new ActLog(workspace, remote);
  await acts?.demand();
  for (const one of chosen) await remote.delete(markKey(one.id), transfer);
  await watch.mayHaveLost();
  const counts = { takenBack: chosen.length };
  const told = (await acts?.log({ act: 'gc', objects: [], counts })) ?? [];
  const warnings = told.map(({ message }) => message);
  return { place: name, location: remote.location, marks: chosen, warnings };
}

/**
 * Writes down what a clean-up would mark, for {@link readPlan}; changes nothing else.
 * @param file absolute
 */
export async function writePlan(
  workspace: Workspace,
  place: GcPlace,
  file: string,
  options: GcOptions = {},
): Promise<GcResult> {
  options.progress?.start('gc');
  const marker = await Marker.open(workspace, place, options);
  const marks = marker.marks();
  if (marks.length > 1) {
    throw new MstoreError(
      'too-large',
      `There is more to clean up in ${place.name} than one plan holds`,
      {
        hint: 'Run "mstore gc" without a plan first',
      },
    );
  }
  const { id } = await readHeader(place.remote, transferOf(place, options));
  const [mark = marker.emptyMark()] = marks;
  const plan = { place: id, ...(JSON.parse(formatMark(mark).toString()) as object) };
  writeAtomically(file, `${JSON.stringify(plan, null, 2)}\n`);
  return wouldDo(workspace, place, marker, options);
}

const planBytesMax = 32 * 1024 * 1024;

/**
 * Reads a plan.
 * @param file absolute
 * @throws MstoreError `not-found`, `usage` for a plan of another place
 */
export async function readPlan(place: GcPlace, file: string, options: GcOptions): Promise<Mark> {
  const bytes = readBounded(file, planBytesMax);
  if (bytes === undefined) {
    throw new MstoreError('not-found', `There is no plan ${printable(file)}`, {
      hint: 'Make one with "mstore gc --plan FILE"',
      details: { path: file },
    });
  }
  let mark: Mark;
  try {
    mark = parseMark(bytes, file);
  } catch (error) {
    if (!isMstoreError(error, 'corrupt-remote')) throw error;
    throw new MstoreError('usage', `${printable(file)} is no plan of a clean-up`, {
      hint: 'Make one with "mstore gc --plan FILE"',
      details: { path: file },
    });
  }
  const value = parseJsonBytes(bytes);
  const { id } = await readHeader(place.remote, transferOf(place, options));
  if (isJsonObject(value) && value['place'] === id) return mark;
  throw new MstoreError('usage', `${printable(file)} is a plan for another place`, {
    hint: `Make one for this one with "mstore gc --plan FILE"`,
    details: { path: file, place: id },
  });
}
