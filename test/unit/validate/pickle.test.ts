import { describe, expect, it } from 'vitest';
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
  proto,
  stateDict,
  text,
  torchTensor,
} from '../../support/pickles.ts';
import { brokenRules, validateBytes } from '../../support/validate.ts';

const system = globalOp('os', 'system');
const allowed = globalOp('collections', 'OrderedDict');
const unknown = globalOp('my.package', 'Thing');
const stackGlobal = (module: string, name: string): Buffer =>
  Buffer.concat([text(module), text(name), op.stackGlobal]);

/** The same with a name of more than 255 bytes. */
const stackGlobal255 = (module: string, name: string): Buffer =>
  Buffer.concat([text(module), longText(name), op.stackGlobal]);

const rulesOf = (bytes: Buffer, name = 'm.pkl'): string[] =>
  brokenRules(validateBytes(name, bytes));
const namesOf = (bytes: Buffer): string[] =>
  (validateBytes('m.pkl', bytes).summary.imports ?? []).map(({ name }) => name);

describe('a pickle that is harmless', () => {
  it.each([0, 1, 2, 3, 4, 5])('is ok in protocol %i', (version) => {
    const bytes = pickleOf(version, op.emptyDict, op.mark, longText('a'), integer(1), op.setitems);
    const result = validateBytes('m.pkl', bytes);
    expect(result).toMatchObject({ format: 'pickle', verdict: 'ok', findings: [] });
  });

  it('of weights is ok, and would load with weights_only', () => {
    const bytes = stateDict({ a: torchTensor('0', 6), b: torchTensor('1', 4, 'HalfStorage') });
    const { verdict, findings, summary } = validateBytes('m.pkl', bytes);
    expect(findings).toEqual([]);
    expect(verdict).toBe('ok');
    expect(summary).toMatchObject({
      tensors: 2,
      parameters: 10,
      dtypes: { F32: 1, F16: 1 },
      weightsOnly: true,
    });
    expect(summary.imports).toContainEqual({
      name: 'torch._utils._rebuild_tensor_v2',
      judged: 'allowed',
    });
  });

  it('may hold what NumPy and older protocols write, not for weights_only', () => {
    const cases = [
      pickleOf(2, globalOp('__builtin__', 'bytes'), op.emptyTuple, op.reduce),
      pickleOf(5, text('numpy._core.numeric'), text('_frombuffer'), op.stackGlobal),
      pickleOf(5, text('numpy.core.numeric'), text('_frombuffer'), op.stackGlobal),
    ];
    for (const bytes of cases) {
      const { verdict, summary } = validateBytes('m.pkl', bytes);
      expect([verdict, summary.weightsOnly]).toEqual(['ok', false]);
    }
  });

  it('is not for weights_only with an import of protocol 4', () => {
    const bytes = pickleOf(4, stackGlobal('collections', 'OrderedDict'), op.emptyTuple, op.reduce);
    expect(validateBytes('m.pkl', bytes)).toMatchObject({
      verdict: 'ok',
      summary: { weightsOnly: false },
    });
  });

  it('may hold large bytes, which are passed over', () => {
    const bytes = pickleOf(3, bytesOp(Buffer.alloc(3_000_000, 0x63)));
    expect(validateBytes('m.pkl', bytes)).toMatchObject({ verdict: 'ok', findings: [] });
  });
});

