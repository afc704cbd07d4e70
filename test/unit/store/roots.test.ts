import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import {
  formatRoot,
  type NewRootRecord,
  readRoot,
  repositoryOfRoot,
  rootKey,
  rootListName,
} from '../../../src/store/roots.ts';

const repository = '0123456789abcdef'.repeat(2);
const record: NewRootRecord = {
  repository,
  created: '2026-01-02T03:04:05.678Z',
  forVersions: false,
  items: [
    { path: 'a/b', kind: 'file', sha256: sha256('b'), size: 0 },
    { path: 'c', kind: 'tree', sha256: sha256('c'), size: Number.MAX_SAFE_INTEGER },
  ],
};
const key = rootKey(record);

/** Reads a record whose object has been changed, under a key that may be another one. */
async function read(change: object = {}, under = key) {
  const remote = memoryRemote('there');
  const object = { ...JSON.parse(formatRoot(record).toString()), ...change };
  await remote.create(under, bytesSource(Buffer.from(JSON.stringify(object))));
  return readRoot(remote, under);
}

const withItem = (change: object) => ({
  paths: [record.items[0], { ...record.items[1], ...change }],
});

describe('a root record', () => {
  it('is read as it was written, by its key', async () => {
    expect(key).toBe(`roots/${repository}/20260102T030405678Z-${rootListName(record)}.json`);
    expect(await read()).toEqual({ ...record, key });
    const versions = { ...record, forVersions: true };
    expect(rootListName(versions)).not.toBe(rootListName(record));
    const remote = memoryRemote();
    await remote.create(rootKey(versions), bytesSource(formatRoot(versions)));
    expect(await readRoot(remote, rootKey(versions))).toEqual({
      ...versions,
      key: rootKey(versions),
    });
  });

  it('is named by its list alone', () => {
    const later = { ...record, created: '2027-01-02T03:04:05.678Z', repository: '0'.repeat(32) };
    expect(rootListName(later)).toBe(rootListName(record));
    expect(rootListName({ ...record, items: record.items.slice(1) })).not.toBe(
      rootListName(record),
    );
    const more = record.items.map((item) => ({ ...item, more: 1 }));
    expect(rootListName({ ...record, items: more })).toBe(rootListName(record));
    expect(formatRoot({ ...record, items: more })).toEqual(formatRoot(record));
  });

  it.each<[object, string]>([
    [{ mstore: 0 }, 'it has no format number'],
    [{ mstore: '1' }, 'it has no format number'],
    [{ mstore: 0.5 }, 'it has no format number'],
    [{ repository: 1 }, 'it is that of another repository'],
    [{ repository: '0'.repeat(32) }, 'it is that of another repository'],
    [{ created: 1 }, 'its created is no time'],
    [{ created: 'x' }, 'its created is no time'],
    [{ purpose: 'x' }, 'its purpose is not known'],
    [{ purpose: 'versions' }, 'its list is not the one that it is named by'],
    [{ paths: {} }, 'its paths are no list'],
    [{ paths: [1] }, 'its paths hold something else'],
    [{ paths: record.items.slice(1) }, 'its list is not the one that it is named by'],
    [withItem({ path: 1 }), 'its paths hold something else'],
    [withItem({ path: '../x' }), 'its paths hold something else'],
    [withItem({ kind: 'link' }), 'its paths hold something else'],
    [withItem({ sha256: 'x' }), 'its paths hold something else'],
    [withItem({ size: '1' }), 'its paths hold something else'],
    [withItem({ size: 0.5 }), 'its paths hold something else'],
    [withItem({ size: -1 }), 'its paths hold something else'],
    [withItem({ size: 2 ** 53 }), 'its paths hold something else'],
  ])('may not have %j', async (change, what) => {
    await expect(read(change)).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: `The record there/${key} cannot be used: ${what}${what.endsWith('else') ? ' than files and directories' : ''}`,
      hint: expect.stringContaining('Nothing can be cleaned up') as string,
      details: { key },
    });
  });

  it('of a format to come is refused as such, and what is no record as damaged', async () => {
    await expect(read({ mstore: 2 })).rejects.toMatchObject({
      code: 'newer-format',
      hint: 'Install a newer mstore',
      details: { key, format: 2 },
    });
    for (const [text, what] of [
      ['{', 'it is not UTF-8 JSON'],
      ['[]', 'it is not a JSON object'],
    ] as const) {
      const remote = memoryRemote();
      await remote.create(key, bytesSource(Buffer.from(text)));
      await expect(readRoot(remote, key)).rejects.toMatchObject({
        code: 'corrupt-remote',
        message: expect.stringContaining(what) as string,
      });
    }
    await expect(readRoot(memoryRemote(), key)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('has a key of one form', () => {
    expect(repositoryOfRoot(key)).toBe(repository);
    for (const other of [
      `x${key}`,
      `${key}.tmp`,
      key.replace('roots', 'root'),
      key.replace(repository, repository.slice(1)),
      key.replace(repository, repository.toUpperCase()),
      key.replace('T', ''),
      key.replace('678Z', '67Z'),
      key.replace('-', '-0'),
      key.replace('.json', 'json'),
    ])
      expect(repositoryOfRoot(other), other).toBeUndefined();
  });
});
