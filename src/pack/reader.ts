import { hash } from 'node:crypto';
import * as fs from 'node:fs';
import { digestBytes, digestFromRaw } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import { type ChunkForm, decodeBytes } from './codec.ts';
import {
  encodingName,
  type PackFooter,
  packProblem,
  parseFooter,
  parseTrailer,
  trailerBytes,
} from './format.ts';

/**
 * Reads the footer of a pack from the pack itself.
 * @throws MstoreError `corrupt-pack` when the file is cut short or altered there
 */
export function readPackFooter(file: string): PackFooter {
  const fd = fs.openSync(file, 'r');
  try {
    const size = fs.fstatSync(fd).size;
    if (size < trailerBytes) throw packProblem('it is shorter than a trailer', file);
    const trailer = Buffer.alloc(trailerBytes);
    readFully(fd, trailer, size - trailerBytes);
    const { footerStart, footerLength, id } = parseTrailer(trailer, size);
    const bytes = Buffer.alloc(footerLength);
    if (readFully(fd, bytes, footerStart) !== footerLength)
      throw packProblem('it is cut short', file);
    const footer = parseFooter(bytes, id);
    if (footer.packBytes !== size) throw packProblem('its size is not what its footer says', file);
    return footer;
  } finally {
    fs.closeSync(fd);
  }
}

function verifyChunk(raw: Uint8Array, ids: Uint8Array, at: number, where: string): void {
  const actual = hash('sha256', raw, 'buffer');
  if (actual.compare(ids, at, at + digestBytes) === 0) return;
  throw chunkProblem(digestFromRaw(ids, at), where, digestFromRaw(actual));
}

/**
 * Builds the error of a chunk whose bytes are not what its id says.
 * @param actual digest of its bytes; left out where they could not even be decoded
 */
export function chunkProblem(chunk: string, where: string, actual?: string): MstoreError {
  const what =
    actual === undefined ? 'its bytes cannot be decoded' : 'its bytes have another digest';
  return new MstoreError('corrupt-chunk', `The chunk ${chunk} in ${where} is damaged: ${what}`, {
    hint: 'Move that pack away, then run "mstore fetch", or "mstore add" where the files are whole',
    details: { chunk, actual, where },
  });
}

/**
 * Turns the stored bytes of the chunk with the id at `ids[at..at+32]` into its raw bytes and checks that
 * they are that chunk. A raw chunk is returned as it is, an encoded one in memory of its own.
 * @throws MstoreError `corrupt-chunk`; `newer-format` for an encoding that this version cannot read
 */
export function readChunk(
  stored: Uint8Array,
  { encoding, rawLength }: ChunkForm,
  ids: Uint8Array,
  at: number,
  where: string,
): Uint8Array {
  const name = encodingName(encoding);
  if (name === undefined) {
    throw new MstoreError(
      'newer-format',
      `A chunk is stored in the encoding number ${encoding}, which this mstore cannot read`,
      { hint: 'Install a newer mstore' },
    );
  }
  const raw = decodeBytes(stored, name, rawLength);
  if (raw === undefined) throw chunkProblem(digestFromRaw(ids, at), where);
  verifyChunk(raw, ids, at, where);
  return raw;
}
