import { constants, inflateRawSync } from 'node:zlib';
import type { ByteReader } from '../weights/byte-reader.ts';
import { BudgetSpent } from './source.ts';

/** Deflated bytes that are read for the start of the content; they unfold to 2 MiB at most. */
const headBytes = 2 * 1024;
const headUnfoldedMax = 4 * 1024 * 1024;

/** Bytes that members of one archive may unfold to. */
export interface InflateBudget {
  left: number;
}

/**
 * The content of deflated bytes. Its start is had from the start of them; only who asks for more has all of it
 * unfolded, and kept.
 */
export class InflatedFile implements ByteReader {
  readonly size: number;
  readonly #packed: ByteReader;
  readonly #check: (content: Uint8Array | undefined) => void;
  readonly #budget: InflateBudget;
  #head: Uint8Array | undefined;
  #whole: Uint8Array | undefined;

  /**
   * @param size bytes that the content is told to have
   * @param budget what is unfolded is taken from it; where there is too little, reads throw {@link BudgetSpent}
   * @param check is given the content once all of it is unfolded; undefined when it is another
   */
  constructor(
    packed: ByteReader,
    size: number,
    budget: InflateBudget,
    check: (content: Uint8Array | undefined) => void,
  ) {
    this.#packed = packed;
    this.size = size;
    this.#budget = budget;
    this.#check = check;
  }

  read(offset: number, length: number): Uint8Array {
    const end = Math.min(offset + length, this.size);
    const isSmall = this.#packed.size <= headBytes;
    if (this.#whole === undefined && !isSmall) {
      this.#head ??= inflatedHead(this.#packed);
      if (end <= this.#head.length) return this.#head.subarray(offset, end);
    }
    this.#whole ??= this.#unfold();
    return this.#whole.subarray(offset, end);
  }

  #unfold(): Uint8Array {
    if (this.size > this.#budget.left) throw new BudgetSpent(false);
    this.#budget.left -= this.size;
    const packed = this.#packed.read(0, this.#packed.size);
    let content: Uint8Array = new Uint8Array(0);
    try {
      content = inflateRawSync(packed, { maxOutputLength: this.size + 1 });
    } catch (error) {
      passZlib(error);
    }
    this.#check(content.length === this.size ? content : undefined);
    return content;
  }
}

/** The start of what deflated bytes unfold to: more than a few bytes, and 2 MiB at most. */
export function inflatedHead(packed: ByteReader): Uint8Array {
  try {
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: headUnfoldedMax };
    return inflateRawSync(packed.read(0, headBytes), options);
  } catch (error) {
    return passZlib(error);
  }
}

/** Damaged data unfold to nothing; other failures pass. */
function passZlib(error: unknown): Uint8Array {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^Z_|^ERR_BUFFER_TOO_LARGE$/.test(code)) return new Uint8Array(0);
  throw error;
}
