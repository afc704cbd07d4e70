import { isTooDeep } from '../../src/base/json.ts';

/** Chance that is the same on every machine: xorshift32, as in test/support/xorshift.ts. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds would begin alike.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  }

  /** A whole number from 0 to `below` - 1; 0 for none. */
  below(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return below < 2 ? 0 : (this.#state >>> 0) % below;
  }

  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }
}

/** What mutations are made of. */
export interface Material {
  /** Good inputs; one at least. */
  readonly inputs: readonly Buffer[];
  /** Texts of the format. */
  readonly words: readonly string[];
  /** The longest result, in bytes. */
  readonly bytesMax: number;
}

/** Numbers at which parsers turn over. */
const edges: readonly bigint[] = [0, 1, 7, 8, 15, 16, 31, 32, 53, 63, 64].flatMap((bits) => {
  const power = 1n << BigInt(bits);
  return [power - 1n, power, power + 1n];
});

/** Texts that stand for edges of numbers, and values of JSON that are of another kind than was asked for. */
const edgeTexts = [
  ...['-1', '-0', '1e999', '1e-7', '0x10', '1.5', '00', '9007199254740993', '1e15'],
  ...['null', 'true', '{}', '[]', '""', '"__proto__"', '"constructor"', '[[]]', '{"":{}}'],
  ...[
    '\u0000',
    '\ufeff',
    '\u202e',
    '\u001b[2J',
    'é',
    'e\u0301',
    '\ud800',
    '..',
    '../',
    '\\',
    '%2e',
    '~',
  ],
];

type Mutation = (bytes: Buffer, chance: Chance, material: Material) => Buffer;

const mutations: readonly Mutation[] = [
  flipBit,
  setByte,
  writeEdge,
  changeNumber,
  insertWord,
  truncate,
  removeSpan,
  repeatSpan,
  moveSpan,
  splice,
  changeJson,
  changeJson,
];

/**
 * Makes an input from others: one to six changes of bits, bytes, numbers, words, spans, and of values where it is
 * JSON. The same chance gives the same input.
 */
export function mutate(chance: Chance, material: Material): Buffer {
  let bytes: Buffer = Buffer.from(chance.one(material.inputs));
  for (let left = 1 + chance.below(6); left > 0; left--) {
    bytes = chance.one(mutations)(bytes, chance, material);
  }
  return bytes.subarray(0, material.bytesMax);
}

function flipBit(bytes: Buffer, chance: Chance): Buffer {
  const at = chance.below(bytes.length);
  if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << chance.below(8));
  return bytes;
}

function setByte(bytes: Buffer, chance: Chance): Buffer {
  const value = chance.one([0, 1, 9, 10, 13, 32, 34, 44, 47, 58, 91, 92, 93, 123, 127, 128, 255]);
  if (bytes.length > 0) bytes[chance.below(bytes.length)] = value;
  return bytes;
}

/** Writes a number of two to eight bytes over others, in either order. */
function writeEdge(bytes: Buffer, chance: Chance): Buffer {
  const width = chance.one([2, 4, 8]);
  if (bytes.length < width) return bytes;
  const scratch = Buffer.alloc(8);
  scratch.writeBigUInt64LE(BigInt.asUintN(64, chance.one(edges)));
  const number = scratch.subarray(0, width);
  if (chance.below(3) === 0) number.reverse();
  number.copy(bytes, chance.below(bytes.length - width + 1));
  return bytes;
}

/** Puts another number in the place of one in digits. */
function changeNumber(bytes: Buffer, chance: Chance): Buffer {
  const text = bytes.toString('latin1');
  const found = [...text.matchAll(/\d+/g)];
  if (found.length === 0) return bytes;
  const { 0: digits, index } = chance.one(found);
  const number = chance.below(2) === 0 ? String(chance.one(edges)) : chance.one(edgeTexts);
  return spliced(bytes, index, digits.length, Buffer.from(number));
}

function insertWord(bytes: Buffer, chance: Chance, { words }: Material): Buffer {
  const word = Buffer.from(
    chance.one(chance.below(2) === 0 || words.length === 0 ? edgeTexts : words),
  );
  const at = chance.below(bytes.length + 1);
  return spliced(bytes, at, chance.below(2) * word.length, word);
}

function truncate(bytes: Buffer, chance: Chance): Buffer {
  return bytes.subarray(0, chance.below(bytes.length + 1));
}

function removeSpan(bytes: Buffer, chance: Chance): Buffer {
  const { at, length } = span(bytes, chance);
  return spliced(bytes, at, length, Buffer.alloc(0));
}

function repeatSpan(bytes: Buffer, chance: Chance, { bytesMax }: Material): Buffer {
  const { at, length } = span(bytes, chance);
  if (length === 0) return bytes;
  const most = Math.min(4096, bytesMax) / length;
  const times = 1 + chance.below(Math.max(1, Math.floor(chance.below(3) === 0 ? most : 3)));
  const one = bytes.subarray(at, at + length);
  return spliced(bytes, at, 0, Buffer.concat(Array.from({ length: times }, () => one)));
}

function moveSpan(bytes: Buffer, chance: Chance): Buffer {
  const { at, length } = span(bytes, chance);
  const part = Buffer.from(bytes.subarray(at, at + length));
  const without = spliced(bytes, at, length, Buffer.alloc(0));
  return spliced(without, chance.below(without.length + 1), 0, part);
}

/** Puts a piece of another input in. */
function splice(bytes: Buffer, chance: Chance, { inputs }: Material): Buffer {
  const other = chance.one(inputs);
  const from = span(other, chance);
  const to = span(bytes, chance);
  const part = other.subarray(from.at, from.at + from.length);
  return spliced(bytes, to.at, chance.below(2) * to.length, part);
}

/** Changes one value of a text that is JSON: to another one of it, to an edge, or to many levels. */
function changeJson(bytes: Buffer, chance: Chance): Buffer {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return flipBit(bytes, chance);
  }
  // To walk it, and to write it again, would need as much stack as it has levels.
  if (isTooDeep(value)) return flipBit(bytes, chance);
  const places: Array<{ holder: Record<string, unknown>; key: string }> = [];
  const visit = (holder: Record<string, unknown>): void => {
    for (const [key, inner] of Object.entries(holder)) {
      places.push({ holder, key });
      if (typeof inner === 'object' && inner !== null) visit(inner as Record<string, unknown>);
    }
  };
  if (typeof value === 'object' && value !== null) visit(value as Record<string, unknown>);
  if (places.length === 0) return flipBit(bytes, chance);
  const { holder, key } = chance.one(places);
  const other = chance.one(places);
  const marker = `"${'#'.repeat(12)}"`;
  const how = chance.below(4);
  if (how === 0) delete holder[key];
  else if (how === 1)
    holder[chance.below(2) === 0 ? key : other.key] = structuredClone(other.holder[other.key]);
  else holder[key] = marker.slice(1, -1);
  const nested = '['.repeat(chance.below(400));
  const text = how === 3 ? nested + ']'.repeat(nested.length) : chance.one(edgeTexts);
  const indent = chance.one([0, 2]);
  return Buffer.from(JSON.stringify(value, null, indent).replace(marker, () => text));
}

/** Where something is to be changed: short spans are as likely as long ones. */
function span(bytes: Buffer, chance: Chance): { at: number; length: number } {
  const at = chance.below(bytes.length + 1);
  const most = Math.min(bytes.length - at, 2 ** chance.below(12));
  return { at, length: chance.below(most + 1) };
}

function spliced(bytes: Buffer, at: number, length: number, part: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at + length)]);
}
