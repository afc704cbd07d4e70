import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { formatManifest } from '../../src/archive/manifest.ts';
import { sha256 } from '../../src/base/digest.ts';
import { packageFile } from '../../src/flow/package-source.ts';
import { unpackage } from '../../src/flow/unpackage.ts';
import { unpackageTo } from '../../src/flow/unpackage-to.ts';
import { makePlainProject, testSurroundings } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import {
  type Contents,
  fileEntries,
  goodEntries,
  manifestEntry,
  manifestOf,
  paxRecord,
  type RawEntry,
  rawPackage,
  rawTar,
  treeOf,
  withManifest,
} from '../support/packages.ts';

/*
 * Archives that were made to do harm. Whatever they hold, nothing of them appears: neither in the directory, nor
 * beside it, nor above it.
 */

const contents: Contents = { a: 'one', 'b/c': 'two', link: '->a' };
const top = 'm_1/files';

/** Puts entries into a good package, behind so many of its own. */
function inserted(at: number, ...entries: RawEntry[]): Buffer {
  const good = goodEntries(contents);
  return rawPackage([...good.slice(0, at), ...entries, ...good.slice(at)]);
}

/** Puts entries in place of one of a good package. */
function replaced(at: number, ...entries: RawEntry[]): Buffer {
  const good = goodEntries(contents);
  return rawPackage([...good.slice(0, at), ...entries, ...good.slice(at + 1)]);
}

/** A package whose manifest lists other files than it should, and has entries to match. */
function lying(files: readonly object[], entries: readonly RawEntry[] = []): Buffer {
  const [first] = withManifest(goodEntries({}), (value) => {
    const listed = JSON.stringify(files);
    const size = files.reduce((sum, one) => sum + ((one as { size?: number }).size ?? 0), 0);
    return { ...value, files, content: { path: 'm', kind: 'tree', sha256: sha256(listed), size } };
  });
  return rawPackage([first as RawEntry, ...entries]);
}

const one = { size: 3, sha256: sha256('one') };
const large = 64 * 1024 * 1024;

