import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { writeCacheFile } from '../../base/cache-file.ts';
import { deadTemps } from '../../base/dead-temps.ts';
import { type Digest, isDigest, sha256 } from '../../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../../base/errors.ts';
import { ensureCacheFolder, readBounded, removeFile, tempName } from '../../base/files.ts';
import { ownerIsGone, parseOwner, thisOwner } from '../../base/host.ts';
import type { JsonObject } from '../../base/json.ts';
import { limits } from '../../base/limits.ts';
import { withLock } from '../../base/lock.ts';
import { printable } from '../../base/names.ts';
import { formatTree, parseTree, type TreeEntry } from '../../base/tree.ts';
import { formatRecord, parseRecord, type VersionRecord } from '../../registry/record.ts';
import { formatSealed, parseSealed, type Sealed, seal } from '../../registry/sealed.ts';
import type { WorkOptions } from '../add.ts';
import { protectTree, removeTree } from '../read-only.ts';
import type { Surroundings } from '../surroundings.ts';
import { checkTree } from './tree-check.ts';

/** Times that another process may come in between before this one gives up. */
const triesMax = 5;

/** What is remembered of an exact reference: what it names never changes. */
export interface KnownExact {
  readonly tree: Digest;
  readonly record?: Sealed<VersionRecord>;
}

/** What {@link ModelCache.find} found. */
export type CacheFinding =
  | { readonly state: 'whole'; readonly entries: readonly TreeEntry[] }
  | { readonly state: 'absent' }
  | { readonly state: 'damaged'; readonly problem: string; readonly identity: string };

/** Options of {@link ModelCache.prune}. */
export interface PruneOptions {
  /** Models that were asked for since then stay, in milliseconds since 1970. */
  readonly usedSince: number;
  readonly signal?: AbortSignal | undefined;
}

/** What {@link ModelCache.prune} did. */
export interface PruneResult {
  readonly removed: number;
  readonly bytesFreed: number;
  /** Models that stay because a process that asked for them still runs. */
  readonly held: number;
}

/**
 * The user's cache of models that were resolved: each a directory named by the digest of its tree, read-only,
 * and compared with that name each time it is asked for. Several processes may use one at once.
 */
export class ModelCache {
  /** Absolute. */
  readonly folder: string;
  readonly #surroundings: Surroundings;

  /** Opens the cache that the environment names; nothing is made yet. */
  constructor(surroundings: Surroundings) {
    this.folder = cacheFolder(surroundings.env);
    this.#surroundings = surroundings;
  }

  /** The absolute path of a model's directory. */
  directoryOf(tree: Digest): string {
    return path.join(this.folder, 'models', tree);
  }

  /** A new place for work that ends with this process; it is not made yet. */
  scratch(): string {
    return path.join(this.folder, 'tmp', tempName());
  }

