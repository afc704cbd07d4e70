import { printable } from '../base/names.ts';
import type { Extent } from './extents.ts';
import type { NumberKind } from './numbers.ts';
import { NotThisFormat } from './window-reader.ts';

/** Formats whose tensors can be listed, read and compared one by one. */
export type TensorFormat = 'safetensors' | 'gguf' | 'onnx';

/** How the values of a tensor lie in its bytes. */
export interface Coding {
  /** How a value is read; undefined where values are not read as numbers. */
  readonly kind: NumberKind | undefined;
  /** What differences are counted in. */
  readonly unit: 'values' | 'blocks' | 'bytes';
  /** Bytes of one such unit. */
  readonly unitBytes: number;
  /** Bits of an element, a fraction in blocks; undefined where that is not known. */
  readonly elementBits: number | undefined;
}

/** Where the bytes of a tensor are. */
export type TensorData =
  /** In the file itself, as they are. */
  | ({ readonly kind: 'plain' } & Extent)
  /** In another file, by its path from the folder of this one. */
  | ({ readonly kind: 'external'; readonly location: string } & Extent)
  /** In the file as integers of variable length, of which the lowest `width` bytes count. */
  | ({ readonly kind: 'varints'; readonly width: number } & Extent)
  /** In the file in a form that has no plain bytes: it can be compared as it stands, and not be read. */
  | ({ readonly kind: 'opaque' } & Extent)
  /** Nowhere that can be read; `why` completes "its data …". */
  | { readonly kind: 'none'; readonly why: string };

/** One tensor of a file. */
export interface TensorEntry {
  readonly name: string;
  /** As its format calls it. */
  readonly dtype: string;
  /** Lengths of its axes, the one whose neighbours lie farthest apart first, as in NumPy. */
  readonly shape: readonly number[];
  /** Bytes of its values. */
  readonly bytes: number;
  readonly coding: Coding;
  readonly data: TensorData;
}

/** Thrown by a reader of tensors for a file that cannot be read as its format; the text goes to people. */
export class TensorsUnreadable extends Error {
  constructor(what: string) {
    super(printable(what));
  }
}

/** Throws {@link TensorsUnreadable} unless a condition holds. */
export function expectSound(condition: boolean, what: string): asserts condition {
  if (!condition) throw new TensorsUnreadable(what);
}

const shownLengthMax = 120;

/** Names a tensor in a message. */
export function tensorText(name: string): string {
  const shown = name.length > shownLengthMax ? `${name.slice(0, shownLengthMax)}…` : name;
  return `tensor "${printable(shown)}"`;
}

/** Runs a reader of tensors; a length that leaves the file is a fault of the file. */
export function readingTensors<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NotThisFormat)) throw error;
    throw new TensorsUnreadable('Its header is cut short, or a length in it cannot be');
  }
}

/** Counts elements. */
export function elementsOf(shape: readonly number[], name: string): number {
  let elements = 1;
  for (const length of shape) {
    elements *= length;
    expectSound(
      Number.isSafeInteger(elements),
      `The shape of the ${tensorText(name)} is too large`,
    );
  }
  return elements;
}

/** A coding whose differences are counted in bytes, for types of less than a byte and unknown ones. */
export function bytesCoding(bits?: number): Coding {
  return { kind: undefined, unit: 'bytes', unitBytes: 1, elementBits: bits };
}

/** A coding of values that are numbers. */
export function numbersCoding(kind: NumberKind, bytes: number): Coding {
  return { kind, unit: 'values', unitBytes: bytes, elementBits: 8 * bytes };
}
