import { mapInOrder } from '../base/concurrency.ts';
import { type Digest, digestToRaw, sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import type { PackFooter } from '../pack/format.ts';
import { readChunk } from '../pack/reader.ts';
import type { RemoteReader } from '../remote/remote.ts';
import { packKey } from './keys.ts';
import { emptyBlob } from './recipe.ts';
import { joinRows, readRange } from './remote-ranges.ts';
import type { RemoteStore, TransferOptions } from './remote-store.ts';

/** Bytes of one range. */
const rangeBytesMax = 8 * 1024 * 1024;
/** Bytes of ranges that are under way or wait. */
const aheadBytesMax = 32 * 1024 * 1024;

/** One chunk of a remote, as it is stored there. */
export interface RemoteRow {
  readonly row: number;
  /** Valid until the next step. */
  readonly stored: Uint8Array;
  /** Its bytes, where nothing is wrong with it. As long valid. */
  readonly raw: Uint8Array | undefined;
  /** What is wrong with it; undefined for a chunk that has its name. */
  readonly damage: MstoreError | undefined;
}

/**
 * Reads chunks of a pack of a remote, by their rows in ascending order, and verifies each. Near ones are read
 * together, several ranges at once. Memory: 32 MiB of ranges, and the chunk that is decoded.
 * @throws MstoreError `not-found`, `corrupt-remote` when the pack is not what its footer says
 */
export async function* readRemoteRows(
  remote: RemoteReader,
  footer: PackFooter,
  rows: readonly number[],
  options: TransferOptions,
): AsyncGenerator<RemoteRow, void, void> {
  const key = packKey(footer.id);
  const where = `${remote.location}/${key}`;
  const arriving = mapInOrder(
    joinRows(footer, rows, rangeBytesMax),
    {
      atOnce: options.jobs,
      bytesOf: ({ start, end }) => end - start,
      bytesMax: aheadBytesMax,
    },
    async (range) => ({ range, bytes: await readRange(remote, key, range, options) }),
  );
  for await (const { range, bytes } of arriving) {
    for (const row of range.rows) {
      const form = footer.row(row);
      const at = form.offset - range.start;
      const stored = bytes.subarray(at, at + form.storedLength);
      let damage: MstoreError | undefined;
      let raw: Uint8Array | undefined;
      try {
        raw = readChunk(stored, form, footer.bytes, footer.idOffset(row), where);
      } catch (error) {
        if (!(error instanceof MstoreError)) throw error;
        damage = error;
      }
      yield { row, stored, raw, damage };
    }
  }
}

/**
 * Reads a small blob of a remote whole, verified.
 * @returns undefined when the remote does not have all of it
 * @throws MstoreError `too-large`, `corrupt-chunk`, `corrupt-remote`
 */
export async function readRemoteBlob(
  there: RemoteStore,
  blob: Digest,
  bytesMax: number,
  options: TransferOptions,
): Promise<Buffer | undefined> {
  if (blob === emptyBlob) return Buffer.alloc(0);
  const index = await there.index(options);
  const ids: Array<{ bytes: Uint8Array; at: number }> = [];
  const whole = digestToRaw(blob);
  if (index.has(whole)) ids.push({ bytes: whole, at: 0 });
  else {
    const recipe = await there.recipe(blob, options);
    if (recipe === undefined) return undefined;
    if (recipe.size > bytesMax) throw tooLarge(there, blob, recipe.size, bytesMax);
    for (let row = 0; row < recipe.count; row++) {
      ids.push({ bytes: recipe.rows, at: recipe.idOffset(row) });
    }
  }
  const parts: Uint8Array[] = [];
  for (const { bytes, at } of ids) {
    const place = index.find(bytes, at);
    if (place === undefined) return undefined;
    const footer = await there.footerOf(place.pack, options);
    const { offset, storedLength } = place;
    const range = { start: offset, end: offset + storedLength };
    const key = packKey(place.pack.id);
    const stored = await readRange(there.remote, key, range, options);
    const where = `${there.remote.location}/${key}`;
    parts.push(readChunk(stored, place, footer.bytes, footer.idOffset(place.number), where));
  }
  const read = Buffer.concat(parts);
  if (sha256(read) === blob) return read;
  throw new MstoreError(
    'corrupt-remote',
    `${there.remote.location} has a recipe for ${blob} that gives other bytes`,
    {
      hint: 'Run "mstore verify --remote --repair"',
      details: { blob, location: there.remote.location },
    },
  );
}

function tooLarge(
  { remote }: RemoteStore,
  blob: Digest,
  size: number,
  bytesMax: number,
): MstoreError {
  return new MstoreError(
    'too-large',
    `The list ${blob} in ${remote.location} has ${size} bytes; at most ${bytesMax} are read`,
    { details: { blob, size } },
  );
}
