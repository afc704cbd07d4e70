/*
 * The convention of GTO (Git Tag Ops, https://github.com/iterative/gto, as of 1.10): the registry of a Git
 * repository is its annotated tags.
 *
 *   NAME@v1.2.0      the commit is version v1.2.0 of the artifact
 *   NAME@v1.2.0!     that version is out of use
 *   NAME#STAGE#3     the version of the commit is live in the stage
 *   NAME#STAGE!#4    it is no longer
 *   NAME@deprecated  the whole artifact is out of use
 *
 * The number at the end is counted for each artifact, over all of its tags; it may stand behind any of them, and makes
 * a name that would otherwise be taken.
 */

/** What a tag does to a registry. */
export type GtoAction = 'register' | 'deregister' | 'assign' | 'unassign' | 'deprecate';

/** The name of a tag, taken apart. */
export interface GtoName {
  readonly action: GtoAction;
  /** Name of the artifact; behind a colon when it belongs to a folder: `some/folder:name`. */
  readonly artifact: string;
  /** Of `register` and `deregister`. */
  readonly version?: string;
  /** Of `assign` and `unassign`. */
  readonly stage?: string;
  readonly counter?: number;
}

/** A tag of the convention. */
export interface GtoTag extends GtoName {
  /** Name of the tag. */
  readonly tag: string;
  readonly commit: string;
  /** Whole seconds since 1970-01-01 UTC. */
  readonly seconds: number;
  readonly tagger: { readonly name: string; readonly mail: string } | undefined;
  readonly message: string;
}

/** Git's own names of references are shorter. */
const tagLengthMax = 1_024;
const name = '[a-zA-Z0-9](?:[a-zA-Z0-9\\-/_]*[a-zA-Z0-9])?';
const identifier = '(?:0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)';
const version =
  '(?:0|[1-9]\\d*)\\.(?:0|[1-9]\\d*)\\.(?:0|[1-9]\\d*)' +
  `(?:-${identifier}(?:\\.${identifier})*)?(?:\\+[0-9a-zA-Z-]+(?:\\.[0-9a-zA-Z-]+)*)?`;
const namePattern = new RegExp(`^${name}$`);
const versionPattern = new RegExp(`^v${version}$`);
const tagPattern = new RegExp(
  `^((?:[a-zA-Z0-9\\-_./]+=)?${name})(?:(?:#(${name})|@(v${version}))(!?)|@(deprecated))(?:#(\\d{1,15}))?$`,
);

/** Takes the name of a tag apart; undefined for a name of another form. */
export function parseGtoName(tag: string): GtoName | undefined {
  const match = tag.length > tagLengthMax ? null : tagPattern.exec(tag);
  if (match === null) return undefined;
  const [, artifact = '', stage, registered, cancel, deprecated, counter] = match;
  const action =
    deprecated !== undefined
      ? 'deprecate'
      : stage === undefined
        ? cancel === '!'
          ? 'deregister'
          : 'register'
        : cancel === '!'
          ? 'unassign'
          : 'assign';
  return {
    action,
    // What stands for a colon in tags, which Git does not take.
    artifact: artifact.replace('=', ':'),
    ...(registered === undefined ? {} : { version: registered }),
    ...(stage === undefined ? {} : { stage }),
    ...(counter === undefined ? {} : { counter: Number(counter) }),
  };
}

/** Writes the name of a tag. */
export function formatGtoName({ action, artifact, version: of, stage, counter }: GtoName): string {
  const what = {
    register: `@${of}`,
    deregister: `@${of}!`,
    assign: `#${stage}`,
    unassign: `#${stage}!`,
    deprecate: '@deprecated',
  }[action];
  return artifact.replace(':', '=') + what + (counter === undefined ? '' : `#${counter}`);
}

/** Says why GTO does not take a name of ours, or returns undefined. */
export function gtoNameProblem(
  kind: 'model' | 'version' | 'environment',
  given: string,
): string | undefined {
  if (kind === 'version') {
    return versionPattern.test(given)
      ? undefined
      : 'its versions are "v" and three numbers, such as v1.2.0 or v1.2.0-rc.1';
  }
  return namePattern.test(given)
    ? undefined
    : 'its names hold letters, digits, "-" and "_" alone, and end with a letter or a digit';
}

/** Sorts tags in the order in which they happened: by time, and within one second by their numbers. */
export function sortGtoTags<T extends GtoTag>(tags: readonly T[]): T[] {
  return [...tags].sort(
    (a, b) =>
      a.seconds - b.seconds ||
      (a.counter ?? 0) - (b.counter ?? 0) ||
      (a.tag < b.tag ? -1 : a.tag > b.tag ? 1 : 0),
  );
}

/** What the tags of one artifact say. */
export interface GtoArtifact {
  readonly artifact: string;
  /** In the order in which they happened. */
  readonly tags: readonly GtoTag[];
  /** Versions by the commit that they are, out of use or not. */
  readonly versions: ReadonlyMap<string, string>;
  /** Commits by version. */
  readonly commits: ReadonlyMap<string, string>;
  /** Versions out of use. */
  readonly retired: ReadonlySet<string>;
  /** By stage, the commits that are assigned to it, the last one last. */
  readonly stages: ReadonlyMap<string, readonly string[]>;
  /** The highest number behind a tag, 0 where there is none. */
  readonly counter: number;
  /** Commits of which the tags make two versions, and versions that are two commits: GTO reads neither. */
  readonly contradictions: readonly string[];
}

/** Gathers what tags say of one artifact; those of others are passed over. */
export function gatherGtoTags(artifact: string, all: readonly GtoTag[]): GtoArtifact {
  const tags = sortGtoTags(all.filter((tag) => tag.artifact === artifact));
  const versions = new Map<string, string>();
  const commits = new Map<string, string>();
  const retired = new Set<string>();
  const stages = new Map<string, string[]>();
  const contradictions: string[] = [];
  for (const { action, version: of = '', stage = '', commit, tag } of tags) {
    if (action === 'register' || action === 'deregister') {
      const [known, other] = [commits.get(of), versions.get(commit)];
      if ((known ?? commit) !== commit || (other ?? of) !== of) {
        contradictions.push(`${tag} at ${commit.slice(0, 10)}`);
        continue;
      }
      versions.set(commit, of);
      commits.set(of, commit);
      if (action === 'register') retired.delete(of);
      else retired.add(of);
    } else if (action === 'deprecate') {
      for (const each of commits.keys()) retired.add(each);
    } else {
      const others = (stages.get(stage) ?? []).filter((each) => each !== commit);
      stages.set(stage, action === 'assign' ? [...others, commit] : others);
    }
  }
  const counter = Math.max(0, ...tags.map((tag) => tag.counter ?? 0));
  return { artifact, tags, versions, commits, retired, stages, counter, contradictions };
}
