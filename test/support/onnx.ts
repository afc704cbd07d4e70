/** An integer of variable length. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Buffer.from([...bytes, left]);
}

/** A field with its length: text, bytes, or a message of fields. */
export function field(number: number, content: string | Buffer | readonly Buffer[]): Buffer {
  const bytes =
    typeof content === 'string' || Buffer.isBuffer(content)
      ? Buffer.from(content)
      : Buffer.concat(content);
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** A field that is an integer. */
export function numberField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

/** One tensor of a model. */
export interface OnnxTensor {
  readonly name: string;
  readonly bytes: Buffer;
  /** Where the bytes are, by number of the field: raw_data unless told. */
  readonly field?: number;
}

/** The content of a TensorProto. */
export function tensorProto({ name, bytes, field: number = 9 }: OnnxTensor): Buffer[] {
  const dims = numberField(1, bytes.length);
  if (number < 8) return [dims, numberField(2, 2), field(number, bytes), field(8, name)];
  return [dims, numberField(2, 2), field(8, name), field(number, bytes)];
}

/** The content of a TensorProto whose data is in another file. */
export function externalTensor(name: string, place: Readonly<Record<string, string>>): Buffer[] {
  const entries = Object.entries(place).map(([key, value]) =>
    field(13, [field(1, key), field(2, value)]),
  );
  return [numberField(1, 1), numberField(2, 2), field(8, name), ...entries, numberField(14, 1)];
}

/** The content of a NodeProto. */
export function nodeProto(name: string, attributes: readonly Buffer[] = []): Buffer[] {
  const fields = [field(1, `${name}_in`), field(2, `${name}_out`), field(3, name), field(4, 'Op')];
  return [...fields, ...attributes.map((attribute) => field(5, attribute))];
}

/** A model: its graph has the given fields. */
export function onnxModel(graph: readonly Buffer[], more: readonly Buffer[] = []): Buffer {
  return Buffer.concat([
    numberField(1, 8),
    field(2, 'test'),
    field(7, [field(2, 'main'), ...graph]),
    field(8, [field(1, ''), numberField(2, 17)]),
    ...more,
  ]);
}

/** A model with nodes of the given names and tensors in the order given. */
export function onnxFile(tensors: readonly OnnxTensor[], nodes: readonly string[] = []): Buffer {
  return onnxModel([
    ...nodes.map((name) => field(1, nodeProto(name))),
    ...tensors.map((tensor) => field(5, tensorProto(tensor))),
  ]);
}