const hostile: ReadonlyArray<readonly [what: string, bytes: () => Buffer, told: RegExp]> = [
  ['a path upwards', () => inserted(1, { name: '../../x', bytes: 'x' }), /the name \.\./],
  [
    'a path upwards in its folder',
    () => inserted(4, { name: `${top}/../../../x` }),
    /the name \.\./,
  ],
  [
    'an absolute path',
    () => inserted(1, { name: '/tmp/mstore-x', bytes: 'x' }),
    /an absolute path/,
  ],
  ['a backslash', () => inserted(1, { name: `${top}/..\\x`, bytes: 'x' }), /a backslash/],
  ['a drive', () => inserted(1, { name: 'C:/x', bytes: 'x' }), /C:\/x stands where/],
  ['an empty name', () => inserted(1, { name: '', bytes: 'x' }), /an empty name/],
  ['a name with a line break', () => inserted(1, { name: `${top}/a\nb` }), /a control character/],
  ['a name of Git', () => inserted(1, { name: `${top}/.git/hooks/x` }), /belongs to Git/],
  ['a NUL in a long name', () => nulName(), /control character|stands where/],
  ['an entry too many', () => inserted(4, { name: `${top}/x`, bytes: 'x' }), /not in its manifest/],
  ['an entry twice', () => inserted(2, goodEntries(contents)[1] as RawEntry), /stands where/],
  [
    'an entry in another case',
    () => replaced(1, { name: `${top}/A`, bytes: 'one' }),
    /stands where/,
  ],
  ['an entry less', () => replaced(2), /stands where/],
  ['no end', () => rawPackage(goodEntries(contents).slice(0, 3)), /it ends before/],
  ['another order', () => reversed(), /stands where/],
  [
    'a hard link',
    () => replaced(1, { name: `${top}/a`, type: '1', link: '/etc/passwd' }),
    /hard link/,
  ],
  [
    'a link for a file',
    () => replaced(1, { name: `${top}/a`, type: '2', link: '/etc' }),
    /is a symlink/,
  ],
  [
    'a link that leaves',
    () => replaced(3, { name: `${top}/link`, type: '2', link: '../../x' }),
    /links to/,
  ],
  ['a file through a link', () => throughLink(), /link|file where a directory/],
  ['a character device', () => inserted(1, { name: `${top}/a`, type: '3' }), /a device/],
  ['a block device', () => inserted(1, { name: `${top}/a`, type: '4' }), /a device/],
  ['a FIFO', () => inserted(1, { name: `${top}/a`, type: '6' }), /a FIFO/],
  [
    'a contiguous file',
    () => replaced(1, { name: `${top}/a`, type: '7', bytes: 'one' }),
    /of a type/,
  ],
  [
    'a sparse file of GNU',
    () => replaced(1, { name: `${top}/a`, type: 'S', bytes: 'one' }),
    /unknown type/,
  ],
  ['a volume label of GNU', () => inserted(1, { name: 'x', type: 'V' }), /unknown type/],
  ['a directory for a file', () => replaced(1, { name: `${top}/a/`, type: '5' }), /is a directory/],
  [
    'a long name of GNU',
    () =>
      replaced(
        1,
        { name: 'L', type: 'L', bytes: '../../x\0' },
        goodEntries(contents)[1] as RawEntry,
      ),
    /the name \.\./,
  ],
  ['a pax name', () => paxed('path', '../../x'), /the name \.\./],
  [
    'a pax target',
    () =>
      replaced(
        3,
        { name: 'p', type: 'x', bytes: paxRecord('linkpath', '/etc') },
        { name: `${top}/link`, type: '2', link: 'a' },
      ),
    /links to/,
  ],
  ['a pax size', () => paxed('size', '5000000'), /5000000 bytes/],
  ['a pax size below zero', () => paxed('size', '-3'), /-3 bytes|damaged/],
  [
    'a size below zero',
    () => replaced(1, { name: `${top}/a`, bytes: 'one', change: negative }),
    /bytes|damaged/,
  ],
  [
    'a file that is longer',
    () => replaced(1, { name: `${top}/a`, bytes: 'one more' }),
    /8 bytes, and 3/,
  ],
  [
    'a file that is shorter',
    () => replaced(1, { name: `${top}/a`, bytes: 'on' }),
    /2 bytes, and 3/,
  ],
  ['other bytes', () => replaced(1, { name: `${top}/a`, bytes: 'eno' }), /are not those/],
  ['a directory with bytes', () => directoryWithBytes(), /600 bytes, and 0/],
  ['no manifest', () => rawPackage(goodEntries(contents).slice(1)), /no package of mstore/],
  [
    'its manifest last',
    () => rawPackage([...goodEntries(contents)].reverse()),
    /no package of mstore/,
  ],
  ['its manifest in another folder', () => otherFolder(), /stands in the folder/],
  [
    'a manifest above',
    () =>
      rawPackage([{ ...(goodEntries(contents)[0] as RawEntry), name: '../mstore-package.json' }]),
    /stands in the folder/,
  ],
  [
    'a manifest as a link',
    () => rawPackage([{ name: 'm_1/mstore-package.json', type: '2', link: '/etc/passwd' }]),
    /no package of mstore/,
  ],
  [
    'a manifest without end',
    () => rawPackage([{ name: 'm_1/mstore-package.json', size: 2 ** 32 }]),
    /manifest is too large/,
  ],
  ['two manifests', () => inserted(1, goodEntries(contents)[0] as RawEntry), /stands where/],
  [
    'a listed path upwards',
    () => lying([{ path: '../x', ...one }], [{ name: 'm_1/files/../x', bytes: 'one' }]),
    /files that cannot be/,
  ],
  ['a listed absolute path', () => lying([{ path: '/x', ...one }]), /files that cannot be/],
  [
    'a listed path twice',
    () =>
      lying([
        { path: 'a', ...one },
        { path: 'a', ...one },
      ]),
    /listed twice/,
  ],
  [
    'listed paths that differ by case',
    () =>
      lying([
        { path: 'A', ...one },
        { path: 'a', ...one },
      ]),
    /differ only by case/,
  ],
  [
    'a listed file below a file',
    () =>
      lying([
        { path: 'a', ...one },
        { path: 'a/b', ...one },
      ]),
    /file where a directory/,
  ],
  [
    'a listed link that leaves',
    () => lying([{ path: 'a', link: '../../etc' }]),
    /leaves the directory/,
  ],
  ['a listed absolute link', () => lying([{ path: 'a', link: '/etc' }]), /leaves the directory/],
  [
    'listed links in a circle',
    () =>
      lying([
        { path: 'a', link: 'b' },
        { path: 'b', link: 'a' },
      ]),
    /loop/,
  ],
  [
    'a listed file below a link',
    () =>
      lying([
        { path: 'a', link: 'b' },
        { path: 'a/x', ...one },
      ]),
    /file where a directory/,
  ],
  ['a bomb in a file', () => bombInFile(), /67108864 bytes, and 3/],
  [
    'a bomb behind the end',
    () => gzipSync(Buffer.concat([rawTar(goodEntries(contents)), Buffer.alloc(large)])),
    /belong to no file/,
  ],
  [
    'a bomb for a manifest',
    () => rawPackage([{ name: 'm_1/mstore-package.json', bytes: Buffer.alloc(large, '[') }]),
    /too many parts/,
  ],
  [
    'a pax bomb',
    () => replaced(1, { name: 'p', type: 'x', bytes: Buffer.alloc(3 * 1024 * 1024) }),
    /belong to no file/,
  ],
  [
    'a name bomb of GNU',
    () => replaced(1, { name: 'L', type: 'L', bytes: Buffer.alloc(3 * 1024 * 1024, 'x') }),
    /belong to no file/,
  ],
  ['no gzip', () => rawTar(goodEntries(contents)), /no gzip/],
  ['nothing at all', () => Buffer.alloc(0), /cut short/],
  ['an empty archive', () => rawPackage([]), /it is empty/],
  ['half a gzip', () => rawPackage(goodEntries(contents)).subarray(0, 300), /cut short/],
  ['a gzip without its sum', () => rawPackage(goodEntries(contents)).subarray(0, -8), /cut short/],
  ['a wrong sum', () => wrongSum(), /no gzip, or damaged/],
  [
    'garbage behind it',
    () => Buffer.concat([rawPackage(goodEntries(contents)), Buffer.from('garbage')]),
    /other bytes|no gzip/,
  ],
  [
    'zeros behind it',
    () => Buffer.concat([rawPackage(goodEntries(contents)), Buffer.alloc(9)]),
    /other bytes/,
  ],
  [
    'much garbage behind it',
    () => Buffer.concat([rawPackage(goodEntries(contents)), Buffer.alloc(3_000_000, 7)]),
    /other bytes|no gzip/,
  ],
  [
    'garbage behind the archive',
    () => gzipSync(rawTar(goodEntries(contents), Buffer.alloc(1400, 7))),
    /damaged/,
  ],
];

