import { describe, expect, it } from 'vitest';
import { findHardCuts } from '../../../src/weights/hard-cuts.ts';
import { readZipMembers } from '../../../src/weights/zip.ts';
import { readerOf } from '../../support/weights.ts';
import { torchFile, type ZipMember, type ZipOptions, zipFile } from '../../support/zip.ts';

const cutsOf = (bytes: Buffer, min: number) => findHardCuts(readerOf(bytes), min);
const dataOf = (bytes: Buffer, min = 100) =>
  readZipMembers(readerOf(bytes), min)?.map(({ start, end }) => bytes.subarray(start, end));
const members: ZipMember[] = [
  { name: 'a', bytes: Buffer.alloc(100, 1) },
  { name: 'folder/b', bytes: Buffer.alloc(99, 2) },
  { name: 'c', bytes: Buffer.alloc(300, 3) },
];
const large = [Buffer.alloc(100, 1), Buffer.alloc(300, 3)];

/** The archive with a number of one of its records changed; `at` counts from its signature. */
function changed(signature: string, at: number, bytes: string, options: ZipOptions = {}): Buffer {
  const file = zipFile(members, options);
  const start = file.indexOf(Buffer.from(signature, 'latin1'));
  Buffer.from(bytes, 'hex').copy(file, start + at);
  return file;
}

const entry = 'PK\x01\x02';
const end = 'PK\x05\x06';
const end64 = 'PK\x06\x06';
const locator = 'PK\x06\x07';
const local = 'PK\x03\x04';

describe('readZipMembers', () => {
  it.each<[string, ZipOptions]>([
    ['as it is', {}],
    ['with data at multiples of 64', { alignment: 64 }],
    ['with a comment', { comment: 'all about it' }],
    ['with a comment of the greatest length', { comment: 'x'.repeat(65_535) }],
    ['with a comment that looks like the end', { comment: `${end}${'\0'.repeat(17)}x` }],
    ['of 64 bits', { wide: true, comment: 'wide' }],
    ['of 64 bits, aligned', { wide: true, alignment: 64 }],
  ])('finds large members in an archive %s', (_, options) => {
    const file = zipFile(members, options);
    expect(dataOf(file)).toEqual(large);
    expect(cutsOf(file, 100)).toHaveLength(4);
    expect(cutsOf(file, 301)).toEqual([]);
  });

  it('finds none in an empty archive', () => {
    expect(cutsOf(zipFile([]), 1)).toEqual([]);
  });

  it('finds the storages of PyTorch', () => {
    const file = torchFile([{ name: '0', bytes: Buffer.alloc(128, 5) }]);
    const [start = 0, stop = 0] = cutsOf(file, 128);
    expect(start % 64).toBe(0);
    expect(file.subarray(start, stop)).toEqual(Buffer.alloc(128, 5));
  });

  it('reads the directory in few reads, and no data', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => ({
      name: `${i}`,
      bytes: Buffer.alloc(0),
    }));
    const file = readerOf(zipFile([{ name: 'big', bytes: Buffer.alloc(3_000_000) }, ...many]));
    expect(readZipMembers(file, 1000)).toHaveLength(1);
    expect(file.counts.reads).toBeLessThan(20);
    expect(file.counts.bytes).toBeLessThan(1_500_000);
  });

  it('takes two entries of one member once', () => {
    const file = zipFile([...members, { name: 'd', bytes: Buffer.alloc(400, 4) }]);
    const second = file.indexOf(Buffer.from(entry, 'latin1'), file.indexOf(entry) + 60);
    const last = file.lastIndexOf(Buffer.from(entry, 'latin1'));
    expect(second).toBeLessThan(last);
    const again = Buffer.from(file);
    file.copy(again, last + 20, file.indexOf(entry) + 20, file.indexOf(entry) + 28);
    file.copy(again, last + 42, file.indexOf(entry) + 42, file.indexOf(entry) + 46);
    expect(dataOf(again)).toEqual([...large, large[0]]);
    expect(cutsOf(again, 100)).toHaveLength(4);
  });

  const good = zipFile(members);
  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['a signature alone', Buffer.from(local, 'latin1')],
    ['bytes in front', Buffer.concat([Buffer.from('#!'), good])],
    ['bytes behind', Buffer.concat([good, Buffer.from('x')])],
    ['a file cut short', good.subarray(0, -1)],
    ['a file without its directory', good.subarray(0, good.indexOf(entry))],
    ['a second disk', changed(end, 4, '0100')],
    ['a directory on a second disk', changed(end, 6, '0100')],
    ['entries on another disk', changed(end, 8, '0200')],
    ['an entry too few', changed(end, 8, '02000200')],
    ['an entry too many', changed(end, 8, '04000400')],
    ['more entries than the directory has room for', changed(end, 8, 'feff_feff'.replace('_', ''))],
    ['a directory that is longer', changed(end, 12, 'ff')],
    ['a directory that starts elsewhere', changed(end, 16, 'ff')],
    ['an entry of another kind', changed(entry, 3, '03')],
    ['an entry on a second disk', changed(entry, 34, '0100')],
    ['an entry whose name is longer', changed(entry, 28, 'ffff')],
    ['a member larger than the archive', changed(entry, 20, '00100000')],
    ['a member of 64 bits without them', changed(entry, 20, 'ffffffff')],
    ['a member that starts elsewhere', changed(entry, 42, '01000000')],
    ['a member that starts behind', changed(entry, 42, 'ffffff7f')],
    ['a local header of another kind', changed(local, 26, '0200')],
    ['a local header whose extra field is longer', changed(local, 28, 'ffff')],
    ['a locator on a second disk', changed(locator, 4, '01000000', { wide: true })],
    ['a locator of two disks', changed(locator, 16, '02000000', { wide: true })],
    ['a locator to elsewhere', changed(locator, 8, '00000000', { wide: true })],
    ['a locator to behind', changed(locator, 8, 'ffffffffffff1f00', { wide: true })],
    ['a record of 64 bits that is longer', changed(end64, 4, '2d', { wide: true })],
    ['a record of 64 bits on a second disk', changed(end64, 16, '01', { wide: true })],
    ['2^50 entries', changed(end64, 24, '00000000000004000000000000000400', { wide: true })],
    ['other entries in the record of 64 bits', changed(end, 8, '05000500', { wide: true })],
    ['another size in the record of 64 bits', changed(end, 12, '05000000', { wide: true })],
    ['another start in the record of 64 bits', changed(end, 16, '05000000', { wide: true })],
    ['an extra field longer than the entry has', changed('UT\x05\x00', 2, 'ffff', { wide: true })],
  ])('passes over %s', (_, bytes) => {
    expect(dataOf(bytes)).toBeUndefined();
    expect(cutsOf(bytes, 100)).toEqual([]);
  });

  it('does not read local headers of more members than there is room for', () => {
    const many = Array.from({ length: 50_000 }, (_, i) => ({
      name: `${i}`,
      bytes: Buffer.alloc(0),
    }));
    const bytes = zipFile([{ name: 'a', bytes: Buffer.alloc(5000) }, ...many]);
    for (let at = bytes.indexOf(entry); at !== -1; at = bytes.indexOf(entry, at + 4)) {
      bytes.writeUInt32LE(5000, at + 20);
      bytes.writeUInt32LE(0, at + 42);
    }
    const file = readerOf(bytes);
    expect(readZipMembers(file, 100)).toBeUndefined();
    expect(file.counts.reads).toBeLessThan(10);
  });
});
