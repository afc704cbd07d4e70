import { type Digest, isDigest } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { endedByStart, ownerIsGone, parseOwner, thisOwner } from '../base/host.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { printable } from '../base/names.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteReader,
  type RemoteWriter,
  readObject,
} from '../remote/remote.ts';
import { cleanUpPrefix } from './keys.ts';
import { repositoryOfRoot } from './roots.ts';

/*
 * Objects by which clean-ups and writers find each other, below `gc/`. Each is created once:
 *
 *   gc/ID/mark.json        names what nothing needed when it was written
 *   gc/ID/NUMBER.sweep     a sweep of these objects has begun, and reads roots after this
 *   gc/ID/NUMBER.swept     that sweep deletes nothing any more
 */

/** The format number of marks that this version reads and writes. */
const markFormat = 1;
/** Objects that one mark names; another run marks the rest. */
export const markObjectsMax = 200_000;
const markBytesMax = 32 * 1024 * 1024;
const ownerBytesMax = 4096;

/** What one clean-up found that nothing needs. */
export interface Mark {
  readonly id: string;
  /** When it was written, as an ISO date by the clock of its author; for people. */
  readonly created: string;
  /** Milliseconds by the clock of the place that must pass before a sweep. */
  readonly graceMs: number;
  /** Packs, which go with their index objects. */
  readonly packs: readonly Digest[];
  /** Index objects of packs that are not there. */
  readonly indexes: readonly Digest[];
  readonly recipes: readonly Digest[];
  /** Keys of root records that were given up. */
  readonly roots: readonly string[];
  /** Bytes of all of these. */
  readonly bytes: number;
  /** Why: which options gave it up. For people. */
  readonly reason: string;
  /** What of the history of Git was kept when it was written; undefined for all. */
  readonly policy?: KeepPolicy | undefined;
  /** Repositories whose records were given up. */
  readonly forget?: readonly string[] | undefined;
}

/** What of the history of Git is kept, beside what branches and working trees lead to now. */
export interface KeepPolicy {
  /** Versions of each path, the newest. */
  readonly last?: number | undefined;
  /** Versions that came within this time, in milliseconds, and the one before them. */
  readonly withinMs?: number | undefined;
  /** Versions of tags whose names fit one of these patterns, in which `*` stands for any characters. */
  readonly tags?: readonly string[] | undefined;
}

/** One sweep of a mark. */
export interface Sweep {
  readonly number: string;
  /** By the clock of the place. */
  readonly begun: number | undefined;
  readonly ended: boolean;
}

/** What a listing tells of one clean-up. */
export interface CleanUp {
  readonly id: string;
  /** Undefined where there is no mark, or none any more. */
  readonly mark: { readonly time: number | undefined } | undefined;
  readonly sweeps: readonly Sweep[];
}

const keyPattern =
  /^gc\/(\d{8}T\d{9}Z-[0-9a-f]{8})\/(?:(mark)\.json|([0-9a-f]{8})\.(sweep|swept))$/;

/** Makes the name of a new clean-up. */
export function cleanUpId(created: string, chance: string): string {
  return `${created.replace(/[-:.]/g, '')}-${chance}`;
}

/** The key of a mark. */
export function markKey(id: string): string {
  return `${cleanUpPrefix}${id}/mark.json`;
}

/** The key that says that a sweep has begun, or ended. */
export function sweepKey(id: string, number: string, what: 'sweep' | 'swept'): string {
  return `${cleanUpPrefix}${id}/${number}.${what}`;
}

/** Lists all clean-ups of a place, by name, which is by time. */
export async function listCleanUps(
  place: RemoteReader,
  options: RemoteCallOptions = {},
): Promise<CleanUp[]> {
  const found = new Map<string, { mark: CleanUp['mark']; sweeps: Map<string, Sweep> }>();
  for await (const { key, time } of place.list(cleanUpPrefix, options)) {
    const [, id, isMark, number, what] = keyPattern.exec(key) ?? [];
    if (id === undefined) continue;
    const entry = found.get(id) ?? { mark: undefined, sweeps: new Map() };
    found.set(id, entry);
    if (isMark !== undefined) entry.mark = { time };
    if (number === undefined) continue;
    const before = entry.sweeps.get(number);
    const ended = what === 'swept' || before?.ended === true;
    entry.sweeps.set(number, {
      number,
      begun: what === 'sweep' ? time : before?.begun,
      ended,
    });
  }
  return [...found].map(([id, { mark, sweeps }]) => ({ id, mark, sweeps: [...sweeps.values()] }));
}

/** Says that a sweep has begun; roots are to be read after this. */
export async function beginSweep(
  place: RemoteWriter,
  id: string,
  number: string,
  options: RemoteCallOptions = {},
): Promise<void> {
  const owner = bytesSource(Buffer.from(`${JSON.stringify(thisOwner())}\n`));
  await place.create(sweepKey(id, number, 'sweep'), owner, options);
}

/** Says that a sweep deletes nothing any more. */
export async function endSweep(
  place: RemoteWriter,
  id: string,
  number: string,
  options: RemoteCallOptions = {},
): Promise<void> {
  await place.create(sweepKey(id, number, 'swept'), bytesSource(Buffer.from('{}\n')), options);
}

/**
 * Tells whether the process of a sweep ran on this machine and is gone, so that it deletes nothing any more.
 * @param sweep `ageMs` since it has begun: a start of the machine since then ended it. To be 0 where several machines may
 * sweep: copies of one image can have the same names, and one that was started later must not end what another one does
 */
