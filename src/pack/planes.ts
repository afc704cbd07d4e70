/*
 * Bytes of numbers grouped by plane (docs/format.md, chapter "Encodings"): plane p of n holds the bytes
 * p, p + n, p + 2n, … of a chunk. A chunk that starts in the middle of a number has the same planes in
 * another order, so nothing here needs to know where the numbers start.
 */

/** The fast loops work on words, whose bytes are in another order on a big-endian machine. */
const littleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** Bytes of plane `plane` of `count`, for a chunk of `length` bytes. */
export function planeLength(length: number, count: number, plane: number): number {
  return Math.ceil(Math.max(0, length - plane) / count);
}

/** Where plane `plane` starts in the memory that {@link splitPlanes} fills: at a whole word. */
function planeStart(length: number, count: number, plane: number): number {
  return plane * 4 * Math.ceil(length / count / 4);
}

/** Bytes that {@link splitPlanes} needs for the planes of `length` bytes. */
export function planesMemory(length: number, count: number): number {
  return planeStart(length, count, count);
}

/**
 * Splits bytes into planes.
 * @param raw starts at a whole word of its buffer
 * @param memory {@link planesMemory} bytes, starting at a whole word of its buffer
 * @returns the planes, which are views of `memory`
 */
export function splitPlanes(raw: Uint8Array, count: 2 | 4, memory: Uint8Array): Uint8Array[] {
  const { length } = raw;
  const planes = Array.from({ length: count }, (_, plane) => {
    const start = planeStart(length, count, plane);
    return memory.subarray(start, start + planeLength(length, count, plane));
  });
  // Each step of the loops takes the words that make one word of every plane.
  const steps = littleEndian ? Math.floor(length / count / 4) : 0;
  const words = new Uint32Array(raw.buffer, raw.byteOffset, steps * count);
  const targets = planes.map((plane) => new Uint32Array(plane.buffer, plane.byteOffset, steps));
  if (count === 2) splitPairs(words, targets);
  else splitFours(words, targets);
  for (const [number, plane] of planes.entries()) {
    let from = steps * 4 * count + number;
    for (let to = steps * 4; to < plane.length; to++, from += count) {
      plane[to] = raw[from] as number;
    }
  }
  return planes;
}

function splitPairs(words: Uint32Array, targets: readonly Uint32Array[]): void {
  const [p0, p1] = targets as [Uint32Array, Uint32Array];
  for (let to = 0, from = 0; to < p0.length; to++, from += 2) {
    const a = words[from] as number;
    const b = words[from + 1] as number;
    p0[to] = (a & 0xff) | ((a >>> 8) & 0xff00) | ((b & 0xff) << 16) | ((b << 8) & 0xff000000);
    p1[to] = ((a >>> 8) & 0xff) | ((a >>> 16) & 0xff00) | ((b << 8) & 0xff0000) | (b & 0xff000000);
  }
}

function splitFours(words: Uint32Array, targets: readonly Uint32Array[]): void {
  const [p0, p1, p2, p3] = targets as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  for (let to = 0, from = 0; to < p0.length; to++, from += 4) {
    const a = words[from] as number;
    const b = words[from + 1] as number;
    const c = words[from + 2] as number;
    const d = words[from + 3] as number;
    p0[to] = (a & 0xff) | ((b & 0xff) << 8) | ((c & 0xff) << 16) | (d << 24);
    p1[to] = ((a >>> 8) & 0xff) | (b & 0xff00) | ((c & 0xff00) << 8) | ((d & 0xff00) << 16);
    p2[to] = ((a >>> 16) & 0xff) | ((b >>> 8) & 0xff00) | (c & 0xff0000) | ((d & 0xff0000) << 8);
    p3[to] = (a >>> 24) | ((b >>> 16) & 0xff00) | ((c >>> 8) & 0xff0000) | (d & 0xff000000);
  }
}

/**
 * Puts bytes together from their planes, two or four, of the lengths that {@link planeLength} gives.
 * @param raw starts at a whole word of its buffer
 */
export function mergePlanes(planes: readonly Uint8Array[], raw: Uint8Array): void {
  const count = planes.length;
  const steps = littleEndian ? Math.floor(raw.length / count) : 0;
  if (count === 2) mergePairs(planes, new Uint16Array(raw.buffer, raw.byteOffset, steps));
  else mergeFours(planes, new Uint32Array(raw.buffer, raw.byteOffset, steps));
  for (let to = steps * count; to < raw.length; to++) {
    raw[to] = planes[to % count]?.[Math.floor(to / count)] as number;
  }
}

function mergePairs(planes: readonly Uint8Array[], numbers: Uint16Array): void {
  const [p0, p1] = planes as [Uint8Array, Uint8Array];
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = (p0[i] as number) | ((p1[i] as number) << 8);
  }
}

function mergeFours(planes: readonly Uint8Array[], numbers: Uint32Array): void {
  const [p0, p1, p2, p3] = planes as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] =
      (p0[i] as number) |
      ((p1[i] as number) << 8) |
      ((p2[i] as number) << 16) |
      ((p3[i] as number) << 24);
  }
}
