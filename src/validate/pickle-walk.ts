import type { ByteReader } from '../weights/byte-reader.ts';
import { NotThisFormat, WindowReader } from '../weights/window-reader.ts';
import { joblibArray } from './joblib-array.ts';
import { type MemoIndex, PickleMemo } from './pickle-memo.ts';
import {
  isPickleAllTheSame,
  type PickleImport,
  type PickleLimits,
  PickleNotes,
  type PickleWalk,
} from './pickle-notes.ts';
import { opcodes } from './pickle-opcodes.ts';
import {
  Box,
  ImportedValue,
  longText,
  mark,
  nothing,
  unknownValue,
  type Value,
} from './pickle-values.ts';
import type { Rule } from './rules.ts';
import { BudgetSpent } from './source.ts';
import { layerClassOf, storageOf, tensorOf } from './torch-objects.ts';

/** Names of modules and attributes, and texts that may become them. */
const textBytesMax = 4096;
const lineBytesMax = 64 * 1024;
const stackMax = 2_000_000;
const memoMax = 4_000_000;
const importsMax = 20_000;
/** Pickles inside each other. */
const depthMax = 4;
/** Values in containers, shared ones counted each time: no real file comes near. */
const weightMax = 2 ** 40;
/** No program that writes pickles uses DUP. */
const dupMax = 64;
/** Opcodes that are walked, and values that are kept, where bytes of an array may be opcodes. */
const branchStepsMax = 10_000;
const branchStackMax = 1000;
const branchWindowBytes = 64;
/** The lowest byte that is an opcode. */
const opcodeMin = 0x28;

/** Opcodes that `torch.load` takes with `weights_only=True`. */
const plain = new Set([
  ...Buffer.from('cRbaesut(NKMJGqrhjX.)]}UQ'),
  ...[0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8f],
]);

/** The end of a walk that is no fault of the pickle. */
class WalkEnds extends Error {}

/**
 * Walks the opcodes of one pickle, with a stack and a memo that hold only what tells who is imported and
 * called. Nothing is built or run. What is wrong is noted, and the walk goes on where an unpickler could.
 * Source: Lib/pickletools.py and Modules/_pickle.c of CPython.
 */
export function walkPickle(
  file: ByteReader,
  start: number,
  end: number,
  limits: PickleLimits,
): PickleWalk {
  return new PickleMachine(file, start, end, limits).run();
}

/** Where a walk is inside another. */
interface Branch {
  readonly depth: number;
  readonly stack?: Value[];
  readonly memo?: PickleMemo;
}

/** The state of a walk; the table of opcodes works on it. */
export class PickleMachine {
  readonly reader: WindowReader;
  /** Offset of the opcode that is at work. */
  at: number;
  complete = false;
  readonly #notes = new PickleNotes();
  readonly #stack: Value[];
  readonly #memo: PickleMemo;
  readonly #limits: PickleLimits;
  readonly #kinds = new Set<number>();
  #steps = 0;
  #dups = 0;
  #calls = 0;
  #protocols = 0;
  #plain = true;
  #veiled = false;
  #exhausted = false;
  #result: Value = unknownValue;
  readonly #file: ByteReader;
  readonly #end: number;
  readonly #depth: number;

  constructor(
    file: ByteReader,
    start: number,
    end: number,
    limits: PickleLimits,
    branch: Branch = { depth: 0 },
  ) {
    this.#file = file;
    this.#end = end;
    this.#depth = branch.depth;
    this.#stack = branch.stack ?? [];
    this.#memo = new PickleMemo(branch.memo);
    this.reader = new WindowReader(file, start, end, limits.windowBytes);
    this.at = start;
    this.#limits = limits;
  }

  run(): PickleWalk {
    let end = this.at;
    try {
      while (!this.complete) {
        this.at = this.reader.at;
        this.#step();
        end = this.reader.at;
      }
    } catch (error) {
      this.#endBy(error);
    }
    return {
      notes: this.#notes,
      end,
      complete: this.complete,
      exhausted: this.#exhausted,
      steps: this.#steps,
      kinds: this.#kinds.size,
      calls: this.#calls,
      veiled: this.#veiled,
      integer: typeof this.#result === 'number' ? this.#result : undefined,
      plainOpcodes: this.#plain,
    };
  }

