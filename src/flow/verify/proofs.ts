import * as path from 'node:path';
import { digestBytes } from '../../base/digest.ts';
import { ensureFolder, readBounded, writeAtomically } from '../../base/files.ts';
import { findSorted } from '../../base/row-buffer.ts';

/** Most proofs that are kept: 32 MiB. */
const proofsMax = 1024 * 1024;
const fileName = 'proven-recipes';

/**
 * The recipes that were proven to yield their blobs, by the SHA-256 of their bytes. A recipe names its chunks by
 * their digests and its blob by its own, so its bytes alone decide whether it is right: what was proven once is
 * proven for good, here and on every remote, and versions that share their chunks need not be hashed again.
 * Kept in a file of digests, sorted, one after another; a damaged one proves nothing more, as no recipe has
 * such a digest. Memory: 32 MiB at most, and some 100 bytes for each proof that is new.
 */
export class Proofs {
  readonly #file: string;
  readonly #known: Buffer;
  readonly #fresh = new Set<string>();

  /** @param cacheFolder folder for state that can be made again */
  constructor(cacheFolder: string) {
    this.#file = path.join(cacheFolder, fileName);
    this.#known = readProofs(this.#file);
  }

  /** Tells whether a recipe was proven; its digest is 32 bytes. */
  has(digest: Buffer): boolean {
    return this.#fresh.has(digest.toString('latin1')) || findSorted(this.#known, digest);
  }

  /** Notes that a recipe was proven. */
  add(digest: Buffer): void {
    if (this.#fresh.size < proofsMax) this.#fresh.add(digest.toString('latin1'));
  }

  /** Writes down what is new. A cache that cannot be written costs time only. */
  save(): void {
    if (this.#fresh.size === 0) return;
    const old: string[] = [];
    const room = proofsMax - this.#fresh.size;
    for (let i = 0; i < Math.min(room, this.#known.length / digestBytes); i++)
      old.push(this.#known.toString('latin1', i * digestBytes, (i + 1) * digestBytes));
    const all = [...new Set([...old, ...this.#fresh])].sort();
    try {
      ensureFolder(path.dirname(this.#file));
      writeAtomically(this.#file, Buffer.from(all.join(''), 'latin1'), { unsynced: true });
    } catch {
      // A read-only workspace or a full disk: the recipes are proven again the next time.
    }
  }
}

function readProofs(file: string): Buffer {
  try {
    const bytes = readBounded(file, proofsMax * digestBytes) ?? Buffer.alloc(0);
    return bytes.subarray(0, bytes.length - (bytes.length % digestBytes));
  } catch {
    return Buffer.alloc(0);
  }
}
