import { type Digest, sha256Raw } from '../../base/digest.ts';
import { removeFile } from '../../base/files.ts';
import { newWriteMemory, type WriteMemory } from '../../base/sequential-file.ts';
import type { ChunkForm } from '../../pack/codec.ts';
import { FooterBuilder } from '../../pack/format.ts';
import { PackWriter } from '../../pack/writer.ts';
import type { Store } from '../../store/local-store.ts';
import { sendPack } from '../../store/pack-transfer.ts';
import { publishPack } from '../../store/publish.ts';
import type { VerifiedPlace } from '../verify/place.ts';

/**
 * Takes chunks that were verified into new packs of a place, each once: of the local store, or of a remote. They
 * are durable and visible there once {@link finish} returns. Memory: a block of 4 MiB, 104 bytes for each chunk of
 * the pack that is written, and some 100 for each chunk taken.
 */
export class RepairSink {
  readonly #packs = new Set<Digest>();
  readonly #place: VerifiedPlace;
  readonly #temps: Store;
  readonly #taken: (pack: Digest) => boolean;
  readonly #chunks = new Set<string>();
  #memory: WriteMemory | undefined;
  #writer: PackWriter | undefined;
  #footer = new FooterBuilder();

  /**
   * @param temps the local store, in which packs are prepared
   * @param taken tells of names that a damaged pack has at a remote, where nothing is replaced
   */
  constructor(place: VerifiedPlace, temps: Store, taken: (pack: Digest) => boolean) {
    this.#place = place;
    this.#temps = temps;
    this.#taken = taken;
    temps.prepareWriting();
  }

  /** Tells whether a chunk was taken; its id is the 32 bytes at `ids[at]`. */
  has(ids: Uint8Array, at = 0): boolean {
    return this.#chunks.has(Buffer.from(ids.buffer, ids.byteOffset + at, 32).toString('latin1'));
  }

  /** Takes a chunk that {@link has} denied; it has just been verified. */
  async append(id: Buffer, stored: Uint8Array, form: ChunkForm): Promise<void> {
    this.#write(id, stored, form);
    const writer = this.#writer;
    if (writer === undefined) return;
    if (writer.full) await this.#publish();
    else await writer.room();
  }

  #write(id: Buffer, stored: Uint8Array, { encoding, rawLength }: ChunkForm): void {
    this.#memory ??= newWriteMemory();
    this.#writer ??= new PackWriter(this.#temps.tempFile(), this.#memory);
    const { payloadBytes: offset } = this.#writer;
    this.#footer.add(id, { offset, storedLength: stored.length, rawLength, encoding });
    this.#writer.append(id, stored, { encoding, rawLength });
    this.#chunks.add(id.toString('latin1', 0, 32));
  }

  async #publish(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    // The same chunks in the same order would have the name of the damaged pack: a byte more makes another one.
    for (let byte = 0; this.#taken(this.#footer.finish().id); byte++) {
      const filler = Buffer.from([byte]);
      this.#write(sha256Raw(filler), filler, { encoding: 0, rawLength: 1 });
    }
    await writer.settled();
    const footer = writer.finish();
    this.#writer = undefined;
    this.#footer = new FooterBuilder();
    const { store, objects, transfer } = this.#place;
    try {
      if (store !== undefined) {
        await publishPack(store, writer.file, footer);
      } else {
        await sendPack(objects, writer.file, footer, transfer);
      }
    } finally {
      removeFile(writer.file);
    }
    this.#packs.add(footer.id);
  }

  /** Ends: what was taken is there. */
  async finish(): Promise<void> {
    await this.#publish();
  }

  /** Ends in any case; a pack that was not published is dropped. */
  close(): void {
    if (this.#writer === undefined) return;
    this.#writer.close();
    removeFile(this.#writer.file);
    this.#writer = undefined;
  }

  /** Tells whether a whole pack was written anew, under its own name. */
  wrote(pack: Digest): boolean {
    return this.#packs.has(pack);
  }
}
