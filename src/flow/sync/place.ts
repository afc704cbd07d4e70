import * as fs from 'node:fs';
import * as path from 'node:path';
import { deadTemps } from '../../base/dead-temps.ts';
import { fromSystemError, MstoreError, systemCode } from '../../base/errors.ts';
import { ensureFolder, isTempName, removeFile, syncFolder, tempName } from '../../base/files.ts';
import { checkWritableOn, type NamePlatform, printable } from '../../base/names.ts';
import { registryNameProblem } from '../../registry/names.ts';
import { headerKey } from '../../store/keys.ts';
import { removeTree } from '../read-only.ts';
import type { Surroundings } from '../surroundings.ts';
import { workspaceFolderName } from '../workspace.ts';

/** The link to the version that is live. */
export const currentName = 'current';
/** A link to that link, for those who are used to the name. */
const latestName = 'latest';
/** The folder of what sync keeps for itself; no version can have the name. */
const ownFolderName = '.mstore-sync';
/** Where the receipt is, unless it was asked for elsewhere. */
export const receiptName = 'receipt.json';

/** What tells a directory from another one that has its name later. */
export interface Identity {
  readonly ino: string;
  /** Nanoseconds; 0 where the file system does not keep it. */
  readonly born: string;
}

/** A directory that versions are put into, with the links to the one that is live. */
export class SyncPlace {
  /** Absolute and real. */
  readonly directory: string;
  readonly #platform: NamePlatform;

  private constructor(directory: string, platform: NamePlatform) {
    this.directory = directory;
    this.#platform = platform;
  }

  /**
   * Opens a directory, and makes it where it is missing.
   * @param directory absolute
   * @throws MstoreError `destination-exists` when something else stands where a folder of ours must be, `usage`
   */
  static open(directory: string, { platform }: Surroundings): SyncPlace {
    const wrong = (place: string): MstoreError =>
      inTheWay(place, 'is no directory', 'Move it away, or choose another directory with --to');
    try {
      const stat = fs.statSync(directory, { throwIfNoEntry: false });
      if (stat === undefined) ensureFolder(directory);
      else if (!stat.isDirectory()) throw wrong(directory);
      refuseOthers(directory);
      const place = new SyncPlace(fs.realpathSync(directory), platform);
      // A link would have us keep, and remove, files elsewhere.
      for (const own of [place.folder, place.storeFolder]) {
        const there = fs.lstatSync(own, { throwIfNoEntry: false });
        if (there !== undefined && !there.isDirectory()) throw wrong(own);
        ensureFolder(own);
      }
      return place;
    } catch (error) {
      throw fromSystemError(error, `preparing ${printable(directory)}`);
    }
  }

  /** Folder of what is kept about the versions. */
  get folder(): string {
    return path.join(this.directory, ownFolderName);
  }

  /** Folder of what is fetched, until a version is built from it. */
  get storeFolder(): string {
    return path.join(this.folder, 'store');
  }

  at(name: string): string {
    return path.join(this.directory, name);
  }

  /**
   * Returns where a version goes.
   * @throws MstoreError `bad-name` for one that cannot have a directory beside our own names
   */
  directoryOf(version: string): string {
    const problem = registryNameProblem('version', version);
    const isOurs = [currentName, latestName, receiptName].includes(version);
    if (problem !== undefined || isOurs) {
      const why = problem ?? 'sync has something of its own there';
      throw new MstoreError(
        'bad-name',
        `The version ${printable(version)} cannot be a directory in ${printable(this.directory)}: ${why}`,
        {
          hint: 'Register the same content under another version and deploy that',
          details: { path: this.at(version) },
        },
      );
    }
    checkWritableOn(version, this.#platform);
    return this.at(version);
  }

  /** A new place beside the versions for one that is being built or removed. */
  temp(version: string): string {
    return this.at(`.${version.slice(0, 64)}.${tempName()}`);
  }

  /**
   * Names what `current` leads to; undefined where there is none.
   * @throws MstoreError `destination-exists` when that is no link of ours
   */
  current(): string | undefined {
    const target = this.#link(currentName);
    if (target === undefined) return undefined;
    const isOurs = registryNameProblem('version', target) === undefined || isTempName(target);
    if (isOurs && !target.includes('/')) return target;
    throw inTheWay(
      this.at(currentName),
      `leads to ${printable(target)}, which is no version here`,
      'Remove the link if nothing needs it, or choose another directory with --to',
    );
  }

  #link(name: string): string | undefined {
    try {
      return fs.readlinkSync(this.at(name));
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      if (systemCode(error) !== 'EINVAL')
        throw fromSystemError(error, `reading ${printable(this.at(name))}`);
      const hint = 'Move it away, or choose another directory with --to';
      throw inTheWay(this.at(name), 'is no link', hint);
    }
  }