  /** Removes what processes that were ended have left. */
  clear(): void {
    for (const name of ['tmp', 'models']) {
      const folder = path.join(this.folder, name);
      for (const dead of deadTemps(folder, '', this.#surroundings.clock)) removeTree(dead);
    }
  }

  /** The entries of a tree, where its list is here and whole. */
  list(tree: Digest): readonly TreeEntry[] | undefined {
    try {
      const bytes = readBounded(path.join(this.folder, 'lists', tree), limits.treeBytesMax);
      return bytes === undefined || sha256(bytes) !== tree ? undefined : parseTree(bytes);
    } catch (error) {
      if (isMstoreError(error)) return undefined;
      throw error;
    }
  }

  /** Keeps the entries of a tree; they tell later what is wrong with a directory, and when it was asked for. */
  keepList(tree: Digest, entries: readonly TreeEntry[]): void {
    writeCacheFile(path.join(this.folder, 'lists', tree), formatTree(entries));
  }

  /** What an exact reference names, where it was resolved here before. */
  known(exact: string): KnownExact | undefined {
    try {
      const bytes = readBounded(this.#pinFile(exact), limits.registryObjectBytesMax * 2);
      if (bytes === undefined) return undefined;
      const { value } = parseSealed('pin', bytes, exact, (pin) => pin);
      const { tree, record } = value;
      if (value['exact'] !== exact || !isDigest(tree)) return undefined;
      if (record === undefined) return { tree };
      const kept = record as unknown as Sealed<VersionRecord>;
      const { model, version } = kept.value;
      const sealed = formatRecord(kept);
      return { tree, record: parseRecord(sealed, exact, { model, version }) };
    } catch (error) {
      if (isMstoreError(error) || error instanceof TypeError) return undefined;
      throw error;
    }
  }

  /** Remembers what an exact reference names. */
  keepKnown(exact: string, { tree, record }: KnownExact): void {
    if (this.known(exact)?.tree === tree) return;
    const pin = { exact, tree, ...(record === undefined ? {} : { record }) };
    const sealed = seal(pin as unknown as JsonObject);
    writeCacheFile(this.#pinFile(exact), formatSealed('pin', sealed));
  }

  #pinFile(exact: string): string {
    return path.join(this.folder, 'pins', sha256(exact));
  }

  /**
   * Says that a process uses a model from now on, so that it is not pruned while that process runs.
   * @param pid the process; ids of others count on this host alone
   */
  hold(tree: Digest, pid: number): void {
    const owner = { ...thisOwner(), pid };
    const file = path.join(this.folder, 'uses', tree, `${owner.host}-${pid}`);
    if (!writeCacheFile(file, `${JSON.stringify(owner)}\n`)) return;
    const now = this.#surroundings.clock.now() / 1000;
    try {
      fs.utimesSync(path.join(this.folder, 'lists', tree), now, now);
    } catch {
      // There is no list yet: it will be new.
    }
  }

  /** Looks whether a model is here, and whether every byte of it is right. */
  async find(tree: Digest, options: WorkOptions): Promise<CacheFinding> {
    const directory = this.directoryOf(tree);
    for (let tries = 1; ; tries++) {
      const identity = identityOf(directory);
      if (identity === undefined) return { state: 'absent' };
      if (!identity.startsWith('directory')) {
        return { state: 'damaged', problem: 'it is no directory', identity };
      }
      const { platform } = this.#surroundings.platform;
      const list = this.list(tree);
      const checked = await checkTree(directory, tree, { ...options, platform, list });
      // Somebody may have put another one there meanwhile.
      if (identityOf(directory) !== identity && tries < triesMax) continue;
      if ('problem' in checked) return { state: 'damaged', problem: checked.problem, identity };
      if (list === undefined) this.keepList(tree, checked.entries);
      protectTree(directory);
      return { state: 'whole', entries: checked.entries };
    }
  }

  /**
   * Has a model here: builds it where it is absent or damaged. Of several processes that do so at once, the first
   * one gives it its name, and the others take that.
   * @param build writes the absolute directory whole or not at all, and never replaces one
   * @returns whether this call built it
   * @throws MstoreError what `build` throws
   */
  async publish(
    tree: Digest,
    entries: readonly TreeEntry[],
    build: (directory: string) => Promise<void>,
    options: WorkOptions,
  ): Promise<boolean> {
    const directory = this.directoryOf(tree);
    this.#prepare();
    this.keepList(tree, entries);
    for (let tries = 1; ; tries++) {
      const found = await this.find(tree, options);
      if (found.state === 'whole') return false;
      if (found.state === 'damaged') await this.#setAside(tree, found.identity);
      try {
        await build(directory);
        protectTree(directory);
        return true;
      } catch (error) {
        if (tries === triesMax || !isMstoreError(error, 'destination-exists')) throw error;
      }
    }
  }

  #prepare(): void {
    try {
      ensureCacheFolder(path.join(this.folder, 'models'));
    } catch (error) {
      const wrong = fromSystemError(error, `making the cache ${printable(this.folder)}`);
      if (!isMstoreError(wrong)) throw wrong;
      throw new MstoreError(wrong.code, wrong.message, {
        hint: 'Name another folder in MSTORE_CACHE, or write to a directory of its own with --to DIR',
        cause: error,
        details: { path: this.folder },
      });
    }
    this.clear();
  }

  /** Takes a directory away, unless it is another one by now. */
  async #setAside(tree: Digest, identity: string): Promise<boolean> {
    const directory = this.directoryOf(tree);
    const aside = path.join(path.dirname(directory), `.${tree}.${tempName()}`);
    const locks = path.join(this.folder, 'locks');
    ensureCacheFolder(locks);
    const isMoved = await withLock(path.join(locks, tree), () => {
      if (identityOf(directory) !== identity) return false;
      fs.renameSync(directory, aside);
      return true;
    });
    if (isMoved) removeTree(aside);
    return isMoved;
  }

  /**
   * Removes models that nobody asked for since a time. One stays while a process that asked for it runs.
   * @throws MstoreError where they may not be removed
   */
  async prune({ usedSince, signal }: PruneOptions): Promise<PruneResult> {
    this.clear();
    let [removed, bytesFreed, held] = [0, 0, 0];
    for (const tree of namesIn(path.join(this.folder, 'models'))) {
      signal?.throwIfAborted();
      if (!isDigest(tree) || this.#lastUse(tree) >= usedSince) continue;
      const identity = identityOf(this.directoryOf(tree));
      if (this.#isHeld(tree)) held++;
      else if (identity !== undefined) {
        const bytes = bytesBelow(this.directoryOf(tree));
        if (!(await this.#setAside(tree, identity))) continue;
        removeFile(path.join(this.folder, 'lists', tree));
        removed++;
        bytesFreed += bytes;
      }
    }
    this.#forgetOld(usedSince);
    return { removed, bytesFreed, held };
  }

  #lastUse(tree: Digest): number {
    const places = [path.join(this.folder, 'lists', tree), this.directoryOf(tree)];
    const times = places.map((place) => fs.lstatSync(place, { throwIfNoEntry: false })?.mtimeMs);
    return times[0] ?? times[1] ?? 0;
  }

  /** Tells whether a process that asked for a model still runs; forgets the others. */
  #isHeld(tree: Digest): boolean {
    const folder = path.join(this.folder, 'uses', tree);
    let isHeld = false;
    for (const name of namesIn(folder)) {
      const file = path.join(folder, name);
      const stat = fs.lstatSync(file, { throwIfNoEntry: false });
      const owner = parseOwner(readBounded(file, limits.headerBytesMax)?.toString() ?? '');
      if (stat === undefined) continue;
      const idleMs = this.#surroundings.clock.now() - stat.mtimeMs;
      // Our own id counts too: who prunes may have asked for it before.
      if (owner !== undefined && !ownerIsGone(owner, idleMs)) isHeld = true;
      else removeFile(file);
    }
    if (!isHeld) removeTree(folder);
    return isHeld;
  }

  /** Forgets who used what is gone, and lists and pins that nothing is here of and that are old. */
  #forgetOld(usedSince: number): void {
    for (const tree of namesIn(path.join(this.folder, 'uses'))) {
      if (isDigest(tree) && !fs.existsSync(this.directoryOf(tree))) this.#isHeld(tree);
    }
    for (const kind of ['lists', 'pins']) {
      const folder = path.join(this.folder, kind);
      for (const name of namesIn(folder)) {
        if (kind === 'lists' && fs.existsSync(path.join(this.folder, 'models', name))) continue;
        const stat = fs.lstatSync(path.join(folder, name), { throwIfNoEntry: false });
        if (stat?.isFile() && stat.mtimeMs < usedSince) removeFile(path.join(folder, name));
      }
    }
  }
}

/** The cache that the environment names, absolute: `MSTORE_CACHE`, else the user's folder for caches. */
function cacheFolder(env: NodeJS.ProcessEnv): string {
  const given = env['MSTORE_CACHE']?.trim() ?? '';
  const named = given.replace(/^~(?=[\\/]|$)/, homeOf(env));
  if (named !== '') {
    if (path.isAbsolute(named)) return named;
    throw new MstoreError(
      'usage',
      `MSTORE_CACHE is ${printable(given)}, which is no absolute path`,
      {
        hint: 'Write one that begins with / or ~',
      },
    );
  }
  // By the XDG Base Directory Specification a relative path there counts for nothing.
  const shared = env['XDG_CACHE_HOME'] ?? '';
  const base = path.isAbsolute(shared) ? shared : path.join(homeOf(env), '.cache');
  return path.join(base, 'mstore');
}

function homeOf(env: NodeJS.ProcessEnv): string {
  const home = env['HOME'] ?? '';
  return home === '' ? homedir() : home;
}

/** Tells one directory from another that has its name later. */
function identityOf(place: string): string | undefined {
  const stat = fs.lstatSync(place, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const kind = stat.isDirectory() ? 'directory' : 'other';
  return `${kind} ${stat.dev}:${stat.ino}:${stat.birthtimeNs}`;
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

function bytesBelow(folder: string): number {
  let bytes = 0;
  for (const dirent of fs.readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (dirent.isFile()) bytes += fs.lstatSync(path.join(dirent.parentPath, dirent.name)).size;
  }
  return bytes;
}
