import { createHash } from 'node:crypto';

/** Returns the id of a Git object with this content. */
export function gitObjectId(
  type: string,
  content: Uint8Array,
  algorithm: 'sha1' | 'sha256' = 'sha1',
): string {
  return createHash(algorithm).update(`${type} ${content.length}\0`).update(content).digest('hex');
}
