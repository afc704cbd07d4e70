import type { ByteReader } from '../weights/byte-reader.ts';
import { NotThisFormat, WindowReader } from '../weights/window-reader.ts';
import { joblibArray } from './joblib-array.ts';
import { opcodes } from './pickle-opcodes.ts';
import { Box, ImportedValue, mark, unknownValue, type Value } from './pickle-values.ts';
import type { Rule } from './rules.ts';
import { BudgetSpent } from './source.ts';
import { storageOf, type TorchStorage, type TorchTensor, tensorOf } from './torch-objects.ts';

/** An import that a pickle makes. */
export interface PickleImport {
  readonly module: string;
  readonly name: string;
  /** Offset of the opcode in the file. */
  readonly at: number;
  /** The opcode. */
  readonly route: 'GLOBAL' | 'INST' | 'STACK_GLOBAL';
}

/** Something about a pickle that breaks a rule by itself, whatever is imported. */
export interface PickleProblem {
  readonly rule: Rule;
  readonly at: number;
  readonly message: string;
}

/** What the opcodes of one pickle do. */
export interface PickleWalk {
  readonly imports: readonly PickleImport[];
  readonly problems: readonly PickleProblem[];
  /** Offset behind the last opcode that was understood. */
  readonly end: number;
  /** Whether STOP was met. */
  readonly complete: boolean;
  /** Opcodes that were walked. */
  readonly steps: number;
  /** The integer that STOP left on the stack. */
  readonly integer: number | undefined;
  /** Whether all opcodes are among those of PyTorch's own reader of weights. */
  readonly plainOpcodes: boolean;
  /** Tensors of PyTorch that are made. */
  readonly tensors: readonly TorchTensor[];
  /** Storages of PyTorch that are asked for, by key. */
  readonly storages: ReadonlyMap<string, TorchStorage>;
  /** Bytes that an opcode carries, and texts, which may be pickles themselves. */
  readonly carried: readonly Carried[];
}

/** What an opcode carries: a part of the file, or a text. */
export type Carried = { readonly start: number; readonly end: number } | { readonly text: string };

/** Bounds of a walk. */
export interface PickleLimits {
  readonly stepsMax: number;
  /** Bytes of one read after a jump. */
  readonly windowBytes?: number;
}

/** Names of modules and attributes, and texts that may become them. */
const textBytesMax = 4096;
const lineBytesMax = 64 * 1024;
const stackMax = 2_000_000;
const memoMax = 8_000_000;
const problemsMax = 200;
const importsMax = 20_000;
const carriedMax = 1000;
/** Tensors and storages that are noted. */
const objectsMax = 1_000_000;
/** Arrays of objects inside each other. */
const depthMax = 4;
/** Values in containers, shared ones counted each time: no real file comes near. */
const weightMax = 2 ** 40;
/** No program that writes pickles uses DUP. */
const dupMax = 64;

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
 * Source: Lib/pickletools.py of CPython.
 */
export function walkPickle(
  file: ByteReader,
  start: number,
  end: number,
  limits: PickleLimits,
): PickleWalk {
  return new PickleMachine(file, start, end, limits).run();
}

/** The state of a walk; the table of opcodes works on it. */
export class PickleMachine {
  readonly reader: WindowReader;
  /** Offset of the opcode that is at work. */
  at: number;
  complete = false;
  readonly #stack: Value[] = [];
  readonly #memo = new Map<number, Value>();
  readonly #imports: PickleImport[] = [];
  readonly #problems: PickleProblem[] = [];
  readonly #limits: PickleLimits;
  #steps = 0;
  #dups = 0;
  #protocols = 0;
  #plain = true;
  #result: Value = unknownValue;
  readonly #carried: Carried[] = [];
  readonly #tensors: TorchTensor[] = [];
  readonly #storages = new Map<string, TorchStorage>();
  readonly #file: ByteReader;
  readonly #end: number;
  readonly #depth: number;