describe('every route to an import', () => {
  const routes: Array<[string, Buffer]> = [
    ['GLOBAL and REDUCE', pickleOf(2, callOf(system))],
    ['GLOBAL without a protocol', pickleOf(0, callOf(system))],
    ['GLOBAL that is only imported', pickleOf(2, system)],
    ['INST', pickleOf(0, op.mark, text('id'), instOp('os', 'system'))],
    ['STACK_GLOBAL', pickleOf(4, callOf(stackGlobal('os', 'system')))],
    [
      'STACK_GLOBAL with texts from the memo',
      pickleOf(
        4,
        ...[text('system'), binput(0), op.pop, text('os'), op.memoize, op.pop],
        ...[binget(1), binget(0), op.stackGlobal],
      ),
    ],
    [
      'STACK_GLOBAL behind other texts',
      pickleOf(
        4,
        text('os'),
        text('system'),
        text('math'),
        text('sqrt'),
        op.pop,
        op.pop,
        op.stackGlobal,
      ),
    ],
    [
      'STACK_GLOBAL with texts of protocol 0',
      pickleOf(4, Buffer.from("S'\\x6fs'\n"), Buffer.from('V\\u0073ystem\n'), op.stackGlobal),
    ],
    [
      'STACK_GLOBAL with texts of Python 2',
      pickleOf(4, Buffer.from('U\x02os'), Buffer.from('T\x06\x00\x00\x00system'), op.stackGlobal),
    ],
    [
      'STACK_GLOBAL with a memo that is written under two spellings',
      pickleOf(
        4,
        ...[text('math'), Buffer.from('p10\n'), op.pop, text('os'), Buffer.from('p 1_0\n'), op.pop],
        ...[Buffer.from('g10\n'), text('system'), op.stackGlobal],
      ),
    ],
    ['OBJ', pickleOf(1, op.mark, system, text('id'), op.obj)],
    ['NEWOBJ', pickleOf(2, system, op.emptyTuple, op.newobj)],
    ['NEWOBJ_EX', pickleOf(4, system, op.emptyTuple, op.emptyDict, op.newobjEx)],
    ['BUILD', pickleOf(2, allowed, op.emptyTuple, op.newobj, callOf(system), op.build)],
    ['dotted names', pickleOf(4, callOf(stackGlobal('torch', 'os.system')))],
    ['names in a denied module', pickleOf(2, globalOp('os.path', 'join'))],
    ['a module behind a harmless one', pickleOf(2, globalOp('numpy.os', 'system'))],
    [
      'the second of two pickles',
      Buffer.concat([pickleOf(2, op.none), pickleOf(2, callOf(system))]),
    ],
    [
      'a pickle that breaks behind it',
      Buffer.concat([proto(2), callOf(system), Buffer.from([0xff])]),
    ],
    ['a pickle that is cut short', Buffer.concat([proto(2), callOf(system), Buffer.from('X')])],
    ['bytes that are a pickle', pickleOf(3, bytesOp(pickleOf(2, callOf(system))))],
    [
      'a text that is a pickle',
      pickleOf(2, longText(pickleOf(2, system).toString('latin1')), op.pop, op.none),
    ],
  ];
  it.each(routes)('%s', (_, bytes) => {
    const result = validateBytes('m.pkl', bytes);
    expect(result.verdict).toBe('dangerous');
    expect(brokenRules(result)).toContain('pickle-denied');
    expect(JSON.stringify(result.findings)).toMatch(/os/);
  });

  it.each([
    ['EXT1', Buffer.from([0x82, 1])],
    ['EXT2', Buffer.from([0x83, 1, 0])],
    ['EXT4', Buffer.from([0x84, 1, 0, 0, 0])],
  ])('%s', (_, bytes) => {
    const result = validateBytes('m.pkl', pickleOf(2, bytes));
    expect(result.verdict).toBe('dangerous');
    expect(brokenRules(result)).toContain('pickle-extension');
  });

  it('tells where', () => {
    const { findings } = validateBytes('m.pkl', pickleOf(2, op.none, op.pop, callOf(system)));
    expect(findings).toEqual([
      expect.objectContaining({ rule: 'pickle-denied', where: 'byte 4', severity: 'dangerous' }),
    ]);
  });

  it('maps the names of Python 2, and tells both', () => {
    const bytes = pickleOf(0, globalOp('__builtin__', 'eval'));
    expect(namesOf(bytes)).toEqual(['builtins.eval']);
    expect(JSON.stringify(validateBytes('m.pkl', bytes).findings)).toContain('__builtin__.eval');
    expect(rulesOf(pickleOf(0, globalOp('commands', 'getoutput')))).toEqual(['pickle-denied']);
    expect(rulesOf(pickleOf(0, globalOp('__builtin__', 'set')))).toEqual([]);
  });
});

