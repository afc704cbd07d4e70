import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { fromSystemError, isMstoreError, type MstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { auditKey, parseAuditKey, parseLine } from '../registry/audit.ts';
import { parseEntry } from '../registry/entry.ts';
import { bytesMaxOf, entryKey, parseRegistryKey } from '../registry/keys.ts';
import { parseRecord } from '../registry/record.ts';
import { checkSignatureObject } from '../registry/sealed.ts';
import { packOfIndexKey, packOfKey } from '../store/keys.ts';
import { verifyPackBytes, verifyPackFile, verifyPackIndex } from '../store/pack-arrival.ts';
import { RequestError } from './request-error.ts';

/** An object that has come whole: in memory, or in a file. */
export type Arrived = { readonly bytes: Buffer } | { readonly file: string };

/**
 * Makes sure that an object is what its key says before others see it: nothing is ever overwritten, and whoever finds a
 * chunk in a pack that is there does not send it again.
 * @param read reads an object that is there
 * @throws RequestError 400
 */
export async function verifyArrived(
  key: string,
  arrived: Arrived,
  read: (key: string) => Promise<Buffer>,
): Promise<void> {
  try {
    await verify(key, arrived, read);
  } catch (error) {
    const known = fromSystemError(error, 'verifying what has arrived');
    if (!isMstoreError(known) || !isDamage(known)) throw known;
    // Not 422, which says that another try may help.
    throw new RequestError(400, known.code, `${key} is not stored: ${known.message}`, {
      hint: 'Run "mstore verify" where it was sent from',
      details: { key },
    });
  }
}

function isDamage({ code }: MstoreError): boolean {
  return code.startsWith('corrupt-') || code === 'newer-format';
}

async function verify(
  key: string,
  arrived: Arrived,
  read: (key: string) => Promise<Buffer>,
): Promise<void> {
  const pack = packOfKey(key);
  if (pack !== undefined) {
    if ('file' in arrived) await verifyPackFile(arrived.file, pack);
    else await verifyPackBytes(arrived.bytes, pack);
    return;
  }
  const index = packOfIndexKey(key);
  if (index !== undefined) return verifyIndex(arrived, index);
  const line = parseAuditKey(key);
  if (line !== undefined) return verifyLine(key, line, arrived, read);
  const named = parseRegistryKey(key);
  if (named === undefined) return;
  const bytes = registryBytes(arrived, key);
  if (named.kind === 'signatures') return checkSignatureObject(bytes, key, named.sha256);
  const { model, kind, name } = named;
  if (kind === 'versions') {
    parseRecord(bytes, key, { model, version: name });
    return;
  }
  const log = { model, kind, name };
  const { previous } = parseEntry(bytes, key, log, named.number).value;
  if (previous === null) return;
  const before = named.number - 1;
  const place = entryKey(log, before);
  const { sha256 } = parseEntry(await read(place), place, log, before);
  if (sha256 === previous) return;
  throw new RequestError(400, 'corrupt-registry', `${key} does not follow the entry before it`);
}

/** The name of an index is the digest of its bytes, which may be many. */
async function verifyIndex(arrived: Arrived, id: Digest): Promise<void> {
  if ('bytes' in arrived) return verifyPackIndex(arrived.bytes, id);
  const hash = createHash('sha256');
  for await (const block of fs.createReadStream(arrived.file)) hash.update(block as Buffer);
  if (hash.digest('hex') === id) return;
  throw new RequestError(
    400,
    'corrupt-pack',
    'The index is not stored: its bytes have another digest',
  );
}

/** A line of the audit log follows the one before it. */
async function verifyLine(
  key: string,
  number: number,
  arrived: Arrived,
  read: (key: string) => Promise<Buffer>,
): Promise<void> {
  const { previous } = parseLine(registryBytes(arrived, key), key, number).value;
  if (previous === null) return;
  const place = auditKey(number - 1);
  if (parseLine(await read(place), place, number - 1).sha256 === previous) return;
  throw new RequestError(400, 'corrupt-audit', `${key} does not follow the line before it`);
}

function registryBytes(arrived: Arrived, key: string): Buffer {
  if ('bytes' in arrived) return arrived.bytes;
  return readBounded(arrived.file, bytesMaxOf(key)) ?? Buffer.alloc(0);
}
