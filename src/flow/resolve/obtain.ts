import * as fs from 'node:fs';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { TreeEntry } from '../../base/tree.ts';
import { treePointer } from '../../worktree/pointer.ts';
import { isPresent } from '../checkout.ts';
import { isSource } from '../import/open-source.ts';
import { foreignReference } from '../reference-errors.ts';
import { treeEntries } from '../tracked.ts';
import { checkDestination, refuseProtected } from '../whole-directory.ts';
import { type Asked, exactForm, treeSaid } from './asked.ts';
import { fromDirectory } from './copied.ts';
import { fromHubCache, noteHubCache } from './hub-cache.ts';
import { locateSource } from './locate-source.ts';
import { fromStore, locateVersion, pinnedHere } from './locate-version.ts';
import { type Brought, drifted, type Located } from './located.ts';
import type { Obtained, ResolveOptions } from './resolve.ts';
import type { Session } from './session.ts';
import { checkTree } from './tree-check.ts';

/**
 * Refuses references to what other tools hold and this version cannot read.
 * @throws MstoreError `usage`
 */
export function refuseUnreadable({ reference, text }: Asked): void {
  const { kind } = reference;
  if (kind === 'mlflow' || kind === 'oci') throw foreignReference(reference, text);
}

/** Finds out what a reference names now. */
export function locate(session: Session, asked: Asked): Promise<Located> {
  const { reference } = asked;
  return isSource(reference)
    ? locateSource(session, { ...asked, reference })
    : locateVersion(session, asked);
}

/**
 * Has what a reference names in its directory, verified: from the cache where it is there, else from the local store, else from
 * where it lives.
 * @param pinned the tree that it has to be
 * @throws MstoreError `drift` when it is another
 */
export async function obtain(
  session: Session,
  asked: Asked,
  pinned: Digest | undefined,
  options: ResolveOptions,
): Promise<Obtained> {
  const destination = new Destination(session, options);
  const exact = exactForm(asked);
  const known = exact === undefined ? undefined : session.cache.known(exact);
  const wanted = pinned ?? treeSaid(asked) ?? known?.tree;
  if (exact !== undefined && wanted !== undefined) {
    const placed = (await destination.kept(wanted)) ?? (await destination.fromHere(wanted, asked));
    if (placed !== undefined) {
      const record = known?.record ?? (await pinnedHere(session, asked))?.version?.record;
      return remembered(session, { exact, tree: wanted, ...placed, record });
    }
  } else noteHubCache(session, asked);
  const located = await locate(session, asked);
  try {
    return await fromLocated(session, destination, { asked, located, wanted });
  } finally {
    located.close?.();
  }
}

async function fromLocated(
  session: Session,
  destination: Destination,
  { asked, located, wanted }: { asked: Asked; located: Located; wanted: Digest | undefined },
): Promise<Obtained> {
  const exactOf = (tree: Digest): string =>
    typeof located.exact === 'string' ? located.exact : located.exact(tree);
  const check = (tree: Digest): void => {
    if (wanted === undefined || tree === wanted) return;
    const hint =
      'The bytes of the pin are not to be had there any more: take them from another copy, or pin anew (--update)';
    throw drifted(asked.bare, `the tree ${wanted}`, `the tree ${tree}`, hint);
  };
  const facts = { record: located.version?.record, by: located.version?.by };
  // What is wanted was looked for already.
  if (located.tree !== undefined) check(located.tree);
  if (located.tree !== undefined && located.tree !== wanted) {
    const { tree } = located;
    const placed = (await destination.kept(tree)) ?? (await destination.fromHere(tree, asked));
    if (placed !== undefined) {
      return remembered(session, { exact: exactOf(tree), tree, ...placed, ...facts });
    }
  }
  const brought = await located.bring();
  try {
    check(brought.tree);
  } catch (error) {
    brought.done();
    throw error;
  }
  const placed = await destination.put(brought);
  brought.done();
  const { tree } = brought;
  return remembered(session, { exact: exactOf(tree), tree, ...placed, ...facts });
}

function remembered({ cache }: Session, obtained: Obtained): Obtained {
  const { exact, tree, record } = obtained;
  cache.keepKnown(exact, record === undefined ? { tree } : { tree, record });
  return obtained;
}

type Placed = Pick<Obtained, 'entries' | 'directory' | 'done'>;

/** Where a model is put: a directory of its own in the cache, or the one that was asked for. */
class Destination {
  readonly #session: Session;
  readonly #to: string | undefined;
  readonly #force: boolean;
  readonly #holder: number;
  #wasDamaged = false;

  constructor(session: Session, { to, force = false, holder = process.pid }: ResolveOptions) {
    const { cwd, workspace, hasWorkspace, cache } = session;
    this.#session = session;
    this.#to = to;
    this.#force = force;
    this.#holder = holder;
    if (to === undefined) return;
    refuseProtected(to, {
      held: [cwd, ...(hasWorkspace ? [workspace.root] : [])],
      own: [cache.folder, workspace.folder, workspace.store.folder],
    });
  }

  /** Looks whether it is there already, every byte right. */
  async kept(tree: Digest): Promise<Placed | undefined> {
    return this.#to === undefined ? this.#inCache(tree) : this.#asAsked(this.#to, tree);
  }