export async function sweeperIsGone(
  place: RemoteReader,
  id: string,
  { number, ageMs }: { readonly number: string; readonly ageMs: number },
  options: RemoteCallOptions = {},
): Promise<boolean> {
  try {
    const key = sweepKey(id, number, 'sweep');
    const owner = parseOwner((await readObject(place, key, ownerBytesMax, options)).toString());
    return owner !== undefined && (ownerIsGone(owner, 0) || endedByStart(owner, ageMs));
  } catch (error) {
    if (isMstoreError(error, 'not-found', 'corrupt-remote')) return false;
    throw error;
  }
}

/** The bytes of a mark. */
export function formatMark({ id, ...mark }: Mark): Buffer {
  const { created, reason, graceMs, bytes, policy, forget, packs, indexes, recipes, roots } = mark;
  const { last, withinMs, tags } = policy ?? {};
  const keep = policy && { keep: { last, within_ms: withinMs, tags } };
  const about = {
    mstore: markFormat,
    id,
    created,
    reason,
    grace_ms: graceMs,
    bytes,
    ...keep,
    forget,
  };
  return Buffer.from(`${JSON.stringify({ ...about, packs, indexes, recipes, roots }, null, 1)}\n`);
}

/**
 * Reads a mark that was listed.
 * @returns undefined when it was swept or taken back since
 * @throws MstoreError `corrupt-remote`, `newer-format`
 */
export async function readMark(
  place: RemoteReader,
  id: string,
  options: RemoteCallOptions = {},
): Promise<Mark | undefined> {
  const key = markKey(id);
  let bytes: Buffer;
  try {
    bytes = await readObject(place, key, markBytesMax, options);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
  const mark = parseMark(bytes, `${place.location}/${key}`);
  if (mark.id === id) return mark;
  throw markProblem(`${place.location}/${key}`, 'it is that of another clean-up');
}

/**
 * Reads the marks of a place that are not swept yet, one after the other, by name, which is by time.
 * @param isPassedOver tells of errors that leave out the mark they are of
 * @throws MstoreError `corrupt-remote`, `newer-format`
 */
export async function* readMarks(
  place: RemoteReader,
  options: RemoteCallOptions = {},
  isPassedOver: (error: unknown) => boolean = () => false,
): AsyncGenerator<{ readonly mark: Mark; readonly time: number | undefined }, void, void> {
  for (const { id, mark: listed } of await listCleanUps(place, options)) {
    if (listed === undefined) continue;
    let mark: Mark | undefined;
    try {
      mark = await readMark(place, id, options);
    } catch (error) {
      if (!isPassedOver(error)) throw error;
    }
    if (mark !== undefined) yield { mark, time: listed.time };
  }
}

/**
 * Parses a mark; also one that was written to a file as a plan.
 * @param where names it in errors
 * @throws MstoreError `corrupt-remote`, `newer-format`
 */
export function parseMark(bytes: Uint8Array, where: string): Mark {
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch {
    throw markProblem(where, 'it is not UTF-8 JSON');
  }
  if (!isJsonObject(value)) throw markProblem(where, 'it is not a JSON object');
  const { mstore: format, id, created, grace_ms: graceMs, bytes: size, reason } = value;
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) {
    throw markProblem(where, 'it has no format number');
  }
  if (format > markFormat) {
    throw new MstoreError(
      'newer-format',
      `${printable(where)} has format ${format}; this mstore reads ${markFormat}`,
      { hint: 'Install a newer mstore', details: { path: where, format } },
    );
  }
  if (typeof id !== 'string' || !keyPattern.test(markKey(id))) {
    throw markProblem(where, 'it has no valid id');
  }
  if (typeof created !== 'string' || typeof reason !== 'string' || !isAmount(graceMs)) {
    throw markProblem(where, 'it does not say when and why it was written');
  }
  if (!isAmount(size)) throw markProblem(where, 'its bytes are no number');
  const digests = (name: string) => listIn(value, name, where, isDigest);
  const isRoot = (item: unknown): item is string =>
    typeof item === 'string' && repositoryOfRoot(item) !== undefined;
  const policy = policyIn(value, where);
  return {
    ...{ id, created, reason, graceMs, bytes: size },
    ...(policy === undefined ? {} : { policy }),
    ...(value['forget'] === undefined ? {} : { forget: listIn(value, 'forget', where, isText) }),
    packs: digests('packs'),
    indexes: digests('indexes'),
    recipes: digests('recipes'),
    roots: listIn(value, 'roots', where, isRoot),
  };
}

function policyIn({ keep }: JsonObject, where: string): KeepPolicy | undefined {
  if (keep === undefined) return undefined;
  if (!isJsonObject(keep)) throw markProblem(where, 'its keep is no object');
  const { last, within_ms: withinMs, tags } = keep;
  for (const amount of [last, withinMs]) {
    if (amount !== undefined && !isAmount(amount))
      throw markProblem(where, 'its keep has no number');
  }
  if (tags !== undefined && !(Array.isArray(tags) && tags.every(isText))) {
    throw markProblem(where, 'its tags are no list of texts');
  }
  return {
    last: last as number | undefined,
    withinMs: withinMs as number | undefined,
    tags: tags as readonly string[] | undefined,
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function listIn<T extends string>(
  value: JsonObject,
  name: string,
  where: string,
  isOne: (item: unknown) => item is T,
): T[] {
  const list = value[name];
  if (!Array.isArray(list) || !list.every(isOne)) {
    throw markProblem(where, `its ${name} are no list of names`);
  }
  return list;
}

function markProblem(where: string, what: string): MstoreError {
  return new MstoreError('corrupt-remote', `${printable(where)} cannot be used: ${what}`, {
    hint: 'Remove it: nothing is lost, and the next clean-up begins anew',
    details: { path: where },
  });
}
