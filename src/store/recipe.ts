import {
  type Digest,
  digestBytes,
  digestFromRaw,
  digestToRaw,
  sha256,
  sha256Raw,
} from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { RowBuffer } from '../base/row-buffer.ts';
import { chunkBytesMax } from '../pack/format.ts';

/*
 * A recipe object (docs/format.md, chapter "Recipe"), integers little-endian:
 *   "MSTORERC" u32 version u32 count u64 blobSize blobSha256[32]
 *   then `count` rows of 36 bytes: chunk id[32] u32 rawLength
 *   then the SHA-256 of all before.
 */
const magic = Buffer.from('MSTORERC');
const recipeVersion = 1;
const headBytes = 56;
const rowBytes = digestBytes + 4;

/** The digest of no bytes at all; the empty blob is always present and stored nowhere. */
export const emptyBlob: Digest = sha256('');

/** The ordered chunks of one blob. Memory: 36 bytes a chunk. */
export class Recipe {
  readonly blob: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  readonly count: number;
  /** Rows of 36 bytes; {@link idOffset} finds an id in it. */
  readonly rows: Buffer;

  constructor(blob: Digest, size: number, rows: Buffer) {
    this.blob = blob;
    this.size = size;
    this.count = rows.length / rowBytes;
    this.rows = rows;
  }

  idOffset(row: number): number {
    return row * rowBytes;
  }

  chunk(row: number): Digest {
    return digestFromRaw(this.rows, this.idOffset(row));
  }

  /** Raw length of a chunk, in bytes. */
  length(row: number): number {
    return this.rows.readUInt32LE(row * rowBytes + digestBytes);
  }
}

/** Collects the chunks of a blob while it is read. */
export class RecipeBuilder {
  readonly #rows = new RowBuffer(rowBytes);
  #size = 0;

  get count(): number {
    return this.#rows.count;
  }

  add(id: Uint8Array, rawLength: number): void {
    const bytes = this.#rows.add();
    bytes.set(id.subarray(0, digestBytes));
    bytes.writeUInt32LE(rawLength, digestBytes);
    this.#size += rawLength;
  }

  finish(blob: Digest): Recipe {
    return new Recipe(blob, this.#size, this.#rows.finish());
  }
}

/** The recipe of a blob that is one chunk, or empty. It is never stored. */
export function soleChunkRecipe(blob: Digest, size: number): Recipe {
  if (size === 0) return new Recipe(blob, 0, Buffer.alloc(0));
  const rows = Buffer.allocUnsafe(rowBytes);
  rows.write(blob, 'hex');
  rows.writeUInt32LE(size, digestBytes);
  return new Recipe(blob, size, rows);
}

/** The bytes of a recipe object. */
export function formatRecipe(recipe: Recipe): Buffer {
  const body = Buffer.allocUnsafe(headBytes + recipe.rows.length);
  magic.copy(body);
  body.writeUInt32LE(recipeVersion, 8);
  body.writeUInt32LE(recipe.count, 12);
  body.writeBigUInt64LE(BigInt(recipe.size), 16);
  digestToRaw(recipe.blob).copy(body, 24);
  recipe.rows.copy(body, headBytes);
  return Buffer.concat([body, sha256Raw(body)]);
}

/** Most bytes a recipe object may have. */
export const recipeBytesMax = headBytes + limits.recipeChunksMax * rowBytes + digestBytes;

/** Builds the error of a recipe that cannot be trusted. */
export function recipeProblem(blob: Digest, what: string): MstoreError {
  return new MstoreError('corrupt-recipe', `The recipe of the blob ${blob} is damaged: ${what}`, {
    hint: `Remove recipes/${blob.slice(0, 2)}/${blob} there, then run "mstore fetch" (with --all-versions for an older version), or "mstore add" where the file is whole`,
    details: { blob },
  });
}

/**
 * Parses a recipe object and checks its form, its own digest and that it speaks of `blob`. That the
 * chunks yield the blob is known only once they were read.
 * @throws MstoreError `corrupt-recipe` or `newer-format`
 */
export function parseRecipe(bytes: Buffer, blob: Digest): Recipe {
  if (bytes.length < headBytes + digestBytes || !bytes.subarray(0, 8).equals(magic)) {
    throw recipeProblem(blob, 'it does not start as a recipe');
  }
  const version = bytes.readUInt32LE(8);
  if (version > recipeVersion) {
    throw new MstoreError(
      'newer-format',
      `A recipe has format ${version}; this mstore reads ${recipeVersion}`,
      {
        hint: 'Install a newer mstore',
      },
    );
  }
  const body = bytes.subarray(0, bytes.length - digestBytes);
  if (!sha256Raw(body).equals(bytes.subarray(body.length))) {
    throw recipeProblem(blob, 'its bytes do not match their own digest');
  }
  const count = bytes.readUInt32LE(12);
  const size = Number(bytes.readBigUInt64LE(16));
  if (count > limits.recipeChunksMax || body.length !== headBytes + count * rowBytes) {
    throw recipeProblem(blob, 'its length is not what its count says');
  }
  // A blob of one chunk is that chunk: a recipe of one row could only pass other bytes off as the blob.
  if (count < 2) throw recipeProblem(blob, 'it has fewer than two chunks');
  if (digestFromRaw(bytes, 24) !== blob) throw recipeProblem(blob, 'it belongs to another blob');
  const recipe = new Recipe(blob, size, Buffer.from(body.subarray(headBytes)));
  let sum = 0;
  for (let row = 0; row < count; row++) {
    const length = recipe.length(row);
    if (length === 0 || length > chunkBytesMax)
      throw recipeProblem(blob, `chunk ${row} has an impossible length`);
    sum += length;
  }
  if (version < 1 || sum !== size)
    throw recipeProblem(blob, 'its chunks do not add up to its size');
  return recipe;
}
