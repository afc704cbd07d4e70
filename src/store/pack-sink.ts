import { removeFile } from '../base/files.ts';
import { newWriteMemory, type WriteMemory } from '../base/sequential-file.ts';
import { ChunkEncoder, type ChunkForm } from '../pack/codec.ts';
import type { PackFooter } from '../pack/format.ts';
import { PackWriter } from '../pack/writer.ts';
import type { Store } from './local-store.ts';
import { publishPack } from './publish.ts';

/** Options of {@link PackSink}. */
export interface PackSinkOptions {
  /** Whether raw chunks are encoded where that pays; by default they are not. */
  readonly compress?: boolean | undefined;
  /** Takes a pack that is complete and flushed, in a temporary file; by default the store does. */
  readonly publish?: ((file: string, footer: PackFooter) => Promise<void>) | undefined;
}

/**
 * Takes new chunks into the store, each once: gathers them in packs and publishes each pack when it is
 * full. What was appended is durable and visible once {@link finish} returns, not before.
 */
export class PackSink {
  readonly #store: Store;
  #writer: PackWriter | undefined;
  #memory: WriteMemory | undefined;
  /** Chunks in the pack that is being written, as Latin-1 strings of their 32 bytes. */
  readonly #pending = new Set<string>();
  readonly #encoder: ChunkEncoder | undefined;
  readonly #publishPack: (file: string, footer: PackFooter) => Promise<void>;

  constructor(store: Store, options: PackSinkOptions = {}) {
    this.#store = store;
    this.#publishPack = options.publish ?? ((file, footer) => publishPack(store, file, footer));
    this.#encoder = options.compress === true ? new ChunkEncoder() : undefined;
    store.prepareWriting();
  }

  /** Tells whether the store, or the pack being written, has the chunk. */
  has(id: Uint8Array, at = 0): boolean {
    return this.#store.index().has(id, at) || this.#pending.has(pendingName(id, at));
  }

  /** Tells whether the pack being written has the chunk. */
  holds(id: Uint8Array): boolean {
    return this.#pending.has(pendingName(id, 0));
  }

  /**
   * Appends a chunk that {@link has} denied. Its bytes are copied before the call returns.
   * @param id 32 bytes, the SHA-256 of `raw`
   * @returns the bytes it takes in the pack
   */
  append(id: Uint8Array, raw: Uint8Array): number {
    const { bytes, form } = this.#encoder?.encode(raw) ?? { bytes: raw, form: undefined };
    this.appendStored(id, bytes, form);
    return bytes.length;
  }

  /**
   * Appends a chunk that {@link has} denied, as it is stored elsewhere.
   * @param form how `stored` yields the raw bytes, whose SHA-256 `id` is; left out where it is them
   */
  appendStored(id: Uint8Array, stored: Uint8Array, form?: ChunkForm): void {
    if (this.#writer === undefined) {
      this.#memory ??= newWriteMemory();
      this.#writer = new PackWriter(this.#store.tempFile(), this.#memory);
    }
    this.#writer.append(id, stored, form);
    this.#pending.add(pendingName(id, 0));
  }

  /** Gives packs begun from now on another working memory; it must not be used by anybody else. */
  useMemory(memory: WriteMemory): void {
    this.#memory = memory;
  }

  /** Ends when the next chunk need not wait for the disk; undefined when it need not. */
  room(): Promise<void> | undefined {
    return this.#writer?.room();
  }

  /** Tells whether the pack being written is full and {@link publish} should be called. */
  get full(): boolean {
    return this.#writer?.full === true;
  }

  /** Completes the pack being written, if there is one, and makes its chunks visible. */
  async publish(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    await writer.settled();
    const footer = writer.finish();
    await this.#publishPack(writer.file, footer);
    this.#writer = undefined;
    this.#pending.clear();
  }

  /** Ends: publishes what is left. */
  async finish(): Promise<void> {
    await this.publish();
    this.close();
  }

  /** Ends in any case; a pack that was not published is dropped. */
  close(): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#writer = undefined;
    writer.close();
    removeFile(writer.file);
  }
}

function pendingName(id: Uint8Array, at: number): string {
  return Buffer.from(id.buffer, id.byteOffset + at, 32).toString('latin1');
}
