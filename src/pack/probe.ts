import { constants, deflateRawSync } from 'node:zlib';
import type { Encoding } from './format.ts';

/**
 * How the bytes of a chunk or of a plane are stored: as they are, or deflated by codes alone, by runs and
 * codes, or by repetitions and codes. All that is deflated is read alike.
 */
export type Method = 'raw' | 'codes' | 'runs' | 'repeats';

/** What to do with a chunk: one method for the whole, or one for each plane. */
export interface Plan {
  readonly encoding: Encoding;
  readonly methods: readonly Method[];
}

/** Leaves a chunk as it is. */
const rawPlan: Plan = { encoding: 'raw', methods: ['raw'] };

/** What is stored encoded has to be at most this share of the raw bytes. */
export const worthwhileShare = 0.95;

/** Bytes of one slice of the sample; three of them tell what the chunk is. */
const sliceBytes = 8 * 1024;
const slices = 3;
/** Below this a chunk is not worth a look. */
const chunkBytesMin = 64;
/** A plane that codes would shorten by less is stored as it is. */
const planeShareMax = 0.97;
/** Below these bits a byte, one value prevails, and its runs cost less than a code for each byte. */
const runBitsMax = 1.5;
/** Where fewer words of the sample are repetitions of earlier ones, no search for them pays. */
const repeatedShareMin = 0.25;
/** Searching for repetitions is slow: it has to save this share more than codes would. */
const repeatGainMin = 0.05;
/** Each further plane has to save this share more: what is simpler is read faster. */
const planesGainMin = 0.01;

interface Candidate extends Plan {
  /** Predicted share of the raw bytes. */
  readonly share: number;
}

/**
 * Chooses how to store a chunk, from a sample of up to 24 KiB: the entropy of its bytes, as a whole and
 * by plane, tells what codes would save; only where words come again, a slice is deflated to see how
 * much that saves. Takes some 0.1 ms.
 * @param allowed encodings to choose from, besides `raw`
 */
export function choosePlan(
  raw: Uint8Array,
  allowed: readonly Encoding[] = ['deflate', 'planes2', 'planes4'],
): Plan {
  if (raw.length < chunkBytesMin) return rawPlan;
  const sample = sampleOf(raw);
  const counts = countBytes(sample);
  let best: Candidate = { ...rawPlan, share: worthwhileShare };
  if (allowed.includes('deflate')) {
    best = better(best, whole(entropy(sumOf(counts))), 0);
  }
  const [c0, c1, c2, c3] = counts as [Counts, Counts, Counts, Counts];
  if (allowed.includes('planes2')) {
    const bits = [entropy(sumOf([c0, c2])), entropy(sumOf([c1, c3]))];
    best = better(best, byPlane('planes2', bits), planesGainMin);
  }
  if (allowed.includes('planes4')) {
    best = better(best, byPlane('planes4', counts.map(entropy)), planesGainMin);
  }
  if (allowed.includes('deflate') && repeatedShare(sample) >= repeatedShareMin) {
    const slice = sample.subarray(0, sliceBytes);
    // The fastest search finds most of what a slower one does.
    const share = deflateRawSync(slice, { level: 1 }).length / slice.length;
    const repeats: Candidate = { encoding: 'deflate', methods: ['repeats'], share };
    best = better(best, repeats, best.encoding === 'raw' ? 0 : repeatGainMin);
  }
  return { encoding: best.encoding, methods: best.methods };
}

function better(best: Candidate, other: Candidate, gainMin: number): Candidate {
  return other.share < best.share - gainMin ? other : best;
}

function whole(bits: number): Candidate {
  return { encoding: 'deflate', methods: [methodFor(bits)], share: shareFor(bits) };
}

function byPlane(encoding: Encoding, bits: readonly number[]): Candidate {
  const share = bits.reduce((sum, each) => sum + shareFor(each), 0) / bits.length;
  return { encoding, methods: bits.map(methodFor), share };
}

function methodFor(bits: number): Method {
  if (bits / 8 > planeShareMax) return 'raw';
  return bits < runBitsMax ? 'runs' : 'codes';
}

function shareFor(bits: number): number {
  return bits / 8 > planeShareMax ? 1 : bits / 8;
}

/** Takes slices from the start, the middle and the end, each from a multiple of four bytes on. */
function sampleOf(raw: Uint8Array): Uint8Array {
  if (raw.length <= slices * sliceBytes) return raw;
  const sample = new Uint8Array(slices * sliceBytes);
  const step = Math.floor((raw.length - sliceBytes) / (slices - 1) / 4) * 4;
  for (let i = 0; i < slices; i++) {
    sample.set(raw.subarray(i * step, i * step + sliceBytes), i * sliceBytes);
  }
  return sample;
}

/** Share of the positions whose four bytes stood in the sample before; some repetitions are not seen. */
function repeatedShare(sample: Uint8Array): number {
  const lastSeen = new Uint32Array(1 << 12);
  let word = 0;
  let repeated = 0;
  for (let i = 0; i < sample.length; i++) {
    word = (word << 8) | (sample[i] as number);
    const slot = Math.imul(word, 0x9e3779b1) >>> 20;
    if (lastSeen[slot] === word >>> 0) repeated++;
    lastSeen[slot] = word;
  }
  return repeated / sample.length;
}

type Counts = Uint32Array;

/** Counts the bytes of a sample, apart for each position in a word of four bytes. */
function countBytes(sample: Uint8Array): Counts[] {
  const all = new Uint32Array(4 * 256);
  for (let i = 0; i < sample.length; i++) {
    const at = ((i & 3) << 8) | (sample[i] as number);
    all[at] = (all[at] as number) + 1;
  }
  return [0, 1, 2, 3].map((position) => all.subarray(position * 256, (position + 1) * 256));
}

function sumOf(parts: readonly Counts[]): Counts {
  const sum = new Uint32Array(256);
  for (const part of parts) {
    for (let value = 0; value < 256; value++) {
      sum[value] = (sum[value] as number) + (part[value] as number);
    }
  }
  return sum;
}

/**
 * Bits a byte that the best code needs. A small sample seems to need less than the whole, by half a bit
 * for each value seen (Miller and Madow), which is added.
 */
function entropy(counts: Counts): number {
  let total = 0;
  let seen = 0;
  let weighted = 0;
  for (const count of counts) {
    if (count === 0) continue;
    total += count;
    seen++;
    weighted += count * Math.log2(count);
  }
  if (total === 0) return 0;
  const bias = (seen - 1) / (2 * total * Math.LN2);
  return Math.min(8, Math.log2(total) - weighted / total + bias);
}

const { Z_HUFFMAN_ONLY, Z_RLE, Z_DEFAULT_STRATEGY } = constants;

/** Settings of zlib. Codes alone do not look at the level; blocks of 16 Ki bytes follow what changes. */
const settings = {
  codes: { strategy: Z_HUFFMAN_ONLY, level: 1, memLevel: 8 },
  runs: { strategy: Z_RLE, level: 1, memLevel: 8 },
  repeats: { strategy: Z_DEFAULT_STRATEGY, level: 6, memLevel: 8 },
} as const;

/** Deflates bytes; the result may be longer than they are. */
export function deflateBytes(bytes: Uint8Array, method: Exclude<Method, 'raw'>): Uint8Array {
  return deflateRawSync(bytes, { ...settings[method], chunkSize: Math.max(64, bytes.length) });
}
