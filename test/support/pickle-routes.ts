import {
  binget,
  binput,
  bytesOp,
  callOf,
  globalOp,
  instOp,
  integer,
  longText,
  op,
  pickleOf,
  stateDict,
  text,
  torchTensor,
} from './pickles.ts';
import { zipFile } from './zip.ts';

/** A file that runs code when it is loaded: it makes the folder `ran` in the current one. */
export interface PickleRoute {
  /** For people. */
  readonly route: string;
  readonly file: string;
  readonly bytes: Buffer;
}

const stackGlobal = (module: string, name: string): Buffer =>
  Buffer.concat([text(module), text(name), op.stackGlobal]);
const call = (imported: Buffer, ...values: readonly Buffer[]): Buffer =>
  Buffer.concat([imported, op.mark, ...values, op.tuple, op.reduce]);
const mkdir = callOf(globalOp('os', 'mkdir'), 'ran');
const python = "__import__('os').mkdir('ran')";
const program = Buffer.concat([op.emptyList, op.mark, text('mkdir'), text('ran'), op.appends]);
const importOs = callOf(globalOp('builtins', '__import__'), 'os');
const evaluate = (module: string, name: string): Buffer => callOf(globalOp(module, name), python);
const unicode = (escaped: string): Buffer => Buffer.from(`V${escaped}\n`);
const line = (value: string): Buffer => Buffer.from(`S'${value}'\n`);
const state = (...items: readonly Buffer[]): Buffer =>
  Buffer.concat([op.emptyDict, op.mark, ...items, op.setitems]);
const namespace = globalOp('argparse', 'Namespace');

const opcodes: ReadonlyArray<readonly [string, Buffer]> = [
  ['GLOBAL, REDUCE', pickleOf(0, mkdir)],
  ['STACK_GLOBAL, REDUCE', pickleOf(4, callOf(stackGlobal('os', 'mkdir'), 'ran'))],
  ['INST', pickleOf(0, op.mark, text('ran'), instOp('os', 'mkdir'))],
  ['OBJ', pickleOf(1, op.mark, globalOp('os', 'mkdir'), text('ran'), op.obj)],
  ['INST of a class', pickleOf(1, op.mark, program, instOp('subprocess', 'Popen'))],
  ['OBJ of a class', pickleOf(1, op.mark, globalOp('subprocess', 'Popen'), program, op.obj)],
  [
    'BUILD that gives a class another `__setstate__`, then BUILD',
    pickleOf(
      2,
      ...[namespace, op.none, state(text('__setstate__'), globalOp('os', 'mkdir'))],
      ...[op.tuple2, op.build, op.emptyTuple, op.reduce, text('ran'), op.build],
    ),
  ],
  [
    'STACK_GLOBAL of texts from the memo',
    pickleOf(
      4,
      ...[text('mkdir'), binput(7), op.pop, text('os'), binget(7), op.stackGlobal],
      ...[text('ran'), op.tuple1, op.reduce],
    ),
  ],
  [
    'STACK_GLOBAL of texts with escapes',
    pickleOf(
      4,
      ...[unicode('\\u006f\\u0073'), unicode('\\u006d\\u006b\\u0064\\u0069\\u0072')],
      ...[op.stackGlobal, text('ran'), op.tuple1, op.reduce],
    ),
  ],
  [
    'STACK_GLOBAL of STRING',
    pickleOf(4, line('os'), line('mkdir'), op.stackGlobal, text('ran'), op.tuple1, op.reduce),
  ],
  [
    'STACK_GLOBAL of BINUNICODE after DUP and POP',
    pickleOf(
      4,
      ...[longText('os'), op.dup, op.pop, longText('mkdir'), op.stackGlobal],
      ...[text('ran'), op.tuple1, op.reduce],
    ),
  ],
  ['a dotted name', pickleOf(4, callOf(stackGlobal('shutil', 'os.mkdir'), 'ran'))],
  [
    'EXT1, after `copyreg.add_extension`',
    pickleOf(
      2,
      call(globalOp('copyreg', 'add_extension'), text('os'), text('mkdir'), integer(77)),
      ...[op.pop, Buffer.from([0x82, 77]), text('ran'), op.tuple1, op.reduce],
    ),
  ],
  ['a pickle that is cut off behind the call', Buffer.concat([Buffer.from([0x80, 2]), mkdir])],
  [
    'an opcode that is none behind the call',
    Buffer.concat([Buffer.from([0x80, 2]), mkdir, Buffer.from([0xff]), op.stop]),
  ],
  [
    'a pickle in a pickle',
    pickleOf(2, globalOp('pickle', 'loads'), bytesOp(pickleOf(0, mkdir)), op.tuple1, op.reduce),
  ],
];

