import { hash } from 'node:crypto';
import { MstoreError } from './errors.ts';

/**
 * A SHA-256 digest as 64 lowercase hexadecimal digits, the form that `sha256sum`, Git LFS and the
 * Hugging Face Hub print. Made only by {@link parseDigest} or a hash function, so that an arbitrary
 * string cannot stand where a verified name is expected.
 */
export type Digest = string & { readonly __digest: unique symbol };

/** Length of a raw SHA-256 digest, in bytes. */
export const digestBytes = 32;

const digestPattern = /^[0-9a-f]{64}$/;

/** Tells whether `text` has the form of a digest. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && digestPattern.test(text);
}

/**
 * Parses a digest.
 * @param what names the thing in the error: `the recipe name`
 */
export function parseDigest(text: unknown, what = 'the digest'): Digest {
  if (isDigest(text)) return text;
  throw new MstoreError(
    'corrupt-store',
    `Expected ${what} to be a SHA-256 digest of 64 hexadecimal digits`,
  );
}

/** Returns the digest of `bytes`. */
export function sha256(bytes: Uint8Array | string): Digest {
  return hash('sha256', bytes, 'hex') as Digest;
}

/** Returns the digest of `bytes` as 32 raw bytes. */
export function sha256Raw(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

/** Converts 32 raw bytes at `offset` to a digest. */
export function digestFromRaw(bytes: Uint8Array, offset = 0): Digest {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + offset, digestBytes);
  return view.toString('hex') as Digest;
}

/** Converts a digest to its 32 raw bytes. */
export function digestToRaw(digest: Digest): Buffer {
  return Buffer.from(digest, 'hex');
}

/** Shortens a digest for people. Never used to name or find anything. */
export function shortDigest(digest: Digest): string {
  return digest.slice(0, 12);
}