function nulName(): Buffer {
  const name = `${top}/a\0/../../x`;
  return replaced(
    1,
    { name: 'p', type: 'x', bytes: paxRecord('path', name) },
    { name: 'x', bytes: 'one' },
  );
}

function paxed(key: string, value: string): Buffer {
  const pax = { name: 'p', type: 'x', bytes: paxRecord(key, value) };
  return replaced(1, pax, goodEntries(contents)[1] as RawEntry);
}

function negative(header: Buffer): void {
  header.fill(0xff, 124, 136);
}

function reversed(): Buffer {
  const [manifest, ...rest] = goodEntries(contents);
  return rawPackage([manifest as RawEntry, ...rest.reverse()]);
}

function throughLink(): Buffer {
  const files = [
    { path: 'd', link: '.' },
    { path: 'd/x', ...one },
  ];
  return lying(files, [
    { name: 'm_1/files/d', type: '2', link: '.' },
    { name: 'm_1/files/d/x', bytes: 'one' },
  ]);
}

function directoryWithBytes(): Buffer {
  const manifest = manifestOf(treeOf({ empty: undefined }));
  return rawPackage([
    manifestEntry(manifest),
    { name: `${top}/empty/`, type: '5', bytes: 'x'.repeat(600) },
  ]);
}

function otherFolder(): Buffer {
  const [manifest, ...rest] = goodEntries(contents);
  return rawPackage([{ ...(manifest as RawEntry), name: 'other/mstore-package.json' }, ...rest]);
}

