import type { ByteReader } from '../weights/byte-reader.ts';
import { ifThisFormat } from '../weights/window-reader.ts';
import { importedName, isForWeights, type Judgement, judgeImport } from './pickle-policy.ts';
import { type Carried, type PickleImport, type PickleWalk, walkPickle } from './pickle-walk.ts';
import { quoted, type Report, type Summary, TensorTally } from './report.ts';
import { memoryFile, partOf } from './source.ts';
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
const importsShown = 200;

/** Collects over all pickles of a file what they import. */
export class PickleTally {
  readonly #imports = new Map<string, Judgement>();
  readonly #tensors = new TensorTally();
  #forWeights = true;
  /** Storages of PyTorch that are asked for, by key. */
  readonly storages = new Map<string, TorchStorage>();

  /** Counts the imports and the tensors of a pickle. */
  add({ imports, problems, plainOpcodes, tensors, storages }: PickleWalk): void {
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
    const walk = walkPickle(stream.file, at, stream.end, { stepsMax });
    if (count > 0 && isNoise(walk)) {
      report.add('pickle-trailing', 'Bytes follow the last pickle', whereOf(stream, at));
      break;
    }
    tellWalk(stream, walk, report, tally);
    at = walk.end;
    if (!walk.complete) break;
  }
  return at;
}

/**
 * Looks whether a member whose name is none of a pickle is one all the same, and judges it if it imports
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
  const isMarked = first[0] === 0x80 && (first[1] ?? 0) <= 5;
  const stepsMax = isMarked ? guessStepsMax : unmarkedStepsMax;
  const walk = walkPickle(file, start, end, { stepsMax, windowBytes: peekBytes });
  if (isNoise(walk) || (walk.imports.length === 0 && !isMarked)) return false;
  if (walk.imports.length > 0) {
    const names = walk.imports.slice(0, 3).map(({ module, name }) => quoted(`${module}.${name}`));
    report.add('pickle-hidden', `It is a pickle that imports ${names.join(', ')}`, stream.member);
  }
  checkPickles(stream, report, tally);
  return true;
}

/** Tells of bytes that were walked as a pickle, and are none. */
function isNoise({ complete, imports, steps }: PickleWalk): boolean {
  if (imports.some(isPlausible)) return false;
  return !complete || steps < 2 || imports.length > 0;
}

const plausibleName = /^[\p{L}_][\p{L}\p{N}_.]{0,200}$/u;

function isPlausible({ module, name }: PickleImport): boolean {
  return plausibleName.test(module) && plausibleName.test(name);
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
  for (const one of walk.imports) tellImport(one, whereOf(stream, one.at), report);
  for (const { rule, message, at } of walk.problems) report.add(rule, message, whereOf(stream, at));
  for (const carried of walk.carried) checkCarried(stream, carried, report);
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
function checkCarried(stream: PickleStream, carried: Carried, report: Report): void {
  const inner =
    'text' in carried
      ? memoryFile(Buffer.from(carried.text, 'latin1'))
      : partOf(stream.file, carried.start, carried.end);
  const walk = ifThisFormat(() => {
    const first = inner.read(0, 2);
    if (first[0] !== 0x80 || (first[1] ?? 9) > 5) return undefined;
    return walkPickle(inner, 0, inner.size, { stepsMax: guessStepsMax, windowBytes: peekBytes });
  });
  if (walk === undefined || isNoise(walk)) return;
  const outer = 'text' in carried ? 'a text' : `byte ${carried.start}`;
  const place = stream.member === undefined ? outer : `${stream.member}, ${outer}`;
  for (const one of walk.imports) tellImport(one, `pickle inside, at ${place}`, report);
}
