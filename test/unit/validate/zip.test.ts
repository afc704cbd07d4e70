import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { validateFile } from '../../../src/validate/validate.ts';
import {
  callOf,
  globalOp,
  op,
  pickleOf,
  proto,
  stateDict,
  torchTensor,
} from '../../support/pickles.ts';
import { brokenRules, CountedSource, validateBytes } from '../../support/validate.ts';
import { type ZipMember, type ZipOptions, zipFile } from '../../support/zip.ts';

const evil = pickleOf(2, callOf(globalOp('os', 'system')));
const weights = stateDict({ a: torchTensor('0', 4) });

/** An archive as `torch.save` writes it, with more members. */
function torch(more: readonly ZipMember[] = [], options: ZipOptions = {}): Buffer {
  return zipFile(
    [
      { name: 'archive/data.pkl', bytes: weights },
      { name: 'archive/byteorder', bytes: Buffer.from('little') },
      { name: 'archive/data/0', bytes: Buffer.alloc(16, 1) },
      { name: 'archive/version', bytes: Buffer.from('3\n') },
      ...more,
    ],
    { alignment: 64, ...options },
  );
}

const validate = (bytes: Buffer, name = 'm.pt') => validateBytes(name, bytes);
const rulesOf = (bytes: Buffer): string[] => brokenRules(validate(bytes));

/** Changes bytes of a copy. */
function changed(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
}

const directoryOf = (bytes: Buffer): number => bytes.readUInt32LE(bytes.length - 6);

describe('a whole archive of PyTorch', () => {
  it('is ok, with its tensors told', () => {
    expect(validate(torch())).toMatchObject({
      format: 'torch-zip',
      verdict: 'ok',
      findings: [],
      summary: { tensors: 1, parameters: 4, dtypes: { F32: 1 }, members: 4, weightsOnly: true },
    });
  });

  it.each([
    ['offsets of 64 bits', torch([], { wide: true })],
    ['a comment', torch([], { comment: 'made by hand' })],
  ])('is ok with %s', (_, bytes) => {
    expect(validate(bytes)).toMatchObject({ verdict: 'ok', findings: [] });
  });

  it('is known by its content, whatever its name', () => {
    expect(validate(torch(), 'm.bin')).toMatchObject({ format: 'torch-zip', verdict: 'ok' });
    const named = validate(torch(), 'm.safetensors');
    expect(brokenRules(named)).toEqual(['other-format']);
  });

  it('is read without the bytes of its storages', () => {
    const storage = { name: 'archive/data/1', bytes: Buffer.alloc(8_000_000, 0x3f) };
    const source = new CountedSource('m.pt', torch([storage]));
    expect(validateFile(source)).toMatchObject({ verdict: 'ok' });
    expect(source.bytesRead).toBeLessThan(200_000);
  });

  it('of TorchScript holds code', () => {
    const bytes = torch([{ name: 'archive/code/m.py', bytes: Buffer.from('x = 1') }]);
    expect(rulesOf(bytes)).toEqual(['torch-code']);
    expect(validate(bytes).verdict).toBe('warning');
    const places = pickleOf(2, callOf(globalOp('torch.jit._pickle', 'build_intlist')));
    const debug = torch([{ name: 'archive/code/m.py.debug_pkl', bytes: places }]);
    expect(validate(debug)).toMatchObject({ verdict: 'warning', summary: { weightsOnly: false } });
    expect(rulesOf(debug)).toEqual(['torch-code']);
    expect(rulesOf(torch([{ name: 'archive/code/m.py.debug_pkl', bytes: evil }]))).toEqual([
      'pickle-denied',
      'torch-code',
    ]);
  });
});

