import { type ByteReader, memoryFile, partOf } from './byte-reader.ts';
import { expectSound, type TensorData, type TensorEntry, tensorText } from './tensors.ts';

/** The data of a tensor that has any. */
export type HeldData = Exclude<TensorData, { kind: 'none' }>;

/**
 * Opens the data of a tensor as a file of its own. Integers of variable length are decoded at once: they have 16 MiB
 * at most.
 * @param file the one that the data is in
 * @throws TensorsUnreadable when they are not as many as its shape says
 */
export function openTensor(
  { name, bytes, shape }: TensorEntry,
  data: HeldData,
  file: ByteReader,
): ByteReader {
  const part = partOf(file, data.start, data.end);
  if (data.kind !== 'varints') return part;
  const values = decodeVarints(part.read(0, part.size), data.width, bytes);
  expectSound(
    values !== undefined,
    `The ${tensorText(name)} has another number of values than its shape [${shape.join(', ')}]`,
  );
  return memoryFile(values);
}

/** Decodes integers of variable length to their lowest bytes, little-endian; undefined when they are not as many. */
function decodeVarints(coded: Uint8Array, width: number, bytes: number): Uint8Array | undefined {
  // Each takes a byte or more: a shape that says otherwise is handed no memory.
  if (bytes > coded.length * width) return undefined;
  const values = new Uint8Array(bytes);
  let to = 0;
  let at = 0;
  while (at < coded.length) {
    if (to >= bytes) return undefined;
    let bit = 0;
    for (let more = true; more; at++, bit += 7) {
      const byte = coded[at];
      if (byte === undefined || bit >= 70) return undefined;
      more = byte >= 0x80;
      put(values, to, width, { bits: byte & 0x7f, bit });
    }
    to += width;
  }
  return to === bytes ? values : undefined;
}

/** Puts seven bits of a value where they belong; those beyond its width are dropped. */
function put(
  values: Uint8Array,
  to: number,
  width: number,
  { bits, bit }: { readonly bits: number; readonly bit: number },
): void {
  const index = bit >> 3;
  const shifted = bits << (bit & 7);
  if (index < width) values[to + index] = (values[to + index] as number) | (shifted & 0xff);
  if (index + 1 < width)
    values[to + index + 1] = (values[to + index + 1] as number) | (shifted >> 8);
}
