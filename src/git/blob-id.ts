import { createHash } from 'node:crypto';

/** Returns the object id that Git gives to a file with these bytes. */
export function gitBlobId(bytes: Uint8Array, algorithm: 'sha1' | 'sha256'): string {
  return createHash(algorithm).update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}