  async #inCache(tree: Digest): Promise<Placed | undefined> {
    const { cache, work, looked, warnings } = this.#session;
    cache.hold(tree, this.#holder);
    const found = await cache.find(tree, work);
    const directory = cache.directoryOf(tree);
    if (found.state === 'whole') return { directory, entries: found.entries, done: 'kept' };
    if (found.state === 'damaged') {
      warnings.push(`the copy in the cache was damaged: ${found.problem} (${directory})`);
      this.#wasDamaged = true;
    }
    looked.push(
      `the cache ${cache.folder} (${found.state === 'damaged' ? `damaged: ${found.problem}` : 'not there'})`,
    );
    return undefined;
  }

  async #asAsked(to: string, tree: Digest): Promise<Placed | undefined> {
    const { cache, work, surroundings } = this.#session;
    const stat = fs.lstatSync(to, { throwIfNoEntry: false });
    if (stat?.isDirectory() && fs.readdirSync(to).length > 0) {
      const { platform } = surroundings.platform;
      const checked = await checkTree(to, tree, { ...work, platform, list: cache.list(tree) });
      if ('entries' in checked) return { directory: to, entries: checked.entries, done: 'kept' };
      if (!this.#force) throw otherContent(to, checked.problem);
      return undefined;
    }
    checkDestination(to, this.#force);
    return undefined;
  }

  /**
   * Takes it from what this machine has under the digest of the tree: the store, the cache for another directory, or the
   * cache of the Hub's clients.
   */
  async fromHere(tree: Digest, asked: Asked): Promise<Placed | undefined> {
    const placed = (await this.#fromStore(tree, asked)) ?? (await this.#fromOwnCache(tree));
    if (placed !== undefined) return placed;
    const brought = await fromHubCache(this.#session, asked, tree);
    return brought && this.put(brought);
  }

  /** @throws MstoreError what is damaged there, where remotes may have it whole */
  async #fromStore(tree: Digest, { reference }: Asked): Promise<Placed | undefined> {
    const { workspace, looked, hasRemotes } = this.#session;
    const entries = storedEntries(this.#session, tree);
    if (entries !== undefined) {
      const tracked = [{ path: 'model', pointer: treePointer('model', entries) }];
      if (isPresent(workspace.store, tracked)) {
        try {
          return await this.put(fromStore(this.#session, tracked));
        } catch (error) {
          if (!isStoreDamage(error) || (hasRemotes && !isSource(reference))) throw error;
          looked.push(`the store ${workspace.store.folder} (damaged: ${error.message})`);
          return undefined;
        }
      }
    }
    const { hasWorkspace, surroundings } = this.#session;
    const isKept = hasWorkspace || surroundings.env['MSTORE_STORE_PATH'] !== undefined;
    if (isKept) looked.push(`the store ${workspace.store.folder} (not there)`);
    return undefined;
  }

  async #fromOwnCache(tree: Digest): Promise<Placed | undefined> {
    if (this.#to === undefined) return undefined;
    const { cache, work, looked } = this.#session;
    const found = await cache.find(tree, work);
    looked.push(`the cache ${cache.folder} (${found.state})`);
    return found.state === 'whole'
      ? this.put(fromDirectory(this.#session, cache.directoryOf(tree), tree, found.entries))
      : undefined;
  }

  /** Gives it its place. */
  async put(brought: Brought): Promise<Placed> {
    const { cache, work } = this.#session;
    const { tree, entries } = brought;
    if (this.#to !== undefined) {
      const there = await this.#asAsked(this.#to, tree);
      if (there !== undefined) return there;
      await brought.write(this.#to, { force: this.#force, readOnly: false });
      cache.keepList(tree, entries);
      return { directory: this.#to, entries, done: 'written' };
    }
    cache.hold(tree, this.#holder);
    const build = (directory: string) => brought.write(directory, { force: false, readOnly: true });
    const isBuilt = await cache.publish(tree, entries, build, work);
    const done = !isBuilt ? 'kept' : this.#wasDamaged ? 'healed' : 'written';
    return { directory: cache.directoryOf(tree), entries, done };
  }
}

/** Tells whether a failure is one of the bytes that a store holds. */
export function isStoreDamage(error: unknown): error is MstoreError {
  return isMstoreError(error, 'corrupt-chunk', 'corrupt-pack', 'corrupt-recipe');
}

/** The entries of a tree that the local store has. */
function storedEntries({ workspace }: Session, tree: Digest): readonly TreeEntry[] | undefined {
  const { store } = workspace;
  try {
    if (!store.has(tree)) return undefined;
    return treeEntries(store, { kind: 'tree', path: 'model', sha256: tree, size: 0, extra: {} });
  } catch (error) {
    // What cannot be read here may be had elsewhere.
    if (isMstoreError(error)) return undefined;
    throw error;
  }
}

function otherContent(directory: string, problem: string): MstoreError {
  return new MstoreError(
    'destination-exists',
    `${printable(directory)} exists and is not this model: ${problem}`,
    {
      hint: 'Choose a new directory, or replace it whole with --force',
      details: { path: directory },
    },
  );
}
