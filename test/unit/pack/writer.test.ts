import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sha256Raw } from '../../../src/base/digest.ts';
import { limits } from '../../../src/base/limits.ts';
import { PackWriter } from '../../../src/pack/writer.ts';
import { tempFolder } from '../../support/temp.ts';

// What fills a pack of 256 MiB is the same at 100 bytes.
const targets = {
  packBytesTarget: limits.packBytesTarget,
  packChunksTarget: limits.packChunksTarget,
};
beforeEach(() => void Object.assign(limits, { packBytesTarget: 100, packChunksTarget: 3 }));
afterEach(() => void Object.assign(limits, targets));

/** The chunks and bytes of a pack after each chunk of the given lengths, and whether it is full. */
function states(...lengths: readonly number[]): Array<[number, number, boolean]> {
  const writer = new PackWriter(path.join(tempFolder(), 'p'));
  try {
    return lengths.map((length) => {
      const raw = Buffer.alloc(length, 1);
      writer.append(sha256Raw(raw), raw);
      return [writer.count, writer.payloadBytes, writer.full];
    });
  } finally {
    writer.close();
  }
}

it('a pack is full from its target of bytes on', () => {
  expect(states(99, 1)).toEqual([
    [1, 99, false],
    [2, 100, true],
  ]);
  expect(states(101)).toEqual([[1, 101, true]]);
});

it('a pack is full from its target of chunks on', () => {
  expect(states(1, 1, 1, 1)).toEqual([
    [1, 1, false],
    [2, 2, false],
    [3, 3, true],
    [4, 4, true],
  ]);
});

it('a writer tells its file, and has room at first', () => {
  const file = path.join(tempFolder(), 'p');
  const writer = new PackWriter(file);
  expect(writer.file).toBe(file);
  expect(writer.full).toBe(false);
  expect(writer.room()).toBeUndefined();
  writer.close();
});