describe('a pickle in an archive', () => {
  it.each([
    'archive/data.pkl',
    'archive/data/1',
    'archive/version',
    'archive/.data/serialization_id',
    'archive/extra/model.config',
  ])('is found in %s', (name) => {
    const others = torch([{ name, bytes: evil }]);
    const alone = zipFile([{ name: 'archive/data.pkl', bytes: evil }]);
    const result = validate(name === 'archive/data.pkl' ? alone : others);
    expect(brokenRules(result)).toContain('pickle-denied');
    expect(result.verdict).toBe('dangerous');
    expect(JSON.stringify(result.findings)).toContain(name);
  });

  it('is found without a protocol', () => {
    const bytes = torch([
      { name: 'archive/data/1', bytes: pickleOf(0, callOf(globalOp('os', 'system'))) },
    ]);
    expect(rulesOf(bytes)).toEqual(['pickle-denied', 'pickle-hidden']);
  });

  it('is found where it is deflated', () => {
    const packed = deflateRawSync(evil);
    const bytes = torch([{ name: 'archive/x', bytes: packed }]);
    const at = bytes.indexOf(packed);
    const head = bytes.lastIndexOf(Buffer.from('PK\x03\x04'), at);
    const entry = bytes.indexOf('archive/x', directoryOf(bytes)) - 46;
    const deflated = changed(bytes, (copy) => {
      copy.writeUInt16LE(8, head + 8);
      copy.writeUInt16LE(8, entry + 10);
      for (const place of [head + 22, entry + 24]) copy.writeUInt32LE(evil.length, place);
    });
    // The CRC is still that of the packed bytes, which is a finding of its own.
    expect(rulesOf(deflated)).toEqual(['pickle-denied', 'pickle-hidden', 'zip-checksum']);
  });

  it('is found behind numbers that are opcodes', () => {
    const call = Buffer.concat([callOf(globalOp('os', 'system')), op.stop]);
    for (const [filler, rule] of [
      [Buffer.alloc(300_000, 'N'), 'pickle-hidden'],
      [Buffer.alloc(300_000, 'N0'), 'not-read-to-end'],
      [Buffer.concat([Buffer.from([0x80, 2]), Buffer.alloc(600_000, 'N0')]), 'pickle-denied'],
    ] as const) {
      const bytes = torch([{ name: 'archive/data/1', bytes: Buffer.concat([filler, call]) }]);
      expect(rulesOf(bytes)).toContain(rule);
    }
    expect(
      rulesOf(torch([{ name: 'archive/data/1', bytes: Buffer.alloc(300_000, 0x80) }])),
    ).toEqual([]);
  });

  it('is found by what it would run, also without STOP', () => {
    const long = Buffer.concat([
      Buffer.from([0x80, 4, 0x58, 0x88, 0x13, 0, 0]),
      Buffer.alloc(5000),
    ]);
    const names = Buffer.concat([Buffer.from([0x8c, 2]), Buffer.from('os'), op.stackGlobal]);
    const hidden = Buffer.concat([long.subarray(0, 2), names.subarray(0, 4), long.subarray(2)]);
    const bytes = torch([{ name: 'archive/x', bytes: Buffer.concat([hidden, op.stackGlobal]) }]);
    expect(rulesOf(bytes)).toContain('pickle-unresolved');
    const extension = Buffer.from([0x80, 2, 0x82, 1]);
    expect(rulesOf(torch([{ name: 'archive/x', bytes: extension }]))).toContain('pickle-extension');
  });

  it('is told from text', () => {
    const lines = ['cat\ndog\nfox\n', 'id\nname\n', 'cos\nsin\ntan\n'].join('');
    expect(rulesOf(torch([{ name: 'archive/x', bytes: Buffer.from(lines) }]))).toEqual([]);
  });

  it('is found in an archive inside', () => {
    const inner = zipFile([{ name: 'a/data.pkl', bytes: evil }]);
    const outer = zipFile([{ name: 'model.pt', bytes: inner }]);
    for (const bytes of [outer, zipFile([{ name: 'x', bytes: outer }])]) {
      const result = validate(bytes, 'm.mar');
      expect(brokenRules(result)).toEqual(['pickle-denied']);
      expect(JSON.stringify(result.findings)).toContain('member \\"model.pt\\", member');
    }
    const deep = [1, 2, 3].reduce((bytes) => zipFile([{ name: 'x', bytes }]), inner);
    expect(brokenRules(validate(deep, 'm.mar'))).toEqual(['archive-unread']);
    expect(brokenRules(validate(zipFile([{ name: 'x', bytes: torch() }]), 'm.mar'))).toEqual([]);
  });

  it('is found in an archive that is none of PyTorch', () => {
    const bytes = zipFile([{ name: 'a/b', bytes: evil }]);
    const result = validate(bytes);
    expect(brokenRules(result)).toEqual(['pickle-denied', 'pickle-hidden', 'torch-layout']);
  });
});

