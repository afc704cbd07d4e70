import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** Elements of a tensor in row-major order. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | readonly string[];

/** A tensor of plain numbers or texts. */
export interface ModelTensor {
  /** Name of the element type, as the runtime calls it. */
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: TensorData;
}

/** A tensor for {@link checkFeeds}: its type is that of the input unless told. */
export type InputTensor = Omit<ModelTensor, 'type'> & { readonly type?: string };

/** What a model says of an input or an output. */
export interface TensorFacts {
  readonly name: string;
  /** Name of the element type; undefined where the runtime does not tell, or it is no tensor. */
  readonly type: string | undefined;
  /**
   * Lengths of the axes: a number, or the name of one that differs from call to call, null where it has no name.
   * Undefined where the runtime tells nothing of them.
   */
  readonly shape: ReadonlyArray<number | string | null> | undefined;
}

/** Arrays that hold the elements of a type; of the first the runtime makes its results. */
const arraysOf: Readonly<Record<string, readonly string[]>> = {
  float32: ['Float32Array'],
  float64: ['Float64Array'],
  float16: ['Uint16Array', 'Float16Array'],
  int8: ['Int8Array'],
  int16: ['Int16Array'],
  int32: ['Int32Array'],
  int64: ['BigInt64Array'],
  uint8: ['Uint8Array', 'Uint8ClampedArray'],
  uint16: ['Uint16Array'],
  uint32: ['Uint32Array'],
  uint64: ['BigUint64Array'],
  bool: ['Uint8Array'],
  string: ['Array'],
};

/** The type whose elements an array holds, where it does not say so itself. */
const typeOfArray: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(arraysOf).flatMap(([type, arrays]) => arrays.map((array) => [array, type])),
  ),
  Uint8Array: 'uint8',
  Uint16Array: 'uint16',
};

/** A tensor that passed {@link checkFeeds}, with its type; or one of the runtime itself. */
export type Feed =
  | { readonly own: unknown }
  | { readonly own: undefined; readonly tensor: ModelTensor };

/** Tells the type and dims of a tensor that the runtime made; undefined for any other value. */
export type OwnTensor = (
  value: unknown,
) => { readonly type: string; readonly dims: readonly number[] } | undefined;

/**
 * Checks what a model is to be fed with before the runtime is asked: each input is there and no other, has the
 * type and the dims that the model asks for, and as many elements as its dims.
 * @throws MstoreError `bad-input`
 */
export function checkFeeds(
  feeds: unknown,
  inputs: readonly TensorFacts[],
  own: OwnTensor,
): Map<string, Feed> {
  if (typeof feeds !== 'object' || feeds === null || Array.isArray(feeds))
    throw badInput('The inputs are no object of tensors by name', inputs);
  const given = new Map<string, unknown>(Object.entries(feeds));
  for (const name of given.keys()) {
    if (!inputs.some((input) => input.name === name))
      throw badInput(`The model has no input ${printable(name)}`, inputs, name);
  }
  const checked = new Map<string, Feed>();
  for (const input of inputs) {
    const value = given.get(input.name);
    if (value === undefined)
      throw badInput(`The input ${printable(input.name)} is missing`, inputs, input.name);
    checked.set(input.name, checkFeed(value, input, inputs, own));
  }
  return checked;
}

function checkFeed(
  value: unknown,
  input: TensorFacts,
  inputs: readonly TensorFacts[],
  own: OwnTensor,
): Feed {
  const fail = (what: string): MstoreError =>
    badInput(`The input ${printable(input.name)} ${what}`, inputs, input.name);
  const made = own(value);
  if (made !== undefined) {
    if (input.type !== undefined && made.type !== input.type)
      throw fail(`is of type ${made.type}; the model takes ${input.type}`);
    checkShape(made.dims, input.shape, fail);
    return { own: value };
  }
  if (!isRecord(value)) throw fail('is no tensor: give an object with data and dims');
  const { data, dims } = value;
  const array = arrayName(data);
  if (array === undefined) throw fail('has no data: give a typed array, or an array of texts');
  const type = input.type ?? value['type'] ?? typeOfArray[array];
  if (typeof type !== 'string') throw fail(`has a ${array} for data, which no type is kept in`);
  if (value['type'] !== undefined && value['type'] !== type)
    throw fail(`is of type ${printable(String(value['type']))}; the model takes ${type}`);
  const arrays = arraysOf[type];
  if (arrays === undefined)
    throw fail(`has the type ${type}, for which only tensors of the runtime are taken`);
  if (!arrays.includes(array))
    throw fail(`has a ${array} for data; ${type} is kept in a ${arrays[0]}`);
  if (!isDims(dims)) throw fail('has no dims: give a list of whole numbers');
  const elements = dims.reduce((product, length) => product * length, 1);
  const { length } = data as { length: number };
  if (elements !== length)
    throw fail(`has ${length} elements; its dims ${shown(dims)} need ${elements}`);
  checkShape(dims, input.shape, fail);
  if (array === 'Array' && !(data as unknown[]).every((text) => typeof text === 'string'))
    throw fail('holds something that is no text');
  return { own: undefined, tensor: { type, dims: [...dims], data: data as TensorData } };
}

function checkShape(
  dims: readonly number[],
  shape: TensorFacts['shape'],
  fail: (what: string) => MstoreError,
): void {
  if (shape === undefined) return;
  const fits =
    dims.length === shape.length &&
    shape.every((length, i) => typeof length !== 'number' || length === dims[i]);
  if (!fits) throw fail(`has the dims ${shown(dims)}; the model takes ${shown(shape)}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** The name of the class of an array, by its own tag, so that arrays of other realms count; Buffer is a Uint8Array. */
function arrayName(data: unknown): string | undefined {
  if (Array.isArray(data)) return 'Array';
  if (!ArrayBuffer.isView(data) || data instanceof DataView) return undefined;
  return Object.prototype.toString.call(data).slice('[object '.length, -1);
}

function isDims(dims: unknown): dims is number[] {
  return Array.isArray(dims) && dims.every((length) => Number.isSafeInteger(length) && length >= 0);
}

function shown(dims: ReadonlyArray<number | string | null>): string {
  return `[${dims.map((length) => (length === null ? '?' : printable(String(length)))).join(', ')}]`;
}

const inputsShown = 8;

/** Builds the error of inputs that a model does not take; its hint lists those that it does. */
function badInput(what: string, inputs: readonly TensorFacts[], name?: string): MstoreError {
  const known = inputs.slice(0, inputsShown).map((input) => {
    const type = input.type ?? '';
    return `${printable(input.name)} ${type}${input.shape === undefined ? '' : shown(input.shape)}`;
  });
  const more = inputs.length > inputsShown ? ', …' : '';
  return new MstoreError('bad-input', what, {
    hint: `The model takes ${known.join(', ')}${more}`,
    details: {
      ...(name === undefined ? {} : { input: name }),
      inputs: inputs.map((one) => one.name),
    },
  });
}

/**
 * Checks the names of outputs that are asked for.
 * @returns all where none are
 * @throws MstoreError `bad-input`
 */
export function checkOutputs(
  wanted: readonly string[] | undefined,
  outputs: readonly TensorFacts[],
): string[] {
  const names = outputs.map(({ name }) => name);
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown === undefined) return [...new Set(wanted ?? names)];
  throw new MstoreError('bad-input', `The model has no output ${printable(unknown)}`, {
    hint: `Its outputs are ${names.slice(0, inputsShown).map(printable).join(', ')}`,
    details: { output: unknown, outputs: names },
  });
}
