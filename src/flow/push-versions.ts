import { isMstoreError } from '../base/errors.ts';
import type { FoundVersion } from '../registry/find.ts';
import { parseRegistryKey, versionKey } from '../registry/keys.ts';
import type { RegistryConflict } from '../registry/sync.ts';
import type { WorkOptions } from './add.ts';
import { type PushResult, push } from './push.ts';
import { localRegistry, pairRegistries, type RegistryPair, refuseConflicts } from './registry.ts';
import type { ChosenRemote } from './remotes.ts';
import type { Tracked } from './tracked.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** What {@link pushWithVersions} did. */
export interface PushWithVersionsResult {
  readonly result: PushResult;
  /** What both sides say differently; nothing of it was sent. */
  readonly conflicts: readonly RegistryConflict[];
}

/** Options of {@link pushWithVersions}. */
export interface PushOptions extends WorkOptions {
  /** What of the registry is sent too: all that the remote lacks, or one version; nothing by default. */
  readonly registry?: 'all' | FoundVersion | undefined;
}

/** Times that a registry is compared anew because others wrote to the remote meanwhile. */
const triesMax = 8;

/**
 * Pushes what tracked paths need and, where it is asked for, what the registry of the remote lacks: first the
 * data of versions that are new there, also when no pointer names them any more, then their records, states
 * and histories.
 * @throws MstoreError as {@link push}; `version-exists` when the one version is another one there
 */
export async function pushWithVersions(
  workspace: Workspace,
  tracked: readonly Tracked[],
  chosen: ChosenRemote,
  { registry, ...options }: PushOptions = {},
): Promise<PushWithVersionsResult> {
  const model = registry === 'all' ? undefined : registry?.record.value.model;
  const isEmpty =
    registry === undefined ||
    (await (await localRegistry(workspace, options)).names(model)).length === 0;
  if (isEmpty) return { result: await push(workspace, tracked, chosen, options), conflicts: [] };
  const sync = { signal: options.signal, jobs: options.jobs, model };
  const pair = await pairRegistries(workspace, chosen, sync);
  const isWanted = wantedKeys(registry);
  if (registry !== 'all') refuseConflicts(conflictsOf(pair, isWanted));
  const keys = pair.onlyHere.filter(isWanted);
  const versions = await newContents(workspace, pair, keys);
  const sent = await push(workspace, tracked, chosen, options, versions);
  const again = () => pairRegistries(workspace, chosen, sync);
  const { records, last } = await sendKeys(pair, new Set(keys), again);
  const bytesSent = chosen.remote.counts().create.bytes;
  return {
    result: { ...sent, recordsSent: records, bytesSent },
    conflicts: registry === 'all' ? last.conflicts : conflictsOf(last, isWanted),
  };
}

/** Chooses keys of the registry: of one version its record and its states. */
function wantedKeys(registry: 'all' | FoundVersion): (key: string) => boolean {
  if (registry === 'all') return () => true;
  const { version } = registry.record.value;
  return (key) => {
    const named = parseRegistryKey(key);
    return named?.name === version && named.kind !== 'environments';
  };
}

/** The conflicts that concern what is wanted. */
function conflictsOf(
  { conflicts }: RegistryPair,
  isWanted: (key: string) => boolean,
): RegistryConflict[] {
  return conflicts.filter(({ model, name }) => isWanted(versionKey(model, name)));
}

/** The data of the versions whose records are among the keys; what was deleted need not be here any more. */
async function newContents(
  { store }: Workspace,
  { here }: RegistryPair,
  keys: readonly string[],
): Promise<Tracked[]> {
  const contents: Tracked[] = [];
  for (const key of keys) {
    const named = parseRegistryKey(key);
    if (named?.kind !== 'versions') continue;
    const record = await here.record(named.model, named.name);
    const isDeleted = (await here.state(named.model, named.name)) === 'deleted';
    if (record !== undefined && !isDeleted) contents.push(contentOf(store, record.value, {}));
  }
  return contents;
}

/**
 * Sends objects of the registry. Where another writer takes a name meanwhile, both sides are compared anew, so
 * that the rest is sent all the same.
 * @returns how many were sent, and the last comparison
 */
async function sendKeys(
  first: RegistryPair,
  keys: ReadonlySet<string>,
  again: () => Promise<RegistryPair>,
): Promise<{ records: number; last: RegistryPair }> {
  let pair = first;
  for (let tries = 1; ; tries++) {
    try {
      await pair.push(pair.onlyHere.filter((key) => keys.has(key)));
      const left = new Set(conflictingKeys(pair, keys));
      return { records: keys.size - left.size, last: pair };
    } catch (error) {
      if (!isMstoreError(error, 'version-exists', 'histories-differ') || tries === triesMax) {
        throw error;
      }
      pair = await again();
    }
  }
}

/** Keys that were to be sent and now are in conflict. */
function conflictingKeys({ conflicts }: RegistryPair, keys: ReadonlySet<string>): string[] {
  const named = new Set(conflicts.map(({ model, name }) => `${model}@${name}`));
  return [...keys].filter((key) => {
    const found = parseRegistryKey(key);
    return found !== undefined && named.has(`${found.model}@${found.name}`);
  });
}
