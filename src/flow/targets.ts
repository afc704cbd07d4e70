import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { type FoundVersion, findVersion } from '../registry/find.ts';
import {
  type ForeignReference,
  type ModelReference,
  parseReference,
  type Reference,
} from '../registry/reference.ts';
import type { ModelNames } from '../registry/registry.ts';
import { localRegistry } from './registry.ts';
import {
  requireGit,
  selectTracked,
  type Tracked,
  type TrackedSet,
  trackedAt,
  trackedInWorkspace,
} from './tracked.ts';
import { contentOf, findByWord, impliedModel } from './version-content.ts';
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
 * @throws MstoreError `unknown-ref`, `unknown-model`, `unknown-version`, `ambiguous-ref`, `not-tracked`, `usage`
 */
export async function findTargets(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
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
  const isPath = reference.kind !== 'git' && namesTracked(workspace, first, here, cwd);
  if (!isPath) {
    const readings = await readingsOf(workspace, reference, first, choose);
    return readings.length === 0 ? byPath() : agreed(first, readings);
  }
  const asPath: Reading = {
    what: 'a tracked path',
    written: `./${printable(first)}`,
    set: here,
    choose: () => selectTracked(here, pathsOf(args)),
  };
  const others = await orNone(readingsOf(workspace, reference, first, choose));
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
  const readings = await readingsOf(workspace, reference, text, choose);
  if (readings.length === 0) requireGit(workspace);
  return agreed(text, readings);
}

/** Lists what a reference may stand for beside a path; none for a word in a place without any names. */
async function readingsOf(
  workspace: Workspace,
  reference: Reference,
  text: string,
  choose: Choose,
): Promise<Reading[]> {
  switch (reference.kind) {
    case 'git':
      return [await commitReading(workspace, reference.revision, choose)];
    case 'model':
      return [await modelReading(workspace, reference, text, choose)];
    case 'path':
    case 'word':
      return wordReadings(workspace, text, choose);
    default:
      throw foreignReference(reference, text);
  }
}

async function wordReadings(
  workspace: Workspace,
  word: string,
  choose: Choose,
): Promise<Reading[]> {
  const registry = await localRegistry(workspace);
  const [commit, found] = await Promise.all([
    workspace.git?.resolve(word),
    findByWord(workspace, registry, word),
  ]);
  const readings: Reading[] = [];
  if (commit !== undefined) readings.push(await commitReading(workspace, word, choose, commit));
  if (found !== undefined) readings.push(versionReading(workspace, found, choose));
  if (readings.length > 0) return readings;
  const models = await registry.names();
  if (workspace.git === undefined && models.length === 0) return [];
  throw await unknownReference(workspace, word, models);
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
  workspace: Workspace,
  { model, selector }: ModelReference,
  text: string,
  choose: Choose,
): Promise<Reading> {
  try {
    const found = await findVersion(await localRegistry(workspace), model, selector);
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
  if (commit === undefined) throw await unknownReference(workspace, rev, []);
  return commit;
}

/** Builds the error of a word that names nothing, with the nearest one that does. */
async function unknownReference(
  workspace: Workspace,
  given: string,
  models: readonly ModelNames[],
): Promise<MstoreError> {
  const own =
    models.length === 0 ? undefined : await impliedModel(workspace, await localRegistry(workspace));
  const names = new Set([
    ...models.filter(({ model }) => model === own).flatMap(namesIn),
    ...((await workspace.git?.references()) ?? []).map(({ name }) => name),
    ...trackedInWorkspace(workspace).tracked.map(({ path }) => path),
    ...models.flatMap((names) => namesIn(names).map((name) => `${names.model}@${name}`)),
    ...models.map(({ model }) => model),
  ]);
  const kinds = models.length === 0 ? '' : ', no version or environment of the model';
  return new MstoreError(
    'unknown-ref',
    `${printable(given)} is neither a tracked path nor a Git branch, tag or commit${kinds}`,
    {
      hint: modelHint(given, models) ?? nearestHint(given, [...names]),
      details: { ref: given },
    },
  );
}

function namesIn({ versions, environments }: ModelNames): string[] {
  return [...versions, ...environments.keys()];
}

/** Says what to write where a word is the name of a model, or means something in models that are not implied. */
function modelHint(given: string, models: readonly ModelNames[]): string | undefined {
  if (models.some(({ model }) => model === given)) {
    return `${given} is a model: write ${given}@latest, or ${given}@VERSION`;
  }
  const having = models.filter((names) => namesIn(names).includes(given));
  if (having.length === 0) return undefined;
  const ways = having.slice(0, 3).map(({ model }) => `${model}@${given}`);
  return `Write ${ways.join(' or ')}; "mstore config set core.model MODEL" says which model is meant by itself`;
}

function nearestHint(given: string, names: readonly string[]): string {
  const near = nearest(given, names);
  return near === undefined
    ? 'Run "mstore ls" for the tracked paths, "git tag" for the tags, "mstore models" for the models'
    : `Did you mean ${printable(near)}?`;
}

/** Builds the error of a reference to what no command can read. */
function foreignReference(reference: ForeignReference, text: string): MstoreError {
  const { what, hint } = foreignTexts[reference.kind];
  return new MstoreError('usage', `${printable(text)} is ${what}`, {
    hint,
    details: { ref: text, kind: reference.kind },
  });
}

const addFirst = 'then "mstore add" and "mstore register" it';
const bucketText = {
  what: 'a place in a bucket, not a version',
  hint: 'Name the remote with --remote and the version as MODEL@VERSION: mstore pull MODEL@VERSION --remote URL --to DIR',
};
const foreignTexts: Readonly<
  Record<ForeignReference['kind'], { readonly what: string; readonly hint: string }>
> = {
  local: {
    what: 'a directory that mstore does not track',
    hint: `Copy it into the workspace, ${addFirst}`,
  },
  hf: {
    what: 'a model of the Hugging Face Hub, which this mstore cannot read',
    hint: `Download it into the workspace ("hf download"), ${addFirst}`,
  },
  s3: bucketText,
  gs: bucketText,
  mlflow: {
    what: 'a model of an MLflow registry, which this mstore cannot read',
    hint: `Download it into the workspace ("mlflow artifacts download"), ${addFirst}`,
  },
  dvc: {
    what: 'a path that DVC tracks, which this mstore cannot read',
    hint: `Run "dvc pull" for it, ${addFirst}`,
  },
  oci: {
    what: 'an artifact of an OCI registry, which this mstore cannot read',
    hint: `Download it into the workspace ("oras pull"), ${addFirst}`,
  },
};
