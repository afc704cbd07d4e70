import { BitSet } from '../../base/bit-set.ts';
import { mapConcurrently } from '../../base/concurrency.ts';
import { type Digest, digestBytes } from '../../base/digest.ts';
import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import { type Progress, silentProgress } from '../../base/progress.ts';
import { type ChunkPlace, placeOf } from '../../index/chunk-index.ts';
import { type PackFooter, parseFooter, parseTrailer, trailerBytes } from '../../pack/format.ts';
import { readChunk } from '../../pack/reader.ts';
import { readObject } from '../../remote/remote.ts';
import {
  indexKey,
  indexPrefix,
  packKey,
  packOfIndexKey,
  packOfKey,
  packsPrefix,
} from '../../store/keys.ts';
import { indexObjectBytesMax } from '../../store/pack-files.ts';
import { type PackLane, PackThreads } from '../../store/pack-threads.ts';
import { verifiedPack } from '../../store/pack-transfer.ts';
import { readRange } from '../../store/remote-ranges.ts';
import type { FindingNote, Findings } from './findings.ts';
import type { VerifiedPlace } from './place.ts';

/** A pack of which something cannot be used. */
export interface DamagedPack {
  readonly pack: Digest;
  /** Bytes that are there. */
  readonly size: number;
  /** Rows whose bytes are wrong; undefined where not even the footer is known. */
  readonly bad: BitSet | undefined;
  /** Whether readers cannot use any of its chunks, as it has another size or no footer. */
  readonly unusable: boolean;
  /** Ids of the chunks that readers cannot have from it, 32 bytes each. */
  readonly lostIds: Buffer;
  readonly note: FindingNote;
}

/** An index object that cannot stay as it is. */
export interface IndexProblem {
  readonly pack: Digest;
  readonly state: 'missing' | 'damaged';
  readonly note: FindingNote;
}

/** An index object whose pack is not there. */
export interface LeftIndex {
  readonly pack: Digest;
  /** Undefined where it is damaged as well. */
  readonly footer: PackFooter | undefined;
}

/** What the first pass found. */
export interface PacksResult {
  packs: number;
  /** Bytes of the packs that were read. */
  bytes: number;
  chunks: number;
  readonly damaged: Map<Digest, DamagedPack>;
  readonly indexes: IndexProblem[];
  readonly left: LeftIndex[];
}

/** A result that knows of nothing yet. */
export function newPacksResult(): PacksResult {
  return { packs: 0, bytes: 0, chunks: 0, damaged: new Map(), indexes: [], left: [] };
}

/** What is to be checked, by names. */
export interface VerifyScope {
  readonly packs: (pack: Digest) => boolean;
  readonly recipes: (blob: Digest) => boolean;
}

/** What a pass works with. */
export interface PassParts {
  readonly place: VerifiedPlace;
  readonly scope: VerifyScope;
  readonly findings: Findings;
  readonly progress?: Progress | undefined;
}

/**
 * Checks the packs of a place: every byte of each against its footer, in one sequential read, and its index
 * object against both. Nothing is kept of what is read. Memory: 4 MiB for each pack that is under way, of
 * which there are eight at most, and their footers; some 300 bytes for each pack; a bit for each chunk of a
 * damaged pack, and 32 bytes for each of its chunks that cannot be used.
 */
export async function verifyPacks(parts: PassParts): Promise<PacksResult> {
  const pass = new PackPass(parts);
  await pass.run();
  return pass.result;
}

class PackPass {
  readonly result = newPacksResult();
  readonly #place: VerifiedPlace;
  readonly #scope: VerifyScope;
  readonly #findings: Findings;
  readonly #progress: Progress;
  readonly #indexed = new Set<Digest>();

  constructor({ place, scope, findings, progress = silentProgress }: PassParts) {
    this.#place = place;
    this.#scope = scope;
    this.#findings = findings;
    this.#progress = progress;
  }

