import { type Digest, digestBytes, digestFromRaw, sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { RowBuffer } from '../base/row-buffer.ts';

/*
 * A pack is: payload, footer, trailer (docs/format.md, chapter "Pack").
 *   footer  = "MSTOREFT" u32 version u32 count, then `count` rows of 52 bytes:
 *             id[32] u64 offset u32 storedLength u32 rawLength u32 encoding
 *   trailer = "MSTOREPK" u32 version u32 zero u64 footerLength sha256(footer)[32]
 * Integers are little-endian. The pack's name is the SHA-256 of its footer; an index object is the
 * footer alone.
 */
const footerMagic = Buffer.from('MSTOREFT');
const trailerMagic = Buffer.from('MSTOREPK');
const formatVersion = 1;
const footerHeadBytes = 16;
/** Bytes of one row of a footer. */
export const rowBytes = 52;
/** Bytes of the trailer, which ends every pack. */
export const trailerBytes = 56;

/** Offset of a row in a footer, where its 32-byte chunk id is; for the number of rows, the footer's length. */
export function rowOffset(row: number): number {
  return footerHeadBytes + row * rowBytes;
}

/** How the stored bytes of a chunk yield its raw bytes; the position is the number in the format. */
const encodingNames = ['raw', 'deflate', 'planes2', 'planes4'] as const;
export type Encoding = (typeof encodingNames)[number];

/** The bytes of one chunk may not exceed this, whatever the parameters of the store. */
export const chunkBytesMax = 16 * 1024 * 1024;

/** Where one chunk lies in its pack. */
export interface PackRow {
  /** Offset in the pack, bytes. */
  readonly offset: number;
  readonly storedLength: number;
  readonly rawLength: number;
  /** Number of the encoding; {@link encodingName} gives its name. */
  readonly encoding: number;
}

/** Reads the place of a chunk from the 52 bytes of its row at `bytes[at]`. */
export function parseRow(bytes: Buffer, at: number): PackRow {
  return {
    offset: Number(bytes.readBigUInt64LE(at + 32)),
    storedLength: bytes.readUInt32LE(at + 40),
    rawLength: bytes.readUInt32LE(at + 44),
    encoding: bytes.readUInt32LE(at + 48),
  };
}

/** Returns the name of an encoding, or undefined for a number that format 1 does not know. */
export function encodingName(encoding: number): Encoding | undefined {
  return encodingNames[encoding];
}

/** Returns the number of an encoding in the format. */
export function encodingNumber(encoding: Encoding): number {
  return encodingNames.indexOf(encoding);
}

/** Collects the rows of a pack under construction and encodes its footer. */
export class FooterBuilder {
  readonly #rows = new RowBuffer(rowBytes);

  get count(): number {
    return this.#rows.count;
  }

  add(id: Uint8Array, row: PackRow): void {
    const bytes = this.#rows.add();
    bytes.set(id.subarray(0, digestBytes));
    bytes.writeBigUInt64LE(BigInt(row.offset), 32);
    bytes.writeUInt32LE(row.storedLength, 40);
    bytes.writeUInt32LE(row.rawLength, 44);
    bytes.writeUInt32LE(row.encoding, 48);
  }

  finish(): PackFooter {
    const head = Buffer.allocUnsafe(footerHeadBytes);
    footerMagic.copy(head, 0);
    head.writeUInt32LE(formatVersion, 8);
    head.writeUInt32LE(this.count, 12);
    return parseFooter(Buffer.concat([head, this.#rows.finish()]));
  }
}

/** A checked footer: the list of the chunks of one pack, in the order of their bytes. */
export class PackFooter {
  /** The footer's bytes, which are also the bytes of the index object. */
  readonly bytes: Buffer;
  /** Name of the pack: the SHA-256 of {@link bytes}. */
  readonly id: Digest;
  readonly count: number;
  /** Bytes of all stored chunks together; the footer starts there. */
  readonly payloadBytes: number;

  /** Use {@link parseFooter}. */
  constructor(bytes: Buffer, id: Digest, count: number, payloadBytes: number) {
    this.bytes = bytes;
    this.id = id;
    this.count = count;
    this.payloadBytes = payloadBytes;
  }

  /** Size of the whole pack, in bytes. */
  get packBytes(): number {
    return this.payloadBytes + this.bytes.length + trailerBytes;
  }

  /** Offset of a row's 32-byte chunk id in {@link bytes}. */
  idOffset(row: number): number {
    return rowOffset(row);
  }

  /** The chunk id of a row. */
  chunk(row: number): Digest {
    return digestFromRaw(this.bytes, this.idOffset(row));
  }

  row(row: number): PackRow {
    return parseRow(this.bytes, rowOffset(row));
  }

  /** The trailer that ends the pack. */
  trailer(): Buffer {
    const bytes = Buffer.alloc(trailerBytes);
    trailerMagic.copy(bytes, 0);
    bytes.writeUInt32LE(formatVersion, 8);
    bytes.writeBigUInt64LE(BigInt(this.bytes.length), 16);
    Buffer.from(this.id, 'hex').copy(bytes, 24);
    return bytes;
  }
}

/** Builds the error of a damaged pack. */
export function packProblem(what: string, pack?: string): MstoreError {
  return new MstoreError(
    'corrupt-pack',
    `The pack ${pack ?? ''} is damaged: ${what}`.replace('  ', ' '),
    {
      hint: 'Run "mstore fetch" (with --all-versions for older ones) to get its data from a remote, or add the files again where they are whole',
      details: { pack, reason: what },
    },
  );
}

function checkVersion(version: number, what: string): void {
  if (version === formatVersion) return;
  if (version > formatVersion) {
    throw new MstoreError(
      'newer-format',
      `${what} has format ${version}; this mstore reads ${formatVersion}`,
      {
        hint: 'Install a newer mstore',
      },
    );
  }
  throw packProblem(`unknown format ${version}`);
}

/**
 * Parses and checks a footer completely: chunks lie back to back from byte 0, lengths within bounds.
 * @param expected the pack's name, when it is known; the footer must hash to it
 * @throws MstoreError `corrupt-pack` or `newer-format`
 */
export function parseFooter(bytes: Buffer, expected?: Digest): PackFooter {
  const id = sha256(bytes);
  if (expected !== undefined && id !== expected)
    throw packProblem('its footer has another digest', expected);
  if (bytes.length < footerHeadBytes || !bytes.subarray(0, 8).equals(footerMagic)) {
    throw packProblem('its footer does not start as one', expected);
  }
  checkVersion(bytes.readUInt32LE(8), 'A pack');
  const count = bytes.readUInt32LE(12);
  if (count > limits.packChunksMax || bytes.length !== footerHeadBytes + count * rowBytes) {
    throw packProblem('its footer has another length than its count says', expected);
  }
  let payloadBytes = 0;
  for (let row = 0; row < count; row++) {
    const at = footerHeadBytes + row * rowBytes;
    const stored = bytes.readUInt32LE(at + 40);
    const raw = bytes.readUInt32LE(at + 44);
    const encoding = bytes.readUInt32LE(at + 48);
    if (bytes.readBigUInt64LE(at + 32) !== BigInt(payloadBytes)) {
      throw packProblem(`chunk ${row} does not follow the one before`, expected);
    }
    const fits = encoding === 0 ? stored === raw : stored < raw;
    if (stored === 0 || raw > chunkBytesMax || !fits) {
      throw packProblem(`chunk ${row} has impossible lengths`, expected);
    }
    payloadBytes += stored;
  }
  return new PackFooter(bytes, id, count, payloadBytes);
}

/**
 * Parses a trailer.
 * @param packBytes size of the whole pack
 * @returns where the footer lies and what it must hash to
 */
export function parseTrailer(
  bytes: Buffer,
  packBytes: number,
): { footerStart: number; footerLength: number; id: Digest } {
  if (bytes.length !== trailerBytes || !bytes.subarray(0, 8).equals(trailerMagic)) {
    throw packProblem('it does not end with a trailer (cut short, or no pack)');
  }
  checkVersion(bytes.readUInt32LE(8), 'A pack');
  const footerLength = Number(bytes.readBigUInt64LE(16));
  const footerStart = packBytes - trailerBytes - footerLength;
  const lengthMax = footerHeadBytes + limits.packChunksMax * rowBytes;
  if (bytes.readUInt32LE(12) !== 0 || footerLength > lengthMax || footerStart < 0) {
    throw packProblem('its trailer is malformed');
  }
  return { footerStart, footerLength, id: digestFromRaw(bytes, 24) };
}