describe('an archive in which readers could differ', () => {
  const plain = torch();
  const at = directoryOf(plain);
  const local = plain.indexOf('archive/version');
  const central = plain.indexOf('archive/version', at);
  const end = plain.length - 22;
  const cases: Array<[string, string, Buffer]> = [
    [
      'another name in a local header',
      'zip-headers-differ',
      changed(plain, (copy) => copy.write('X', local)),
    ],
    [
      'another method in a local header',
      'zip-headers-differ',
      changed(plain, (copy) => copy.writeUInt16LE(8, local - 22)),
    ],
    [
      'another size in a local header',
      'zip-headers-differ',
      changed(plain, (copy) => copy.writeUInt32LE(1, local - 12)),
    ],
    [
      'another CRC in a local header',
      'zip-headers-differ',
      changed(plain, (copy) => copy.writeUInt32LE(1, local - 16)),
    ],
    [
      'no local header',
      'zip-headers-differ',
      changed(plain, (copy) => copy.writeUInt32LE(0, local - 30)),
    ],
    [
      'a flag of encryption in the directory',
      'zip-encrypted',
      changed(plain, (copy) => copy.writeUInt16LE(1, central - 38)),
    ],
    [
      'a flag of encryption in a local header',
      'zip-encrypted',
      changed(plain, (copy) => copy.writeUInt16LE(1, local - 24)),
    ],
    [
      'a wrong CRC',
      'zip-checksum',
      changed(plain, (copy) => {
        copy.writeUInt32LE(1, local - 16);
        copy.writeUInt32LE(1, central - 30);
      }),
    ],
    ['a name twice', 'zip-duplicate', torch([{ name: 'archive/data.pkl', bytes: weights }])],
    [
      'bytes before it',
      'zip-data-before',
      Buffer.concat([Buffer.from('PK\x03\x04 and more'), plain]),
    ],
    [
      'a second end',
      'zip-several-ends',
      torch([], { comment: zipFile([{ name: 'a', bytes: evil }]).toString('latin1') }),
    ],
    ['a comment of another length', 'zip-directory', Buffer.concat([plain, Buffer.from('more')])],
    ['no end', 'zip-directory', plain.subarray(0, end)],
    [
      'a damaged directory',
      'zip-directory',
      changed(plain, (copy) => copy.writeUInt32LE(0, central - 46)),
    ],
    [
      'a directory outside of the file',
      'zip-directory',
      changed(plain, (copy) => copy.writeUInt32LE(0xfffffff, end + 16)),
    ],
    [
      'another method',
      'zip-method',
      changed(plain, (copy) => {
        copy.writeUInt16LE(12, local - 22);
        copy.writeUInt16LE(12, central - 36);
      }),
    ],
    [
      'members that overlap',
      'zip-overlap',
      changed(plain, (copy) => copy.writeUInt32LE(0, central - 4)),
    ],
    [
      'a name that leaves its folder',
      'zip-path',
      torch([{ name: '../x', bytes: Buffer.from('x') }]),
    ],
    ['an absolute name', 'zip-path', torch([{ name: '/x', bytes: Buffer.from('x') }])],
    ['a backslash', 'zip-path', torch([{ name: 'archive\\x', bytes: Buffer.from('x') }])],
    [
      'a symbolic link',
      'zip-path',
      changed(plain, (copy) => copy.writeUInt32LE(0xa1ff0000, central - 8)),
    ],
    [
      'a size that unfolds without end',
      'zip-bomb',
      changed(plain, (copy) => {
        copy.writeUInt16LE(8, central - 36);
        copy.writeUInt32LE(0x70000000, central - 22);
      }),
    ],
  ];
  it.each(cases)('has %s', (_, rule, bytes) => {
    const result = validate(bytes);
    expect(brokenRules(result)).toContain(rule);
    expect(result.verdict).toBe('dangerous');
  });

  it('has a second record of 64 bits, to which the locator leads', () => {
    const wide = torch([], { wide: true });
    const locator = wide.indexOf(Buffer.from('PK\x06\x07'));
    expect(locator).toBeGreaterThan(0);
    const moved = changed(wide, (copy) => copy.writeUInt32LE(7, locator + 8));
    expect(rulesOf(moved)).toContain('zip-directory');
    expect(validate(moved).verdict).toBe('dangerous');
  });

  it('has members that unfold to more than is looked into', () => {
    const packed = deflateRawSync(Buffer.concat([proto(2), randomBytes(6000)]));
    const bytes = zipFile([{ name: 'a/data.pkl', bytes: packed }]);
    const entry = directoryOf(bytes);
    const large = changed(bytes, (copy) => {
      copy.writeUInt16LE(8, 8);
      copy.writeUInt16LE(8, entry + 10);
      copy.writeUInt32LE(0x20000000, 22);
      copy.writeUInt32LE(0x20000000, entry + 24);
    });
    expect(rulesOf(large)).toContain('pickle-unread');
    expect(rulesOf(large)).toContain('zip-bomb');
  });

  it('has a gap', () => {
    const [first, second] = [
      { name: 'archive/data.pkl', bytes: weights },
      { name: 'archive/data/0', bytes: Buffer.alloc(16, 1) },
    ];
    const whole = zipFile([first as ZipMember, second as ZipMember]);
    const start = directoryOf(whole);
    const entry = whole.indexOf('archive/data/0', start) - 46;
    const from = whole.readUInt32LE(entry + 42);
    const gap = Buffer.alloc(50, 0x2e);
    const moved = Buffer.concat([whole.subarray(0, from), gap, whole.subarray(from)]);
    moved.writeUInt32LE(from + gap.length, entry + gap.length + 42);
    moved.writeUInt32LE(start + gap.length, moved.length - 6);
    expect(rulesOf(moved)).toEqual(['zip-gap']);
  });
});

