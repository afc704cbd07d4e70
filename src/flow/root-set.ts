import * as fs from 'node:fs';
import * as path from 'node:path';
import { mapConcurrently } from '../base/concurrency.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { HistoricFile } from '../git/repository.ts';
import type { ModelNames, Registry } from '../registry/registry.ts';
import { rollbackVersions } from '../registry/timeline.ts';
import type { RemoteCallOptions, RemoteObject, RemoteReader } from '../remote/remote.ts';
import { rootsPrefix } from '../store/keys.ts';
import { type RootItem, type RootRecord, readRoot, repositoryOfRoot } from '../store/roots.ts';
import { type Pointer, pointerSuffix } from '../worktree/pointer.ts';
import { readPointers, type Tracked, type TrackedSet, trackedInWorkspace } from './tracked.ts';
import { type Workspace, workspaceFolderName } from './workspace.ts';

/** Something that is kept, and what people call it. */
export interface Root {
  /** `model@v1`, `models/a.bin in the working tree`, `models/a.bin at 3f2a91c`. */
  readonly name: string;
  readonly item: Tracked;
}

/** One version of one tracked path in the history of Git. */
export interface HistoricRoot extends Root {
  /** The earliest commit that has it. */
  readonly commit: string;
  /** When that was made, milliseconds since 1970-01-01 UTC. */
  readonly time: number;
}

/** Objects read at once. */
const readsAtOnce = 16;

/** What the working trees and the history of a repository lead to. */
export interface GitRoots {
  /** Of this working tree, of the others of the repository, and of what is staged in any of them. */
  readonly current: readonly Root[];
  /** Of all commits that Git keeps. */
  readonly past: readonly HistoricRoot[];
  /** Pointers of old commits that cannot be read, so that nobody can check them out. */
  readonly unreadable: number;
}

/**
 * Lists what the pointers of a workspace lead to: those in the working trees of its repository and their
 * indexes, and those of every commit that Git keeps, for the sake of stashes and reflogs also where no branch
 * leads to it.
 * @throws MstoreError `corrupt-pointer`, `merge-conflict`, `newer-format` for a pointer that is in use and
 * cannot be read; `not-found` for a working tree that is gone
 */
export async function gitRoots(workspace: Workspace): Promise<GitRoots> {
  const current = rootsFrom(usable(trackedInWorkspace(workspace)), 'in the working tree');
  const { git, gitPrefix } = workspace;
  if (git === undefined) return { current, past: [], unreadable: 0 };
  for (const root of git.otherRoots()) {
    const top = path.join(root, gitPrefix);
    if (!fs.existsSync(root)) throw goneTree(root);
    if (!fs.existsSync(path.join(top, workspaceFolderName))) continue;
    const there = usable(trackedInWorkspace({ root: top, git }));
    current.push(...rootsFrom(there, `in the working tree ${printable(top)}`));
  }
  const ours = ({ path: full }: { readonly path: string }) => full.startsWith(gitPrefix);
  const staged = (await git.indexedFiles(pointerSuffix)).filter(ours);
  current.push(...rootsFrom(usable(await readPointers(workspace, staged)), 'as it is staged'));
  const files = (await git.history(await git.keptCommits(), pointerSuffix)).filter(ours);
  const { past, unreadable } = await historicRoots(workspace, files);
  return { current, past, unreadable };
}

function rootsFrom(tracked: readonly Tracked[], where: string): Root[] {
  return tracked.map((item) => ({ name: `${printable(item.path)} ${where}`, item }));
}

/** The pointers of a set, when all of them can be read: nobody knows what others need. */
function usable({ tracked, broken }: TrackedSet): readonly Tracked[] {
  const [first] = broken;
  if (first !== undefined) throw first.error;
  return tracked;
}

function goneTree(root: string): MstoreError {
  return new MstoreError(
    'not-found',
    `The working tree ${printable(root)} of this repository is not there, and it is unknown what it needs`,
    {
      hint: 'Mount it, or let Git forget it with "git worktree prune" if it is gone for good',
      details: { path: root },
    },
  );
}

