import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../base/digest.ts';
import { fromSystemError, isMstoreError, systemCode } from '../base/errors.ts';
import {
  ensureCacheFolder,
  ensureFolder,
  readBounded,
  readFully,
  syncFolder,
  writeAtomically,
} from '../base/files.ts';
import { limits } from '../base/limits.ts';
import type { PackSource } from '../index/footer-cache.ts';
import type { ListedPack } from '../index/indexed-pack.ts';
import { type PackFooter, packProblem, parseFooter, rowBytes, rowOffset } from '../pack/format.ts';
import { readPackFooter } from '../pack/reader.ts';
import { indexKey, packKey, packOfKey, packsPrefix } from './keys.ts';

/** Bytes of the largest index object. */
export const indexObjectBytesMax = rowOffset(limits.packChunksMax);

/** Reads one row of an index object; undefined when that cannot be done. */
export function readIndexRow(file: string, row: number): Buffer | undefined {
  try {
    const fd = fs.openSync(file, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    try {
      const bytes = Buffer.allocUnsafe(rowBytes);
      return readFully(fd, bytes, rowOffset(row)) === rowBytes ? bytes : undefined;
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** Reads an index object; undefined when it is missing or damaged. */
export function readIndexObject(file: string, pack: Digest): PackFooter | undefined {
  try {
    const bytes = readBounded(file, indexObjectBytesMax);
    return bytes === undefined ? undefined : parseFooter(bytes, pack);
  } catch (error) {
    if (!isMstoreError(error, 'corrupt-pack', 'too-large')) throw error;
    return undefined;
  }
}

/** Lists the names in a folder; one that does not exist has none. */
export function listFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw fromSystemError(error, `listing ${folder}`);
  }
}

/** The packs of a local store and their index objects, as files. */
export class PackFiles implements PackSource {
  readonly #folder: string;
  readonly #temps: string;
  /** Packs that are there but cannot be used, as far as is known, with the reason. */
  readonly damaged = new Map<Digest, string>();

  /** @param temps folder for files under construction */
  constructor(folder: string, temps: string) {
    this.#folder = folder;
    this.#temps = temps;
  }

  /** Lists the packs that are there, whole or not. */
  list(): ListedPack[] {
    const packs: ListedPack[] = [];
    const top = path.join(this.#folder, packsPrefix);
    for (const shard of listFolder(top)) {
      for (const name of listFolder(path.join(top, shard))) {
        const pack = packOfKey(`${packsPrefix}${shard}/${name}`);
        if (pack === undefined) continue;
        const stat = fs.statSync(path.join(top, shard, name), { throwIfNoEntry: false });
        if (stat?.isFile()) packs.push({ pack, size: stat.size, time: stat.mtimeMs });
      }
    }
    return packs;
  }

  /** Returns when a pack was written, milliseconds; 0 when it is not there. */
  time(pack: Digest): number {
    const stat = fs.statSync(this.#file(packKey(pack)), { throwIfNoEntry: false });
    return stat?.mtimeMs ?? 0;
  }

  load(pack: Digest, packBytes: number): PackFooter | undefined {
    try {
      const footer = this.#readFooter(pack);
      if (footer.packBytes === packBytes) return footer;
      this.damaged.set(pack, `it has ${packBytes} bytes instead of ${footer.packBytes}`);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      if (!isMstoreError(error, 'corrupt-pack')) throw error;
      this.damaged.set(pack, String(error.details['reason'] ?? error.message));
    }
    return undefined;
  }

  readRow(pack: Digest, row: number): Buffer | undefined {
    return readIndexRow(this.#file(indexKey(pack)), row);
  }

  /** Reads a pack's index object; where it is missing or damaged, the pack itself holds the same. */
  #readFooter(pack: Digest): PackFooter {
    const file = this.#file(indexKey(pack));
    const indexed = readIndexObject(file, pack);
    if (indexed !== undefined) return indexed;
    const footer = readPackFooter(this.#file(packKey(pack)));
    if (footer.id !== pack) throw packProblem('its footer has another digest', pack);
    this.#restoreIndex(file, footer);
    return footer;
  }

  #restoreIndex(file: string, footer: PackFooter): void {
    try {
      // Whoever published the pack may have ended before it came to flush its name, and where there is an
      // index object nobody asks again.
      syncFolder(path.dirname(this.#file(packKey(footer.id))));
      ensureFolder(path.dirname(file));
      ensureCacheFolder(this.#temps);
      writeAtomically(file, footer.bytes, { tempFolder: this.#temps });
    } catch {
      // A read-only store is read all the same; the next writer restores the file.
    }
  }

  #file(key: string): string {
    return path.join(this.#folder, key);
  }
}
