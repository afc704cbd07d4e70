import * as path from 'node:path';
import { isMstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { pathProblem, printable } from '../base/names.ts';
import { programVersion } from '../base/version.ts';
import { parseData } from '../registry/data-file.ts';
import { type GtoArtifact, type GtoTag, gatherGtoTags } from '../registry/gto.ts';
import { pointerAt, readGtoTags } from './git-tags.ts';
import { contentOf } from './register.ts';
import {
  Importer,
  type ImportOptions,
  type ImportResult,
  type LiveEvent,
} from './registry-import.ts';
import { pointerPath, requireGit, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What an import of Git tags has to know. */
export interface GitTagImport extends ImportOptions {
  /** Tracked paths from the top of the workspace, by the name of the artifact; they win over `artifacts:`. */
  readonly paths?: ReadonlyMap<string, string>;
  /** Our names of artifacts, where they are others than theirs. */
  readonly models?: ReadonlyMap<string, string>;
  /** Versions that are registered already, as `MODEL@VERSION`: their content is not looked for in Git. */
  readonly registered?: ReadonlySet<string>;
}

/**
 * Turns the annotated tags of GTO's convention into versions, states and histories of the local registry. The
 * content of a version is what the pointer of its path says in the commit that is tagged; the path is that
 * of `artifacts:` in `dvc.yaml` (or `artifacts.yaml`) in that commit, or one that is given.
 * @throws MstoreError `no-git`, `import-refused`, `objects-missing`
 */
export async function importGitTags(
  workspace: Workspace,
  options: GitTagImport = {},
): Promise<ImportResult> {
  const git = requireGit(workspace);
  const importer = await Importer.open(workspace, options);
  const tags = await readGtoTags(git);
  const artifacts = [...new Set(tags.map(({ artifact }) => artifact))].sort();
  const { remoteUrl } = await git.lineage();
  for (const artifact of artifacts) {
    const one = new ArtifactImport(workspace, importer, options, remoteUrl);
    await one.plan(gatherGtoTags(artifact, tags));
  }
  return importer.finish();
}

class ArtifactImport {
  readonly #workspace: Workspace;
  readonly #importer: Importer;
  readonly #options: GitTagImport;
  readonly #remoteUrl: string | undefined;

  constructor(
    workspace: Workspace,
    importer: Importer,
    options: GitTagImport,
    remoteUrl: string | undefined,
  ) {
    this.#workspace = workspace;
    this.#importer = importer;
    this.#options = options;
    this.#remoteUrl = remoteUrl;
  }

  async plan(found: GtoArtifact): Promise<void> {
    const { artifact } = found;
    const model = this.#options.models?.get(artifact) ?? artifact;
    if (!this.#importer.isName('model', model, `The tags of ${artifact}`)) return;
    for (const what of found.contradictions) {
      this.#importer.problem(`The tag ${printable(what)} contradicts an earlier one`);
    }
    for (const tag of found.tags) {
      if (tag.action !== 'register' || found.commits.get(tag.version ?? '') !== tag.commit)
        continue;
      // One that was made again, with a number, tells nothing new of the version.
      const first = found.tags.find((t) => t.action === 'register' && t.version === tag.version);
      if (first === tag) await this.#version(model, tag);
    }
    await this.#states(model, found);
    await this.#histories(model, found);
  }

  async #version(model: string, tag: GtoTag): Promise<void> {
    const version = tag.version ?? '';
    if (!this.#importer.isName('version', version, tag.tag)) return;
    if (this.#options.registered?.has(`${model}@${version}`)) {
      return this.#importer.keep(model, version);
    }
    const tracked = await this.#pointer(tag);
    if (tracked === undefined) return;
    const { commit, message } = tag;
    const isDefault = message === `Registering artifact ${tag.artifact} version ${version}`;
    await this.#importer.version({
      model,
      version,
      content: contentOf(tracked),
      created: timeOfTag(tag),
      author: taggerOf(tag),
      tool: `mstore ${programVersion()}`,
      ...(message === '' || isDefault ? {} : { description: message }),
      metrics: {},
      source: {
        git: {
          commit,
          dirty: false,
          ...(this.#remoteUrl === undefined ? {} : { remote: this.#remoteUrl }),
        },
        gto: { tag: tag.tag },
      },
    });
  }

  /** Finds the pointer of a version; what stands in the way is a problem. */
  async #pointer({ tag, artifact, commit }: GtoTag): Promise<Tracked | undefined> {
    const { problem } = { problem: (what: string) => this.#importer.problem(`${tag}: ${what}`) };
    try {
      const given = this.#options.paths?.get(artifact);
      const found = given ?? (await artifactPath(this.#workspace, artifact, commit));
      if (found === undefined) {
        problem(`no path is known; name it with --path-of ${printable(artifact)}=PATH`);
        return undefined;
      }
      const tracked = await pointerAt(this.#workspace, commit, found);
      if (tracked === undefined) {
        const where = printable(pointerPath(found));
        problem(`commit ${commit.slice(0, 10)} has no pointer ${where}`);
      }
      return tracked;
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-pointer', 'merge-conflict', 'config-invalid')) throw error;
      problem(error.message);
      return undefined;
    }
  }

  async #states(model: string, { tags, retired }: GtoArtifact): Promise<void> {
    for (const version of retired) {
      const last = tags.findLast(
        (tag) =>
          (tag.action === 'deregister' && tag.version === version) || tag.action === 'deprecate',
      );
      if (last !== undefined) await this.#importer.deprecate(model, version, event(version, last));
    }
  }

  async #histories(model: string, { tags, versions, stages }: GtoArtifact): Promise<void> {
    for (const stage of stages.keys()) {
      if (!this.#importer.isName('environment', stage, `${model}#${stage}`)) continue;
      const events: LiveEvent[] = [];
      for (const tag of tags) {
        if (tag.stage !== stage || tag.action !== 'assign') continue;
        const version = versions.get(tag.commit);
        if (version !== undefined) events.push(event(version, tag));
        else this.#importer.problem(`${tag.tag}: commit ${tag.commit.slice(0, 10)} is no version`);
      }
      if (events.length > 0) await this.#importer.history(model, stage, events);
      if (stages.get(stage)?.length === 0) {
        this.#importer.note(
          `${stage} of ${model} was emptied by its last tag: a history here ends with what was live last`,
        );
      }
    }
  }
}

/** Looks the path of an artifact up in what a commit says of it; from the top of the workspace. */
export async function artifactPath(
  workspace: Workspace,
  artifact: string,
  commit: string,
): Promise<string | undefined> {
  const colon = artifact.indexOf(':');
  const folder = colon < 0 ? '' : `${artifact.slice(0, colon)}/`;
  for (const file of [`${folder}dvc.yaml`, `${folder}artifacts.yaml`]) {
    const content = await readFile(workspace, commit, file);
    const artifacts = file.endsWith('dvc.yaml') ? objectIn(content, 'artifacts') : content;
    const named = objectIn(artifacts, artifact.slice(colon + 1))?.['path'];
    if (typeof named !== 'string') continue;
    const full = path.posix.normalize(`${folder}${named}`).replace(/\/+$/, '');
    const { gitPrefix } = workspace;
    const relative = full.startsWith(gitPrefix) ? full.slice(gitPrefix.length) : '..';
    if (pathProblem(relative) === undefined && !relative.startsWith('..')) return relative;
  }
  return undefined;
}

async function readFile(
  workspace: Workspace,
  commit: string,
  file: string,
): Promise<JsonObject | undefined> {
  const git = requireGit(workspace);
  const entry = (await git.listFiles(commit, file)).find((one) => one.path === file);
  if (entry === undefined) return undefined;
  let bytes = Buffer.alloc(0);
  await git.readFiles([entry.oid], limits.configBytesMax, (_, content) => {
    bytes = Buffer.from(content);
  });
  const value = await parseData(bytes, file, 'config-invalid');
  return isJsonObject(value) ? value : undefined;
}

function objectIn(value: JsonObject | undefined, key: string): JsonObject | undefined {
  const inner = value !== undefined && Object.hasOwn(value, key) ? value[key] : undefined;
  return isJsonObject(inner) ? inner : undefined;
}

function event(version: string, tag: GtoTag): LiveEvent {
  const base = { version, at: timeOfTag(tag), by: taggerOf(tag) };
  return tag.message === '' ? base : { ...base, reason: tag.message };
}

/** When a tag was made: ISO 8601 in UTC. */
export function timeOfTag({ seconds }: Pick<GtoTag, 'seconds'>): string {
  // What no calendar holds is taken for the beginning of time.
  const time = new Date(seconds * 1000);
  const year = Number.isNaN(time.getTime()) ? -1 : time.getUTCFullYear();
  return (year >= 0 && year <= 9999 ? time : new Date(0)).toISOString();
}

function taggerOf({ tagger }: GtoTag): string {
  return tagger === undefined ? 'unknown' : printable(`${tagger.name} <${tagger.mail}>`);
}
