import { createHash, type Hash } from 'node:crypto';

/** Starts the hash of a Git object, which its content completes. */
export function gitObjectHash(
  type: string,
  size: number,
  algorithm: 'sha1' | 'sha256' = 'sha1',
): Hash {
  return createHash(algorithm).update(`${type} ${size}\0`);
}

/** Returns the id of a Git object with this content. */
export function gitObjectId(
  type: string,
  content: Uint8Array,
  algorithm: 'sha1' | 'sha256' = 'sha1',
): string {
  return gitObjectHash(type, content.length, algorithm).update(content).digest('hex');
}