  #endBy(error: unknown): void {
    if (error instanceof BudgetSpent) {
      this.#exhausted = true;
      const rule = error.isPassing ? 'not-read-to-end' : 'pickle-unread';
      this.problem(rule, 'More bytes would have to be read than are allowed for one file');
    } else if (error instanceof NotThisFormat) {
      this.problem('pickle-broken', 'The pickle is cut short, or holds a length that cannot be');
    } else if (!(error instanceof WalkEnds)) throw error;
  }

  #step(): void {
    if (this.#steps >= this.#limits.stepsMax) {
      this.#exhausted = true;
      this.#stopWalk('pickle-unread', 'The pickle has more opcodes than are walked');
    }
    const code = this.reader.u8();
    const work = opcodes[code];
    if (work === undefined)
      this.#stopWalk('pickle-broken', `There is no opcode 0x${code.toString(16)}`);
    if (this.#kinds.size < 2) this.#kinds.add(code);
    this.#plain &&= plain.has(code);
    work(this);
    this.#steps++;
  }

  problem(rule: Rule, message: string): void {
    this.#notes.problem(rule, message, this.at);
  }

  /** Notes a problem behind which the walk does not go on. */
  #stopWalk(rule: Rule, message: string): never {
    this.problem(rule, message);
    throw new WalkEnds();
  }

  push(value: Value): void {
    if (this.#stack.length >= stackMax)
      this.#stopWalk('pickle-bomb', 'The pickle leaves more on the stack than any real one');
    this.#stack.push(value);
  }

  pop(): Value {
    const value = this.#stack.pop();
    if (value !== undefined) return value;
    this.problem('pickle-stack', 'An opcode takes more than the stack holds');
    return nothing;
  }

  #top(): Value {
    return this.#stack.at(-1) ?? nothing;
  }

  /** Takes all values behind the last MARK, and the mark. */
  popMark(): Value[] {
    const at = this.#stack.lastIndexOf(mark);
    const values = this.#stack.splice(Math.max(at, 0));
    if (at >= 0) return values.slice(1);
    this.problem('pickle-stack', 'An opcode needs a MARK, and there is none');
    return [...values, nothing];
  }

  /** Pushes a container of values. */
  box(values: readonly Value[]): void {
    const box = new Box();
    this.#fill(box, values);
    this.push(box);
  }

  /** Puts values into the container on top of the stack. */
  extend(values: readonly Value[]): void {
    const top = this.#top();
    if (top instanceof Box) this.#fill(top, values);
  }

  #fill(box: Box, values: readonly Value[]): void {
    box.put(values);
    if (box.weight > weightMax)
      this.problem('pickle-bomb', 'Containers hold each other so often that it never ends');
  }

  duplicate(): void {
    this.#dups++;
    if (this.#dups === dupMax) this.problem('pickle-bomb', `DUP is used ${dupMax} times and more`);
    this.push(this.#top());
  }

  protocol(number: number): void {
    this.#protocols++;
    if (this.#steps > 0) this.problem('pickle-protocol', 'PROTO is not the first opcode');
    if (this.#protocols > 1) this.problem('pickle-protocol', 'PROTO is there more than once');
    if (number > 5) this.problem('pickle-protocol', `There is no protocol ${number}`);
  }

  /** An index of the memo that was read; one that cannot be read ends every unpickler. */
  index(index: MemoIndex | undefined): MemoIndex {
    return index ?? this.#stopWalk('pickle-broken', 'An index of the memo is no number');
  }

  /** Keeps the last value; without an index under the next one. */
  remember(index?: MemoIndex): void {
    if (this.#memo.size >= memoMax)
      this.#stopWalk('pickle-bomb', 'The memo holds more than that of any real pickle');
    this.#memo.set(index ?? this.#memo.size, this.#top());
  }

  recall(index: MemoIndex): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.problem('pickle-stack', `The memo has nothing at ${index}`);
    this.push(value ?? nothing);
  }

  /** Imports a name; what is no text cannot be told beforehand. */
  import(module: Value, name: Value, route: PickleImport['route']): ImportedValue | undefined {
    if (module === nothing || name === nothing) return undefined;
    if (typeof module !== 'string' || typeof name !== 'string') {
      this.#veiled ||= [module, name].every((one) => typeof one === 'string' || one === longText);
      this.problem('pickle-unresolved', `What ${route} imports cannot be told beforehand`);
      return undefined;
    }
    const { imports } = this.#notes;
    if (imports.length >= importsMax)
      this.#stopWalk('pickle-bomb', 'The pickle imports more than any real one');
    imports.push({ module, name, at: this.at, route });
    return new ImportedValue(module, name);
  }

  /** Calls something, and pushes what it gives. */
  call(callee: Value, args: readonly Value[]): void {
    if (!(callee instanceof ImportedValue)) {
      if (callee !== nothing)
        this.problem('pickle-unresolved', 'What is called was made while loading');
      this.push(unknownValue);
      return;
    }
    if (!args.includes(nothing)) this.#calls++;
    const box = new Box(callee);
    this.#fill(box, args);
    this.push(box);
    this.#notes.tensor(tensorOf(callee, args));
  }

  /** Asks the loader for an object of its own, such as a storage of PyTorch. */
  persistent(id: Value): void {
    const layer = layerClassOf(id);
    if (layer !== undefined) return void this.push(layer);
    const storage = storageOf(id);
    if (storage !== undefined) this.#notes.storage(storage);
    else this.problem('pickle-persistent', 'The loader is asked for an object by an id');
    this.box([id]);
  }

  /** Sets the state of the object on top of the stack. */
  build(state: Value): void {
    const top = this.#top();
    if (top instanceof ImportedValue)
      this.problem('pickle-patch', `BUILD sets attributes of ${top.module}.${top.name} itself`);
    if (!(top instanceof Box)) return;
    this.#fill(top, [state]);
    const { module = '', name } = top.maker ?? {};
    if (name === 'NumpyArrayWrapper' && /(?:^|\.)joblib\.numpy_pickle$/.test(module))
      this.#passArray(top);
  }

  /** Passes over the bytes of an array that joblib puts between opcodes. */
  #passArray(wrapper: Box): void {
    const array = joblibArray(wrapper);
    if (array === undefined)
      this.#stopWalk('pickle-unread', 'The pickle goes on behind an array of unknown size');
    if (array.isPadded) this.#passPadding();
    else if (array.bytes !== undefined) this.#walkArray();
    if (array.bytes !== undefined) {
      this.reader.skip(array.bytes);
      return;
    }
    // An array of objects is a pickle of its own in the middle of this one.
    const { at } = this.reader;
    const inner = this.#inner(this.#limits.stepsMax - this.#steps);
    this.#notes.include(inner.notes);
    this.#veiled ||= inner.veiled;
    if (!inner.complete) throw new WalkEnds();
    this.reader.skip(inner.end - at);
  }

  /** Padding starts with its length, which no unpickler but that of joblib takes for anything else. */
  #passPadding(): void {
    const length = this.reader.u8();
    if (length >= opcodeMin)
      this.problem('pickle-hidden', 'The padding of an array is too long: it may be opcodes');
    this.reader.skip(length);
  }

  /** Unpicklers other than that of joblib take the bytes of an array for opcodes: looks for imports there. */
  #walkArray(): void {
    const branch = { stack: this.#stack.slice(-branchStackMax), memo: this.#memo };
    const left = Math.max(0, this.#limits.stepsMax - this.#steps);
    const walk = this.#inner(Math.min(branchStepsMax, left), branch);
    const isPickle = isPickleAllTheSame(walk);
    if (isPickle) for (const one of walk.notes.imports) this.#notes.imports.push(one);
    if (isPickle || walk.exhausted)
      this.problem('pickle-hidden', 'The bytes of an array are opcodes to programs without joblib');
  }

  /** Walks from the next byte on, apart from this walk. */
  #inner(stepsMax: number, branch: Omit<Branch, 'depth'> = {}): PickleWalk {
    const depth = this.#depth + 1;
    if (depth > depthMax)
      this.#stopWalk('pickle-unread', 'There are too many pickles inside each other');
    const windowBytes = branch.memo === undefined ? this.#limits.windowBytes : branchWindowBytes;
    const limits = { stepsMax, ...(windowBytes === undefined ? {} : { windowBytes }) };
    const from = { ...branch, depth };
    const walk = new PickleMachine(this.#file, this.reader.at, this.#end, limits, from).run();
    this.#plain = false;
    this.#steps += walk.steps;
    return walk;
  }

  stop(): void {
    this.#result = this.pop();
    if (this.#stack.length > 0)
      this.problem('pickle-stack', 'The pickle leaves more than one value on the stack');
    this.complete = true;
  }

  /** Passes over a text or bytes and returns the text where it is short enough for a name. */
  textOf(length: number): Value {
    if (length > textBytesMax) {
      this.skipBytes(length);
      return longText;
    }
    const start = this.reader.at;
    const text = this.reader.text(length);
    if (text.startsWith('\ufffd')) this.#notes.carry({ start, end: this.reader.at });
    return this.noteText(text);
  }

  /** Keeps a text that starts as a pickle does. */
  noteText(text: string): string {
    if (text.startsWith('\u0080')) this.#notes.carry({ text });
    return text;
  }

  /** Passes over bytes. */
  skipBytes(length: number): void {
    const start = this.reader.at;
    this.reader.skip(length);
    if (length > 2) this.#notes.carry({ start, end: start + length });
  }

  /** Reads up to the end of a line. */
  line(): string {
    const bytes: number[] = [];
    for (let byte = this.reader.u8(); byte !== 0x0a; byte = this.reader.u8()) {
      bytes.push(byte);
      if (bytes.length > lineBytesMax) {
        this.#veiled ||= this.#protocols > 0;
        this.#stopWalk('pickle-unresolved', 'A line is longer than any name');
      }
    }
    return Buffer.from(bytes).toString();
  }
}
