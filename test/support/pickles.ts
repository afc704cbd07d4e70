/** Opcodes without arguments, by name. */
export const op = {
  mark: Buffer.from('('),
  stop: Buffer.from('.'),
  pop: Buffer.from('0'),
  dup: Buffer.from('2'),
  reduce: Buffer.from('R'),
  build: Buffer.from('b'),
  obj: Buffer.from('o'),
  newobj: Buffer.from([0x81]),
  newobjEx: Buffer.from([0x92]),
  none: Buffer.from('N'),
  emptyTuple: Buffer.from(')'),
  emptyDict: Buffer.from('}'),
  emptyList: Buffer.from(']'),
  tuple: Buffer.from('t'),
  tuple1: Buffer.from([0x85]),
  tuple2: Buffer.from([0x86]),
  setitems: Buffer.from('u'),
  appends: Buffer.from('e'),
  memoize: Buffer.from([0x94]),
  stackGlobal: Buffer.from([0x93]),
  binpersid: Buffer.from('Q'),
  true: Buffer.from([0x88]),
} as const;

export const proto = (version: number): Buffer => Buffer.from([0x80, version]);

/** GLOBAL of protocol 0. */
export const globalOp = (module: string, name: string): Buffer =>
  Buffer.from(`c${module}\n${name}\n`);

/** INST of protocol 0; the arguments stand behind the last MARK. */
export const instOp = (module: string, name: string): Buffer =>
  Buffer.from(`i${module}\n${name}\n`);

/** SHORT_BINUNICODE. */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([0x8c, bytes.length]), bytes]);
}

/** BINUNICODE, as protocol 2 writes texts. */
export function longText(value: string): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.from([0x58, 0, 0, 0, 0]);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** BINBYTES. */
export function bytesOp(bytes: Buffer): Buffer {
  const head = Buffer.from([0x42, 0, 0, 0, 0]);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export const integer = (value: number): Buffer => {
  const bytes = Buffer.from([0x4a, 0, 0, 0, 0]);
  bytes.writeInt32LE(value, 1);
  return bytes;
};

export const binput = (index: number): Buffer => Buffer.from([0x71, index]);
export const binget = (index: number): Buffer => Buffer.from([0x68, index]);

/** A pickle: PROTO, the opcodes, STOP. */
export function pickleOf(version: number, ...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...(version < 2 ? [] : [proto(version)]), ...parts, op.stop]);
}

/** Calls what was imported with one text. */
export function callOf(imported: Buffer, argument = 'id'): Buffer {
  return Buffer.concat([imported, text(argument), op.tuple1, op.reduce]);
}

/** A storage of PyTorch: the persistent id that `torch.save` writes. */
function torchStorage(key: string, elements: number, type = 'FloatStorage'): Buffer {
  return Buffer.concat([
    op.mark,
    longText('storage'),
    globalOp('torch', type),
    longText(key),
    longText('cpu'),
    integer(elements),
    op.tuple,
    op.binpersid,
  ]);
}

/** A tensor of PyTorch with one dimension, over a whole storage. */
export function torchTensor(key: string, elements: number, type?: string): Buffer {
  return Buffer.concat([
    globalOp('torch._utils', '_rebuild_tensor_v2'),
    op.mark,
    torchStorage(key, elements, type),
    integer(0),
    integer(elements),
    op.tuple1,
    integer(1),
    op.tuple1,
    Buffer.from([0x89]),
    globalOp('collections', 'OrderedDict'),
    op.emptyTuple,
    op.reduce,
    op.tuple,
    op.reduce,
  ]);
}

/** A dict of texts to values, as a pickle of protocol 2. */
export function stateDict(values: Readonly<Record<string, Buffer>>): Buffer {
  const items = Object.entries(values).flatMap(([name, value]) => [longText(name), value]);
  return pickleOf(2, op.emptyDict, op.mark, ...items, op.setitems);
}
