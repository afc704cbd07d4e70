import type { Rule } from './rules.ts';
import type { TorchStorage, TorchTensor } from './torch-objects.ts';

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
interface PickleProblem {
  readonly rule: Rule;
  readonly at: number;
  readonly message: string;
}

/** What an opcode carries: a part of the file, or a text. */
export type Carried = { readonly start: number; readonly end: number } | { readonly text: string };

/** Problems of one rule that are noted: one that stands often leaves room for the others. */
const problemsMax = 50;
const carriedMax = 1000;
/** Tensors and storages that are noted. */
const objectsMax = 1_000_000;

/** Collects what is worth knowing of a pickle while it is walked. */
export class PickleNotes {
  readonly imports: PickleImport[] = [];
  readonly problems: PickleProblem[] = [];
  /** Bytes and texts inside, which may be pickles themselves. */
  readonly carried: Carried[] = [];
  /** Tensors of PyTorch that are made. */
  readonly tensors: TorchTensor[] = [];
  /** Storages of PyTorch that are asked for, by key. */
  readonly storages = new Map<string, TorchStorage>();
  readonly #counts = new Map<Rule, number>();

  problem(rule: Rule, message: string, at: number): void {
    const count = this.#counts.get(rule) ?? 0;
    this.#counts.set(rule, count + 1);
    if (count < problemsMax) this.problems.push({ rule, message, at });
  }

  carry(carried: Carried): void {
    if (this.carried.length < carriedMax) this.carried.push(carried);
  }

  tensor(tensor: TorchTensor | undefined): void {
    if (tensor !== undefined && this.tensors.length < objectsMax) this.tensors.push(tensor);
  }

  storage(storage: TorchStorage): void {
    if (this.storages.size < objectsMax) this.storages.set(storage.key, storage);
  }

  /** Takes over what was noted of a pickle inside of this one. */
  include(inner: PickleNotes): void {
    for (const one of inner.imports) this.imports.push(one);
    for (const { rule, message, at } of inner.problems) this.problem(rule, message, at);
    for (const one of inner.carried) this.carry(one);
  }
}

/** What the opcodes of one pickle do. */
export interface PickleWalk {
  readonly notes: PickleNotes;
  /** Offset behind the last opcode that was understood. */
  readonly end: number;
  /** Whether STOP was met. */
  readonly complete: boolean;
  /** Whether the walk ended at a limit, where the pickle goes on. */
  readonly exhausted: boolean;
  /** Opcodes that were walked, and how many kinds of them, up to 2. */
  readonly steps: number;
  readonly kinds: number;
  /** Calls of what was imported. */
  readonly calls: number;
  /** Whether the name of an import is too long to be judged. */
  readonly veiled: boolean;
  /** The integer that STOP left on the stack. */
  readonly integer: number | undefined;
  /** Whether all opcodes are among those of PyTorch's own reader of weights. */
  readonly plainOpcodes: boolean;
}

/** Bounds of a walk. */
export interface PickleLimits {
  readonly stepsMax: number;
  /** Bytes of one read after a jump. */
  readonly windowBytes?: number;
}

const plausibleName = /^[\p{L}_][\p{L}\p{N}_.]*$/u;

/** Tells whether an import may be one of a pickle, and is not what other bytes seem to make. */
export function isPlausible({ module, name }: PickleImport): boolean {
  return plausibleName.test(module) && plausibleName.test(name);
}

/** Tells whether bytes that nothing marks as a pickle are one: two lines of text may look like an import. */
export function isPickleAllTheSame({ notes, calls, complete }: PickleWalk): boolean {
  return notes.imports.some(isPlausible) && (calls > 0 || complete);
}
