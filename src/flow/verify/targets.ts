import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { isFileEntry, parseTree } from '../../base/tree.ts';
import { Registry } from '../../registry/registry.ts';
import type { RemotePruner } from '../../remote/remote.ts';
import { findTargets } from '../targets.ts';
import type { Tracked } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';
import { ChunkStates } from './chunks.ts';
import { Findings } from './findings.ts';
import { readBlobOf, recipeOf } from './harm.ts';
import { newPacksResult, type VerifyScope } from './packs.ts';
import type { VerifiedPlace } from './place.ts';

/**
 * Finds the packs and recipes that some contents need, as far as the place knows them. Packs are checked as a whole:
 * what lies beside the chunks that are needed is read as well.
 */
export async function targetScope(
  place: VerifiedPlace,
  targets: readonly Tracked[],
): Promise<VerifyScope> {
  const chunks = new ChunkStates(await place.index(), newPacksResult(), new Findings());
  const blobs = new Set<Digest>();
  for (const { pointer } of targets) {
    blobs.add(pointer.sha256);
    if (pointer.kind !== 'tree') continue;
    for (const entry of pointer.files ?? (await readTree(place, chunks, pointer.sha256))) {
      if (isFileEntry(entry)) blobs.add(entry.sha256);
    }
  }
  const packs = new Set<Digest>();
  for (const blob of blobs) {
    const recipe = await recipeOf(place, chunks, blob);
    for (let row = 0; row < (recipe?.count ?? 0); row++) {
      const found = recipe && chunks.find(recipe.rows, recipe.idOffset(row));
      if (found !== undefined) packs.add(found.pack.id);
    }
  }
  return { packs: (pack) => packs.has(pack), recipes: (blob) => blobs.has(blob) };
}

/**
 * Finds what arguments name: here, and of a remote also the versions that only its registry has.
 * @throws MstoreError as {@link findTargets}
 */
export async function findVerified(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
  remote: RemotePruner | undefined,
): Promise<readonly Tracked[]> {
  try {
    return (await findTargets(workspace, args, cwd)).tracked;
  } catch (error) {
    const isUnknown = isMstoreError(error, 'unknown-model', 'unknown-version', 'unknown-ref');
    if (!isUnknown || remote === undefined) throw error;
    return (await findTargets(workspace, args, cwd, new Registry(remote))).tracked;
  }
}

async function readTree(
  place: VerifiedPlace,
  chunks: ChunkStates,
  tree: Digest,
): Promise<ReturnType<typeof parseTree>> {
  const bytes = await readBlobOf(place, chunks, tree);
  return bytes === undefined ? [] : parseTree(bytes);
}
