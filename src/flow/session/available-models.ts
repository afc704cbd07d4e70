import * as path from 'node:path';
import { isMstoreError } from '../../base/errors.ts';
import type { VersionState } from '../../registry/entry.ts';
import { availabilityOf } from '../info.ts';
import { localRegistry } from '../registry.ts';
import { readVersions } from '../registry-read.ts';
import { type ResolveOptions, resolveModel, surroundingsOf } from '../resolve/resolve.ts';
import type { Surroundings } from '../surroundings.ts';
import { findTargets } from '../targets.ts';
import { contentOf } from '../version-content.ts';
import { openWorkspace, type Workspace } from '../workspace.ts';
import { argumentsOf, type ModelArguments } from './load-model.ts';

/** Where models are looked for. */
export interface AvailableOptions {
  /** Absolute folder in a workspace; else the current one. */
  readonly cwd?: string | undefined;
  /** By default those of this process. */
  readonly surroundings?: Surroundings | undefined;
}

/** A version of the registry here. */
export interface AvailableModel {
  readonly model: string;
  readonly version: string;
  readonly state: VersionState;
  /** Environments in which it is live. */
  readonly live: readonly string[];
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes of it that the local store lacks; it may be in the cache of resolved models all the same. */
  readonly missingBytes: number;
  /** Whether it can be loaded without a network. */
  readonly available: boolean;
}

/** Failures that say that a model is not here, or not wholly. */
const absent = [
  ...(['offline', 'objects-missing', 'not-found', 'not-tracked', 'no-workspace'] as const),
  ...(['unknown-model', 'unknown-version', 'unknown-ref', 'unknown-environment'] as const),
  ...(['remote-unreachable', 'no-git'] as const),
] as const;

/**
 * Tells whether a model can be loaded without a network: all of it is in the local store, or in the cache of resolved
 * models. What is unknown here is not available.
 * @throws MstoreError what is wrong with the reference or the workspace
 */
export async function isModelAvailable(...args: ModelArguments<ResolveOptions>): Promise<boolean> {
  const { reference, options } = argumentsOf(args);
  if (reference !== undefined && (await isStored(reference, options))) return true;
  return isCached(reference, options);
}

/** What can be resolved without a network is here: in the cache of models, which is verified then. */
async function isCached(reference: string | undefined, options: ResolveOptions): Promise<boolean> {
  try {
    await resolveModel(reference, { ...options, offline: true });
    return true;
  } catch (error) {
    if (isMstoreError(error, ...absent)) return false;
    throw error;
  }
}

/** Looks into the store alone, which needs no file to be read. */
async function isStored(reference: string, options: ResolveOptions): Promise<boolean> {
  try {
    const cwd = path.resolve(options.cwd ?? '.');
    const workspace = await openWorkspace(cwd, surroundingsOf(options));
    const { tracked, version } = await findTargets(workspace, [reference], cwd);
    if (version === undefined) return false;
    return tracked.every((item) => availabilityOf(workspace, item).complete);
  } catch (error) {
    if (isMstoreError(error)) return false;
    throw error;
  }
}

/**
 * Lists the versions of the registry here that can be loaded without a network, by model, the newest first.
 * @param options `all` lists those too whose bytes are not here
 * @throws MstoreError `no-workspace`, `corrupt-registry`
 */
export async function listAvailableModels(
  options: AvailableOptions & { readonly all?: boolean } = {},
): Promise<AvailableModel[]> {
  const surroundings = surroundingsOf(options);
  const workspace = await openWorkspace(path.resolve(options.cwd ?? '.'), surroundings);
  const registry = await localRegistry(workspace);
  const found: AvailableModel[] = [];
  for (const { model } of await registry.names()) {
    const { versions } = await readVersions(registry, model);
    for (const { version, state, live, path: tracked, kind, sha256, size } of versions) {
      const missingBytes = missingOf(workspace, { path: tracked, kind, sha256, size });
      const available = missingBytes === 0 || (await isCached(`${model}@${version}`, options));
      if (available || options.all === true)
        found.push({ model, version, state, live, path: tracked, size, missingBytes, available });
    }
  }
  return found;
}

function missingOf(
  workspace: Workspace,
  content: Parameters<typeof contentOf>[1]['content'],
): number {
  const item = contentOf(workspace.store, { content }, {});
  return availabilityOf(workspace, item).missingBytes;
}
