import * as path from 'node:path';
import { exitCodes, isMstoreError, MstoreError } from '../../base/errors.ts';
import { isTempName } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry } from '../../base/tree.ts';
import { isRemoteFailure } from '../fetch-receive.ts';
import { judgeIncoming } from '../validate-policy.ts';
import { askEnvironment, type LiveAnswer } from './ask.ts';
import { type HookFacts, runHook } from './hooks.ts';
import { pruneVersions } from './keep.ts';
import { currentName, inTheWay } from './place.ts';
import { checkDirectory, type ProvidedVersion, provide, sizesOf } from './provide.ts';
import { type Receipt, writeReceipt } from './receipt.ts';
import type { SyncSession } from './session.ts';

/** What one look did. */
export interface LookResult {
  readonly receipt: Receipt;
  /** Whether `current` leads elsewhere than before. */
  readonly switched: boolean;
  /** What was live before; absent where nothing was. */
  readonly previous?: string | undefined;
  /** Whether the version was there and right, was built, or was damaged and built anew. */
  readonly done: ProvidedVersion['done'];
  /** Bytes that were read from remotes. */
  readonly bytesReceived: number;
  /** Bytes that two versions share on the disk, that were copied between them, that were put together anew. */
  readonly bytesShared: number;
  readonly bytesCopied: number;
  readonly bytesMade: number;
  /** Versions that were removed. */
  readonly removed: readonly string[];
}

/**
 * Asks what is live, has it here, and switches to it.
 * @throws MstoreError `check-refused` when a command said no: then nothing was switched, or it was taken back
 */
export async function look(session: SyncSession): Promise<LookResult> {
  const { options, state, work } = session;
  const before = session.bytesReceived();
  const { model, environment } = options;
  const question = { model, environment, seen: state.value.seen, signal: work.signal };
  const answer = await askEnvironment(session.workspace, await session.remotes(), question);
  tellAnswer(session, answer);
  const { number } = answer.entry.value;
  if (number !== state.value.seen?.number) {
    state.write({ seen: { number, sha256: answer.entry.sha256 } });
  }
  const previous = liveHere(session, answer.entry.value.version);
  const provided = await provideAnswer(session, answer, previous);
  await judge(session, provided);
  const switched = await switchTo(session, provided, previous);
  const receipt = writeReceipt(
    session,
    { ...provided, ...sizesOf(provided.entries) },
    answer.location,
  );
  const removed = await pruneVersions(session);
  // What was live under the name of a directory that is being built may go now.
  session.place.clear(session.surroundings);
  const bytesReceived = session.bytesReceived() - before;
  return { ...resultOf(provided), receipt, switched, previous, bytesReceived, removed };
}

type BuildPart = Pick<LookResult, 'done' | 'bytesShared' | 'bytesCopied' | 'bytesMade'>;

function resultOf({ done, counts }: ProvidedVersion): BuildPart {
  return { done, ...(counts ?? { bytesShared: 0, bytesCopied: 0, bytesMade: 0 }) };
}

function tellAnswer({ options }: SyncSession, { failures, record, state }: LiveAnswer): void {
  for (const { remote, error } of failures) {
    options.warn(`${remote} did not give its registry: ${error.message}`);
  }
  const { model, version } = record.value;
  if (state !== 'active') options.warn(`${model}@${version} is ${state}`);
}

/**
 * Names what is live here.
 * @throws MstoreError `destination-exists` when `current` leads to what sync did not make
 */
function liveHere({ place, state }: SyncSession, wanted: string): string | undefined {
  const target = place.current();
  if (target === undefined || target === wanted || state.find(target) !== undefined) return target;
  // A crash came while the directory of what is live, which was damaged, was replaced.
  if (isTempName(target)) return state.value.versions[0]?.version ?? wanted;
  // What was kept is lost: it may well be ours.
  if (state.damage !== undefined) return target;
  throw inTheWay(
    place.at(currentName),
    `leads to ${target}, which sync did not make`,
    'Remove the link if nothing needs it, or choose another directory with --to',
  );
}

/** Has the version here. One that was deleted from the registry is taken only where it is live here already. */
async function provideAnswer(
  session: SyncSession,
  { record, state }: LiveAnswer,
  previous: string | undefined,
): Promise<ProvidedVersion> {
  const { model, version } = record.value;
  if (state === 'deleted' && previous !== version) {
    throw new MstoreError(
      'unknown-version',
      `${model}@${version} was deleted, and ${session.options.environment} still names it`,
      {
        hint: `Deploy another version: mstore deploy ${model}@VERSION --env ${session.options.environment}`,
        details: { model, name: version },
      },
    );
  }
  // Those that nobody would go back to make room first.
  if (previous !== version) await pruneVersions(session, version);
  return provide(session, record);
}

