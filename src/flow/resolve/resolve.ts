import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable, shellWord } from '../../base/names.ts';
import { type FileEntry, isFileEntry, type TreeEntry, treeSize } from '../../base/tree.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Sealed } from '../../registry/sealed.ts';
import { offlineIn, type Surroundings, systemSurroundings } from '../surroundings.ts';
import { type Asked, exactForm, lockName, parseAsked } from './asked.ts';
import { referenceFrom, withEnvFile } from './environment.ts';
import { drifted } from './located.ts';
import { clearLeftovers, type LockFile, type Pin, pinOf, readLock, writePin } from './lock-file.ts';
import { isStoreDamage, locate, obtain, refuseUnreadable } from './obtain.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';

/** Options of {@link resolveModel}. */
export interface ResolveOptions extends SessionOptions {
  /** Absolute folder that relative paths start from, and in which the workspace is looked for; else the current one. */
  readonly cwd?: string | undefined;
  /** By default those of this process. */
  readonly surroundings?: Surroundings | undefined;
  /** Absolute directory to write, whole or not at all; by default a place of its own in the cache. */
  readonly to?: string | undefined;
  /** Replaces a directory at `to` that holds something else. */
  readonly force?: boolean | undefined;
  /** Absolute path of the lock file: what is pinned there is taken, what is not is pinned. */
  readonly lock?: string | undefined;
  /** Pins anew what is pinned. */
  readonly update?: boolean | undefined;
  /** Pins nothing, and fails where what the reference names now is not what is pinned. */
  readonly frozen?: boolean | undefined;
  /** Absolute path of a file of variables; the environment wins. */
  readonly envFile?: string | undefined;
  /** Uses no network. `MSTORE_OFFLINE` says so too. */
  readonly offline?: boolean | undefined;
  /** Process for which a model in the cache is held: it is not pruned while that runs. By default this one. */
  readonly holder?: number | undefined;
}

/** A model that is on this machine, every byte of it verified. */
export interface ResolvedModel {
  /** The reference as it was asked for. */
  readonly reference: string;
  /** The reference that gives the same bytes for ever. */
  readonly exact: string;
  /** For a version of a registry. */
  readonly model?: string;
  readonly version?: string;
  readonly record?: VersionRecord;
  /** The environment in which it is live, or `latest`, where the reference names one. */
  readonly by?: string;
  /** Digest of the tree of all files. */
  readonly tree: Digest;
  readonly files: readonly FileEntry[];
  /** Bytes of all files. */
  readonly size: number;
  /** Absolute path of the directory that holds it and nothing else. */
  readonly directory: string;
  /** Whether it was there and right, was written, or was damaged and written anew. */
  readonly done: 'kept' | 'written' | 'healed';
  /** What the lock file says, and what it said before where that is something else. */
  readonly locked?: { readonly pin: Pin; readonly before: Pin | undefined };
  /** What people should know. */
  readonly warnings: readonly string[];
}

/** What {@link obtain} gives: a model in its directory. */
export interface Obtained {
  readonly exact: string;
  readonly tree: Digest;
  readonly entries: readonly TreeEntry[];
  readonly directory: string;
  readonly done: ResolvedModel['done'];
  readonly record?: Sealed<VersionRecord> | undefined;
  readonly by?: string | undefined;
}

/**
 * Has the model that a reference names on this machine, whole and verified, from wherever it lives: a version, a revision of
 * Git, the Hub, a bucket, the web, a directory. Fails clearly where that is not possible; nothing else is ever taken for it.
 * @param reference by default what `MODEL_REF` or `ML_MODEL_REF` says
 * @throws MstoreError `usage`, `drift`, `not-locked`, `corrupt-lock`, `destination-exists`, `offline`, and what the place throws
 */
export async function resolveModel(
  reference?: string | undefined,
  options: ResolveOptions = {},
): Promise<ResolvedModel> {
  const cwd = path.resolve(options.cwd ?? '.');
  checkOptions(options);
  const surroundings = surroundingsOf(options);
  const asked = parseAsked(reference ?? referenceFrom(surroundings.env, options.envFile));
  refuseUnreadable(asked);
  const session = await openSession(cwd, surroundings, options);
  try {
    return await resolve(session, asked, options);
  } catch (error) {
    if (isStoreDamage(error) && session.hasRemotes) {
      return await resolveAnew(session, asked, options, error);
    }
    throw explained(session, asked, error);
  } finally {
    session.close();
  }
}

