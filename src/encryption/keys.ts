import { createHmac, hkdfSync } from 'node:crypto';
import type { Random } from '../base/clock.ts';
import { invariant } from '../base/errors.ts';

/** Bytes of a master key, and of every key derived from one. */
export const keyBytes = 32;

/** What the derivations of all keys begin with: nothing else that knows a master key derives the same. */
const purposePrefix = 'mstore-encryption-1 ';

/** The key of a remote, from which all others are derived. It leaves memory wrapped to recipients alone. */
export interface MasterKey {
  readonly bytes: Buffer;
  /** 32 hexadecimal digits that tell nothing of the key: its fingerprint. */
  readonly id: string;
}

/** Tells whether a text has the form of the id of a key. */
export function isKeyId(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{32}$/.test(text);
}

/** Draws a new master key. */
export function drawMasterKey(random: Random): MasterKey {
  return masterKey(Buffer.from(random.hex(keyBytes), 'hex'));
}

/** Makes a master key of its bytes. */
export function masterKey(bytes: Buffer): MasterKey {
  invariant(bytes.length === keyBytes, 'a master key of 32 bytes');
  return { bytes, id: derive(bytes, 'key id').toString('hex', 0, 16) };
}

/** Derives a key for one purpose by HKDF with SHA-256. */
export function derive(master: Buffer, purpose: string, salt: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.from(hkdfSync('sha256', master, salt, purposePrefix + purpose, keyBytes));
}

/** Vouches for a text by the master key, for one purpose: 64 hexadecimal digits. */
export function vouch({ bytes }: MasterKey, purpose: string, text: string): string {
  return createHmac('sha256', derive(bytes, purpose)).update(text).digest('hex');
}
