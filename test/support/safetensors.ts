/** One tensor of {@link safetensorsFile}. */
export interface TestTensor {
  readonly name: string;
  readonly bytes: Buffer;
}

/** A safetensors file with the tensors in the order given; `metadata` goes into its header. */
export function safetensorsFile(tensors: readonly TestTensor[], metadata = ''): Buffer {
  const header: Record<string, unknown> = { __metadata__: { note: metadata } };
  let at = 0;
  for (const { name, bytes } of tensors) {
    header[name] = { dtype: 'U8', shape: [bytes.length], data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  return withHeader(JSON.stringify(header), Buffer.concat(tensors.map(({ bytes }) => bytes)));
}

/** A file that starts as safetensors with any header. */
export function withHeader(json: string | Buffer, data: Buffer, length?: bigint): Buffer {
  const bytes = Buffer.from(json);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(bytes.length));
  return Buffer.concat([size, bytes, data]);
}
