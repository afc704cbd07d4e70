import { isMstoreError } from '../base/errors.ts';
import { parseReference } from '../registry/reference.ts';
import { fetchRegistry, type RegistryFetch, type RegistryFetchOptions } from './fetch-registry.ts';
import { impliedModel, isSelector } from './find-by-word.ts';
import { localRegistry, refuseConflicts } from './registry.ts';
import type { RemoteChoice } from './several-remotes.ts';
import { findTargets, type Targets } from './targets.ts';
import type { Workspace } from './workspace.ts';

/** What the arguments of a transfer chose, and what was brought of the registry to find it. */
export interface FetchTargets {
  readonly targets: Targets;
  /** Left out where no remote was asked. */
  readonly registry?: RegistryFetch;
}

/** What {@link findFetchTargets} works with. */
export interface FetchTargetsParts {
  /** Absolute folder that paths start from. */
  readonly cwd: string;
  /** Opens the remotes, in the order in which they are asked; called where the registry matters. */
  readonly remotes: () => Promise<readonly RemoteChoice[]>;
}

/**
 * Finds what `[REF] [PATH…]` means for a transfer. Where it names a version of a model, the registry of the remote
 * is brought first, so that what is live in an environment, and what is the latest, is what the remote says
 * now. Where none can be asked, a version that is known here is taken all the same, as it never changes.
 * @throws MstoreError as {@link findTargets}; `version-exists`, `histories-differ` where both sides differ; the
 * failure of the first remote when none can be asked
 */
export async function findFetchTargets(
  workspace: Workspace,
  args: readonly string[],
  { cwd, remotes }: FetchTargetsParts,
  options: RegistryFetchOptions = {},
): Promise<FetchTargets> {
  const asked = await modelAsked(workspace, args, cwd);
  if ('targets' in asked) return asked;
  const registry = await fetchRegistry(workspace, await remotes(), { ...options, ...asked });
  refuseConflicts(registry.conflicts);
  const failure = registry.answered ? undefined : registry.failures[0]?.error;
  try {
    const targets = await findTargets(workspace, args, cwd);
    const { version } = targets;
    if (version?.by === undefined) return { targets, registry };
    if (failure !== undefined) throw failure;
    if (registry.ahead === undefined) return { targets, registry };
    // What was decided here and not pushed yet is not what the remote says.
    return { targets: await findTargets(workspace, args, cwd, registry.ahead), registry };
  } catch (error) {
    const isUnknown = isMstoreError(error, 'unknown-ref', 'unknown-model', 'unknown-version');
    throw isUnknown && failure !== undefined ? failure : error;
  }
}

/** Finds out which model the remote is to be asked of; undefined for all of them. */
async function modelAsked(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
): Promise<{ readonly targets: Targets } | { readonly model: string | undefined }> {
  const [first] = args;
  const reference = first === undefined ? undefined : parseReference(first);
  if (reference?.kind === 'model') return { model: reference.model };
  try {
    const targets = await findTargets(workspace, args, cwd);
    if (targets.version === undefined) return { targets };
    return { model: targets.version.record.value.model };
  } catch (error) {
    const mayBeThere = isMstoreError(error, 'unknown-ref', 'ambiguous-ref', 'not-tracked');
    if (!mayBeThere || reference?.kind !== 'word' || !isSelector(reference.word)) throw error;
    return { model: await impliedModel(workspace, await localRegistry(workspace)) };
  }
}