  /**
   * Makes sure that the links may be written, before anything is done for them.
   * @throws MstoreError `destination-exists`
   */
  checkLinks(): void {
    this.current();
    const latest = this.#link(latestName);
    if (latest === undefined || latest === currentName) return;
    const hint = 'Remove it if nothing needs it, or choose another directory with --to';
    throw inTheWay(this.at(latestName), `leads to ${printable(latest)}`, hint);
  }

  /** Has `current`, and by it `latest`, lead to a directory here; at no moment is there no link. */
  point(name: string): void {
    try {
      if (this.current() !== name) this.#replaceLink(currentName, name);
      if (this.#link(latestName) === undefined) this.#replaceLink(latestName, currentName);
      // Also where nothing was to do: whoever made the links may have ended before it came to flush them.
      syncFolder(this.directory);
    } catch (error) {
      throw fromSystemError(error, `switching ${printable(this.at(currentName))}`);
    }
  }

  #replaceLink(name: string, target: string): void {
    const temp = this.at(`.${name}.${tempName()}`);
    try {
      fs.symlinkSync(target, temp);
      fs.renameSync(temp, this.at(name));
    } finally {
      removeFile(temp);
    }
  }

  /** Takes both links away: nothing is live. */
  pointNowhere(): void {
    try {
      removeFile(this.at(latestName));
      removeFile(this.at(currentName));
      syncFolder(this.directory);
    } catch (error) {
      throw fromSystemError(error, `removing ${printable(this.at(currentName))}`);
    }
  }

  /** What a directory is known by; undefined where there is none. */
  identity(directory: string): Identity | undefined {
    const stat = fs.lstatSync(directory, { bigint: true, throwIfNoEntry: false });
    if (!stat?.isDirectory()) return undefined;
    return { ino: String(stat.ino), born: String(stat.birthtimeNs) };
  }

  /** Removes a directory of ours; it has no name of a version from the first moment on. */
  remove(directory: string): void {
    const aside = this.temp(path.basename(directory));
    try {
      fs.renameSync(directory, aside);
      syncFolder(this.directory);
    } catch (error) {
      throw fromSystemError(error, `removing ${printable(directory)}`);
    }
    removeTree(aside);
  }

  /** Removes what programs left that were ended, but for what is live. */
  clear({ clock }: Surroundings): void {
    const live = this.current();
    for (const dead of deadTemps(this.directory, '.', clock)) {
      if (path.basename(dead) !== live) removeTree(dead);
    }
    for (const dead of deadTemps(this.folder, '', clock)) removeTree(dead);
  }
}

/** Versions among the files of a repository, a store or a remote would be in each other's way. */
function refuseOthers(directory: string): void {
  const found = ['.git', workspaceFolderName, headerKey].find((name) =>
    fs.existsSync(path.join(directory, name)),
  );
  if (found === undefined) return;
  const what = found === headerKey ? 'a store or a remote' : 'a repository or a workspace';
  throw new MstoreError('usage', `${printable(directory)} is ${what}`, {
    hint: 'Give the versions a directory of their own: --to DIR',
    details: { path: directory },
  });
}

/** Builds the error of something that sync did not make, where it has to make something. */
export function inTheWay(place: string, what: string, hint: string): MstoreError {
  return new MstoreError('destination-exists', `${printable(place)} ${what}`, {
    hint,
    details: { path: place },
  });
}
