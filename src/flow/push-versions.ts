import { isMstoreError, MstoreError } from '../base/errors.ts';
import type { LoggedObject } from '../registry/audit.ts';
import { independentOf } from '../registry/dependents.ts';
import type { FoundVersion } from '../registry/find.ts';
import { parseRegistryKey, versionKey } from '../registry/keys.ts';
import type { CopyOptions, RegistryConflict } from '../registry/sync.ts';
import { RemoteStore } from '../store/remote-store.ts';
import type { WorkOptions } from './add.ts';
import { ActLog, type LoggedAct } from './audit/act-log.ts';
import { isPresent } from './checkout.ts';
import { type PushResult, push } from './push.ts';
import { lackingContents } from './push-plan.ts';
import { localRegistry, pairRegistries, type RegistryPair, refuseConflicts } from './registry.ts';
import { type ChosenRemote, requestJobs } from './remotes.ts';
import type { Tracked } from './tracked.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** What {@link pushWithVersions} did. */
export interface PushWithVersionsResult {
  readonly result: PushResult;
  /** What both sides say differently; nothing of it was sent. */
  readonly conflicts: readonly RegistryConflict[];
  /**
   * Names versions of which neither side is known to have all data: of all that was to be sent of the registry, they
   * were left out with the histories that speak of them.
   */
  readonly lacking?: MstoreError;
}

/** Options of {@link pushWithVersions}. */
export interface PushOptions extends WorkOptions {
  /** What of the registry is sent too: all that the remote lacks, or one version; nothing by default. */
  readonly registry?: 'all' | FoundVersion | undefined;
}

/** Entries of histories read at once. */
const readsAtOnce = 16;

/** Versions named in one message; the rest is counted. */
const namesShown = 3;

/** Times that a registry is compared anew because others wrote to the remote meanwhile. */
const triesMax = 8;

/**
 * Pushes what tracked paths need and, where it is asked for, what the registry of the remote lacks: first the
 * data of versions that are new there, also when no pointer names them any more, then their records, states
 * and histories. A version that neither side has the data of is never named there.
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
  const wanted = pair.onlyHere.filter(isWanted);
  const contents = await newContents(workspace, pair, wanted);
  const lacking =
    registry === 'all' ? await lackingVersions(workspace, contents, chosen, options) : [];
  const keys = await without(pair, wanted, lacking);
  const left = new Set(lacking);
  const versions = contents.filter((one) => !left.has(one)).map(({ item }) => item);
  const acts = new ActLog(workspace, chosen.remote);
  if (keys.length > 0) await acts.prepare();
  const sent = await push(workspace, tracked, chosen, options, versions);
  const again = () => pairRegistries(workspace, chosen, sync);
  const created: LoggedObject[] = [];
  const problems = [...sent.problems];
  let done: SentKeys;
  try {
    done = await sendKeys(pair, new Set(keys), again, (key, sha256) => {
      created.push({ key, sha256 });
    });
  } finally {
    // What is there is there, also where the rest could not be sent.
    if (created.length > 0) problems.push(...(await acts.log(pushOf(registry, created))));
  }
  const { records, last } = done;
  const bytesSent = chosen.remote.counts().create.bytes;
  return {
    result: { ...sent, problems, recordsSent: records, bytesSent },
    conflicts: registry === 'all' ? last.conflicts : conflictsOf(last, isWanted),
    ...(lacking.length === 0 ? {} : { lacking: lackingError(lacking, chosen) }),
  };
}

/** What the audit log says of a push. */
function pushOf(registry: 'all' | FoundVersion, objects: readonly LoggedObject[]): LoggedAct {
  // A version that was there has been signed since.
  const isSigned = objects.every(({ key }) => parseRegistryKey(key)?.kind === 'signatures');
  const act = isSigned ? 'sign' : 'push';
  if (registry === 'all') return { act, objects };
  const { model, version } = registry.record.value;
  return { act, model, version, objects };
}

