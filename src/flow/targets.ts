import * as fs from 'node:fs';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { FoundVersion } from '../registry/find.ts';
import { type ModelReference, parseReference, type Reference } from '../registry/reference.ts';
import type { Registry } from '../registry/registry.ts';
import { findByWord, impliedModel } from './find-by-word.ts';
import { foreignReference, unknownReference } from './reference-errors.ts';
import { localRegistry, registryFolder } from './registry.ts';
import {
  requireGit,
  selectTracked,
  type Tracked,
  type TrackedSet,
  trackedAt,
  trackedInWorkspace,
} from './tracked.ts';
import { findTrusted } from './trust/policy.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** What the arguments of a command chose. */
export interface Targets {
  /** Commit id that the pointers were read from; undefined for those of the working tree or of a version. */
  readonly commit: string | undefined;
  /** The version of the registry that was chosen. */
  readonly version: FoundVersion | undefined;
  readonly tracked: Tracked[];
}

/** The prefix that makes an argument a Git revision, whatever paths exist. */
const gitPrefix = 'git:';

/** One of the things that an argument may stand for. */
interface Reading {
  /** What it is, for people. */
  readonly what: string;
  /** How it is written so that nothing else can be meant. */
  readonly written: string;
  readonly commit?: string;
  readonly version?: FoundVersion;
  /** What there is to choose from. */
  readonly set: TrackedSet;
  /** Chooses what is meant. */
  readonly choose: (set: TrackedSet) => Tracked[];
}

/** Chooses from the pointers of a revision or the content of a version. */
export type Choose = (set: TrackedSet) => Tracked[];

/**
 * Finds what `[REF] [PATH…]` means. The first argument may be a reference: a version of the registry, or a
 * revision of Git (branch, tag, commit). Otherwise it is a path. When it could be more than one of
 * these, all must give the same content. `MODEL@NAME` is the version where there is one, `git:REV` always a
 * revision, `./PATH` a path.
 * @param cwd absolute folder that paths start from
 * @param registry where versions are looked for; the one here by default
 * @throws MstoreError `unknown-ref`, `unknown-model`, `unknown-version`, `ambiguous-ref`, `not-tracked`, `usage`
 */
export async function findTargets(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
  registry?: Registry,
): Promise<Targets> {
  const [first, ...rest] = args;
  const here = trackedInWorkspace(workspace);
  const pathsOf = (given: readonly string[]) => given.map((arg) => workspace.relative(arg, cwd));
  const none = { commit: undefined, version: undefined };
  if (first === undefined) return { ...none, tracked: selectTracked(here, []) };
  const byPath = () => ({ ...none, tracked: selectTracked(here, pathsOf(args)) });
  const reference = parseReference(first);
  if (reference.kind === 'path') return byPath();
  const choose: Choose = (set) => chooseOf(first, set, pathsOf(rest));
  const places = { workspace, registry };
  const isPath = reference.kind !== 'git' && namesTracked(workspace, first, here, cwd);
  if (!isPath) {
    const readings = await readingsOf(places, reference, first, choose);
    return readings.length === 0 ? byPath() : agreed(first, readings);
  }
  const asPath: Reading = {
    what: 'a tracked path',
    written: `./${printable(first)}`,
    set: here,
    choose: () => selectTracked(here, pathsOf(args)),
  };
  const others = await orNone(readingsOf(places, reference, first, choose));
  // There is no other way to write a version that is named in full; a path takes ./ in front.
  if (reference.kind === 'model' && others.length > 0) return agreed(first, others);
  return agreed(first, [asPath, ...others]);
}

/**
 * Finds what a reference means that is no path.
 * @param text the reference as it was given
 * @param choose chooses from what it names
 * @throws MstoreError as {@link findTargets}
 */
export async function findReference(
  workspace: Workspace,
  text: string,
  choose: Choose,
  reference: Reference = parseReference(text),
): Promise<Targets> {
  const readings = await readingsOf({ workspace }, reference, text, choose);
  if (readings.length === 0) requireGit(workspace);
  return agreed(text, readings);
}

/** Where it is looked for what a reference names. */
interface Places {
  readonly workspace: Workspace;
  /** By default the one here. */
  readonly registry?: Registry | undefined;
}

/** A word is no reason to make a registry: where there is none, it names no version. */
async function registryForWord({ workspace, registry }: Places): Promise<Registry | undefined> {
  if (registry !== undefined) return registry;
  return fs.existsSync(registryFolder(workspace)) ? localRegistry(workspace) : undefined;
}

/** Lists what a reference may stand for beside a path; none for a word in a place without any names. */
async function readingsOf(
  places: Places,
  reference: Reference,
  text: string,
  choose: Choose,
): Promise<Reading[]> {
  switch (reference.kind) {
    case 'git':
      return [await commitReading(places.workspace, reference.revision, choose)];
    case 'model':
      return [await modelReading(places, reference, text, choose)];
    case 'path':
    case 'word':
      return wordReadings(places, text, choose);
    default:
      throw foreignReference(reference, text);
  }
}

