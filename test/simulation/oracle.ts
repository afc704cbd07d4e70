import { type Digest, isDigest } from '../../src/base/digest.ts';
import { parseFooter, parseTrailer } from '../../src/pack/format.ts';
import { digestInKey, packsPrefix, recipeKey, recipesPrefix } from '../../src/store/keys.ts';
import { emptyBlob, parseRecipe } from '../../src/store/recipe.ts';
import type { Pointer } from '../../src/worktree/pointer.ts';
import type { Server, Watcher } from './server.ts';

/** Why something must be there. */
export interface Reason {
  readonly name: string;
  /** The root records that keep it; left out where others do. */
  readonly records?: readonly string[];
}

/** A promise of the remote that was broken. */
export class Violation extends Error {}

/**
 * Knows at every moment what the remote holds, and what it must hold for ever. It is told of each change at the
 * moment when it takes effect, and goes by the formats alone.
 */
export class Oracle implements Watcher {
  /** Packs that hold a chunk, by the id of the chunk. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #chunksOf = new Map<string, readonly string[]>();
  readonly #recipes = new Map<string, readonly string[]>();
  /** Why a blob must be there. */
  readonly #needed = new Map<Digest, Map<string, Reason>>();
  /** The first promise that was broken. */
  violation: Violation | undefined;

  created(key: string, bytes: Buffer): void {
    if (key.startsWith(packsPrefix)) {
      const { footerStart, footerLength } = parseTrailer(bytes.subarray(-56), bytes.length);
      const pack = digestInKey(key, '.pack') as Digest;
      const footer = parseFooter(bytes.subarray(footerStart, footerStart + footerLength), pack);
      const chunks = Array.from({ length: footer.count }, (_, row) => footer.chunk(row));
      this.#chunksOf.set(key, chunks);
      for (const chunk of chunks) {
        const holders = this.#holders.get(chunk) ?? new Set();
        this.#holders.set(chunk, holders.add(key));
      }
    } else if (key.startsWith(recipesPrefix)) {
      const recipe = parseRecipe(bytes, digestInKey(key, '') as Digest);
      const chunks = Array.from({ length: recipe.count }, (_, row) => recipe.chunk(row));
      this.#recipes.set(key, chunks);
    }
  }

  deleted(key: string): void {
    for (const chunk of this.#chunksOf.get(key) ?? []) this.#holders.get(chunk)?.delete(key);
    this.#chunksOf.delete(key);
    this.#recipes.delete(key);
    for (const [blob, reasons] of this.#needed) {
      if (reasons.size === 0 || this.has(blob)) continue;
      this.fail(
        `Deleting ${key} loses ${blob}, which is needed for ${[...reasons.keys()].join(', ')}`,
      );
    }
  }

  /** Tells whether every byte of a blob is on the remote. */
  has(blob: Digest): boolean {
    if (blob === emptyBlob || this.#holds(blob)) return true;
    const chunks = this.#recipes.get(recipeKey(blob));
    return chunks?.every((chunk) => this.#holds(chunk)) ?? false;
  }

  #holds(chunk: string): boolean {
    return (this.#holders.get(chunk)?.size ?? 0) > 0;
  }

  /** From now on the content of a pointer must be there. */
  need(pointer: Pointer, reason: Reason): void {
    for (const blob of blobsOf(pointer)) {
      const reasons = this.#needed.get(blob) ?? new Map<string, Reason>();
      this.#needed.set(blob, reasons.set(reason.name, reason));
      if (!this.has(blob)) this.fail(`${reason.name} was acknowledged, and ${blob} is not there`);
    }
  }

  /** Takes back reasons: what nothing else needs may go. */
  release(isOver: (reason: Reason) => boolean): void {
    for (const reasons of this.#needed.values()) {
      for (const reason of reasons.values()) if (isOver(reason)) reasons.delete(reason.name);
    }
  }

  /** Whether the content of a pointer must be there. */
  needs(pointer: Pointer): boolean {
    return blobsOf(pointer).every((blob) => (this.#needed.get(blob)?.size ?? 0) > 0);
  }

  /** Keys of packs that have no chunk of these blobs, and of recipes of others. */
  garbage({ objects }: Server, blobs: Iterable<Digest>): string[] {
    const chunks = new Set<string>();
    const recipes = new Set<string>();
    for (const blob of blobs) {
      chunks.add(blob);
      const key = recipeKey(blob);
      recipes.add(key);
      for (const chunk of this.#recipes.get(key) ?? []) chunks.add(chunk);
    }
    return [...objects.keys()].filter((key) => {
      if (key.startsWith(recipesPrefix)) return !recipes.has(key);
      return this.#chunksOf.get(key)?.every((chunk) => !chunks.has(chunk)) ?? false;
    });
  }

  /** Notes a broken promise; the first one counts. */
  fail(what: string): void {
    this.violation ??= new Violation(what);
  }
}

/** The blobs that the content of a pointer consists of. */
export function blobsOf(pointer: Pointer): Digest[] {
  if (pointer.kind === 'file') return [pointer.sha256];
  const files = (pointer.files ?? []).flatMap((file) => ('sha256' in file ? [file.sha256] : []));
  return [pointer.sha256, ...files].filter(isDigest);
}
