import { BitSet } from '../../base/bit-set.ts';
import { type Digest, digestBytes, digestToRaw } from '../../base/digest.ts';
import type { ChunkIndex, ChunkPlace } from '../../index/chunk-index.ts';
import type { IndexedPack } from '../../index/indexed-pack.ts';
import { packKey } from '../../store/keys.ts';
import type { FindingNote, Findings } from './findings.ts';
import { type PacksResult, repairHint } from './packs.ts';

/** Lost chunks that are told apart; what is lost beyond is found again by the next run. */
const lostMax = 250_000;

/**
 * What is known of the chunks of a place: where a good copy is, and by which finding one is lost. Memory: some
 * 120 bytes for each lost chunk, of which there are 250,000 at most, beside that of the index.
 */
export class ChunkStates {
  #index: ChunkIndex;
  readonly #packs: PacksResult;
  readonly #findings: Findings;
  readonly #lost = new Map<string, FindingNote>();
  readonly #leaving = new Set<Digest>();

  constructor(index: ChunkIndex, packs: PacksResult, findings: Findings) {
    this.#index = index;
    this.#packs = packs;
    this.#findings = findings;
    for (const { lostIds, note } of packs.damaged.values()) this.noteLost(lostIds, note);
  }

  /** Finds a good copy of the chunk with the id at `ids[at]`; undefined where there is none. */
  find(ids: Uint8Array, at = 0): ChunkPlace | undefined {
    return this.#index.find(ids, at, this.#usable);
  }

  /** Takes up what came since the index was opened. */
  refresh(index: ChunkIndex): void {
    this.#index = index;
  }

  /** Finds a good copy in a pack that stays where it is: one without any damage, and not {@link distrust}ed. */
  findSafe(ids: Uint8Array, at = 0): ChunkPlace | undefined {
    const stays = ({ id }: IndexedPack): boolean =>
      !this.#packs.damaged.has(id) && !this.#leaving.has(id);
    return this.#index.find(ids, at, stays);
  }

  /** Notes packs that a clean-up may be about to remove, as it takes a damaged copy for a good one. */
  distrust(packs: Iterable<Digest>): void {
    for (const pack of packs) this.#leaving.add(pack);
  }

  readonly #usable = (pack: IndexedPack, row: number): boolean => {
    const damaged = this.#packs.damaged.get(pack.id);
    return damaged === undefined || !(damaged.unusable || damaged.bad?.has(row));
  };

  /**
   * Notes chunks of which a copy is lost; those that have another one are passed over.
   * @param ids 32 bytes each
   * @returns how many are lost
   */
  noteLost(ids: Buffer, note: FindingNote): number {
    let count = 0;
    for (let at = 0; at < ids.length; at += digestBytes) {
      if (this.find(ids, at) !== undefined) continue;
      count++;
      const name = ids.toString('latin1', at, at + digestBytes);
      if (this.#lost.size < lostMax && !this.#lost.has(name)) this.#lost.set(name, note);
    }
    return count;
  }

  /** Tells whether some of these chunks, of 32 bytes an id, have no good copy. */
  lacksAny(ids: Buffer): boolean {
    for (let at = 0; at < ids.length; at += digestBytes) {
      if (this.find(ids, at) === undefined) return true;
    }
    return false;
  }

  /** Returns the finding by which a chunk is lost. */
  lostBy(ids: Buffer, at = 0): FindingNote | undefined {
    return this.#lost.get(ids.toString('latin1', at, at + digestBytes));
  }

  /** Yields the ids of the chunks that are lost. */
  *lost(): Generator<Buffer, void, undefined> {
    for (const name of this.#lost.keys()) yield Buffer.from(name, 'latin1');
  }

  /** How many chunks are lost. */
  get lostCount(): number {
    return this.#lost.size;
  }

  /** Notes that a chunk turned out to be damaged where the index found it; returns the finding. */
  noteBad({ pack, number, ids, idAt }: ChunkPlace): FindingNote {
    const known = this.#packs.damaged.get(pack.id);
    const bad = known?.bad ?? new BitSet(pack.count);
    bad.add(number);
    const note = known?.note ?? this.#noteOf(pack.id);
    const id = Buffer.from(ids.subarray(idAt, idAt + digestBytes));
    const lostIds = Buffer.concat([known?.lostIds ?? Buffer.alloc(0), id]);
    const { packBytes: size } = pack;
    const damaged = { pack: pack.id, size, bad, unusable: false, lostIds, note };
    this.#packs.damaged.set(pack.id, damaged);
    note.message = `The pack is damaged: ${bad.count} of ${pack.count} chunks cannot be read`;
    this.noteLost(id, note);
    return note;
  }

  #noteOf(pack: Digest): FindingNote {
    return this.#findings.add({
      kind: 'pack-damaged',
      severity: 'damage',
      code: 'corrupt-pack',
      key: packKey(pack),
      message: '',
      hint: repairHint,
    });
  }

  /** Tells whether a blob is one good chunk. */
  isSole(blob: Digest): boolean {
    return this.find(digestToRaw(blob)) !== undefined;
  }
}
