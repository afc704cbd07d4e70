import { throwIfAborted } from '../base/abort.ts';

/**
 * Memory for bodies on their way, which all uploads of a remote share: however many run at once, no more
 * is in use than this. Buffers are used again, since making one costs more than filling it.
 */
export class PartMemory {
  readonly #bytesMax: number;
  readonly #spareBytes: number;
  readonly #spare: Buffer[] = [];
  readonly #waiting: Array<() => void> = [];
  #used = 0;

  /**
   * @param bytesMax in use at once; one larger buffer is given out while no other is
   * @param spareBytes size of the buffers that are kept to be used again
   */
  constructor(bytesMax: number, spareBytes: number) {
    this.#bytesMax = bytesMax;
    this.#spareBytes = spareBytes;
  }

  /**
   * Waits for memory, in the order of the calls.
   * @returns a buffer of `size` bytes, whatever is in it
   * @throws MstoreError `interrupted` once the signal is aborted
   */
  async take(size: number, signal: AbortSignal | undefined): Promise<Buffer> {
    throwIfAborted(signal);
    if (this.#waiting.length > 0 || !this.#fits(size)) await this.#turn(size, signal);
    else this.#used += size;
    if (size !== this.#spareBytes) return Buffer.allocUnsafeSlow(size);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(size);
  }

  /**
   * Gives a buffer of {@link take} back.
   * @param idle whether nothing can be reading it any more, so that it may be filled anew
   */
  give(buffer: Buffer, idle: boolean): void {
    this.#used -= buffer.length;
    if (idle && buffer.length === this.#spareBytes) this.#spare.push(buffer);
    this.#waiting[0]?.();
  }

  #fits(size: number): boolean {
    return this.#used === 0 || this.#used + size <= this.#bytesMax;
  }

  #turn(size: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!this.#fits(size)) return;
        this.#used += size;
        leave();
        resolve();
        this.#waiting[0]?.();
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(look), 1);
        signal?.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        leave();
        try {
          throwIfAborted(signal);
        } catch (error) {
          reject(error);
        }
        this.#waiting[0]?.();
      };
      this.#waiting.push(look);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}