describe('what cannot be told beforehand', () => {
  it('is dangerous: a name that is no text', () => {
    expect(rulesOf(pickleOf(4, text('os'), op.none, op.stackGlobal))).toEqual([
      'pickle-unresolved',
    ]);
    expect(rulesOf(pickleOf(4, bytesOp(Buffer.from('os')), text('x'), op.stackGlobal))).toEqual([
      'pickle-unresolved',
    ]);
    const long = longText('x'.repeat(5000));
    expect(rulesOf(pickleOf(4, text('os'), long, op.stackGlobal))).toEqual(['pickle-unresolved']);
    expect(rulesOf(pickleOf(4, globalOp('os', 'x'.repeat(70_000))))).toContain('pickle-unresolved');
    expect(rulesOf(pickleOf(4, Buffer.from('Sos\n'), text('system'), op.stackGlobal))).toEqual([
      'pickle-unresolved',
    ]);
  });

  it('is what nothing on the stack or in the memo can be: unpicklers end there', () => {
    expect(rulesOf(pickleOf(4, text('os'), op.stackGlobal))).toEqual(['pickle-stack']);
    expect(rulesOf(pickleOf(4, text('os'), binget(3), op.stackGlobal))).toEqual(['pickle-stack']);
    expect(rulesOf(pickleOf(2, op.emptyTuple, op.reduce))).toEqual(['pickle-stack']);
  });

  it('is dangerous: a call of what was made while loading', () => {
    const bytes = pickleOf(2, allowed, op.emptyTuple, op.reduce, op.emptyTuple, op.reduce);
    expect(rulesOf(bytes)).toEqual(['pickle-unresolved']);
  });

  it('is dangerous: attributes of something imported', () => {
    expect(rulesOf(pickleOf(2, allowed, op.emptyDict, op.build))).toEqual(['pickle-patch']);
  });
});

describe('an import on no list', () => {
  it('is a warning', () => {
    const result = validateBytes('m.pkl', pickleOf(2, unknown, op.emptyTuple, op.newobj));
    expect(result.verdict).toBe('warning');
    expect(brokenRules(result)).toEqual(['pickle-suspicious']);
    expect(result.summary).toMatchObject({ weightsOnly: false });
  });

  it('is that of a path, and its methods are denied', () => {
    const rulesOfName = (module: string, name: string) =>
      rulesOf(pickleOf(4, text(module), text(name), op.stackGlobal));
    for (const module of ['pathlib', 'pathlib._local']) {
      expect(rulesOfName(module, 'PosixPath')).toEqual(['pickle-suspicious']);
      expect(rulesOfName(module, 'PosixPath.write_text')).toEqual(['pickle-denied']);
    }
    expect(rulesOfName('typing', 'ForwardRef._evaluate')).toEqual(['pickle-denied']);
    expect(rulesOfName('typing', 'Any')).toEqual(['pickle-suspicious']);
  });

  it('is judged by all of its name', () => {
    expect(rulesOf(pickleOf(2, globalOp('torch', 'FloatStorage')))).toEqual([]);
    expect(rulesOf(pickleOf(2, globalOp('torch', 'load')))).toEqual(['pickle-denied']);
    expect(rulesOf(pickleOf(2, globalOp('torch.hub', 'load')))).toEqual(['pickle-denied']);
    expect(rulesOf(pickleOf(2, globalOp('builtins', 'eval')))).toEqual(['pickle-denied']);
    expect(rulesOf(pickleOf(2, globalOp('builtins', 'range')))).toEqual(['pickle-suspicious']);
    expect(rulesOf(pickleOf(2, globalOp('sklearn.tree', 'Tree')))).toEqual(['pickle-suspicious']);
    expect(rulesOf(pickleOf(2, globalOp('collections', 'OrderedDict.fromkeys')))).toEqual([
      'pickle-suspicious',
    ]);
  });
});

