import { type ByteReader, memoryFile, partOf } from '../weights/byte-reader.ts';
import { ifThisFormat } from '../weights/window-reader.ts';
import {
  type Carried,
  isPickleAllTheSame,
  isPlausible,
  type PickleImport,
  type PickleWalk,
} from './pickle-notes.ts';
import { opcodes } from './pickle-opcodes.ts';
import { importedName, isForWeights, type Judgement, judgeImport } from './pickle-policy.ts';
import { walkPickle } from './pickle-walk.ts';
import { quoted, type Report, type Summary, TensorTally } from './report.ts';
import type { TorchStorage } from './torch-objects.ts';

/** Opcodes of one pickle: a vocabulary of a million words takes four million. */
const stepsMax = 10_000_000;
/** Pickles one behind the other in one stream. */
const picklesMax = 256;
/** Opcodes of what only may be a pickle. */
const guessStepsMax = 200_000;
/** The same where not even the first byte is that of a pickle. */
const unmarkedStepsMax = 20_000;
/** The first bytes that tell whether a member may be a pickle. */
const peekBytes = 64;
/** Bytes that are passed over where the same one stands again and again. */
const uniformBytesMax = 64 * 1024 * 1024;
const blockBytes = 64 * 1024;
/** Pickles carried by pickles, inside each other, and one behind the other. */
const carriedDepthMax = 4;
const carriedPicklesMax = 8;
const importsShown = 200;

/** Collects over all pickles of a file what they import. */
export class PickleTally {
  readonly #imports = new Map<string, Judgement>();
  readonly #tensors = new TensorTally();
  #forWeights = true;
  /** Storages of PyTorch that are asked for, by key. */
  readonly storages = new Map<string, TorchStorage>();

