import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import type { ChunkForm } from '../../pack/codec.ts';
import {
  chunkBytesMax,
  encodingName,
  type PackFooter,
  type PackRow,
  parseFooter,
  parseRow,
  rowBytes,
  rowOffset,
  trailerBytes,
} from '../../pack/format.ts';
import { readChunk } from '../../pack/reader.ts';
import { readObject } from '../../remote/remote.ts';
import { indexKey, packKey } from '../../store/keys.ts';
import { indexObjectBytesMax } from '../../store/pack-files.ts';
import { readRange } from '../../store/remote-ranges.ts';
import { isObjectFault, readOwnFooter } from '../verify/packs.ts';
import type { VerifiedPlace } from '../verify/place.ts';

/** Bytes of one read. */
const readBytesMax = 4 * 1024 * 1024;
/** Bytes at the end of a pack in which its footer is looked for when nothing says where it starts. */
const footerBytesMax = rowOffset(65_536) + trailerBytes;
const footerMagic = 'MSTOREFT';

/** A chunk that was got out of a damaged pack, and verified. */
export interface SalvagedChunk {
  readonly id: Buffer;
  readonly stored: Uint8Array;
  readonly form: ChunkForm;
}

/** A pack that is there, in whatever state. */
interface PackThere {
  readonly pack: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Finds the footer of a pack: its index object, its own end, or one that is kept here; undefined without any. */
export async function findFooter(
  place: VerifiedPlace,
  there: PackThere,
): Promise<PackFooter | undefined> {
  const bytes = await readIndex(place, there.pack);
  try {
    if (bytes !== undefined) return parseFooter(bytes, there.pack);
  } catch (error) {
    if (!isObjectFault(error)) throw error;
  }
  const own = await readOwnFooter(place.objects, there, place.requests);
  return own ?? place.keptFooter(there.pack);
}

async function readIndex(place: VerifiedPlace, pack: Digest): Promise<Buffer | undefined> {
  const { objects, requests } = place;
  return orUndefined(() => readObject(objects, indexKey(pack), indexObjectBytesMax, requests));
}

/** Reads something; undefined when it is not there or cannot be read. */
async function orUndefined<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isObjectFault(error) || isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** A row of what may be a footer. */
interface LooseRow {
  readonly id: Buffer;
  readonly row: PackRow;
}

/**
 * Yields the chunks of a damaged pack that are whole, each verified. Where its footer cannot be trusted, the rows
 * of what is left of it say where to look, and the digests whether that is right.
 * @param wanted tells whether a chunk is needed; asked before anything is read
 */
export async function* salvage(
  place: VerifiedPlace,
  there: PackThere,
  footer: PackFooter | undefined,
  wanted: (id: Buffer) => boolean,
): AsyncGenerator<SalvagedChunk, void, void> {
  const rows = footer === undefined ? await looseRows(place, there) : rowsOf(footer);
  let run: LooseRow[] = [];
  let end = 0;
  for (const loose of rows) {
    const { offset, storedLength } = loose.row;
    if (offset + storedLength > there.size || !wanted(loose.id)) continue;
    const joins = offset === end && end - (run[0]?.row.offset ?? 0) + storedLength <= readBytesMax;
    if (!joins) {
      yield* readRun(place, there.pack, run);
      run = [];
    }
    run.push(loose);
    end = offset + storedLength;
  }
  yield* readRun(place, there.pack, run);
}

function* rowsOf(footer: PackFooter): Generator<LooseRow, void, undefined> {
  for (let row = 0; row < footer.count; row++) {
    const at = footer.idOffset(row);
    yield { id: footer.bytes.subarray(at, at + 32), row: footer.row(row) };
  }
}

/** Lists the rows of whatever is left of a footer. */
async function looseRows(place: VerifiedPlace, there: PackThere): Promise<LooseRow[]> {
  const candidates = [await readIndex(place, there.pack), await looseEnd(place, there)];
  return candidates.flatMap((bytes) => {
    const rows: LooseRow[] = [];
    for (
      let at = rowOffset(0);
      bytes !== undefined && at + rowBytes <= bytes.length;
      at += rowBytes
    ) {
      const row = parseRow(bytes, at);
      const { storedLength, rawLength, encoding } = row;
      const possible = storedLength > 0 && storedLength <= rawLength && rawLength <= chunkBytesMax;
      if (possible && encodingName(encoding) !== undefined && Number.isSafeInteger(row.offset))
        rows.push({ id: bytes.subarray(at, at + 32), row });
    }
    return rows;
  });
}

/** Reads what looks like the footer at the end of a pack. */
async function looseEnd(
  { objects, requests }: VerifiedPlace,
  { pack, size }: PackThere,
): Promise<Buffer | undefined> {
  const range = { start: Math.max(0, size - footerBytesMax), end: size };
  const bytes = await orUndefined(() => readRange(objects, packKey(pack), range, requests));
  const at = bytes?.lastIndexOf(footerMagic) ?? -1;
  return at === -1 ? undefined : bytes?.subarray(at);
}

/** Reads chunks that lie side by side; those that are damaged are left out. */
async function* readRun(
  place: VerifiedPlace,
  pack: Digest,
  run: readonly LooseRow[],
): AsyncGenerator<SalvagedChunk, void, void> {
  const [first] = run;
  const last = run.at(-1);
  if (first === undefined || last === undefined) return;
  const { objects, requests } = place;
  const start = first.row.offset;
  const range = { start, end: last.row.offset + last.row.storedLength };
  const bytes = await orUndefined(() => readRange(objects, packKey(pack), range, requests));
  if (bytes === undefined && run.length > 1) {
    for (const one of run) yield* readRun(place, pack, [one]);
    return;
  }
  for (const { id, row } of bytes === undefined ? [] : run) {
    const stored = bytes?.subarray(row.offset - start, row.offset - start + row.storedLength);
    if (stored !== undefined && isChunk(stored, row, id)) yield { id, stored, form: row };
  }
}

function isChunk(stored: Uint8Array, form: ChunkForm, id: Buffer): boolean {
  try {
    readChunk(stored, form, id, 0, '');
    return true;
  } catch (error) {
    if (isMstoreError(error, 'corrupt-chunk')) return false;
    throw error;
  }
}