/** Applies `validate.policy` to a version that is to be live. */
async function judge(
  { workspace, work, options }: SyncSession,
  { directory, entries }: ProvidedVersion,
): Promise<void> {
  const files = entries.filter(isFileEntry).map(({ path: name, size }) => ({
    path: name,
    source: path.join(directory, name),
    size,
    known: false,
  }));
  for (const text of await judgeIncoming(workspace.config, files, work)) options.warn(text);
}

/** Switches to a version whose every byte was verified; returns whether that was needed. */
async function switchTo(
  session: SyncSession,
  provided: ProvidedVersion,
  previous: string | undefined,
): Promise<boolean> {
  const { place, state, options } = session;
  const { version, directory, tree, record } = provided;
  const facts: HookFacts = { version, directory, tree, record, previous };
  const isLive = previous === version;
  const owed = state.value.owed;
  if (isLive) {
    place.point(version);
    // A crash may have come between the link and this.
    if (state.value.versions[0]?.version !== version) {
      state.write({ versions: state.livesNow(version) });
    }
    if (owed?.version !== version) return false;
    await afterSwitch(session, { ...facts, previous: owed.previous ?? undefined });
    return false;
  }
  await runHook(session, 'check', facts);
  await runHook(session, 'before', facts);
  session.checkHeld();
  const hasAfter = options.hooks?.after !== undefined;
  state.write({ owed: hasAfter ? { version, previous: previous ?? null } : undefined });
  place.point(version);
  state.write({ versions: state.livesNow(version) });
  if (hasAfter) await afterSwitch(session, facts);
  return true;
}

/** Runs the command that follows a switch; where it fails, what was live before is live again. */
async function afterSwitch(session: SyncSession, facts: HookFacts): Promise<void> {
  const { state } = session;
  try {
    await runHook(session, 'after', facts);
  } catch (error) {
    if (isMstoreError(error, 'check-refused')) await goBack(session, facts, error);
    throw error;
  }
  state.write({ owed: undefined });
}

async function goBack(session: SyncSession, facts: HookFacts, why: MstoreError): Promise<void> {
  const { place, state, options } = session;
  const { version, previous } = facts;
  const kept = previous === undefined ? undefined : state.find(previous);
  if (kept === undefined) {
    options.warn(`${why.message}; nothing was live before, and nothing is now`);
    place.pointNowhere();
    state.write({ owed: undefined });
    return;
  }
  const directory = place.directoryOf(kept.version);
  const checked = await checkDirectory(session, directory, kept.tree);
  if (checked === undefined || 'problem' in checked) {
    const problem = checked?.problem ?? 'it is gone';
    options.warn(`${printable(directory)} cannot be gone back to: ${problem}`);
    return;
  }
  session.checkHeld();
  place.point(kept.version);
  state.write({ versions: state.livesNow(kept.version), owed: undefined });
  options.warn(`${why.message}; ${kept.version} is live again`);
  const { tree, record } = kept;
  const back = { version: kept.version, directory, tree, record, previous: version };
  try {
    await runHook(session, 'back', back);
  } catch (error) {
    if (!isMstoreError(error, 'check-refused')) throw error;
    options.warn(error.message);
  }
}

/**
 * Verifies what is live here without asking anybody, and says that it may be old.
 * @param why what kept the remotes from being asked
 * @throws MstoreError that, where nothing here is whole
 */
export async function lookHere(session: SyncSession, why: MstoreError): Promise<LookResult> {
  const { place, state, options } = session;
  const live = place.current();
  const kept = live === undefined ? undefined : state.find(live);
  if (kept === undefined) throw why;
  const directory = place.directoryOf(kept.version);
  const checked = await checkDirectory(session, directory, kept.tree);
  if (checked === undefined || 'problem' in checked) {
    options.warn(`${printable(directory)} is damaged: ${checked?.problem ?? 'it is gone'}`);
    throw why;
  }
  place.point(kept.version);
  const { version, record, tree } = kept;
  const found = { version, record, tree, directory, ...sizesOf(checked.entries) };
  options.warn(`${why.message}; ${version}, which is here and whole, is taken`);
  return {
    receipt: writeReceipt(session, found, undefined),
    switched: false,
    previous: version,
    done: 'kept',
    bytesReceived: 0,
    bytesShared: 0,
    bytesCopied: 0,
    bytesMade: 0,
    removed: [],
  };
}

/** Tells whether a failure is one of those after which what is here may be taken. */
export function isUnreachable(error: unknown): error is MstoreError {
  return isRemoteFailure(error) && error.exitCode === exitCodes.remote;
}
