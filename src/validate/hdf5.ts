import type { ByteReader } from '../weights/byte-reader.ts';
import { ifThisFormat, WindowReader } from '../weights/window-reader.ts';
import type { Report } from './report.ts';

const signature = Buffer.from('894844460d0a1a0a', 'hex');
/** A user block before the superblock has one of these lengths. */
const startsMax = 16;
/** Bytes that are searched at the start and at the end. */
const searchedBytes = 1024 * 1024;

/** What the bytes of a file may show of a layer with code. */
const codeText = /"class_name"\s*:\s*"(?:Lambda|TorchModuleWrapper)"|"__lambda__"/;

/**
 * Finds the text of a layer of Keras with code, also where its letters are written as escapes of JSON.
 * @returns what stands there
 */
export function layerWithCode(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('latin1')
    .replace(/\\u00([0-7][0-9a-fA-F])/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 16)),
    );
  return codeText.exec(text)?.[0];
}

/** Offset of the superblock; undefined where there is none. */
function superblockAt(file: ByteReader): number | undefined {
  for (let i = 0, at = 0; i < startsMax && at + 8 <= file.size; i++, at = at === 0 ? 512 : at * 2)
    if (signature.equals(file.read(at, 8))) return at;
  return undefined;
}

/** Tells whether a file is HDF5, also behind a user block. */
export function looksLikeHdf5(file: ByteReader): boolean {
  return superblockAt(file) !== undefined;
}

/**
 * Checks the superblock of an HDF5 file, and searches both ends of the file for layers of Keras with code.
 * What lies between, and what is compressed, is not seen. Source: the HDF5 File Format Specification.
 */
export function checkHdf5(file: ByteReader, report: Report): void {
  const at = superblockAt(file);
  if (at === undefined) {
    report.add('hdf5-superblock', 'There is no superblock');
    return;
  }
  const end = ifThisFormat(() => endOfFile(file, at));
  if (end === undefined) report.add('hdf5-superblock', 'The superblock is damaged', `byte ${at}`);
  else if (at + end > file.size)
    report.add('hdf5-superblock', `The file should end at ${at + end}; it has ${file.size} bytes`);
  report.add('hdf5-not-parsed', `Only ${searchedBytes / 2 ** 20} MiB at each end were searched`);
  search(file, 0, report);
  if (file.size > searchedBytes)
    search(file, Math.max(searchedBytes, file.size - searchedBytes), report);
}

/** Reads from the superblock where the file ends. */
function endOfFile(file: ByteReader, at: number): number | undefined {
  const reader = new WindowReader(file, at + 8, file.size, 128);
  const version = reader.u8();
  if (version > 3) return undefined;
  const isOld = version < 2;
  reader.skip(isOld ? 4 : 0);
  const offsetBytes = reader.u8();
  if (offsetBytes !== 8) return 0;
  reader.skip(isOld ? 2 + 4 + 4 + (version === 1 ? 4 : 0) : 2);
  // Base address, then that of free space or of the extension, then the end.
  reader.skip(16);
  return reader.u64();
}

function search(file: ByteReader, start: number, report: Report): void {
  const found = layerWithCode(file.read(start, Math.min(searchedBytes, file.size - start)));
  if (found !== undefined)
    report.add('keras-lambda', `The text ${found} stands in the file`, `from byte ${start}`);
}