  async run(): Promise<void> {
    // Index objects first: a push that is under way writes them last, so none is seen without its pack.
    await this.#list(indexPrefix, packOfIndexKey, (pack) => this.#indexed.add(pack));
    const packs: Array<{ pack: Digest; size: number }> = [];
    await this.#list(packsPrefix, packOfKey, (pack, size) => packs.push({ pack, size }));
    const bytes = packs.reduce((sum, { size }) => sum + size, 0);
    const { jobs } = this.#place.transfer;
    this.#progress.start('verify', { bytesTotal: bytes, filesTotal: packs.length });
    const threads = PackThreads.for(bytes, jobs);
    try {
      await mapConcurrently(packs, jobs, async ({ pack, size }) => {
        const check = (lane?: PackLane) => this.#pack(pack, size, lane);
        await (threads?.withLane(check) ?? check());
        this.#progress.advance({ files: 1 });
      });
    } finally {
      threads?.close();
      this.#progress.finish();
    }
    for (const { pack } of packs) this.#indexed.delete(pack);
    for (const pack of this.#indexed) await this.#leftIndex(pack);
  }

  async #list(
    prefix: string,
    nameOf: (key: string) => Digest | undefined,
    take: (name: Digest, size: number) => void,
  ): Promise<void> {
    for await (const { key, size } of this.#place.objects.list(prefix, this.#place.requests)) {
      const name = nameOf(key);
      if (name === undefined) this.#findings.add(foreign(key));
      else if (this.#scope.packs(name)) take(name, size);
    }
  }

  async #pack(pack: Digest, size: number, lane: PackLane | undefined): Promise<void> {
    const indexed = await this.#indexObject(pack);
    const own = indexed === undefined ? await this.#ownFooter(pack, size) : undefined;
    const footer = indexed ?? own ?? this.#place.keptFooter(pack);
    if (footer === undefined) {
      if ((await this.#place.objects.stat(packKey(pack), this.#place.requests)) === undefined)
        return;
      this.#damaged(pack, size, undefined, ['its end is not that of a pack'], undefined);
      return;
    }
    const bad = new BitSet(footer.count);
    const reasons: string[] = [];
    const sizeRight = size === footer.packBytes;
    if (!sizeRight) reasons.push(`it has ${size} bytes instead of ${footer.packBytes}`);
    if (!(await this.#read(footer, size, { lane, bad, reasons }))) return;
    this.result.packs++;
    this.result.chunks += footer.count;
    if (bad.count > 0) reasons.unshift(`${bad.count} of ${footer.count} chunks cannot be read`);
    if (reasons.length > 0) this.#damaged(pack, size, footer, reasons, bad);
  }

  /** Reads the index object of a pack; undefined, and noted, when it is missing or damaged. */
  async #indexObject(pack: Digest): Promise<PackFooter | undefined> {
    const { objects, requests } = this.#place;
    const key = indexKey(pack);
    try {
      return parseFooter(await readObject(objects, key, indexObjectBytesMax, requests), pack);
    } catch (error) {
      if (!isObjectFault(error) && !isMstoreError(error, 'not-found')) throw error;
      const missing = isMstoreError(error, 'not-found');
      const note = this.#findings.add({
        kind: missing ? 'index-missing' : 'index-damaged',
        severity: missing ? 'notice' : 'damage',
        code: 'corrupt-pack',
        key,
        message: missing
          ? 'The pack has no index object; its own end is read in its place'
          : 'The index object is damaged; the end of the pack is read in its place',
        hint: 'Run this command with --repair to make it again',
      });
      this.result.indexes.push({ pack, state: missing ? 'missing' : 'damaged', note });
      return undefined;
    }
  }

  async #ownFooter(pack: Digest, size: number): Promise<PackFooter | undefined> {
    const { objects, requests } = this.#place;
    return readOwnFooter(objects, { pack, size }, requests);
  }