/** Chooses keys of the registry: of one version its record, its signatures and its states. */
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
): Promise<NewContent[]> {
  const contents: NewContent[] = [];
  for (const key of keys) {
    const named = parseRegistryKey(key);
    if (named?.kind !== 'versions') continue;
    const record = await here.record(named.model, named.name);
    const isDeleted = (await here.state(named.model, named.name)) === 'deleted';
    if (record === undefined || isDeleted) continue;
    const { model, name } = named;
    contents.push({ model, name, item: contentOf(store, record.value, {}) });
  }
  return contents;
}

/** The data of a version whose record is to be sent. */
interface NewContent {
  readonly model: string;
  /** The version. */
  readonly name: string;
  readonly item: Tracked;
}

/**
 * Finds the versions of which neither side is known to have all data: histories speak of versions that never were here,
 * and whose records came along in a package or by a fetch.
 */
async function lackingVersions(
  workspace: Workspace,
  contents: readonly NewContent[],
  chosen: ChosenRemote,
  { signal, jobs }: WorkOptions,
): Promise<NewContent[]> {
  const absent = contents.filter(({ item }) => !isPresent(workspace.store, [item]));
  if (absent.length === 0) return [];
  const there = await RemoteStore.open(chosen.remote, workspace.store);
  const transfer = { signal, jobs: requestJobs(workspace, jobs, chosen) };
  const items = absent.map(({ item }) => item);
  const lacking = new Set(await lackingContents(workspace, items, there, transfer));
  return absent.filter(({ item }) => lacking.has(item));
}

/** Leaves out versions and the histories that speak of them: on a remote nothing is named that is not there. */
async function without(
  { here }: RegistryPair,
  keys: readonly string[],
  lacking: readonly NewContent[],
): Promise<readonly string[]> {
  const left = lacking.map(
    ({ model, name }) => ({ kind: 'version', model, name, text: '' }) as const,
  );
  const free = await independentOf(here, keys, left, readsAtOnce);
  const records = new Set(lacking.map(({ model, name }) => versionKey(model, name)));
  return free.keys.filter((key) => !records.has(key));
}

function lackingError(lacking: readonly NewContent[], { remote }: ChosenRemote): MstoreError {
  const names = lacking.map(({ model, name }) => `${model}@${name}`);
  const shown = names.slice(0, namesShown).join(', ');
  const more = names.length > namesShown ? ` and ${names.length - namesShown} more` : '';
  const their = names.length === 1 ? 'its' : 'their';
  return new MstoreError(
    'objects-missing',
    `${shown}${more} and the histories that speak of ${names.length === 1 ? 'it' : 'them'} were left out: not all of ${their} data is here, and ${remote.location} is not known to have it`,
    {
      hint: `All else was sent. Get the data here ("mstore fetch ${names[0]}" from a remote that has it, or "mstore unpackage" with a package of it), then push again`,
      details: { versions: names, location: remote.location },
    },
  );
}

/** What {@link sendKeys} did. */
interface SentKeys {
  readonly records: number;
  /** The last comparison of both sides. */
  readonly last: RegistryPair;
}

/**
 * Sends objects of the registry. Where another command takes a name meanwhile, there or here, both sides are compared anew, so
 * that the rest is sent all the same.
 * @param onCreated told of each object that is there now
 */
async function sendKeys(
  first: RegistryPair,
  keys: ReadonlySet<string>,
  again: () => Promise<RegistryPair>,
  onCreated: CopyOptions['onCreated'],
): Promise<SentKeys> {
  let pair = first;
  for (let tries = 1; ; tries++) {
    try {
      await pair.push(
        pair.onlyHere.filter((key) => keys.has(key)),
        onCreated,
      );
      const left = new Set(conflictingKeys(pair, keys));
      return { records: keys.size - left.size, last: pair };
    } catch (error) {
      // What is not here any more was set aside by another command, for what the remote has in its place.
      const isOvertaken = isMstoreError(error, 'version-exists', 'histories-differ', 'not-found');
      if (!isOvertaken || tries === triesMax) throw error;
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