async function historicRoots(
  workspace: Workspace,
  files: readonly HistoricFile[],
): Promise<{ past: HistoricRoot[]; unreadable: number }> {
  const { tracked, broken } = await readPointers(workspace, files);
  // What a newer mstore wrote is somebody's; what nobody can read is nobody's.
  const newer = broken.find(({ error }) => error.code === 'newer-format');
  if (newer !== undefined) throw newer.error;
  const past = tracked.map(({ path: name, pointer, file: { commit, time } }) => ({
    name: `${printable(name)} at ${commit.slice(0, 10)}`,
    item: { path: name, pointer },
    commit,
    time,
  }));
  return { past, unreadable: broken.length };
}

/** A version of the registry and what it keeps. */
export interface VersionRoot extends Root {
  readonly model: string;
  readonly version: string;
}

/** What a registry keeps. */
export interface RegistryRoots {
  /** All versions that are not deleted, and what environments need whatever it is. */
  readonly kept: readonly VersionRoot[];
  /** Versions that are deleted and that no environment needs. */
  readonly deleted: readonly VersionRoot[];
}

/**
 * Lists what the versions of a registry lead to. A deleted version stays as long as an environment has it live or
 * may go back to it.
 * @param window versions that an environment may go back to
 * @throws MstoreError `corrupt-registry`
 */
export async function registryRoots(registry: Registry, window: number): Promise<RegistryRoots> {
  const kept: VersionRoot[] = [];
  const deleted: VersionRoot[] = [];
  for (const names of await registry.names()) {
    const { model } = names;
    const versions = [...names.versions];
    const records = await registry.records(model, versions);
    const states = await registry.states(names);
    const needed = await neededByEnvironments(registry, names, window);
    for (const [i, version] of versions.entries()) {
      const record = records[i]?.value;
      if (record === undefined) continue;
      const item = { path: record.content.path, pointer: pointerOf(record.content) };
      const root = { name: `${model}@${version}`, model, version, item };
      const isKept = states.get(version) !== 'deleted' || needed.has(version);
      (isKept ? kept : deleted).push(root);
    }
  }
  return { kept, deleted };
}

async function neededByEnvironments(
  registry: Registry,
  { model, environments }: ModelNames,
  window: number,
): Promise<Set<string>> {
  const needed = new Set<string>();
  for (const environment of environments.keys()) {
    const history = (await registry.history(model, environment)).map(({ value }) => value);
    const live = history.at(-1)?.version;
    if (live !== undefined) needed.add(live);
    for (const version of rollbackVersions(history, window)) needed.add(version);
  }
  return needed;
}

/**
 * Reads the root records of a place, of all repositories that use it.
 * @param without keys of records that were given up
 * @throws MstoreError `corrupt-remote`, `newer-format`
 */
export async function rootRecords(
  place: RemoteReader,
  without: ReadonlySet<string>,
  options: RemoteCallOptions = {},
): Promise<RootRecord[]> {
  const found: RemoteObject[] = [];
  for await (const object of place.list(rootsPrefix, options)) {
    if (!without.has(object.key)) found.push(object);
  }
  const foreign = found.find(({ key }) => repositoryOfRoot(key) === undefined)?.key;
  if (foreign !== undefined) {
    throw new MstoreError(
      'corrupt-remote',
      `${place.location}/${printable(foreign)} is no record of what a repository needs`,
      { hint: 'Move it away from below roots/: who put it there?', details: { key: foreign } },
    );
  }
  return (
    await mapConcurrently(found, readsAtOnce, async ({ key, time }) => {
      try {
        return [{ ...(await readRoot(place, key, options)), time }];
      } catch (error) {
        // Given up and taken away since it was listed.
        if (isMstoreError(error, 'not-found')) return [];
        throw error;
      }
    })
  ).flat();
}

/** Makes roots of what a record keeps. */
export function recordRoots({ repository, created, items }: RootRecord): Root[] {
  const who = `pushed by ${repository.slice(0, 8)} on ${created.slice(0, 10)}`;
  return items.map((item) => ({
    name: `${printable(item.path)} ${who}`,
    item: { path: item.path, pointer: pointerOf(item) },
  }));
}

function pointerOf({ path: full, kind, sha256, size }: RootItem): Pointer {
  return { path: path.posix.basename(full), kind, sha256, size, extra: {} };
}