  /** Reads a pack and notes what is wrong; returns whether it is there. */
  async #read(
    footer: PackFooter,
    size: number,
    { lane, bad, reasons }: { lane: PackLane | undefined; bad: BitSet; reasons: string[] },
  ): Promise<boolean> {
    const { objects, transfer } = this.#place;
    const key = packKey(footer.id);
    const end = Math.min(size, footer.packBytes);
    const onDamage = (error: MstoreError, rows?: { first: number; end: number }): void => {
      if (rows !== undefined) bad.addRange(rows.first, rows.end);
      const reason = error.code === 'corrupt-pack' ? String(error.details['reason']) : undefined;
      if (reason !== undefined && !reasons.includes(reason)) reasons.push(reason);
    };
    try {
      const blocks = objects.get(key, size === end ? undefined : { start: 0, end }, {
        ...transfer,
        memory: lane?.blocks,
      });
      for await (const block of verifiedPack(blocks, footer, { where: key, lane, onDamage })) {
        this.#progress.advance({ bytes: block.length });
        this.result.bytes += block.length;
      }
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return false;
      if (!isObjectFault(error)) throw error;
      reasons.push(`reading it broke off (${error.message})`);
      await this.#readRows(footer, end, bad);
    }
    return true;
  }

  /** Tries each chunk by itself: beside a bad spot of a disk there may be good ones. */
  async #readRows(footer: PackFooter, bytes: number, bad: BitSet): Promise<void> {
    for (let row = 0; row < footer.count; row++) {
      const { offset, storedLength } = footer.row(row);
      if (bad.has(row) || offset + storedLength > bytes) {
        bad.add(row);
        continue;
      }
      const chunk = await readRowOf(this.#place, placeOf(footer, row));
      if (chunk === undefined) bad.add(row);
    }
  }

  #damaged(
    pack: Digest,
    size: number,
    footer: PackFooter | undefined,
    reasons: readonly string[],
    bad: BitSet | undefined,
  ): void {
    const unusable = footer === undefined || size !== footer.packBytes;
    const note = this.#findings.add({
      kind: 'pack-damaged',
      severity: 'damage',
      code: 'corrupt-pack',
      key: packKey(pack),
      message: `The pack is damaged: ${reasons.join('; ')}`,
      hint: repairHint,
    });
    const lostIds =
      footer === undefined ? Buffer.alloc(0) : idsOf(footer, unusable ? undefined : bad);
    this.result.damaged.set(pack, { pack, size, bad, unusable, lostIds, note });
  }

  async #leftIndex(pack: Digest): Promise<void> {
    const { objects, requests } = this.#place;
    if ((await objects.stat(packKey(pack), requests)) !== undefined) return;
    const footer = await this.#readLeft(pack);
    if (footer !== null) this.result.left.push({ pack, footer });
  }

  /** Returns null when it is gone as well. */
  async #readLeft(pack: Digest): Promise<PackFooter | undefined | null> {
    const { objects, requests } = this.#place;
    try {
      const bytes = await readObject(objects, indexKey(pack), indexObjectBytesMax, requests);
      return parseFooter(bytes, pack);
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return null;
      if (!isObjectFault(error)) throw error;
      return this.#place.keptFooter(pack);
    }
  }
}

/** What to do about damage, where there may be another copy. */
export const repairHint =
  'Run this command with --repair to heal it from another copy: another pack, the local store, a remote, or the files';

/** Describes an object that has no business where it is. */
export function foreign(key: string): Parameters<Findings['add']>[0] {
  return {
    kind: 'foreign',
    severity: 'notice',
    code: 'corrupt-store',
    key,
    message: 'This is no object of mstore, or not in its place; it is left alone',
    hint: 'Look what put it there, and remove it if nobody needs it',
  };
}

/** Ids of the chunks of some rows, or of all, back to back. */
export function idsOf(footer: PackFooter, rows?: BitSet): Buffer {
  const ids = Buffer.allocUnsafe((rows?.count ?? footer.count) * digestBytes);
  let at = 0;
  for (let row = 0; row < footer.count; row++) {
    if (rows?.has(row) === false) continue;
    const idAt = footer.idOffset(row);
    at += footer.bytes.copy(ids, at, idAt, idAt + digestBytes);
  }
  return ids;
}

/** Failures of the system that concern one file: a bad spot of a disk, a damaged file system. */
const fileFaults = ['EIO', 'EUCLEAN', 'EBADMSG'];

/** Tells whether an error says that one object cannot be read, and nothing of the others. */
export function isObjectFault(error: unknown): error is MstoreError {
  if (isMstoreError(error, 'corrupt-pack', 'corrupt-chunk', 'corrupt-remote', 'too-large'))
    return true;
  return isMstoreError(error) && fileFaults.includes(String(error.details['system']));
}

/** Reads the footer of a pack from its own end; undefined when that is not that of this pack. */
export async function readOwnFooter(
  objects: VerifiedPlace['objects'],
  { pack, size }: { readonly pack: Digest; readonly size: number },
  options: VerifiedPlace['requests'],
): Promise<PackFooter | undefined> {
  if (size < trailerBytes) return undefined;
  const key = packKey(pack);
  try {
    const end = { start: size - trailerBytes, end: size };
    const { footerStart, footerLength, id } = parseTrailer(
      await readRange(objects, key, end, options),
      size,
    );
    if (id !== pack) return undefined;
    const range = { start: footerStart, end: footerStart + footerLength };
    return parseFooter(await readRange(objects, key, range, options), pack);
  } catch (error) {
    if (isObjectFault(error) || isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** Reads the raw bytes of a chunk, verified; undefined when they are damaged. */
export async function readRowOf(
  { objects, requests }: VerifiedPlace,
  place: ChunkPlace,
): Promise<Uint8Array | undefined> {
  const key = packKey(place.pack.id);
  const { offset, storedLength } = place;
  try {
    const range = { start: offset, end: offset + storedLength };
    const stored = await readRange(objects, key, range, requests);
    return readChunk(stored, place, place.ids, place.idAt, key);
  } catch (error) {
    if (isObjectFault(error) || isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}
