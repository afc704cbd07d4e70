import { crc32 } from 'node:zlib';

/** One member of {@link zipFile}, stored as it is. */
export interface ZipMember {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Parts of {@link zipFile} that are not as usual. */
export interface ZipOptions {
  readonly comment?: string;
  /** Data starts at multiples of this, by padding in the local header, as PyTorch does. */
  readonly alignment?: number;
  /** Sizes, offsets and the record at the end take 64 bits. */
  readonly wide?: boolean;
  /** Time of the members, as MS-DOS has it. */
  readonly time?: number;
}

function record(size: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(size);
  write(bytes);
  return bytes;
}

function extra(id: number, content: Buffer): Buffer {
  const head = record(4, (bytes) => {
    bytes.writeUInt16LE(id, 0);
    bytes.writeUInt16LE(content.length, 2);
  });
  return Buffer.concat([head, content]);
}

function wideExtra(...values: readonly number[]): Buffer {
  return extra(
    1,
    record(8 * values.length, (bytes) => {
      for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), 8 * i);
    }),
  );
}

const narrow = (wide: boolean, value: number): number => (wide ? 0xffffffff : value);

function localHeader(member: ZipMember, at: number, options: ZipOptions): Buffer {
  const { alignment = 1, wide = false, time = 0 } = options;
  const name = Buffer.from(member.name);
  const size = member.bytes.length;
  const sizes = wide ? wideExtra(size, size) : Buffer.alloc(0);
  const unpadded = at + 30 + name.length + sizes.length;
  const gap = (alignment - ((unpadded + 4) % alignment)) % alignment;
  const padding = alignment > 1 ? extra(0x4246, Buffer.alloc(gap, 'Z')) : Buffer.alloc(0);
  const head = record(30, (bytes) => {
    bytes.writeUInt32LE(0x04034b50, 0);
    bytes.writeUInt16LE(wide ? 45 : 20, 4);
    bytes.writeUInt16LE(time, 10);
    bytes.writeUInt32LE(crc32(member.bytes), 14);
    bytes.writeUInt32LE(narrow(wide, size), 18);
    bytes.writeUInt32LE(narrow(wide, size), 22);
    bytes.writeUInt16LE(name.length, 26);
    bytes.writeUInt16LE(sizes.length + padding.length, 28);
  });
  return Buffer.concat([head, name, sizes, padding]);
}

function entry(member: ZipMember, at: number, { wide = false, time = 0 }: ZipOptions): Buffer {
  const name = Buffer.from(member.name);
  const size = member.bytes.length;
  const more = wide
    ? Buffer.concat([extra(0x5455, Buffer.alloc(5)), wideExtra(size, size, at)])
    : Buffer.alloc(0);
  const head = record(46, (bytes) => {
    bytes.writeUInt32LE(0x02014b50, 0);
    bytes.writeUInt16LE(time, 12);
    bytes.writeUInt32LE(crc32(member.bytes), 16);
    bytes.writeUInt32LE(narrow(wide, size), 20);
    bytes.writeUInt32LE(narrow(wide, size), 24);
    bytes.writeUInt16LE(name.length, 28);
    bytes.writeUInt16LE(more.length, 30);
    bytes.writeUInt32LE(narrow(wide, at), 42);
  });
  return Buffer.concat([head, name, more]);
}

function endRecords(count: number, bytes: number, start: number, wide: boolean): Buffer[] {
  const end64 = record(56, (to) => {
    to.writeUInt32LE(0x06064b50, 0);
    to.writeBigUInt64LE(44n, 4);
    to.writeBigUInt64LE(BigInt(count), 24);
    to.writeBigUInt64LE(BigInt(count), 32);
    to.writeBigUInt64LE(BigInt(bytes), 40);
    to.writeBigUInt64LE(BigInt(start), 48);
  });
  const locator = record(20, (to) => {
    to.writeUInt32LE(0x07064b50, 0);
    to.writeBigUInt64LE(BigInt(start + bytes), 8);
    to.writeUInt32LE(1, 16);
  });
  const end = record(22, (to) => {
    to.writeUInt32LE(0x06054b50, 0);
    to.writeUInt16LE(wide ? 0xffff : count, 8);
    to.writeUInt16LE(wide ? 0xffff : count, 10);
    to.writeUInt32LE(narrow(wide, bytes), 12);
    to.writeUInt32LE(narrow(wide, start), 16);
  });
  return wide ? [end64, locator, end] : [end];
}

/** A zip archive with the members in the order given. */
export function zipFile(members: readonly ZipMember[], options: ZipOptions = {}): Buffer {
  const { comment = '', wide = false } = options;
  const parts: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  for (const member of members) {
    entries.push(entry(member, at, options));
    const head = localHeader(member, at, options);
    parts.push(head, member.bytes);
    at += head.length + member.bytes.length;
  }
  const directory = Buffer.concat(entries);
  const ends = endRecords(members.length, directory.length, at, wide);
  (ends.at(-1) as Buffer).writeUInt16LE(Buffer.byteLength(comment), 20);
  return Buffer.concat([...parts, directory, ...ends, Buffer.from(comment)]);
}

/** A zip archive as PyTorch writes it: a description, then storages that start at multiples of 64. */
export function torchFile(storages: readonly ZipMember[], description = 'pickle'): Buffer {
  const pickle = { name: 'archive/data.pkl', bytes: Buffer.from(description) };
  const members = storages.map(({ name, bytes }) => ({ name: `archive/data/${name}`, bytes }));
  return zipFile([pickle, ...members], { alignment: 64 });
}
