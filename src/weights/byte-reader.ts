/** Random access to the bytes of one file. */
export interface ByteReader {
  /** Bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes at `offset`, or fewer where the file ends. */
  read(offset: number, length: number): Uint8Array;
}