describe('a pickle that is malformed', () => {
  const cases: Array<[string, string, Buffer]> = [
    ['an opcode that is none', 'pickle-broken', Buffer.concat([proto(2), Buffer.from([0xff])])],
    ['no STOP', 'pickle-broken', Buffer.concat([proto(2), op.none])],
    [
      'a length beyond the end',
      'pickle-broken',
      pickleOf(2, Buffer.from('X\xff\xff\xff\x7f', 'latin1')),
    ],
    ['a negative length', 'pickle-broken', pickleOf(2, Buffer.from('T\xff\xff\xff\xff', 'latin1'))],
    ['an empty stack', 'pickle-stack', pickleOf(2, op.pop, op.none)],
    ['no MARK', 'pickle-stack', pickleOf(2, op.tuple)],
    ['an empty memo', 'pickle-stack', pickleOf(2, binget(7))],
    ['more than one value at the end', 'pickle-stack', pickleOf(2, op.none, op.none)],
    ['PROTO in the middle', 'pickle-protocol', pickleOf(0, op.none, proto(2))],
    ['PROTO twice', 'pickle-protocol', pickleOf(2, proto(2), op.none)],
    ['a protocol that is none', 'pickle-protocol', pickleOf(9, op.none)],
    ['DUP without end', 'pickle-bomb', pickleOf(2, op.none, ...Array<Buffer>(80).fill(op.dup))],
    ['bytes behind it', 'pickle-trailing', Buffer.concat([pickleOf(2, op.none), Buffer.alloc(9)])],
  ];
  it.each(cases)('%s', (_, rule, bytes) => {
    expect(rulesOf(bytes)).toContain(rule);
  });

  it('with containers that double is a bomb', () => {
    const doubled = Array.from({ length: 50 }, (_, i) => [
      binget(i),
      binget(i),
      op.tuple2,
      binput(i + 1),
    ]);
    const bytes = pickleOf(2, op.emptyTuple, binput(0), ...doubled.flat());
    expect(rulesOf(bytes)).toContain('pickle-bomb');
    expect(
      rulesOf(pickleOf(2, op.emptyTuple, binput(0), ...doubled.slice(0, 3).flat())),
    ).not.toContain('pickle-bomb');
  });

  it('is walked as far as real ones go', () => {
    const pairs = Buffer.concat(Array<Buffer>(300_000).fill(Buffer.concat([op.none, op.pop])));
    expect(validateBytes('m.pkl', pickleOf(2, pairs, op.none)).verdict).toBe('ok');
  });
});

describe('a file of joblib', () => {
  const wrapper = globalOp('joblib.numpy_pickle', 'NumpyArrayWrapper');
  const dtype = (name: string): Buffer =>
    Buffer.concat([
      ...[
        globalOp('numpy', 'dtype'),
        op.mark,
        longText(name),
        op.true,
        op.true,
        op.tuple,
        op.reduce,
      ],
    ]);
  const state = (type: string, length: number): Buffer =>
    Buffer.concat([
      ...[op.emptyDict, op.mark],
      ...[longText('subclass'), globalOp('numpy', 'ndarray')],
      ...[longText('shape'), integer(length), op.tuple1],
      ...[longText('order'), longText('C')],
      ...[longText('dtype'), dtype(type)],
      ...[longText('allow_mmap'), op.true],
      ...[longText('numpy_array_alignment_bytes'), integer(16)],
      op.setitems,
    ]);
  const array = (type: string, length: number, data: Buffer): Buffer =>
    Buffer.concat([wrapper, op.emptyTuple, op.newobj, state(type, length), op.build, data]);

  it('is walked past its arrays', () => {
    const data = Buffer.concat([Buffer.from([3, 0xff, 0xff, 0xff]), Buffer.alloc(8 * 5, 0xff)]);
    const good = pickleOf(3, array('f8', 5, data));
    expect(validateBytes('m.joblib', good)).toMatchObject({ verdict: 'warning' });
    expect(rulesOf(good)).toEqual(['pickle-suspicious']);
    const bad = pickleOf(3, array('f8', 5, data), op.pop, callOf(system));
    expect(rulesOf(bad)).toContain('pickle-denied');
  });

  it('is walked through arrays of objects', () => {
    const inner = pickleOf(3, callOf(system));
    expect(rulesOf(pickleOf(3, array('O8', 1, inner)))).toContain('pickle-denied');
  });

  it('tells when an array has no known size', () => {
    const bytes = pickleOf(3, array('V', 1, Buffer.alloc(4)));
    expect(rulesOf(bytes)).toContain('pickle-unread');
    expect(validateBytes('m.pkl', bytes).verdict).toBe('dangerous');
  });

  const bare = (data: Buffer): Buffer => {
    const fields = [
      longText('shape'),
      integer(data.length),
      op.tuple1,
      longText('dtype'),
      dtype('u1'),
    ];
    const wrapped = [wrapper, op.emptyTuple, op.newobj, op.emptyDict, op.mark, ...fields];
    return Buffer.concat([...wrapped, op.setitems, op.build, data]);
  };

  it('may hide opcodes in an array, which only joblib passes over', () => {
    const payload = Buffer.concat([op.pop, callOf(system), op.stop]);
    expect(rulesOf(pickleOf(3, bare(payload)))).toEqual([
      'pickle-denied',
      'pickle-hidden',
      'pickle-suspicious',
    ]);
    const names = [text('os'), binput(0), text('system'), binput(1), op.pop, op.pop];
    const byMemo = Buffer.concat([binget(0), binget(1), op.stackGlobal, text('id'), op.tuple1]);
    const ofMemo = pickleOf(3, ...names, bare(Buffer.concat([byMemo, op.reduce, op.stop])));
    expect(rulesOf(ofMemo)).toContain('pickle-denied');
    const ofStack = Buffer.concat([
      op.pop,
      op.stackGlobal,
      text('id'),
      op.tuple1,
      op.reduce,
      op.stop,
    ]);
    expect(rulesOf(pickleOf(3, text('os'), text('system'), bare(ofStack)))).toContain(
      'pickle-denied',
    );
    expect(rulesOf(pickleOf(3, bare(Buffer.alloc(30_000, 0x4e))))).toContain('pickle-hidden');
    expect(rulesOf(pickleOf(3, bare(Buffer.from('cat\ndog\nfox\n'))))).toEqual([
      'pickle-suspicious',
    ]);
  });

  it('may hide opcodes in the padding of an array', () => {
    const data = Buffer.concat([Buffer.from('c'), Buffer.alloc(0x63 + 8)]);
    expect(rulesOf(pickleOf(3, array('f8', 1, data)))).toContain('pickle-hidden');
  });

  it('is one by the module of its wrapper', () => {
    const other = globalOp('my.module', 'NumpyArrayWrapper');
    const made = [other, op.emptyTuple, op.newobj, state('u1', 9), op.build];
    const bytes = pickleOf(3, ...made, op.pop, callOf(system));
    expect(rulesOf(bytes)).toContain('pickle-denied');
  });
});

