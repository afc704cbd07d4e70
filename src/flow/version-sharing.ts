import type { Registry } from '../registry/registry.ts';
import { compareVersions } from '../registry/version-order.ts';
import { RemoteStore } from '../store/remote-store.ts';
import { readVersions, type VersionSummary } from './registry-read.ts';
import { type ChosenRemote, chosenJobs, requestJobs } from './remotes.ts';
import { type GroupShare, type ShareGroup, sharesOf } from './shares.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** What a version takes on a remote, beside others. */
export interface SharingVersion extends GroupShare {
  readonly version: string;
  /** When it was registered, as ISO 8601 in UTC. */
  readonly created: string;
  /** Bytes of its files. */
  readonly size: number;
}

/** What {@link versionSharing} found. */
export interface VersionSharing {
  readonly model: string;
  /** The oldest one first, so that `added` is what each of them brought. */
  readonly versions: readonly SharingVersion[];
  /** Versions that were not looked at, as they are older. */
  readonly older: number;
  /** Bytes of the files of all that were looked at. */
  readonly size: number;
  /** Bytes of their chunks as they are stored, each once. */
  readonly stored: number;
}

/** Options of {@link versionSharing}. */
export interface SharingOptions {
  /** Versions that are looked at, the newest ones. */
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Says what the versions of a model share on a remote, those that are active or deprecated. Nothing but recipes and
 * indexes is read.
 * @throws MstoreError `unknown-model`, `corrupt-remote`
 */
export async function versionSharing(
  workspace: Workspace,
  registry: Registry,
  { model, chosen }: { readonly model: string; readonly chosen: ChosenRemote },
  { limit, signal }: SharingOptions,
): Promise<VersionSharing> {
  const { versions: all } = await readVersions(registry, model);
  const versions = [...all].sort(compareVersions).slice(-limit);
  const shares = await sharesOn(workspace, chosen, versions, signal);
  return {
    model,
    versions: versions.map(({ version, created, size }, i) => {
      return { version, created, size, ...shares.of(i) };
    }),
    older: all.length - versions.length,
    size: versions.reduce((sum, { size }) => sum + size, 0),
    stored: shares.stored,
  };
}

/** Counts what some contents take on a remote, and share there. */
export async function sharesOn(
  workspace: Workspace,
  chosen: ChosenRemote,
  contents: ReadonlyArray<Pick<VersionSummary, 'path' | 'kind' | 'sha256' | 'size'>>,
  signal: AbortSignal | undefined,
): ReturnType<typeof sharesOf> {
  const { store } = workspace;
  const groups = contents.map(({ path, kind, sha256, size }): ShareGroup => {
    const content = { path, kind, sha256, size };
    return [contentOf(store, { content }, {}).pointer];
  });
  const there = await RemoteStore.open(chosen.remote, store);
  const transfer = {
    signal,
    jobs: requestJobs(workspace, undefined, chosen),
    requestsMax: chosenJobs(workspace, undefined),
  };
  return sharesOf(groups, { there, near: store, transfer });
}