  /** Counts the imports and the tensors of a pickle. */
  add({ notes: { imports, problems, tensors, storages }, plainOpcodes }: PickleWalk): void {
    for (const { dtype, elements } of tensors) this.#tensors.add(dtype, elements);
    for (const [key, storage] of storages) this.storages.set(key, storage);
    for (const { module, name, route } of imports) {
      const full = importedName(module, name);
      if (this.#imports.size < importsShown || this.#imports.has(full))
        this.#imports.set(full, judgeImport(module, name));
      if (route !== 'GLOBAL' || !isForWeights(module, name)) this.#forWeights = false;
    }
    if (!plainOpcodes || problems.length > 0) this.#forWeights = false;
  }

  /** Writes into a summary what would be imported. */
  into(summary: Summary, isTorch: boolean): void {
    summary.imports = [...this.#imports].map(([name, judged]) => ({ name, judged }));
    if (isTorch) summary.weightsOnly = this.#forWeights;
    if (this.#tensors.count > 0) this.#tensors.into(summary);
  }
}

/** A stream of pickles to look into. */
export interface PickleStream {
  readonly file: ByteReader;
  readonly start: number;
  readonly end: number;
  /** Name of the member of an archive that it is. */
  readonly member?: string;
}

/**
 * Walks the pickles of a stream one behind the other, and judges what they import and call.
 * @returns offset behind the last one
 */
export function checkPickles(
  stream: PickleStream,
  report: Report,
  tally: PickleTally,
  countMax = picklesMax,
): number {
  let at = stream.start;
  for (let count = 0; count < countMax && at < stream.end; count++) {
    // Those behind the first are mostly small, and each starts to read anew.
    const limits = count === 0 ? { stepsMax } : { stepsMax, windowBytes: peekBytes };
    const walk = walkPickle(stream.file, at, stream.end, limits);
    if (count > 0 && isNoise(walk)) {
      report.add('pickle-trailing', 'Bytes follow the last pickle', whereOf(stream, at));
      break;
    }
    tellWalk(stream, walk, report, tally);
    at = walk.end;
    if (!walk.complete) break;
    if (count === picklesMax - 1 && at < stream.end)
      report.add('pickle-unread', 'There are more pickles than are walked', whereOf(stream, at));
  }
  return at;
}

/** Tells whether bytes may be the start of a pickle: of any other, the first opcode is none. */
export function mayBePickle(head: Uint8Array): boolean {
  return head.length > 2 && opcodes[head[0] ?? 0] !== undefined;
}

/** Tells whether a file that starts as a pickle does is more than numbers that do so too. */
export function seemsPickle(file: ByteReader): boolean {
  return !isNoise(peek(file, 0, file.size, guessStepsMax));
}

/**
 * Looks whether bytes that are no pickle by name or form are one all the same, and judges it if it imports
 * something. Reads 64 bytes of what is none.
 * @returns whether it looked like a pickle
 */
export function checkHiddenPickle(
  stream: PickleStream,
  report: Report,
  tally: PickleTally,
): boolean {
  const { file, start, end } = stream;
  const first = ifThisFormat(() => file.read(start, Math.min(2, end - start)));
  if (first === undefined || first.length < 2) return false;
  const isMarked = first[0] === 0x80 && (first[1] ?? 9) <= 5;
  const walk = peek(file, start, end, isMarked ? guessStepsMax : unmarkedStepsMax);
  if (walk.exhausted) return checkLong(stream, walk, isMarked, report, tally);
  const isPickle = isMarked
    ? !isNoise(walk) || walk.notes.problems.some(({ rule }) => rule === 'pickle-extension')
    : isPickleAllTheSame(walk);
  if (!isPickle) return false;
  tellHidden(walk, stream, report);
  checkPickles(stream, report, tally);
  return true;
}

const peek = (file: ByteReader, start: number, end: number, stepsMax: number): PickleWalk =>
  walkPickle(file, start, end, { stepsMax, windowBytes: peekBytes });

function tellHidden({ notes }: PickleWalk, stream: PickleStream, report: Report): void {
  if (notes.imports.length === 0) return;
  const names = notes.imports.slice(0, 3).map(({ module, name }) => quoted(`${module}.${name}`));
  report.add('pickle-hidden', `It is a pickle that imports ${names.join(', ')}`, stream.member);
}

/** Judges bytes that are opcodes for longer than other data would be. */
function checkLong(
  stream: PickleStream,
  walk: PickleWalk,
  isMarked: boolean,
  report: Report,
  tally: PickleTally,
): boolean {
  if (isMarked || isPickleAllTheSame(walk)) {
    tellHidden(walk, stream, report);
    checkPickles(stream, report, tally);
    return true;
  }
  if (walk.kinds > 1) {
    report.add(
      'not-read-to-end',
      'It may be a pickle, and was not walked to its end',
      stream.member,
    );
    return false;
  }
  // Numbers that are all the same may be opcodes; what matters is what comes behind them.
  const { file, start, end } = stream;
  const at = endOfUniform(file, start, Math.min(end, start + uniformBytesMax));
  const rest = peek(file, at, end, unmarkedStepsMax);
  if (!isPickleAllTheSame(rest)) return false;
  tellHidden(rest, stream, report);
  checkPickles({ ...stream, start: at }, report, tally);
  return true;
}

/** Offset of the first byte that is another than the one at `start`. */
function endOfUniform(file: ByteReader, start: number, end: number): number {
  const [same] = file.read(start, 1);
  for (let at = start; at < end; at += blockBytes) {
    const block = file.read(at, Math.min(blockBytes, end - at));
    const found = block.findIndex((byte) => byte !== same);
    if (found >= 0) return at + found;
  }
  return end;
}

/** Tells of bytes that were walked as a pickle, and are none. */
function isNoise({ complete, exhausted, veiled, steps, notes: { imports } }: PickleWalk): boolean {
  if (imports.some(isPlausible) || veiled || exhausted) return false;
  return !complete || steps < 2 || imports.length > 0;
}

function whereOf({ member }: PickleStream, at: number): string {
  return member === undefined ? `byte ${at}` : `${member}, byte ${at}`;
}

function tellWalk(
  stream: PickleStream,
  walk: PickleWalk,
  report: Report,
  tally: PickleTally,
): void {
  tally.add(walk);
  const { imports, problems, carried } = walk.notes;
  for (const one of imports) tellImport(one, whereOf(stream, one.at), report);
  for (const { rule, message, at } of problems) report.add(rule, message, whereOf(stream, at));
  for (const one of carried) checkCarried(stream, one, report);
}

function tellImport(one: PickleImport, where: string, report: Report): void {
  const judged = judgeImport(one.module, one.name);
  if (judged === 'allowed') return;
  const written = `${one.module}.${one.name}`;
  const full = importedName(one.module, one.name);
  const names = written === full ? quoted(full) : `${quoted(full)} (written ${quoted(written)})`;
  if (judged === 'denied')
    report.add('pickle-denied', `Loading imports ${names}, which can run code`, where);
  else
    report.add(
      'pickle-suspicious',
      `Loading imports ${names}, which is not known to be harmless`,
      where,
    );
}

/** Looks into bytes that a pickle carries: they may be handed to an unpickler later. */
function checkCarried(stream: PickleStream, carried: Carried, report: Report, depth = 1): void {
  const inner =
    'text' in carried
      ? memoryFile(Buffer.from(carried.text, 'latin1'))
      : partOf(stream.file, carried.start, carried.end);
  const first = ifThisFormat(() => inner.read(0, 2));
  if (first?.[0] !== 0x80 || (first[1] ?? 9) > 5) return;
  const outer = 'text' in carried ? 'a text' : `byte ${carried.start}`;
  const member = stream.member === undefined ? outer : `${stream.member}, ${outer}`;
  const where = `pickle inside, at ${member}`;
  let at = 0;
  for (let count = 0; count < carriedPicklesMax && at < inner.size; count++) {
    const walk = peek(inner, at, inner.size, guessStepsMax);
    if (isNoise(walk)) return;
    for (const one of walk.notes.imports) tellImport(one, where, report);
    if (walk.exhausted) report.add('pickle-unread', 'A pickle inside goes on and on', where);
    if (depth < carriedDepthMax)
      for (const one of walk.notes.carried)
        checkCarried({ file: inner, start: 0, end: inner.size, member }, one, report, depth + 1);
    at = walk.end;
    if (!walk.complete) return;
  }
}
