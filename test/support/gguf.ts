/** One tensor of {@link ggufFile}. */
export interface GgufTensor {
  readonly name: string;
  readonly bytes: Buffer;
  /** Type of the table in ggml; 24, bytes, unless told. */
  readonly type?: number;
  /** Lengths of the dimensions; one, the bytes, unless told. */
  readonly shape?: readonly number[];
  /** Offset in the data; behind the tensor before unless told. */
  readonly offset?: number;
}

/** A metadata value: its type and its bytes. */
export interface GgufValue {
  readonly type: number;
  readonly bytes: Buffer;
}

/** Parts of {@link ggufFile} that are not as usual. */
export interface GgufOptions {
  readonly metadata?: Readonly<Record<string, GgufValue>>;
  readonly version?: number;
  readonly alignment?: number;
  /** Counts that the header claims. */
  readonly tensorCount?: bigint;
  readonly valueCount?: bigint;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A string with its length before it. */
export function ggufString(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}

export const ggufText = (text: string): GgufValue => ({ type: 8, bytes: ggufString(text) });
export const ggufU32 = (value: number): GgufValue => ({ type: 4, bytes: u32(value) });

/** An array of strings. */
export function ggufTexts(texts: readonly string[]): GgufValue {
  const parts = texts.map((text) => ggufString(text));
  return { type: 9, bytes: Buffer.concat([u32(8), u64(texts.length), ...parts]) };
}

/** An array of 32-bit floats with the given bytes. */
export function ggufFloats(bytes: Buffer): GgufValue {
  return { type: 9, bytes: Buffer.concat([u32(6), u64(bytes.length / 4), bytes]) };
}

function padTo(length: number, alignment: number): number {
  return Math.ceil(length / alignment) * alignment;
}

/** A GGUF file with the tensors in the order given. */
export function ggufFile(tensors: readonly GgufTensor[], options: GgufOptions = {}): Buffer {
  const { version = 3, alignment = 32 } = options;
  const metadata = { ...options.metadata };
  if (options.alignment !== undefined) metadata['general.alignment'] = ggufU32(alignment);
  const values = Object.entries(metadata);
  const header = [Buffer.from('GGUF'), u32(version)];
  header.push(u64(options.tensorCount ?? tensors.length), u64(options.valueCount ?? values.length));
  for (const [key, { type, bytes }] of values) header.push(ggufString(key), u32(type), bytes);
  let at = 0;
  const data: Buffer[] = [];
  for (const { name, bytes, type = 24, shape = [bytes.length], offset } of tensors) {
    header.push(ggufString(name), u32(shape.length), ...shape.map(u64), u32(type));
    header.push(u64(offset ?? at));
    at += padTo(bytes.length, alignment);
    data.push(bytes, Buffer.alloc(padTo(bytes.length, alignment) - bytes.length));
  }
  const head = Buffer.concat(header);
  return Buffer.concat([head, Buffer.alloc(padTo(head.length, alignment) - head.length), ...data]);
}
