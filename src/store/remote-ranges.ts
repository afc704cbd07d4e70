import { MstoreError } from '../base/errors.ts';
import type { PackFooter } from '../pack/format.ts';
import type { RemoteCallOptions, RemoteReader } from '../remote/remote.ts';

/** Bytes of a pack that are read at once, and the wanted chunks in them. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
  /** Ascending. */
  readonly rows: readonly number[];
}

/** Bytes between two wanted chunks that cost less than another request. */
const gapBytesMax = 256 * 1024;

/**
 * Joins chunks of a pack that lie near each other into ranges.
 * @param rows ascending
 * @param bytesMax bytes of a range, unless one chunk has more
 */
export function joinRows(
  footer: PackFooter,
  rows: readonly number[],
  bytesMax: number,
): RowRange[] {
  const ranges: Array<{ start: number; end: number; rows: number[] }> = [];
  for (const number of rows) {
    const { offset, storedLength } = footer.row(number);
    const end = offset + storedLength;
    const last = ranges.at(-1);
    if (last !== undefined && offset - last.end <= gapBytesMax && end - last.start <= bytesMax) {
      last.end = end;
      last.rows.push(number);
    } else ranges.push({ start: offset, end, rows: [number] });
  }
  return ranges;
}

/**
 * Reads a range of an object whole into memory.
 * @param onBytes called with the bytes received since the last call
 * @throws MstoreError `corrupt-remote` when the remote sends fewer bytes, or more
 */
export async function readRange(
  remote: RemoteReader,
  key: string,
  { start, end }: { readonly start: number; readonly end: number },
  options: RemoteCallOptions,
  onBytes?: (bytes: number) => void,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start);
  let fill = 0;
  for await (const block of remote.get(key, { start, end }, options)) {
    if (fill + block.length <= bytes.length) bytes.set(block, fill);
    fill += block.length;
    onBytes?.(block.length);
  }
  if (fill === bytes.length) return bytes;
  throw new MstoreError(
    'corrupt-remote',
    `${remote.location} sent ${fill} bytes instead of ${bytes.length}`,
    { details: { key, location: remote.location } },
  );
}