describe('the layout of PyTorch', () => {
  it('has one folder and all storages', () => {
    expect(rulesOf(torch([{ name: 'other/x', bytes: Buffer.from('x') }]))).toEqual([
      'torch-layout',
    ]);
    const lacking = zipFile([{ name: 'archive/data.pkl', bytes: weights }]);
    expect(rulesOf(lacking)).toEqual(['torch-storage']);
    const short = zipFile([
      { name: 'archive/data.pkl', bytes: weights },
      { name: 'archive/data/0', bytes: Buffer.alloc(15, 1) },
    ]);
    expect(rulesOf(short)).toEqual(['torch-storage']);
  });
});

describe('a file of PyTorch before 1.6', () => {
  const magic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
  const protocol = pickleOf(2, Buffer.from([0x4d, 0xe9, 0x03]));
  const info = pickleOf(2, op.emptyDict);
  const keys = pickleOf(2, op.emptyList);
  const raw = Buffer.alloc(64, 0x80);
  const legacy = (object: Buffer): Buffer =>
    Buffer.concat([magic, protocol, info, object, keys, raw]);

  it('is ok', () => {
    expect(validate(legacy(weights))).toMatchObject({
      format: 'torch-legacy',
      verdict: 'ok',
      findings: [],
      summary: { tensors: 1, weightsOnly: true },
    });
  });

  it.each([
    ['the object', legacy(evil)],
    ['the system', Buffer.concat([magic, protocol, evil, weights, keys])],
    ['the keys', Buffer.concat([magic, protocol, info, weights, evil])],
  ])('may hide a call in %s', (_, bytes) => {
    expect(validate(bytes)).toMatchObject({ verdict: 'dangerous' });
    expect(rulesOf(bytes)).toContain('pickle-denied');
  });

  it('must have its five pickles', () => {
    expect(rulesOf(Buffer.concat([magic, protocol, info]))).toEqual(['torch-legacy']);
    expect(rulesOf(Buffer.concat([magic, info, info, weights, keys]))).toEqual(['torch-legacy']);
  });
});

describe('a model that is wrapped', () => {
  it('in an archive that is not looked into is dangerous', () => {
    for (const start of [
      '377abcaf271c0004',
      'fd377a585a000004',
      '425a683931415926',
      '04224d1864',
      '28b52ffd',
      '526172211a0701',
    ]) {
      const bytes = Buffer.concat([Buffer.from(start, 'hex'), Buffer.alloc(40)]);
      expect(brokenRules(validateBytes('m.pt', bytes)), start).toContain('archive-unread');
      expect(validateBytes('data.bak', bytes), start).toMatchObject({
        verdict: 'ok',
        findings: [],
      });
    }
  });

  it('in a tar is looked into', () => {
    const tar = (name: string, bytes: Buffer): Buffer => {
      const head = Buffer.alloc(512);
      head.write(name);
      head.write(bytes.length.toString(8).padStart(11, '0'), 124);
      head.write('ustar', 257);
      return Buffer.concat([
        head,
        bytes,
        Buffer.alloc(512 - (bytes.length % 512)),
        Buffer.alloc(1024),
      ]);
    };
    expect(brokenRules(validateBytes('m.pth', tar('pickle', evil)))).toEqual([
      'pickle-denied',
      'torch-tar',
    ]);
    // Old archives have no magic, but a sum.
    const old = tar('pickle', evil);
    old.fill(0, 257, 262);
    old.fill(0x20, 148, 156);
    const sum = old.subarray(0, 512).reduce((all, byte) => all + byte, 0);
    old.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    expect(brokenRules(validateBytes('m.pth', old))).toEqual(['pickle-denied', 'torch-tar']);
    expect(brokenRules(validateBytes('m.pth', tar('tensors', evil)))).toEqual([
      'pickle-denied',
      'pickle-hidden',
      'torch-tar',
    ]);
    expect(brokenRules(validateBytes('m.pth', tar('pickle', pickleOf(2, op.none))))).toEqual([
      'torch-tar',
    ]);
  });
});