function bombInFile(): Buffer {
  return replaced(1, { name: `${top}/a`, bytes: Buffer.alloc(large) });
}

function wrongSum(): Buffer {
  const bytes = rawPackage(goodEntries(contents));
  bytes[bytes.length - 6] = (bytes[bytes.length - 6] ?? 0) ^ 1;
  return bytes;
}

async function unpackTo(bytes: Buffer): Promise<{ folder: string; error: unknown }> {
  const folder = scratchFolder();
  const file = path.join(folder, 'p.tar.gz');
  fs.writeFileSync(file, bytes);
  const input = packageFile(file);
  try {
    await unpackageTo(input, path.join(folder, 'in', 'out'), testSurroundings());
    return { folder, error: undefined };
  } catch (error) {
    return { folder, error };
  }
}

describe('a package', () => {
  it('that is good is taken: the others are refused for what is wrong with them', async () => {
    const { folder, error } = await unpackTo(rawPackage(goodEntries(contents)));
    expect(error).toBeUndefined();
    expect(filesBelow(folder)).toEqual(['in/out/a', 'in/out/b/c', 'in/out/link', 'p.tar.gz']);
    const pax = [{ name: 'p', type: 'x', bytes: paxRecord('path', `${top}/a`) }];
    const named = replaced(1, ...pax, { name: 'x', bytes: 'one' });
    expect((await unpackTo(named)).error).toBeUndefined();
  });

  it.each(hostile)('with %s is refused and leaves nothing', async (_, bytes, told) => {
    const { folder, error } = await unpackTo(bytes());
    expect(error).toMatchObject({ code: 'corrupt-package', message: expect.stringMatching(told) });
    expect((error as { hint: string }).hint).toMatch(/mstore package/);
    expect(fs.readdirSync(folder)).toEqual(['p.tar.gz']);
    expect(fs.existsSync('/tmp/mstore-x')).toBe(false);
  });

  it('that is no version, or a bad one, leaves a workspace as it was', async () => {
    const project = await makePlainProject();
    const file = path.join(scratchFolder(), 'p.tar.gz');
    const before = filesBelow(project.root);
    for (const [, bytes] of hostile) {
      fs.writeFileSync(file, bytes());
      const input = packageFile(file);
      await expect(unpackage(await project.open(), input)).rejects.toMatchObject({
        code: expect.stringMatching(/^(corrupt-package|usage)$/),
      });
    }
    expect(filesBelow(project.root)).toEqual(before);
    expect(fs.readdirSync(project.at('.modelstore/tmp'))).toEqual([]);
  });

  it('is no FIFO, and no directory', async () => {
    const folder = scratchFolder();
    await expect(
      unpackageTo(packageFile(folder), path.join(folder, 'out'), testSurroundings()),
    ).rejects.toMatchObject({ code: 'io', message: expect.stringMatching(/not a regular file/) });
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it('cannot say that objects of the registry are what they are not', async () => {
    const files = treeOf(contents);
    const version = { model: 'm', version: '1', record: sha256('x') };
    const key = 'refs/models/m/versions/1.json';
    const keys = [key, 'refs/models/other/versions/1.json', 'refs/other', 'packs/ab/x.pack'];
    for (const [i, one] of keys.entries()) {
      const bytes = i === 0 ? '{"mstore":1}' : '{}';
      const registry = [{ key: one, size: bytes.length, sha256: sha256(bytes) }];
      const manifest = manifestOf(files, { version, registry });
      const made = rawPackage([
        { name: 'm_1/mstore-package.json', bytes: formatManifest(manifest) },
        { name: `m_1/registry/${one}`, bytes },
        ...fileEntries(manifest, contents),
      ]);
      const { folder, error } = await unpackTo(made);
      expect(error, one).toMatchObject({ code: 'corrupt-package' });
      expect(fs.readdirSync(folder)).toEqual(['p.tar.gz']);
    }
    const none = manifestOf(files, { version });
    const { error } = await unpackTo(
      rawPackage([manifestEntry(none), ...fileEntries(none, contents)]),
    );
    expect(error).toMatchObject({
      message: expect.stringMatching(/record of its version is missing/),
    });
  });
});