const names: ReadonlyArray<readonly [string, Buffer]> = [
  ['`builtins.eval`', pickleOf(2, evaluate('builtins', 'eval'))],
  ['`builtins.exec`', pickleOf(2, evaluate('builtins', 'exec'))],
  ['`__builtin__.eval`, a name of Python 2', pickleOf(2, evaluate('__builtin__', 'eval'))],
  [
    '`builtins.getattr` of `__import__`',
    pickleOf(
      2,
      ...[call(globalOp('builtins', 'getattr'), importOs, text('mkdir')), text('ran')],
      ...[op.tuple1, op.reduce],
    ),
  ],
  [
    '`operator.methodcaller`',
    pickleOf(
      2,
      call(globalOp('operator', 'methodcaller'), text('mkdir'), text('ran')),
      ...[callOf(globalOp('importlib', 'import_module'), 'os'), op.tuple1, op.reduce],
    ),
  ],
  [
    '`functools.partial`',
    pickleOf(
      2,
      call(globalOp('functools', 'partial'), globalOp('os', 'mkdir'), text('ran')),
      ...[op.emptyTuple, op.reduce],
    ),
  ],
  ['`posix.mkdir`', pickleOf(2, callOf(globalOp('posix', 'mkdir'), 'ran'))],
  ['`pathlib.os.mkdir`', pickleOf(4, callOf(stackGlobal('pathlib', 'os.mkdir'), 'ran'))],
  [
    '`shutil.copytree`',
    pickleOf(2, call(globalOp('shutil', 'copytree'), text('from'), text('ran'))),
  ],
  ['`timeit.timeit`', pickleOf(2, call(globalOp('timeit', 'timeit'), text(python), text('pass')))],
  ['`cProfile.run`', pickleOf(2, evaluate('cProfile', 'run'))],
  ['`profile.run`', pickleOf(2, evaluate('profile', 'run'))],
  ['`code.InteractiveInterpreter`', interpreter()],
  [
    '`runpy._run_code`',
    pickleOf(2, call(globalOp('runpy', '_run_code'), compiled(), state(), state())),
  ],
  [
    '`subprocess.check_output`',
    pickleOf(2, globalOp('subprocess', 'check_output'), program, op.tuple1, op.reduce),
  ],
  ['`bdb.Bdb`', bdbRun()],
  ['`numpy.testing` runstring', numpyRun()],
  ['`logging.config._resolve`', pickleOf(2, loggingResolve())],
  [
    '`pathlib.Path.mkdir`',
    pickleOf(
      4,
      ...[stackGlobal('pathlib', 'Path.mkdir'), callOf(stackGlobal('pathlib', 'Path'), 'ran')],
      ...[op.tuple1, op.reduce],
    ),
  ],
  ['`typing.ForwardRef._evaluate`', forwardReference()],
  ['`dataclasses._create_fn`', createdFunction()],
];

function compiled(): Buffer {
  return call(globalOp('builtins', 'compile'), text(python), text('x'), text('exec'));
}

function interpreter(): Buffer {
  const made = call(globalOp('code', 'InteractiveInterpreter'));
  const method = call(globalOp('builtins', 'getattr'), made, text('runcode'));
  return pickleOf(2, method, compiled(), op.tuple1, op.reduce);
}

function numpyRun(): Buffer {
  const run = globalOp('numpy.testing._private.utils', 'runstring');
  return pickleOf(2, call(run, text(python), state()));
}

function bdbRun(): Buffer {
  const run = call(globalOp('builtins', 'getattr'), call(globalOp('bdb', 'Bdb')), text('run'));
  return pickleOf(2, callOf(run, python));
}

function forwardReference(): Buffer {
  const made = callOf(stackGlobal('typing', 'ForwardRef'), python);
  const guard = call(stackGlobal('builtins', 'frozenset'));
  return pickleOf(
    4,
    call(stackGlobal('typing', 'ForwardRef._evaluate'), made, state(), state(), guard),
  );
}

function createdFunction(): Buffer {
  const body = Buffer.concat([op.emptyList, op.mark, text(python), op.appends]);
  const made = call(globalOp('dataclasses', '_create_fn'), text('f'), op.emptyList, body);
  return pickleOf(2, made, op.emptyTuple, op.reduce);
}

function loggingResolve(): Buffer {
  return callOf(callOf(globalOp('logging.config', '_resolve'), 'os.mkdir'), 'ran');
}

const npyFields = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n";
const npyHead = Buffer.concat([
  Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
  Buffer.from([npyFields.length, 0]),
  Buffer.from(npyFields),
]);

const wrapped: readonly PickleRoute[] = [
  {
    route: 'an array of objects of NumPy',
    file: 'm.npy',
    bytes: Buffer.concat([npyHead, pickleOf(2, mkdir)]),
  },
  {
    route: 'the same in an archive of NumPy',
    file: 'm.npz',
    bytes: zipFile([{ name: 'a.npy', bytes: Buffer.concat([npyHead, pickleOf(2, mkdir)]) }]),
  },
  { route: 'under a name that says nothing', file: 'weights', bytes: pickleOf(2, mkdir) },
  { route: 'under the name of a text', file: 'notes.txt', bytes: pickleOf(2, mkdir) },
  {
    route: 'the second pickle of a file',
    file: 'm.pkl',
    bytes: Buffer.concat([pickleOf(2, op.none), pickleOf(2, mkdir)]),
  },
];

/** Files that run nothing, of names that weights need. */
export const harmlessPickles: readonly PickleRoute[] = [
  { route: 'numbers and texts', file: 'm.pkl', bytes: pickleOf(4, state(text('a'), integer(1))) },
  { route: 'a state dict of PyTorch', file: 'm.pkl', bytes: stateDict({ a: torchTensor('0', 4) }) },
  {
    route: 'an array of NumPy',
    file: 'm.pkl',
    bytes: pickleOf(
      2,
      call(
        globalOp('numpy.core.multiarray', '_reconstruct'),
        ...[globalOp('numpy', 'ndarray'), integer(0), op.tuple1, bytesOp(Buffer.from('b'))],
      ),
    ),
  },
];

/** Every known way by which a pickle runs code. */
export const pickleRoutes: readonly PickleRoute[] = [
  ...[...opcodes, ...names].map(([route, bytes]) => ({ route, file: 'm.pkl', bytes })),
  ...wrapped,
];
