/** Random access to the bytes of one file. */
export interface ByteReader {
  /** Bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes at `offset`, or fewer where the file ends. */
  read(offset: number, length: number): Uint8Array;
  /**
   * Tells how many of so many bytes are to be had with the first one at no further cost: who reads ahead asks for no
   * more. Absent where it makes no difference.
   */
  near?(offset: number, length: number): number;
}

/** A part of a file as a file of its own. */
export function partOf(file: ByteReader, start: number, end: number): ByteReader {
  const size = Math.max(0, Math.min(end, file.size) - start);
  return {
    size,
    read: (offset, length) =>
      file.read(start + offset, Math.max(0, Math.min(length, size - offset))),
  };
}

/** Bytes in memory as a file. */
export function memoryFile(bytes: Uint8Array): ByteReader {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}