async function wordReadings(places: Places, word: string, choose: Choose): Promise<Reading[]> {
  const { workspace } = places;
  const registry = await registryForWord(places);
  const [commit, found] = await Promise.all([
    workspace.git?.resolve(word),
    registry && findByWord(workspace, registry, word),
  ]);
  const readings: Reading[] = [];
  if (commit !== undefined) readings.push(await commitReading(workspace, word, choose, commit));
  if (found !== undefined) readings.push(versionReading(workspace, found, choose));
  if (readings.length > 0) return readings;
  const models = (await registry?.names()) ?? [];
  if (workspace.git === undefined && models.length === 0) return [];
  const own = registry && (await impliedModel(workspace, registry));
  throw await unknownReference(workspace, word, { models, own });
}

async function commitReading(
  workspace: Workspace,
  revision: string,
  choose: Choose,
  known?: string,
): Promise<Reading> {
  const commit = known ?? (await resolveRevision(workspace, revision));
  return {
    what: 'a Git revision',
    written: gitPrefix + printable(revision),
    commit,
    set: await trackedAt(workspace, commit),
    choose,
  };
}

async function modelReading(
  { workspace, registry }: Places,
  { model, selector }: ModelReference,
  text: string,
  choose: Choose,
): Promise<Reading> {
  try {
    const place = registry ?? (await localRegistry(workspace));
    const found = await findTrusted(workspace, place, model, selector);
    return versionReading(workspace, found, choose);
  } catch (error) {
    const isUnknown = isMstoreError(error, 'unknown-model', 'unknown-version');
    if (!isUnknown || (await workspace.git?.resolve(text)) === undefined) throw error;
    throw new MstoreError(error.code, error.message, {
      hint: `There is a Git revision of that name: write ${gitPrefix}${text} for it, or run "mstore fetch" for the versions of the remote`,
      details: error.details,
    });
  }
}

function versionReading(workspace: Workspace, found: FoundVersion, choose: Choose): Reading {
  const { value } = found.record;
  const here = trackedInWorkspace(workspace).tracked.find(
    ({ path, pointer }) => path === value.content.path && pointer.kind === value.content.kind,
  );
  const item = contentOf(workspace.store, value, here?.pointer.extra ?? {});
  const written = `${value.model}@${found.by ?? value.version}`;
  return {
    what: `the version ${value.model}@${value.version}`,
    written,
    version: found,
    set: { tracked: [item], broken: [] },
    choose,
  };
}

/** Takes what all readings give; where they differ, the reader has to say which one is meant. */
function agreed(text: string, readings: readonly Reading[]): Targets {
  const [first, ...others] = readings;
  const results = readings.map(({ set, choose }) => chosenOrNone(set, choose, others.length === 0));
  const commit = readings.find((reading) => reading.commit !== undefined)?.commit;
  const version = readings.find((reading) => reading.version !== undefined)?.version;
  const [tracked] = results;
  const same = new Set(results.map((result) => result && contentKey(result)));
  if (first !== undefined && tracked !== undefined && same.size === 1) {
    return { commit, version, tracked };
  }
  const ways = readings.map(({ what, written }) => `${written} for ${what}`);
  throw new MstoreError(
    'ambiguous-ref',
    `${printable(text)} is both ${readings.map(({ what }) => what).join(' and ')}, and they are not the same`,
    {
      hint: `Write ${ways.join(', or ')}`,
      details: { ref: text, readings: readings.map(({ written }) => written), commit },
    },
  );
}

function chosenOrNone(set: TrackedSet, choose: Choose, isSole: boolean): Tracked[] | undefined {
  try {
    return choose(set);
  } catch (error) {
    if (!isSole && isMstoreError(error, 'not-tracked')) return undefined;
    throw error;
  }
}

/** The same for two choices of the same paths with the same content. */
function contentKey(tracked: readonly Tracked[]): string {
  const rows = tracked.map(({ path, pointer }) => {
    const { kind, sha256, size } = pointer;
    return [path, kind, sha256, size, pointer.kind === 'file' && pointer.executable === true];
  });
  return JSON.stringify(rows);
}

function chooseOf(text: string, set: TrackedSet, paths: readonly string[]): Tracked[] {
  const tracked = selectTracked(set, paths);
  if (tracked.length > 0) return tracked;
  throw new MstoreError(
    'not-tracked',
    `${printable(text)} has no pointers: nothing was tracked there`,
    {
      hint: 'Name a later commit, or run "mstore ls" to see what is tracked now',
      details: { ref: text },
    },
  );
}

/** The readings of what is a tracked path as well: that there are none is no error. */
async function orNone(readings: Promise<Reading[]>): Promise<Reading[]> {
  try {
    return await readings;
  } catch (error) {
    if (isMstoreError(error, 'unknown-ref', 'unknown-model', 'unknown-version')) return [];
    throw error;
  }
}

function namesTracked(workspace: Workspace, given: string, here: TrackedSet, cwd: string): boolean {
  try {
    selectTracked(here, [workspace.relative(given, cwd)]);
    return true;
  } catch (error) {
    return !isMstoreError(error, 'not-tracked', 'outside-workspace');
  }
}

/** Resolves a Git revision to a commit id. */
async function resolveRevision(workspace: Workspace, rev: string): Promise<string> {
  const commit = await requireGit(workspace).resolve(rev);
  if (commit === undefined)
    throw await unknownReference(workspace, rev, { models: [], own: undefined });
  return commit;
}