  constructor(file: ByteReader, start: number, end: number, limits: PickleLimits, depth = 0) {
    this.#file = file;
    this.#end = end;
    this.#depth = depth;
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
      if (error instanceof BudgetSpent) {
        this.problem('not-read-to-end', 'The pickle was not read to its end');
      } else if (error instanceof NotThisFormat) {
        this.problem('pickle-broken', 'The pickle is cut short, or holds a length that cannot be');
      } else if (!(error instanceof WalkEnds)) throw error;
    }
    return {
      imports: this.#imports,
      problems: this.#problems,
      end,
      complete: this.complete,
      steps: this.#steps,
      integer: typeof this.#result === 'number' ? this.#result : undefined,
      plainOpcodes: this.#plain,
      carried: this.#carried,
      tensors: this.#tensors,
      storages: this.#storages,
    };
  }

  #step(): void {
    if (this.#steps >= this.#limits.stepsMax) {
      this.problem('not-read-to-end', 'The pickle has more opcodes than are walked');
      throw new WalkEnds();
    }
    const code = this.reader.u8();
    const work = opcodes[code];
    if (work === undefined) {
      this.problem('pickle-broken', `There is no opcode 0x${code.toString(16).padStart(2, '0')}`);
      throw new WalkEnds();
    }
    this.#plain &&= plain.has(code);
    work(this);
    this.#steps++;
  }

  problem(rule: Rule, message: string): void {
    if (this.#problems.length < problemsMax) this.#problems.push({ rule, message, at: this.at });
  }

  push(value: Value): void {
    if (this.#stack.length >= stackMax) {
      this.problem('pickle-bomb', 'The pickle leaves more on the stack than any real one');
      throw new WalkEnds();
    }
    this.#stack.push(value);
  }

  pop(): Value {
    const value = this.#stack.pop();
    if (value !== undefined) return value;
    this.problem('pickle-stack', 'An opcode takes more than the stack holds');
    return unknownValue;
  }

  /** The last value, which stays. */
  top(): Value {
    return this.#stack.at(-1) ?? unknownValue;
  }

  /** Takes all values behind the last MARK, and the mark. */
  popMark(): Value[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) this.problem('pickle-stack', 'An opcode needs a MARK, and there is none');
    const values = this.#stack.splice(Math.max(at, 0));
    if (at >= 0) values.shift();
    return values;
  }

  /** Pushes a container of values. */
  box(values: readonly Value[]): void {
    const box = new Box();
    this.#fill(box, values);
    this.push(box);
  }

  /** Puts values into the container on top of the stack. */
  extend(values: readonly Value[]): void {
    const top = this.top();
    if (top instanceof Box) this.#fill(top, values);
  }

  #fill(box: Box, values: readonly Value[]): void {
    box.put(values);
    if (box.weight > weightMax)
      this.problem(
        'pickle-bomb',
        'Containers hold each other so often that walking them never ends',
      );
  }

  duplicate(): void {
    this.#dups++;
    if (this.#dups === dupMax) this.problem('pickle-bomb', `DUP is used ${dupMax} times and more`);
    this.push(this.top());
  }

  protocol(number: number): void {
    this.#protocols++;
    if (this.#steps > 0) this.problem('pickle-protocol', 'PROTO is not the first opcode');
    if (this.#protocols > 1) this.problem('pickle-protocol', 'PROTO is there more than once');
    if (number > 5) this.problem('pickle-protocol', `There is no protocol ${number}`);
  }

  remember(index: number | undefined, value = this.top()): void {
    if (this.#memo.size >= memoMax) {
      this.problem('pickle-bomb', 'The memo holds more than that of any real pickle');
      throw new WalkEnds();
    }
    this.#memo.set(index ?? this.#memo.size, value);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.problem('pickle-stack', `The memo has nothing at ${index}`);
    this.push(value ?? unknownValue);
  }

  /** Imports a name; what is no text cannot be told beforehand. */
  import(module: Value, name: Value, route: PickleImport['route']): ImportedValue | undefined {
    if (typeof module !== 'string' || typeof name !== 'string') {
      this.problem('pickle-unresolved', `What ${route} imports cannot be told beforehand`);
      return undefined;
    }
    if (this.#imports.length >= importsMax) {
      this.problem('pickle-bomb', 'The pickle imports more than any real one');
      throw new WalkEnds();
    }
    this.#imports.push({ module, name, at: this.at, route });
    return new ImportedValue(module, name);
  }

  /** Calls something, and pushes what it gives. */
  call(callee: Value, args: readonly Value[]): void {
    if (!(callee instanceof ImportedValue)) {
      this.problem('pickle-unresolved', 'What is called was made while loading');
      this.push(unknownValue);
      return;
    }
    const box = new Box(callee);
    this.#fill(box, args);
    this.push(box);
    const tensor = tensorOf(callee, args);
    if (tensor !== undefined && this.#tensors.length < objectsMax) this.#tensors.push(tensor);
  }

  /** Asks the loader for an object of its own, such as a storage of PyTorch. */
  persistent(id: Value): void {
    const storage = storageOf(id);
    if (storage !== undefined && this.#storages.size < objectsMax)
      this.#storages.set(storage.key, storage);
    this.box([id]);
  }

  /** Sets the state of the object on top of the stack. */
  build(state: Value): void {
    const top = this.top();
    if (top instanceof ImportedValue) {
      this.problem('pickle-patch', `BUILD sets attributes of ${top.module}.${top.name} itself`);
    }
    if (!(top instanceof Box)) return;
    this.#fill(top, [state]);
    if (top.maker?.name === 'NumpyArrayWrapper') this.#passArray(top);
  }

  /** Passes over the bytes of an array that joblib puts between opcodes. */
  #passArray(wrapper: Box): void {
    const array = joblibArray(wrapper);
    if (array === undefined) {
      this.problem('not-read-to-end', 'The pickle goes on behind an array of unknown size');
      throw new WalkEnds();
    }
    if (array.isPadded) this.reader.skip(this.reader.u8());
    if (array.bytes !== undefined) {
      this.reader.skip(array.bytes);
      return;
    }
    // An array of objects is a pickle of its own in the middle of this one.
    if (this.#depth >= depthMax) throw new NotThisFormat();
    const { at } = this.reader;
    const limits = { ...this.#limits, stepsMax: this.#limits.stepsMax - this.#steps };
    const inner = new PickleMachine(this.#file, at, this.#end, limits, this.#depth + 1).run();
    this.#imports.push(...inner.imports.slice(0, importsMax));
    this.#problems.push(...inner.problems);
    this.#carried.push(...inner.carried);
    this.#plain = false;
    this.#steps += inner.steps;
    if (!inner.complete) throw new WalkEnds();
    this.reader.skip(inner.end - at);
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
      return unknownValue;
    }
    const start = this.reader.at;
    const text = this.reader.text(length);
    if (text.startsWith('\ufffd')) this.#carry({ start, end: this.reader.at });
    return this.noteText(text);
  }

  /** Keeps a text that starts as a pickle does. */
  noteText(text: string): string {
    if (text.startsWith('\u0080')) this.#carry({ text });
    return text;
  }

  /** Passes over bytes. */
  skipBytes(length: number): void {
    const start = this.reader.at;
    this.reader.skip(length);
    if (length > 2) this.#carry({ start, end: start + length });
  }

  #carry(carried: Carried): void {
    if (this.#carried.length < carriedMax) this.#carried.push(carried);
  }

  /** Reads up to the end of a line. */
  line(): string {
    const bytes: number[] = [];
    for (let byte = this.reader.u8(); byte !== 0x0a; byte = this.reader.u8()) {
      bytes.push(byte);
      if (bytes.length > lineBytesMax) throw new NotThisFormat();
    }
    return Buffer.from(bytes).toString();
  }
}
