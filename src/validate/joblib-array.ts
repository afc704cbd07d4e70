import { Box, type Value } from './pickle-values.ts';

/** An array that joblib puts into a pickle, behind the BUILD of its wrapper. */
interface JoblibArray {
  /** Whether a byte that counts padding, and the padding, come first. */
  readonly isPadded: boolean;
  /** Undefined for an array of objects, which is a pickle. */
  readonly bytes: number | undefined;
}

/**
 * Tells what follows the wrapper of an array in a file of joblib, by the state it was given: shape, dtype and
 * alignment. Source: joblib/numpy_pickle.py.
 * @returns undefined when the state does not tell
 */
export function joblibArray(wrapper: Box): JoblibArray | undefined {
  const state = wrapper.items.at(-1);
  if (!(state instanceof Box)) return undefined;
  const type = dtypeText(valueAt(state, 'dtype'));
  const isPadded = typeof valueAt(state, 'numpy_array_alignment_bytes') === 'number';
  if (type === undefined) return undefined;
  if (/^[<>|=]?O/.test(type)) return { isPadded: false, bytes: undefined };
  const item = itemBytes(type);
  const count = elements(valueAt(state, 'shape'));
  if (item === undefined || count === undefined) return undefined;
  const bytes = item * count;
  return Number.isSafeInteger(bytes) ? { isPadded, bytes } : undefined;
}

/** The value of a key in a dict, whose keys and values stand one behind the other. */
function valueAt({ items }: Box, key: string): Value | undefined {
  const at = items.findIndex((item, i) => i % 2 === 0 && item === key);
  return at < 0 ? undefined : items[at + 1];
}

/** The first argument of `numpy.dtype`. */
function dtypeText(value: Value | undefined): string | undefined {
  if (!(value instanceof Box) || value.maker?.name !== 'dtype') return undefined;
  const [values] = value.items;
  const text = values instanceof Box ? values.items[0] : undefined;
  return typeof text === 'string' ? text : undefined;
}

function elements(shape: Value | undefined): number | undefined {
  if (!(shape instanceof Box)) return undefined;
  let count = 1;
  for (const length of shape.items) {
    if (typeof length !== 'number' || length < 0) return undefined;
    count *= length;
  }
  return count;
}

/** Bytes of one element of a NumPy type such as `<f4`; undefined for types of another form. */
export function itemBytes(type: string): number | undefined {
  const [, kind = '', digits = ''] = /^[<>|=]?([?biufcmMSUVa])(\d{0,9})/.exec(type) ?? [];
  if (kind === '') return undefined;
  if (kind === '?') return 1;
  const count = digits === '' ? (kind === 'm' || kind === 'M' ? 8 : undefined) : Number(digits);
  return count === undefined ? undefined : kind === 'U' ? count * 4 : count;
}