describe('a pickle that is made to be overlooked', () => {
  const call = callOf(system);
  const found = (bytes: Buffer, name?: string): void => {
    expect(rulesOf(bytes, name)).toContain('pickle-denied');
    expect(validateBytes(name ?? 'm.pkl', bytes).verdict).toBe('dangerous');
  };

  it.each([
    ['-0', '0'],
    ['0000000000000000000000000', '0'],
    [' +0\t', '0'],
    ['0\0junk', '0'],
    ['1_0', '10'],
    ['123456789012345678901234567890', '0123456789012345678901234567890'],
  ])('uses the index %j of the memo, which is %s', (written, index) => {
    const decoy = [text('math'), Buffer.from(`p${index}\n`), op.pop];
    const put = [text('os'), Buffer.from(`p${written}\n`), op.pop];
    const get = [Buffer.from(`g${index}\n`), text('system'), op.stackGlobal];
    found(pickleOf(4, ...decoy, ...put, ...get));
  });

  it('has an index of the memo that ends every unpickler', () => {
    for (const index of ['x', '', '-1', '1__0'])
      expect(rulesOf(pickleOf(0, op.none, Buffer.from(`p${index}\n`), call)), index).toEqual([
        'pickle-broken',
      ]);
  });

  it('has many small faults before the bad one', () => {
    const small = Array.from({ length: 400 }, () => Buffer.concat([binget(9), op.pop]));
    found(pickleOf(2, ...small, call));
    const unresolved = pickleOf(2, ...small, op.none, op.emptyTuple, op.reduce);
    expect(validateBytes('m.pkl', unresolved).verdict).toBe('dangerous');
  });

  it('shows the bad finding among hundreds of others', () => {
    const many = Array.from({ length: 300 }, (_, i) => globalOp('my.package', `Thing${i}`));
    const { findings, findingsMore, verdict } = validateBytes('m.pkl', pickleOf(2, ...many, call));
    expect(findings).toHaveLength(100);
    expect(findings.map(({ rule }) => rule)).toContain('pickle-denied');
    expect([findingsMore, verdict]).toEqual([202, 'dangerous']);
  });

  it('reaches a module by a name that another has for it', () => {
    for (const [module, name] of [
      ['random', '_os.system'],
      ['collections', '_sys.modules'],
      ['numpy.core', 'multiarray.overrides.os.popen'],
      ['my.module', 'popen'],
      ['torch.storage', '_load_from_bytes'],
      ['pandas', 'read_pickle'],
      ['collections', 'OrderedDict.__class__'],
    ] as const)
      expect(rulesOf(pickleOf(4, stackGlobal(module, name))), name).toContain('pickle-denied');
  });

  it('goes on for longer than is walked', () => {
    const bytes = Buffer.concat([proto(2), Buffer.alloc(20_000_002, 'N0'), call, op.stop]);
    expect(rulesOf(bytes)).toContain('pickle-unread');
    expect(validateBytes('m.pkl', bytes).verdict).toBe('dangerous');
  });

  it('comes behind more pickles than are walked', () => {
    const empty = pickleOf(2, op.none);
    const bytes = Buffer.concat([...Array<Buffer>(300).fill(empty), pickleOf(2, call)]);
    expect(rulesOf(bytes)).toEqual(['pickle-unread']);
  });

  it('is the second one, with a long name', () => {
    const name = `${'functional.torch.'.repeat(20)}os.system`;
    const second = Buffer.concat([proto(4), callOf(stackGlobal255('torch', name))]);
    found(Buffer.concat([pickleOf(2, op.none), second]));
  });

  it('is carried as bytes, behind another one', () => {
    const inner = Buffer.concat([pickleOf(2, op.none), pickleOf(2, call)]);
    found(pickleOf(3, bytesOp(inner)));
    found(pickleOf(3, bytesOp(pickleOf(3, bytesOp(inner)))));
  });

  it.each(['model.bin', 'optimizer.ckpt', 'weights', 'notes.txt', 'labels.txt', 'm.onnx', 'x.py'])(
    'has no sign of its own, and is called %s',
    (name) => {
      for (const bytes of [pickleOf(0, call), Buffer.concat([call, Buffer.from([0xff])])]) {
        found(bytes, name);
        expect(rulesOf(bytes, name)).toContain('pickle-hidden');
      }
    },
  );

  it('is told from lines of text', () => {
    for (const lines of ['cat\ndog\nfox\n', 'id\nname\n', 'cos\nsin\ntan\n', 'city\nRome\nRabat\n'])
      for (const name of ['labels.txt', 'vocab.txt', 'x.csv'])
        expect(rulesOf(Buffer.from(lines), name), lines).toEqual([]);
  });

  it('asks the loader for an object', () => {
    expect(rulesOf(pickleOf(0, Buffer.from('Pname\n')))).toEqual(['pickle-persistent']);
    expect(rulesOf(pickleOf(2, text('name'), op.binpersid))).toEqual(['pickle-persistent']);
    const called = pickleOf(2, text('name'), op.binpersid, op.emptyTuple, op.reduce);
    expect(rulesOf(called)).toEqual(['pickle-persistent', 'pickle-unresolved']);
  });

  it('asks the loader for a class, as whole models before PyTorch 1.6 do', () => {
    const made = (imported: Buffer, word = 'module', ...source: Buffer[]) => {
      const id = [op.mark, text(word), imported, ...source, op.tuple, op.binpersid];
      return pickleOf(2, ...id, op.emptyTuple, op.reduce);
    };
    const source = [text('m.py'), longText('x'.repeat(100_000))];
    expect(rulesOf(made(unknown, 'module', ...source))).toEqual(['pickle-suspicious']);
    expect(rulesOf(made(unknown, 'module', op.none, op.none))).toEqual(['pickle-suspicious']);
    expect(rulesOf(made(system, 'module', ...source))).toEqual(['pickle-denied']);
    const others = [made(unknown, 'model', ...source), made(unknown), made(text('x'), 'module')];
    for (const other of others) expect(rulesOf(other)).toContain('pickle-unresolved');
  });

  it('calls what TorchScript calls, which gives back what it is given', () => {
    const script = globalOp('torch.jit._pickle', 'build_intlist');
    const { verdict, summary } = validateBytes('m.pkl', pickleOf(2, callOf(script)));
    expect([verdict, summary.weightsOnly]).toEqual(['ok', false]);
    const others = [
      'torch.jit._pickle\nbuild_intlist.__globals__',
      'torch.jit._pickle\nos',
      'torch.jit\nload',
    ];
    for (const other of others) {
      const [module = '', name = ''] = other.split('\n');
      expect(rulesOf(pickleOf(2, callOf(globalOp(module, name))))).toEqual(['pickle-denied']);
    }
  });
});
