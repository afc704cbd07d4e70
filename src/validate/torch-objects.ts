import { Box, ImportedValue, type Value } from './pickle-values.ts';

/** A storage that a pickle of PyTorch asks for. */
export interface TorchStorage {
  readonly key: string;
  readonly dtype: string;
  /** Bytes that its type and length need; undefined where they do not tell. */
  readonly bytes: number | undefined;
}

/** A tensor that a pickle of PyTorch makes. */
export interface TorchTensor {
  readonly dtype: string;
  readonly elements: number;
}

/** Types of storages with the bytes of an element. */
const storageTypes: Readonly<Record<string, readonly [dtype: string, bytes: number]>> = {
  DoubleStorage: ['F64', 8],
  FloatStorage: ['F32', 4],
  HalfStorage: ['F16', 2],
  BFloat16Storage: ['BF16', 2],
  LongStorage: ['I64', 8],
  IntStorage: ['I32', 4],
  ShortStorage: ['I16', 2],
  CharStorage: ['I8', 1],
  ByteStorage: ['U8', 1],
  BoolStorage: ['BOOL', 1],
  ComplexFloatStorage: ['C64', 8],
  ComplexDoubleStorage: ['C128', 16],
  UntypedStorage: ['bytes', 1],
};

/** Reads the persistent id of a storage: a tuple of "storage", type, key, device and length. */
export function storageOf(id: Value | undefined): TorchStorage | undefined {
  if (!(id instanceof Box)) return undefined;
  const [word, type, key, , length] = id.items;
  if (word !== 'storage' || !(type instanceof ImportedValue) || typeof key !== 'string')
    return undefined;
  const known = Object.hasOwn(storageTypes, type.name) ? storageTypes[type.name] : undefined;
  const bytes = known !== undefined && typeof length === 'number' ? known[1] * length : undefined;
  return { key, dtype: known?.[0] ?? type.name, bytes };
}

/**
 * Reads the persistent id of the class of a layer, which files of whole models before PyTorch 1.6 have: a tuple of "module",
 * the class, and the file and the text of its source, which loaders compare and never run.
 */
export function layerClassOf(id: Value | undefined): ImportedValue | undefined {
  if (!(id instanceof Box) || id.items.length !== 4) return undefined;
  const [word, found] = id.items;
  return word === 'module' && found instanceof ImportedValue ? found : undefined;
}

/** Reads the call that makes a tensor of a storage: storage, offset, size and more. */
export function tensorOf(
  { module, name }: ImportedValue,
  args: readonly Value[],
): TorchTensor | undefined {
  if (module !== 'torch._utils' || !name.startsWith('_rebuild_tensor')) return undefined;
  const [tuple] = args;
  if (!(tuple instanceof Box)) return undefined;
  const [held, , size] = tuple.items;
  const storage = held instanceof Box ? storageOf(held.items[0]) : undefined;
  if (storage === undefined || !(size instanceof Box)) return undefined;
  let elements = 1;
  for (const length of size.items) {
    if (typeof length !== 'number' || length < 0) return undefined;
    elements *= length;
  }
  return { dtype: storage.dtype, elements };
}
