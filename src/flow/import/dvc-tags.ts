import * as path from 'node:path';
import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { AnnotatedTag } from '../../git/tag-object.ts';
import { gatherGtoTags, parseGtoName } from '../../registry/gto.ts';
import { checkRegistryName, registryNameProblem } from '../../registry/names.ts';
import type { WorkOptions } from '../add.ts';
import { readGtoTags } from '../git-tags.ts';
import { artifactPath, importGitTags, timeOfTag } from '../import-git-tags.ts';
import { requireGit } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';
import { importRefused, ofOneOutput } from './dvc-import.ts';
import { DvcRepository } from './dvc-repository.ts';
import { type ImportResult, importModel } from './import.ts';

/** What of the tags of a repository of DVC becomes versions. */
export interface DvcTagsRequest {
  /** Absolute: the output of which a model is made; needed with {@link DvcTagsRequest.model} alone. */
  readonly output: string;
  /** The model that the output is at each tag; without it, GTO's tags say what is a model and where it lies. */
  readonly model?: string | undefined;
  readonly dryRun?: boolean;
}

/** A tag, and what became of it. */
export interface ImportedTag {
  readonly tag: string;
  readonly model: string;
  readonly version: string;
  readonly path?: string;
  readonly outcome: 'registered' | 'unchanged' | 'left-out';
  readonly why?: string;
}

/** What {@link importDvcTags} did, or would do. */
export interface DvcTagsResult {
  readonly tags: readonly ImportedTag[];
  /** Entries of histories and states that are new. */
  readonly moves: number;
  readonly bytesReceived: number;
  readonly bytesNew: number;
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
  readonly dryRun: boolean;
}

/** A version that a tag is to become. */
interface PlannedVersion {
  readonly tag: string;
  readonly commit: string;
  readonly model: string;
  readonly version: string;
  /** From the top of the workspace; undefined where it is not known. */
  readonly path: string | undefined;
  /** ISO 8601 in UTC, where the tag tells. */
  readonly created: string | undefined;
  readonly description: string | undefined;
}

/**
 * Registers what DVC kept at the tags of Git, each a version with the data of that commit; of GTO's tags also who was live where.
 * What is registered already and the same is not read again.
 * @throws MstoreError `import-refused` when some could not be taken: the others are
 */