/**
 * Resolves as a host would that has nothing in its store: what is damaged in that of the workspace is not in the way, and
 * stays as it is.
 * @throws MstoreError `fault`, with why it could not be had elsewhere
 */
async function resolveAnew(
  session: Session,
  asked: Asked,
  options: ResolveOptions,
  fault: MstoreError,
): Promise<ResolvedModel> {
  const { folder } = session.workspace.store;
  const apart = session.apart();
  const mend = session.hasWorkspace ? 'Run "mstore verify --repair"' : 'Remove it, or name another';
  apart.warnings.push(
    `the store ${folder} is damaged, and was not used: ${fault.message}. ${mend}`,
  );
  try {
    return await resolve(apart, asked, options);
  } catch (error) {
    if (isMstoreError(error, 'interrupted') || !isMstoreError(error)) throw error;
    throw new MstoreError(fault.code, fault.message, {
      hint: [`It is not to be had elsewhere: ${error.message}`, fault.hint ?? ''].join('. '),
      details: fault.details,
      cause: error,
    });
  }
}

/** The surroundings that options ask for. */
export function surroundingsOf({
  surroundings,
  envFile,
  offline,
}: Pick<ResolveOptions, 'surroundings' | 'envFile' | 'offline'>): Surroundings {
  const given = surroundings ?? systemSurroundings(process.env);
  const env = envFile === undefined ? given.env : withEnvFile(given.env, envFile);
  return { ...given, env, offline: offline === true || given.offline || offlineIn(env) };
}

function checkOptions({ lock, update, frozen, to, force }: ResolveOptions): void {
  const refuse = (what: string, hint: string): never => {
    throw new MstoreError('usage', what, { hint });
  };
  if (lock === undefined && (update || frozen)) {
    refuse(
      `--${update ? 'update' : 'frozen'} is of a lock file, and none is named`,
      'Add --lock FILE',
    );
  }
  if (update && frozen) refuse('--update moves pins, and --frozen forbids it', 'Leave one out');
  if (force && to === undefined) refuse('--force is for --to DIR', 'Leave it out');
}

async function resolve(
  session: Session,
  asked: Asked,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const { lock, update = false, frozen = false } = options;
  if (lock !== undefined && !frozen) await clearLeftovers(lock);
  const file = lock === undefined ? undefined : readLock(lock);
  const pin = update ? undefined : file?.pins.get(lockName(asked));
  if (frozen && pin === undefined) throw notLocked(asked, lock, file);
  if (pin === undefined) return resolveFree(session, asked, options);
  if (frozen) await refuseDrift(session, asked, pin);
  return resolvePinned(session, asked, pin, options);
}

/** Takes what the reference names now, and pins it where there is a lock file. */
async function resolveFree(
  session: Session,
  asked: Asked,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const obtained = await obtain(session, asked, undefined, options);
  const { lock, update = false } = options;
  if (lock === undefined) return resolved(session, asked, obtained);
  const { exact, tree, entries, record } = obtained;
  const ours = pinOf(asked, { exact, tree, size: treeSize(entries), record: record?.sha256 });
  const locked = await writePin(lock, asked, ours, update);
  if (locked.pin.exact === exact && locked.pin.tree === tree) {
    return resolved(session, asked, obtained, locked);
  }
  // Another process pinned it meanwhile: what stands there is what everybody takes.
  return resolvePinned(session, asked, locked.pin, options);
}

/** Takes what a pin says, and nothing else. */
async function resolvePinned(
  session: Session,
  asked: Asked,
  pin: Pin,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  // What stands behind the ? of an address may be needed to read it, and is in no lock file.
  const pinned = asked.reference.kind === 'https' ? asked : parseAsked(pin.exact);
  const obtained = await obtain(session, pinned, pin.tree, options);
  const size = treeSize(obtained.entries);
  if (size !== pin.size) {
    throw new MstoreError(
      'corrupt-lock',
      `The lock file says that ${printable(asked.text)} has ${pin.size} bytes; it has ${size}`,
      {
        hint: 'It was changed by hand; take it from Git again, or pin anew with --update',
      },
    );
  }
  return resolved(session, asked, obtained, { pin, before: pin });
}

