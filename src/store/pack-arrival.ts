import * as fs from 'node:fs';
import type { Digest } from '../base/digest.ts';
import {
  type PackFooter,
  packProblem,
  parseFooter,
  parseTrailer,
  trailerBytes,
} from '../pack/format.ts';
import { readPackFooter } from '../pack/reader.ts';
import { PackCheck } from './pack-check.ts';

/** Bytes that are read of a file at once. */
const readBytes = 1024 * 1024;

/**
 * Verifies a pack that others sent, in a file: each chunk by its digest, and that it has the name that it should.
 * Memory: 1 MiB, and three times a chunk where it is encoded.
 * @throws MstoreError `corrupt-pack`, `corrupt-chunk`, `newer-format`
 */
export async function verifyPackFile(file: string, id: Digest): Promise<void> {
  const footer = named(readPackFooter(file), id);
  const blocks = fs.createReadStream(file, { highWaterMark: readBytes });
  await verify(footer, blocks as AsyncIterable<Uint8Array>);
}

/** Verifies a pack that is in memory; see {@link verifyPackFile}. */
export async function verifyPackBytes(bytes: Buffer, id: Digest): Promise<void> {
  const trailer = bytes.subarray(Math.max(0, bytes.length - trailerBytes));
  const { footerStart, footerLength, id: told } = parseTrailer(trailer, bytes.length);
  const footer = parseFooter(bytes.subarray(footerStart, footerStart + footerLength), told);
  await verify(named(footer, id), [bytes]);
}

/**
 * Verifies an index of a pack: its footer alone.
 * @throws MstoreError `corrupt-pack`
 */
export function verifyPackIndex(bytes: Buffer, id: Digest): void {
  parseFooter(bytes, id);
}

function named(footer: PackFooter, id: Digest): PackFooter {
  if (footer.id !== id) throw packProblem(`it is the pack ${footer.id}`, id);
  return footer;
}

async function verify(
  footer: PackFooter,
  blocks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const check = new PackCheck(footer, `the pack ${footer.id}`, (error) => {
    throw error;
  });
  for await (const block of blocks) check.update(block);
  check.end();
}
