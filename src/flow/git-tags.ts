import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { isJsonObject, valueText } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable, shellWord } from '../base/names.ts';
import type { GitRepository } from '../git/repository.ts';
import type { Tagger } from '../git/tag-object.ts';
import { parseData } from '../registry/data-file.ts';
import {
  formatGtoName,
  type GtoArtifact,
  type GtoName,
  type GtoTag,
  gatherGtoTags,
  gtoNameProblem,
  parseGtoName,
} from '../registry/gto.ts';
import type { VersionContent, VersionRecord } from '../registry/record.ts';
import { authorOf } from './author.ts';
import { pointerPath, readPointers, requireGit, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** A tag that is to be made. */
interface PlannedTag {
  readonly name: string;
  readonly commit: string;
  readonly message: string;
}

/** Reads the tags of GTO's convention; all, or those of one artifact. */
export async function readGtoTags(git: GitRepository, artifact?: string): Promise<GtoTag[]> {
  const isOurs = (name: string): boolean => {
    const parsed = parseGtoName(name);
    return parsed !== undefined && (parsed.artifact === artifact || artifact === undefined);
  };
  const tags = await git.annotatedTags(isOurs);
  return tags.flatMap(({ name, ...tag }) => {
    const parsed = parseGtoName(name);
    return parsed === undefined ? [] : [{ ...tag, ...parsed, tag: name }];
  });
}

/**
 * Reads the pointer of a tracked path in a commit; undefined where it has none.
 * @param path from the top of the workspace
 */
export async function pointerAt(
  workspace: Workspace,
  commit: string,
  path: string,
): Promise<Tracked | undefined> {
  const where = `${workspace.gitPrefix}${pointerPath(path)}`;
  const files = await requireGit(workspace).listFiles(commit, where);
  const { tracked, broken } = await readPointers(
    workspace,
    files.filter((file) => file.path === where),
  );
  if (broken[0] !== undefined) throw broken[0].error;
  return tracked[0];
}

/**
 * Tells of changes of a registry by annotated tags of the Git repository, in GTO's convention. First it is
 * found out whether and which tags can be made, then the registry is changed, then the tags are written: so
 * no tag says what is not so, and what Git cannot take is said before anything was changed.
 */
export class GitTags {
  readonly #workspace: Workspace;
  readonly #git: GitRepository;
  readonly #known: GtoArtifact;
  readonly #planned: PlannedTag[] = [];

  private constructor(workspace: Workspace, git: GitRepository, known: GtoArtifact) {
    this.#workspace = workspace;
    this.#git = git;
    this.#known = known;
  }

  /**
   * Reads the tags of a model.
   * @throws MstoreError `no-git`, `bad-name` for names that GTO does not take, `name-taken` where its tags
   * contradict each other
   */
  static async open(workspace: Workspace, model: string): Promise<GitTags> {
    const git = requireGit(workspace);
    checkName('model', model);
    const known = gatherGtoTags(model, await readGtoTags(git, model));
    if (known.contradictions.length === 0) return new GitTags(workspace, git, known);
    throw new MstoreError(
      'name-taken',
      `The Git tags of ${model} contradict each other: ${known.contradictions.map(printable).join(', ')}`,
      {
        hint: 'GTO has one version for a commit, and one commit for a version; delete the tags that are wrong ("git tag -d")',
        details: { model, tags: known.contradictions },
      },
    );
  }

  /** Names of the tags that were planned. */
  get names(): string[] {
    return this.#planned.map(({ name }) => name);
  }

  /**
   * Plans the tag of a version, unless it is there. It goes to the commit that is checked out, or the one
   * that the record names, whichever holds the pointer of this content.
   * @returns the commit
   * @throws MstoreError `bad-name`, `file-changed` where no commit holds the pointer, `name-taken` where the tag
   * is at a commit with other content, or the commit is another version
   */
  async planRegister(
    version: string,
    content: VersionContent,
    options: {
      readonly commit?: string | undefined;
      readonly description?: string | undefined;
    } = {},
  ): Promise<string> {
    checkName('version', version);
    const { artifact, commits, versions } = this.#known;
    const tagged = commits.get(version);
    if (tagged !== undefined && !(await this.#holds(tagged, content))) {
      const what = `it is at commit ${tagged.slice(0, 10)} already, which has other content`;
      throw taken(version, artifact, what);
    }
    if (tagged !== undefined) return tagged;
    const commit = await this.#commitOf(content, options.commit);
    const other = versions.get(commit);
    if (other !== undefined) {
      throw taken(version, artifact, `commit ${commit.slice(0, 10)} is ${other} already`);
    }
    const message = options.description ?? `Registering artifact ${artifact} version ${version}`;
    this.#plan({ action: 'register', artifact, version }, commit, message);
    return commit;
  }

  /** Plans the tag that takes a version out of use, or back into use; none for one that has no tag. */
  planState(version: string, inUse: boolean, reason: string | undefined): void {
    const { artifact, commits, retired } = this.#known;
    const commit = commits.get(version);
    if (commit === undefined || inUse !== retired.has(version)) return;
    const [action, doing] = inUse
      ? (['register', 'Registering'] as const)
      : (['deregister', 'Deregistering'] as const);
    const message = reason ?? `${doing} artifact ${artifact} version ${version}`;
    this.#plan({ action, artifact, version }, commit, message);
  }

  /**
   * Plans the tags of a version that becomes live in an environment: what is assigned to it now no longer
   * is, then the version is. Its own tag is planned too where it lacks one.
   * @throws MstoreError as {@link planRegister}
   */
  async planAssign(
    environment: string,
    { version, content, source, description }: VersionRecord,
    reason: string | undefined,
  ): Promise<void> {
    checkName('environment', environment);
    await this.#checkStage(environment);
    const { artifact, stages, versions } = this.#known;
    const from = source?.git?.commit;
    const commit = await this.planRegister(version, content, { commit: from, description });
    const assigned = stages.get(environment) ?? [];
    for (const each of assigned.filter((one) => one !== commit)) {
      const old = versions.get(each) ?? each.slice(0, 10);
      const message = `Unassigning stage ${environment} from artifact ${artifact} version ${old}`;
      this.#plan({ action: 'unassign', artifact, stage: environment }, each, message);
    }
    if (assigned.includes(commit)) return;
    const message =
      reason ?? `Assigning stage ${environment} to artifact ${artifact} version ${version}`;
    this.#plan({ action: 'assign', artifact, stage: environment }, commit, message);
  }

  /**
   * Makes the tags that were planned.
   * @returns their names
   * @throws MstoreError `name-taken` when somebody else was faster; the registry is changed then, and the
   * same command makes the tags that lack
   */
  async write(): Promise<string[]> {
    const tagger = taggerOf(await authorOf(this.#workspace));
    // The order of tags is that of their times, which are whole seconds.
    const now = Math.floor(this.#workspace.surroundings.clock.now() / 1000);
    let seconds = Math.max(now, (this.#known.tags.at(-1)?.seconds ?? 0) + 1);
    for (const tag of this.#planned) {
      if ((await this.#git.createTag({ ...tag, tagger, seconds: seconds++ })) === 'exists') {
        throw new MstoreError('name-taken', `Git has a tag ${tag.name} now: somebody was faster`, {
          hint: 'The registry is changed; run the same command again for its tags',
          details: { tag: tag.name },
        });
      }
    }
    return this.names;
  }

  /** Assignments are always counted, as GTO does, and other tags where their name is taken. */
  #plan(name: GtoName, commit: string, message: string): void {
    const { tags, counter } = this.#known;
    const plain = formatGtoName(name);
    const counted = this.#planned.filter((tag) => parseGtoName(tag.name)?.counter !== undefined);
    const isCounted = name.stage !== undefined || tags.some((tag) => tag.tag === plain);
    const next = counter + counted.length + 1;
    const full = isCounted ? formatGtoName({ ...name, counter: next }) : plain;
    this.#planned.push({ name: full, commit, message });
  }

  async #holds(commit: string, content: VersionContent): Promise<boolean> {
    const tracked = await pointerAt(this.#workspace, commit, content.path);
    return tracked?.pointer.sha256 === content.sha256 && tracked.pointer.kind === content.kind;
  }

  async #commitOf(content: VersionContent, recorded: string | undefined): Promise<string> {
    const { commit: head } = await this.#git.head();
    const known =
      recorded === undefined || recorded === head ? undefined : await this.#git.resolve(recorded);
    for (const commit of [head, known]) {
      if (commit !== undefined && (await this.#holds(commit, content))) return commit;
    }
    const where = printable(pointerPath(content.path));
    throw new MstoreError('file-changed', `HEAD does not hold ${where} as it is registered`, {
      hint: `A tag names a commit: commit the pointer first ("git add ${shellWord(pointerPath(content.path))}", "git commit"), or check out the commit that has it`,
      details: { path: content.path },
    });
  }

  /** A file `.gto` at the top of the repository may say which stages there are. */
  async #checkStage(environment: string): Promise<void> {
    const file = path.join(this.#git.root, '.gto');
    const bytes = readBounded(file, limits.configBytesMax);
    if (bytes === undefined) return;
    const config = await parseData(bytes, file, 'config-invalid', 'yaml');
    const stages = isJsonObject(config) ? config['stages'] : undefined;
    if (!Array.isArray(stages) || stages.length === 0 || stages.includes(environment)) return;
    throw new MstoreError('bad-name', `${environment} is no stage of ${printable(file)}`, {
      hint: `Its stages are ${stages.map((stage) => printable(valueText(stage))).join(', ')}`,
      details: { environment },
    });
  }
}

/** Makes the tags that were planned, or in a dry run only names them; says nothing where there is no plan. */
export async function writeTags(
  tags: GitTags | undefined,
  dryRun = false,
): Promise<{ gitTags?: readonly string[] }> {
  if (tags === undefined) return {};
  return { gitTags: dryRun ? tags.names : await tags.write() };
}

function checkName(kind: 'model' | 'version' | 'environment', name: string): void {
  const problem = gtoNameProblem(kind, name);
  if (problem === undefined) return;
  throw new MstoreError('bad-name', `GTO takes no ${kind} ${printable(name)}: ${problem}`, {
    hint: 'Leave --git-tag out, or choose a name that both take',
    details: { kind, name },
  });
}

function taken(version: string, model: string, what: string): MstoreError {
  return new MstoreError('name-taken', `Git cannot tag ${model}@${version}: ${what}`, {
    hint: 'Leave --git-tag out, or make a commit of its own for this version',
    details: { model, version },
  });
}

/** Takes `Name <mail>` or `USER@HOST` apart. */
function taggerOf(author: string): Tagger {
  const match = /^(.*?)\s*<(.*)>$/.exec(author);
  if (match !== null) return { name: match[1] || (match[2] ?? ''), mail: match[2] ?? '' };
  return { name: author.split('@')[0] || author, mail: author.includes('@') ? author : '' };
}