function resolved(
  { warnings }: Session,
  { text }: Asked,
  { exact, tree, entries, directory, done, record, by }: Obtained,
  locked?: ResolvedModel['locked'],
): ResolvedModel {
  const { value } = record ?? {};
  return {
    reference: text,
    exact,
    ...(value === undefined ? {} : { model: value.model, version: value.version, record: value }),
    ...(by === undefined ? {} : { by }),
    tree,
    files: entries.filter(isFileEntry),
    size: treeSize(entries),
    directory,
    done,
    ...(locked === undefined ? {} : { locked }),
    warnings,
  };
}

function notLocked(
  asked: Asked,
  lock: string | undefined,
  file: LockFile | undefined,
): MstoreError {
  const count = file?.pins.size ?? 0;
  return new MstoreError(
    'not-locked',
    `${printable(asked.text)} is not in ${printable(lock ?? '')}, which pins ${count} references`,
    {
      hint: `Pin it where that may be done: mstore resolve ${shellWord(asked.text)} --lock FILE, then commit the file`,
      details: { ref: asked.text, path: lock },
    },
  );
}

/**
 * Fails where a reference names something else now than its pin. Without a network that cannot always be seen: what is
 * taken is the pin all the same.
 */
async function refuseDrift(session: Session, asked: Asked, pin: Pin): Promise<void> {
  if (exactForm(asked) === pin.exact) return;
  const hint =
    'Use what is pinned (leave out --frozen), or move the pin: --update, then commit the lock file';
  try {
    const located = await locate(session, asked);
    try {
      const { exact } = located;
      if (typeof exact === 'string') {
        if (exact !== pin.exact) throw drifted(asked.text, pin.exact, exact, hint);
        return;
      }
      const tree = located.tree ?? (await treeThere(located));
      if (tree !== pin.tree) throw drifted(asked.text, pin.exact, exact(tree), hint);
    } finally {
      located.close?.();
    }
  } catch (error) {
    if (!isMstoreError(error, 'offline')) throw error;
    session.warnings.push(
      `whether ${printable(asked.text)} has moved was not looked for: that needs the network. What is pinned is taken`,
    );
  }
}

async function treeThere(located: Awaited<ReturnType<typeof locate>>): Promise<Digest> {
  const brought = await located.bring();
  brought.done();
  return brought.tree;
}

/** Failures that say that something was not found where it was looked. */
const placesMatter: ReadonlySet<string> = new Set([
  'offline',
  'objects-missing',
  'not-found',
  'unknown-model',
  'unknown-version',
  'unknown-ref',
  'unknown-remote',
  'remote-unreachable',
  'remote-refused',
]);

/** Adds to an error what was found on the way and, without a network, where it was looked and what to do. */
function explained(session: Session, asked: Asked, error: unknown): unknown {
  if (!isMstoreError(error) || !placesMatter.has(error.code)) return error;
  const { surroundings, looked, warnings } = session;
  const { code, message, hint, details } = error;
  // Variables of the Hub's clients forbid the network too.
  const isOffline = surroundings.offline || code === 'offline';
  const places = [...new Set(looked)];
  const parts = warnings.map((warning) => warning.charAt(0).toUpperCase() + warning.slice(1));
  if (isOffline) {
    if (places.length > 0) parts.push(`Looked at: ${places.join('; ')}`);
    const word = shellWord(asked.text);
    parts.push(
      `Where the network may be used, run "mstore resolve ${word}" first, or take it along: mstore package`,
    );
  }
  if (parts.length === 0) return error;
  if (hint !== undefined) parts.push(hint);
  const more = isOffline ? { looked: places } : {};
  return new MstoreError(code, message, {
    hint: parts.map(printable).join('. '),
    details: { ...details, ...more },
    cause: error,
  });
}
