import { memoIndex } from './pickle-memo.ts';
import {
  mark,
  nothing,
  pythonText,
  rawUnicodeText,
  unknownValue,
  type Value,
} from './pickle-values.ts';
import type { PickleMachine } from './pickle-walk.ts';

/** Does what one opcode does to the state of a walk; its argument is next to read. */
type Opcode = (machine: PickleMachine) => void;

const pushUnknown: Opcode = (machine) => machine.push(unknownValue);
const pushContainer: Opcode = (machine) => machine.box([]);

/** Pushes a value of fixed size that does not matter. */
const pushFixed =
  (bytes: number): Opcode =>
  (machine) => {
    machine.reader.skip(bytes);
    machine.push(unknownValue);
  };

/** Passes over bytes with their length before them, and pushes an unknown value. */
const pushBytes =
  (length: (machine: PickleMachine) => number): Opcode =>
  (machine) => {
    machine.skipBytes(length(machine));
    machine.push(unknownValue);
  };

const pushText =
  (length: (machine: PickleMachine) => number): Opcode =>
  (machine) =>
    machine.push(machine.textOf(length(machine)));

const u1 = ({ reader }: PickleMachine): number => reader.u8();
const u4 = ({ reader }: PickleMachine): number => reader.u32();
const u8 = ({ reader }: PickleMachine): number => reader.u64();

/** A signed length; a negative one is refused as a length that cannot be. */
const i4 = ({ reader }: PickleMachine): number => {
  const value = reader.u32();
  return value < 2 ** 31 ? value : Number.POSITIVE_INFINITY;
};

const tuple =
  (count: number): Opcode =>
  (machine) => {
    const values = Array.from({ length: count }, () => machine.pop());
    machine.box(values.reverse());
  };

const boxOfMarked: Opcode = (machine) => machine.box(machine.popMark());
const extendMarked: Opcode = (machine) => machine.extend(machine.popMark());

const extension =
  (code: (machine: PickleMachine) => number): Opcode =>
  (machine) => {
    const number = code(machine);
    machine.problem('pickle-extension', `The extension ${number} of copyreg is imported`);
    machine.push(unknownValue);
  };

function integerOf(line: string): Value {
  const text = line.trim().replace(/L$/, '');
  const value = /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined;
  return value ?? unknownValue;
}

function longInteger(machine: PickleMachine, length: number): void {
  if (length > 6) {
    machine.reader.skip(length);
    machine.push(unknownValue);
    return;
  }
  const bytes = Buffer.from(machine.reader.bytes(length));
  machine.push(length === 0 ? 0 : bytes.readIntLE(0, length));
}

const pushLine: Opcode = (machine) => {
  machine.line();
  machine.push(unknownValue);
};

const numbers: Readonly<Record<number, Opcode>> = {
  // BININT, BININT1, BININT2, INT, LONG, LONG1, LONG4, FLOAT, BINFLOAT
  74: (machine) => machine.push(machine.reader.u32() | 0),
  75: (machine) => machine.push(machine.reader.u8()),
  77: (machine) => machine.push(machine.reader.u16()),
  73: (machine) => machine.push(integerOf(machine.line())),
  76: (machine) => machine.push(integerOf(machine.line())),
  138: (machine) => longInteger(machine, machine.reader.u8()),
  139: (machine) => longInteger(machine, i4(machine)),
  70: pushLine,
  71: pushFixed(8),
  // NONE, NEWTRUE, NEWFALSE
  78: pushUnknown,
  136: pushUnknown,
  137: pushUnknown,
};

const texts: Readonly<Record<number, Opcode>> = {
  // STRING, BINSTRING, SHORT_BINSTRING
  83: (machine) => {
    const text = pythonText(machine.line());
    machine.push(text === undefined ? unknownValue : machine.noteText(text));
  },
  84: pushText(i4),
  85: pushText(u1),
  // UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
  86: (machine) => machine.push(machine.noteText(rawUnicodeText(machine.line()))),
  88: pushText(u4),
  140: pushText(u1),
  141: pushText(u8),
  // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
  66: pushBytes(u4),
  67: pushBytes(u1),
  142: pushBytes(u8),
  150: pushBytes(u8),
  // NEXT_BUFFER, READONLY_BUFFER
  151: pushUnknown,
  152: () => undefined,
};