export async function importDvcTags(
  workspace: Workspace,
  request: DvcTagsRequest,
  options: WorkOptions = {},
): Promise<DvcTagsResult> {
  const { model, dryRun = false } = request;
  const planned =
    model === undefined
      ? await plannedByGto(workspace)
      : await plannedByTags(workspace, request.output, model);
  const tags: ImportedTag[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  let [bytesReceived, bytesNew] = [0, 0];
  for (const one of planned) {
    const { tag, model: of, version, path: name } = one;
    const base = { tag, model: of, version, ...(name === undefined ? {} : { path: name }) };
    const why = await reasonAgainst(workspace, one);
    if (why !== undefined) tags.push({ ...base, outcome: 'left-out', why });
    else if (dryRun) tags.push({ ...base, outcome: 'registered' });
    else {
      try {
        const result = await register(workspace, one, options);
        bytesReceived += result.bytesReceived;
        bytesNew += result.bytesNew;
        warnings.push(...result.warnings);
        tags.push({ ...base, outcome: result.created ? 'registered' : 'unchanged' });
      } catch (error) {
        if (!isMstoreError(error, ...ofOneTag)) throw error;
        tags.push({ ...base, outcome: 'left-out', why: error.message });
        problems.push(`${tag}: ${error.message}`);
      }
    }
  }
  const isGto = model === undefined && !dryRun;
  const { moves, notes } = isGto ? await movesOf(workspace, tags, options) : noMoves;
  if (problems.length > 0) throw refused(tags, problems);
  return { tags, moves, bytesReceived, bytesNew, notes, warnings, dryRun };
}

/** Failures that are of one tag alone. */
const ofOneTag = [...ofOneOutput, 'version-exists', 'name-taken'] as const;

const noMoves = { moves: 0, notes: [] };

/** Versions of one model: tags of GTO that name it, and others whose names can be those of versions. */
async function plannedByTags(
  workspace: Workspace,
  output: string,
  model: string,
): Promise<PlannedVersion[]> {
  checkRegistryName('model', model);
  const git = requireGit(workspace);
  const told = new Map((await git.annotatedTags(() => true)).map((tag) => [tag.name, tag]));
  const name = workspace.relative(output, workspace.root);
  return (await git.references()).flatMap(({ kind, name: tag, commit }): PlannedVersion[] => {
    const gto = parseGtoName(tag);
    const isOther = gto !== undefined && (gto.action !== 'register' || gto.artifact !== model);
    if (kind !== 'tag' || isOther) return [];
    const version = gto?.version ?? tag;
    return [{ tag, commit, model, version, path: name, ...toldBy(told.get(tag)) }];
  });
}

/** Versions of all models that GTO's tags name. */
async function plannedByGto(workspace: Workspace): Promise<PlannedVersion[]> {
  const all = await readGtoTags(requireGit(workspace));
  const planned: PlannedVersion[] = [];
  for (const artifact of [...new Set(all.map((tag) => tag.artifact))].sort()) {
    const { commits, tags } = gatherGtoTags(artifact, all);
    for (const [version, commit] of commits) {
      const first = tags.find((tag) => tag.action === 'register' && tag.version === version);
      const tag = first?.tag ?? `${artifact}@${version}`;
      const found = await artifactPath(workspace, artifact, commit);
      planned.push({ tag, commit, model: artifact, version, path: found, ...toldBy(first) });
    }
  }
  return planned;
}

function toldBy(
  tag: Pick<AnnotatedTag, 'seconds' | 'message'> | undefined,
): Pick<PlannedVersion, 'created' | 'description'> {
  const isDefault = tag === undefined || /^(?:Registering artifact |$)/.test(tag.message);
  return {
    created: tag === undefined ? undefined : timeOfTag(tag),
    description: isDefault ? undefined : tag.message,
  };
}

/** Says why a tag becomes no version, without anything being wrong. */
async function reasonAgainst(
  workspace: Workspace,
  { commit, model, version, path: name }: PlannedVersion,
): Promise<string | undefined> {
  const wrong = registryNameProblem('model', model) ?? registryNameProblem('version', version);
  if (wrong !== undefined)
    return `${printable(`${model}@${version}`)} can be no name here: ${wrong}`;
  if (name === undefined) return 'dvc.yaml of that commit names no path of the artifact';
  const folder = path.dirname(workspace.absolute(name));
  const repository = await DvcRepository.open(workspace, folder, commit);
  const full = path.relative(repository.root, workspace.absolute(name)).split(path.sep).join('/');
  const { outputs } = await repository.outputs();
  const isKept = outputs.some(({ path: one }) => full === one || full.startsWith(`${one}/`));
  return isKept ? undefined : `DVC keeps nothing at ${printable(name)} there`;
}

/** Registers one version with the data of its commit. */
function register(
  workspace: Workspace,
  { commit, model, version, path: name = '', created, description }: PlannedVersion,
  options: WorkOptions,
): Promise<ImportResult> {
  const request = {
    from: `dvc:${name}#rev=${commit}`,
    cwd: workspace.root,
    path: name,
    asFile: true,
    ...{ model, version, created, description },
  };
  return importModel(workspace, request, options);
}

/** Brings states and histories of versions that are registered. */
async function movesOf(
  workspace: Workspace,
  tags: readonly ImportedTag[],
  { signal }: WorkOptions,
): Promise<{ readonly moves: number; readonly notes: readonly string[] }> {
  const registered = new Set(
    tags
      .filter(({ outcome }) => outcome !== 'left-out')
      .map(({ model, version }) => `${model}@${version}`),
  );
  const result = await importGitTags(workspace, { registered, partial: true, signal });
  const { entries, states, versions, notes, leftOut } = result;
  return { moves: entries.length + states.length + versions.length, notes: [...notes, ...leftOut] };
}

function refused(tags: readonly ImportedTag[], problems: readonly string[]): MstoreError {
  const done = tags.filter(({ outcome }) => outcome !== 'left-out').length;
  return importRefused(`${done} of ${tags.length} tags are versions now`, problems);
}
