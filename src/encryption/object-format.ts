import { createCipheriv, createDecipheriv } from 'node:crypto';
import { invariant } from '../base/errors.ts';
import { derive, type MasterKey } from './keys.ts';

/*
 * An encrypted object is a head and segments. The head draws the key of the object: no two objects, and no two
 * tries to make one, share a key, so that the number of a segment is a nonce that never comes again.
 */

const magic = 'MSTOREEN';
const version = 1;

/** Magic (8), version u32, zero u32, clear size u64, salt (32). */
export const headBytes = 56;
export const saltBytes = 32;
const saltOffset = 24;

/** Clear bytes of a segment; the last one has fewer, and none only where the object is empty. */
export const segmentBytes = 64 * 1024;
export const tagBytes = 16;
export const sealedSegmentBytes = segmentBytes + tagBytes;
const nonceBytes = 12;

/** What the head of an object says. */
export interface ObjectHead {
  /** Clear bytes of the object. */
  readonly size: number;
  /** All of the head, from which the key of the object is derived. */
  readonly bytes: Buffer;
}

/** Makes the head of an object. */
export function formatHead(size: number, salt: Buffer): ObjectHead {
  invariant(salt.length === saltBytes, 'a salt of 32 bytes');
  const bytes = Buffer.alloc(headBytes);
  bytes.write(magic, 'latin1');
  bytes.writeUInt32LE(version, 8);
  bytes.writeBigUInt64LE(BigInt(size), 16);
  bytes.set(salt, saltOffset);
  return { size, bytes };
}

/** Reads a head; undefined for bytes that are none, of another version too. */
export function parseHead(bytes: Buffer): ObjectHead | undefined {
  if (bytes.length !== headBytes || bytes.toString('latin1', 0, 8) !== magic) return undefined;
  const size = Number(bytes.readBigUInt64LE(16));
  const isOurs = bytes.readUInt32LE(8) === version && bytes.readUInt32LE(12) === 0;
  return isOurs && Number.isSafeInteger(sealedSize(size)) ? { size, bytes } : undefined;
}

/** The number of segments of an object. */
export function segmentsOf(size: number): number {
  return Math.max(1, Math.ceil(size / segmentBytes));
}

/** The bytes that an object of so many clear bytes has. */
export function sealedSize(size: number): number {
  return headBytes + size + tagBytes * segmentsOf(size);
}

/**
 * The clear bytes of an object of so many bytes. Where no object has so many, as one that was cut off, those of
 * the whole segments, and of what is beyond a tag in the last one.
 */
export function openedSize(sealed: number): number {
  const body = Math.max(0, sealed - headBytes);
  const whole = Math.floor(body / sealedSegmentBytes);
  return whole * segmentBytes + Math.max(0, (body % sealedSegmentBytes) - tagBytes);
}

/** Encrypts and decrypts the segments of one object. */
export class SegmentCipher {
  readonly #key: Buffer;
  readonly #last: number;
  readonly #nonce = Buffer.alloc(nonceBytes);

  /** @param key the clear key of the object, under which alone it can be read */
  constructor({ bytes }: MasterKey, key: string, head: ObjectHead) {
    this.#key = derive(bytes, `object ${key}`, head.bytes);
    this.#last = segmentsOf(head.size) - 1;
  }

  /** Encrypts a segment to `to`, its tag behind it. Called once for each number. */
  seal(number: number, segment: Uint8Array, to: Buffer): void {
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonceOf(number));
    to.set(cipher.update(segment));
    cipher.final();
    to.set(cipher.getAuthTag(), segment.length);
  }

  /** Decrypts a segment with its tag; undefined where one bit of it is not as it was made. */
  open(number: number, sealed: Uint8Array): Buffer | undefined {
    if (sealed.length < tagBytes) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, this.#nonceOf(number), {
      authTagLength: tagBytes,
    });
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    const segment = decipher.update(sealed.subarray(0, sealed.length - tagBytes));
    try {
      decipher.final();
      return segment;
    } catch {
      return undefined;
    }
  }

  /** The number of the segment, and whether it is the last: no segment stands at two places. */
  #nonceOf(number: number): Buffer {
    this.#nonce.writeBigUInt64BE(BigInt(number), 3);
    this.#nonce[nonceBytes - 1] = number === this.#last ? 1 : 0;
    return this.#nonce;
  }
}