const containers: Readonly<Record<number, Opcode>> = {
  // EMPTY_LIST, EMPTY_DICT, EMPTY_TUPLE, EMPTY_SET
  93: pushContainer,
  125: pushContainer,
  41: pushContainer,
  143: pushContainer,
  // LIST, DICT, TUPLE, FROZENSET
  108: boxOfMarked,
  100: boxOfMarked,
  116: boxOfMarked,
  145: boxOfMarked,
  // TUPLE1, TUPLE2, TUPLE3
  133: tuple(1),
  134: tuple(2),
  135: tuple(3),
  // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS
  97: (machine) => machine.extend([machine.pop()]),
  101: extendMarked,
  115: (machine) => {
    const value = machine.pop();
    machine.extend([machine.pop(), value]);
  },
  117: extendMarked,
  144: extendMarked,
};

const stackAndMemo: Readonly<Record<number, Opcode>> = {
  // MARK, POP, POP_MARK, DUP
  40: (machine) => machine.push(mark),
  48: (machine) => {
    machine.pop();
  },
  49: (machine) => {
    machine.popMark();
  },
  50: (machine) => machine.duplicate(),
  // PUT, BINPUT, LONG_BINPUT, MEMOIZE
  112: (machine) => machine.remember(machine.index(memoIndex(machine.line()))),
  113: (machine) => machine.remember(machine.reader.u8()),
  114: (machine) => machine.remember(machine.reader.u32()),
  148: (machine) => machine.remember(),
  // GET, BINGET, LONG_BINGET
  103: (machine) => machine.recall(machine.index(memoIndex(machine.line()))),
  104: (machine) => machine.recall(machine.reader.u8()),
  106: (machine) => machine.recall(machine.reader.u32()),
};

const importsAndCalls: Readonly<Record<number, Opcode>> = {
  // GLOBAL, STACK_GLOBAL, EXT1, EXT2, EXT4
  99: (machine) => {
    const module = machine.line();
    machine.push(machine.import(module, machine.line(), 'GLOBAL') ?? unknownValue);
  },
  147: (machine) => {
    const name = machine.pop();
    machine.push(machine.import(machine.pop(), name, 'STACK_GLOBAL') ?? unknownValue);
  },
  130: extension(u1),
  131: extension(({ reader }) => reader.u16()),
  132: extension(({ reader }) => reader.u32()),
  // INST, OBJ
  105: (machine) => {
    const module = machine.line();
    const callee = machine.import(module, machine.line(), 'INST');
    machine.call(callee ?? unknownValue, machine.popMark());
  },
  111: (machine) => {
    const [callee = nothing, ...values] = machine.popMark();
    machine.call(callee, values);
  },
  // REDUCE, NEWOBJ, NEWOBJ_EX, BUILD
  82: (machine) => {
    const values = machine.pop();
    machine.call(machine.pop(), [values]);
  },
  129: (machine) => {
    const values = machine.pop();
    machine.call(machine.pop(), [values]);
  },
  146: (machine) => {
    const named = machine.pop();
    const values = machine.pop();
    machine.call(machine.pop(), [values, named]);
  },
  98: (machine) => machine.build(machine.pop()),
  // PERSID, BINPERSID
  80: (machine) => {
    machine.line();
    machine.persistent(unknownValue);
  },
  81: (machine) => machine.persistent(machine.pop()),
};

/** What each opcode does, by its byte. Source: Lib/pickletools.py of CPython. */
export const opcodes: Readonly<Record<number, Opcode>> = {
  ...numbers,
  ...texts,
  ...containers,
  ...stackAndMemo,
  ...importsAndCalls,
  // PROTO, FRAME, STOP
  128: (machine) => machine.protocol(machine.reader.u8()),
  149: (machine) => machine.reader.skip(8),
  46: (machine) => machine.stop(),
};
