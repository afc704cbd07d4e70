import { isMstoreError } from '../../base/errors.ts';
import type { KeepPolicy, Mark } from '../../store/clean-up.ts';
import { rootsPrefix } from '../../store/keys.ts';
import type { TransferOptions } from '../../store/remote-store.ts';
import { type RootRecord, readRoot } from '../../store/roots.ts';
import {
  type GitRoots,
  gitRoots,
  type Root,
  recordRoots,
  registryRoots,
  rootRecords,
} from '../root-set.ts';
import { repositoryOf } from '../roots.ts';
import { contentName } from '../tracked.ts';
import { rollbackWindow } from '../version-states.ts';
import type { Workspace } from '../workspace.ts';
import { selectPast } from './keep-policy.ts';
import { type GcPlace, registriesOf } from './place.ts';

/** What is given up by a clean-up beside what nothing leads to. */
export interface GiveUp {
  /** What of the history of this repository is kept; undefined keeps all. */
  readonly policy?: KeepPolicy | undefined;
  /** Repositories whose records keep nothing any more. */
  readonly forget?: readonly string[] | undefined;
  /** The records that may be given up; all by default. */
  readonly only?: ReadonlySet<string> | undefined;
}

/** The roots of a place. */
export interface PlaceRoots {
  readonly kept: readonly Root[];
  /** What was given up; its data may still be needed by others. */
  readonly givenUp: readonly Root[];
  /** Keys of records that keep nothing any more. */
  readonly expired: readonly string[];
  /** What this repository keeps of what expired records list, to be published anew. */
  readonly renewed: readonly Root[];
  readonly warnings: readonly string[];
}

/** A record younger than this is not given up: the push that wrote it may just have ended. */
const recordAgeMsMin = 24 * 60 * 60_000;

/**
 * Lists what a place must keep, and what is given up by rule or on demand.
 * @param without keys of records that were given up before
 * @param placeNow milliseconds since 1970-01-01 UTC; without it no record is given up
 */
export async function placeRoots(
  workspace: Workspace,
  place: GcPlace,
  giveUp: GiveUp,
  { without, placeNow }: { without: ReadonlySet<string>; placeNow: number | undefined },
  options: TransferOptions,
): Promise<PlaceRoots> {
  const warnings: string[] = [];
  const kept: Root[] = [];
  const givenUp: Root[] = [];
  const versions = new Set<string>();
  const window = rollbackWindow(workspace);
  for (const registry of await registriesOf(workspace, place, options)) {
    const found = await registryRoots(registry, window);
    kept.push(...found.kept);
    givenUp.push(...found.deleted);
    for (const { item } of [...found.kept, ...found.deleted]) versions.add(contentName(item));
  }
  const needsGit = place.isLocal || giveUp.policy !== undefined;
  const own = needsGit ? await gitRoots(workspace) : undefined;
  const chosen =
    own && (await selectPast(workspace, own, giveUp.policy, workspace.surroundings.clock.now()));
  if (own !== undefined && own.unreadable > 0) {
    warnings.push(`${own.unreadable} pointers of old commits cannot be read; they keep nothing`);
  }
  if (place.isLocal && chosen !== undefined) {
    kept.push(...chosen.kept);
    givenUp.push(...chosen.dropped);
  }
  if (!place.isShared) return { kept, givenUp, expired: [], renewed: [], warnings };
  const records = await rootRecords(place.remote, without, options);
  if (placeNow === undefined) {
    kept.push(...records.flatMap(recordRoots));
    return { kept, givenUp, expired: [], renewed: [], warnings };
  }
  const judged = judgeRecords(records, {
    own,
    keptNames: new Set(chosen?.kept.map(({ item }) => contentName(item))),
    versions,
    repository: giveUp.policy === undefined ? undefined : repositoryOf(workspace),
    forget: new Set(giveUp.forget),
    only: giveUp.only,
    isOld: (record) => isOld(record, placeNow),
  });
  kept.push(...judged.kept, ...judged.renewed);
  givenUp.push(...judged.givenUp);
  if (judged.young > 0) {
    warnings.push(
      `${judged.young} records of this repository were pushed within the last day; they are kept for now`,
    );
  }
  if (judged.unknown > 0) {
    warnings.push(
      `${judged.unknown} records of this repository list versions that are not in the history here; they are kept`,
    );
  }
  return { kept, givenUp, expired: judged.expired, renewed: judged.renewed, warnings };
}

