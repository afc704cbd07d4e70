import * as fs from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import { systemCode } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { corruptSource } from '../../source/snapshot.ts';
import { Report } from '../../validate/report.ts';
import { checkZip, stored, type ZipMember } from '../../validate/zip.ts';
import { openOnDisk } from '../validate-sources.ts';

/** An entry of an archive: what is used of the headers that the forms of archives have. */
export interface ArchiveEntry {
  readonly header: {
    readonly name: string;
    readonly type?: string | null | undefined;
    readonly size?: number | undefined;
    readonly mode?: number | undefined;
    /** Where a link leads. */
    readonly linkname?: string | null | undefined;
  };
  /** Its bytes, to be read to their end before the next entry is asked for. */
  readonly blocks: AsyncIterable<Uint8Array>;
}

const blockBytes = 256 * 1024;

/**
 * Reads a zip archive member by member, in the order of its directory. What programs could read in two ways is refused,
 * and so is what unfolds too far; what names may be is for the caller to say. Memory: the directory, and a few blocks.
 * @param archive absolute path
 * @param where the archive, for errors
 * @throws MstoreError `corrupt-source`
 */
export async function* zipEntries(
  archive: string,
  where: string,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  const report = new Report();
  const file = openOnDisk(archive, where);
  let members: ZipMember[];
  try {
    members = checkZip(file, report);
  } finally {
    file.close();
  }
  const wrong = report.findings.find(({ severity }) => severity === 'dangerous');
  if (wrong !== undefined) {
    const place = wrong.where === undefined ? '' : ` (${wrong.where})`;
    const told = printable(`${wrong.message}${place}`);
    throw corruptSource(where, `as a zip archive it is not sound: ${told}`);
  }
  const bytes = members.reduce((sum, { size }) => sum + size, 0);
  if (bytes > limits.packageSpareBytes + limits.packageRatioMax * file.size) {
    throw corruptSource(where, `it is packed to less than 1/${limits.packageRatioMax}`);
  }
  for (const { name, size, placed } of members) {
    const type = name.endsWith('/') ? 'directory' : 'file';
    // The mode of Unix, where that made the archive.
    const mode = placed.attributes >>> 16;
    const blocks = contentOf(archive, { name, size, placed }, where);
    yield { header: { name, type, size, mode }, blocks };
  }
}

async function* contentOf(
  archive: string,
  {
    name,
    size,
    placed: { start = 0, bytes, method, crc },
  }: Pick<ZipMember, 'name' | 'size' | 'placed'>,
  where: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const damaged = (cause?: unknown) =>
    corruptSource(where, `${printable(name)} in it is damaged`, cause);
  let [read, sum] = [0, 0];
  try {
    for await (const block of unfolded(archive, start, bytes, method === stored)) {
      read += block.length;
      if (read > size) break;
      sum = crc32(block, sum);
      yield block;
    }
  } catch (error) {
    throw systemCode(error)?.startsWith('Z_') ? damaged(error) : error;
  }
  if (read !== size || sum !== crc) throw damaged();
}

/** The bytes of a member. */
function unfolded(
  archive: string,
  start: number,
  bytes: number,
  isStored: boolean,
): AsyncIterable<Uint8Array> {
  const source =
    bytes === 0
      ? Readable.from([])
      : fs.createReadStream(archive, { start, end: start + bytes - 1, highWaterMark: blockBytes });
  if (isStored) return source;
  const inflate = createInflateRaw({ chunkSize: blockBytes });
  // A failure of either ends the one that is read.
  pipeline(source, inflate, () => {});
  return inflate;
}
