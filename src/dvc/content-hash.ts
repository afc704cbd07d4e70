import { createHash, type Hash } from 'node:crypto';
import type { DvcHash } from './object-key.ts';

/** DVC 2 reads files in parts of this size, and looks at the beginning of each. */
const partBytes = 1024 * 1024;
const probeBytes = 512;

/** Hashes bytes as they come, by a rule that names more than one digest. */
export interface ContentHash {
  update(block: Uint8Array): void;
  /** Tells whether the bytes are those of a name. */
  is(md5: string): boolean;
}

/** Makes what holds bytes against the name that DVC gives them. */
export function contentHash(hash: DvcHash): ContentHash {
  return hash === 'md5' ? new PlainMd5() : new LegacyMd5();
}

class PlainMd5 implements ContentHash {
  readonly #hash = createHash('md5');

  update(block: Uint8Array): void {
    this.#hash.update(block);
  }

  is(md5: string): boolean {
    return this.#hash.digest('hex') === md5;
  }
}

/**
 * The rules of DVC before 3. What looks like text at its beginning loses the carriage returns in front of its newlines
 * before it is hashed: early releases looked at the beginning of the file, later ones at that of each MiB. Files that were
 * hashed where they lay, in a bucket, have their plain MD5.
 */
class LegacyMd5 implements ContentHash {
  readonly #plain = createHash('md5');
  readonly #byPart = createHash('md5');
  /** Undefined until the beginning was seen, and where it is no text. */
  #byFile: Hash | undefined;
  readonly #part = Buffer.alloc(partBytes);
  #length = 0;
  #isFirst = true;

  update(block: Uint8Array): void {
    this.#plain.update(block);
    for (let at = 0; at < block.length; ) {
      const some = block.subarray(at, at + partBytes - this.#length);
      this.#part.set(some, this.#length);
      this.#length += some.length;
      at += some.length;
      if (this.#length === partBytes) this.#endPart();
    }
  }

  is(md5: string): boolean {
    this.#endPart();
    const found = [this.#plain, this.#byPart, this.#byFile];
    return found.some((hash) => hash?.digest('hex') === md5);
  }

  #endPart(): void {
    if (this.#length === 0) return;
    const part = this.#part.subarray(0, this.#length);
    const isText = looksLikeText(part.subarray(0, probeBytes));
    if (this.#isFirst && isText) this.#byFile = createHash('md5');
    this.#isFirst = false;
    const unix = isText || this.#byFile !== undefined ? withoutReturns(part) : part;
    this.#byFile?.update(unix);
    this.#byPart.update(isText ? unix : part);
    this.#length = 0;
  }
}

/** Bytes that text has: of ASCII, what is printed, and the five signs that move the place of writing. */
const isTextByte = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte >= 0x20 && byte < 0x7f) || [0x08, 0x09, 0x0a, 0x0c, 0x0d].includes(byte) ? 1 : 0,
);

/** The rule of DVC's `istextblock`: no NUL, and at most 30 of 100 bytes that text has not. */
function looksLikeText(block: Uint8Array): boolean {
  if (block.includes(0)) return false;
  let others = 0;
  for (const byte of block) others += 1 - (isTextByte[byte] as number);
  return others / Math.max(1, block.length) <= 0.3;
}

function withoutReturns(part: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(part.length);
  let length = 0;
  for (let i = 0; i < part.length; i++) {
    if (part[i] === 0x0d && part[i + 1] === 0x0a) continue;
    out[length++] = part[i] as number;
  }
  return out.subarray(0, length);
}
