import type { ByteReader } from './byte-reader.ts';

/** Bytes read after a jump; most jumps land on a header of a few dozen bytes. */
const windowBytesMin = 4 * 1024;
/** Bytes read at once at most; windows double up to this while reading goes straight on. */
const windowBytesMax = 256 * 1024;

/** Thrown by {@link WindowReader}, and by readers on it, when a file is not what it seemed to be. */
export class NotThisFormat extends Error {}

/**
 * Runs a reader of a header.
 * @returns undefined when it throws {@link NotThisFormat}; other errors pass
 */
export function ifThisFormat<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof NotThisFormat) return undefined;
    throw error;
  }
}

/** Throws {@link NotThisFormat} unless a condition of the format holds. */
export function expectFormat(condition: boolean): asserts condition {
  if (!condition) throw new NotThisFormat();
}

/**
 * Reads little-endian fields one behind the other, through a window, so that many small fields cost few
 * reads and a jump over data costs none of it. Each method throws {@link NotThisFormat} where the bytes
 * end.
 */
export class WindowReader {
  readonly #file: ByteReader;
  readonly #end: number;
  #window: DataView = new DataView(new ArrayBuffer(0));
  #windowStart = 0;
  readonly #bytesMin: number;
  #windowBytes: number;
  #at: number;

  /**
   * @param start offset of the first byte to read
   * @param end offset at which the bytes that may be read end
   * @param bytesMin bytes that are read after a jump
   */
  constructor(file: ByteReader, start: number, end: number, bytesMin = windowBytesMin) {
    this.#file = file;
    this.#at = start;
    this.#end = Math.min(end, file.size);
    this.#bytesMin = bytesMin;
    this.#windowBytes = bytesMin;
  }

  /** Offset in the file of the next byte. */
  get at(): number {
    return this.#at;
  }

  /** Passes over bytes. */
  skip(count: number): void {
    expectFormat(count <= this.#end - this.#at);
    this.#at += count;
  }

  u8(): number {
    const index = this.#take(1);
    return this.#window.getUint8(index);
  }

  u16(): number {
    const index = this.#take(2);
    return this.#window.getUint16(index, true);
  }

  u32(): number {
    const index = this.#take(4);
    return this.#window.getUint32(index, true);
  }

  /** An integer of 64 bits, which must be one that numbers hold exactly. */
  u64(): number {
    const index = this.#take(8);
    const high = this.#window.getUint32(index + 4, true);
    expectFormat(high < 2 ** 21);
    return high * 2 ** 32 + this.#window.getUint32(index, true);
  }

  /** A variable-length integer as in Protocol Buffers, which must be one that numbers hold exactly. */
  varint(): number {
    let value = 0;
    let unit = 1;
    for (let count = 1; ; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * unit;
      expectFormat(value <= Number.MAX_SAFE_INTEGER);
      if (byte < 0x80) return value;
      expectFormat(count < 10);
      unit *= 128;
    }
  }

  /** A variable-length integer of any value, which is not exact above 2^53. */
  anyVarint(): number {
    let value = 0;
    let unit = 1;
    for (let count = 1; ; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      expectFormat(count < 10);
      unit *= 128;
    }
  }

  /** A copy of `count` bytes. */
  bytes(count: number): Uint8Array {
    const index = this.#take(count);
    const { buffer, byteOffset } = this.#window;
    return new Uint8Array(buffer, byteOffset + index, count).slice();
  }

  /** Text of `count` bytes; what is not UTF-8 becomes U+FFFD. */
  text(count: number): string {
    const index = this.#take(count);
    const { buffer, byteOffset } = this.#window;
    return Buffer.from(buffer, byteOffset + index, count).toString();
  }

  /** Makes `count` bytes available and steps behind them; returns their index in the window. */
  #take(count: number): number {
    const index = this.#at - this.#windowStart;
    if (index + count > this.#window.byteLength) return this.#refill(count);
    this.#at += count;
    return index;
  }

  #refill(count: number): number {
    expectFormat(count <= this.#end - this.#at);
    const jump = this.#at - this.#windowStart - this.#window.byteLength;
    const straightOn = jump < this.#bytesMin;
    this.#windowBytes = straightOn
      ? Math.min(this.#windowBytes * 2, windowBytesMax)
      : this.#bytesMin;
    const ahead = Math.min(Math.max(this.#windowBytes, count), this.#end - this.#at);
    const length = Math.max(count, this.#file.near?.(this.#at, ahead) ?? ahead);
    const bytes = this.#file.read(this.#at, length);
    expectFormat(bytes.length === length);
    this.#window = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#windowStart = this.#at;
    this.#at += count;
    return 0;
  }
}