function isOld({ time }: Pick<RootRecord, 'time'>, now: number | undefined): boolean {
  return time !== undefined && now !== undefined && now - time >= recordAgeMsMin;
}

/**
 * Lists those records of a mark that may be given up by the clock of the place, too: where that of the host which
 * wrote the mark is ahead, it took records for old whose push is not at its end.
 * @param placeNow milliseconds since 1970-01-01 UTC; undefined where the place tells no time
 */
export async function recordsToGiveUp(
  { remote }: GcPlace,
  { roots, forget = [] }: Mark,
  placeNow: number | undefined,
  options: TransferOptions,
): Promise<Set<string>> {
  const givenUp = new Set(roots);
  if (givenUp.size === 0) return givenUp;
  for await (const row of remote.list(rootsPrefix, options)) {
    if (!givenUp.has(row.key) || isOld(row, placeNow)) continue;
    const record = await orUndefined(readRoot(remote, row.key, options));
    if (record === undefined) continue;
    if (record.forVersions || !forget.includes(record.repository)) givenUp.delete(row.key);
  }
  return givenUp;
}

/** Gives undefined in place of what was taken away since it was listed. */
async function orUndefined<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

interface Judgement {
  readonly kept: Root[];
  readonly renewed: Root[];
  readonly givenUp: Root[];
  readonly expired: string[];
  /** Records of this repository that could not be judged. */
  unknown: number;
  /** Records of this repository that are too young to be given up. */
  young: number;
}

interface JudgeParts {
  /** The history here; undefined where no policy is applied. */
  readonly own: GitRoots | undefined;
  /** What the policy keeps. */
  readonly keptNames: ReadonlySet<string>;
  /** Contents of all versions of the registry, deleted ones among them. */
  readonly versions: ReadonlySet<string>;
  /** The repository whose records are judged by the policy. */
  readonly repository: string | undefined;
  readonly forget: ReadonlySet<string>;
  readonly only: ReadonlySet<string> | undefined;
  readonly isOld: (record: RootRecord) => boolean;
}

/**
 * Decides on each record. One of this repository is given up by a policy only when all that it lists is in the
 * history or the registry here, and some of that is not kept: what was pushed from a clone that knows more is never given up.
 */
function judgeRecords(records: readonly RootRecord[], parts: JudgeParts): Judgement {
  const { own, keptNames, versions, repository, forget, only, isOld } = parts;
  const known = new Map(
    [...(own?.past ?? []), ...(own?.current ?? [])].map((root) => [contentName(root.item), root]),
  );
  const result: Judgement = {
    kept: [],
    renewed: [],
    givenUp: [],
    expired: [],
    unknown: 0,
    young: 0,
  };
  for (const record of records) {
    const roots = recordRoots(record);
    const names = roots.map(({ item }) => contentName(item));
    if (only?.has(record.key) === false) result.kept.push(...roots);
    // The records of versions may just be on their way: their data must not be given up before.
    else if (forget.has(record.repository) && (!record.forVersions || isOld(record))) {
      result.expired.push(record.key);
      result.givenUp.push(...roots);
    } else if (record.forVersions && isOld(record) && names.every((name) => versions.has(name))) {
      // The registry has them, and says itself what is kept.
      result.expired.push(record.key);
    } else if (record.repository !== repository) {
      result.kept.push(...roots);
    } else if (!names.every((name) => known.has(name) || versions.has(name))) {
      result.unknown++;
      result.kept.push(...roots);
    } else if (names.every((name) => keptNames.has(name))) {
      result.kept.push(...roots);
    } else if (!isOld(record)) {
      result.young++;
      result.kept.push(...roots);
    } else {
      result.expired.push(record.key);
      for (const [i, root] of roots.entries()) {
        const name = names[i] as string;
        if (keptNames.has(name)) result.renewed.push(root);
        else result.givenUp.push(known.get(name) ?? root);
      }
    }
  }
  return result;
}
