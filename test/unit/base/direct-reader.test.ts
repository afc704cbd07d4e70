import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectReader } from '../../../src/base/direct-reader.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const mib = 1024 * 1024;
const bytes = xorshiftBytes(3, 4 * mib);

/** Looks at the clock of one measurement: at its begin, before and after each of nine reads, at its end. */
const looks = 20;

/** A file, and a clock that goes on by so much each time it is looked at: as long as a read takes. */
function measured(msOfLook: (look: number) => number) {
  const file = path.join(tempFolder(), 'file');
  fs.writeFileSync(file, bytes);
  const fd = fs.openSync(file, 'r');
  let [time, seen] = [1000, 0];
  const reader = new DirectReader(fd, file, () => {
    time += msOfLook(seen++);
    return time;
  });
  return {
    reader,
    looks: () => seen,
    pass: (ms: number) => {
      time += ms;
    },
    close() {
      reader.close();
      fs.closeSync(fd);
    },
  };
}

describe('a reader that goes past the page cache where that is better', () => {
  it('measures a file that is in memory once', () => {
    const file = measured(() => 0.004);
    for (let i = 0; i < 5; i++) expect(file.reader.isDirect(i * mib)).toBe(false);
    expect(file.looks()).toBe(looks);
    file.close();
  });

  it('goes past it once three findings, apart from each other, say so', () => {
    const file = measured(() => 0.2);
    const found = [];
    for (let i = 0; i < 4; i++) {
      found.push(file.reader.isDirect(0), file.reader.isDirect(0));
      file.pass(5);
    }
    // Where files cannot be opened so, they are read as always.
    const canBe = fs.constants.O_DIRECT !== undefined;
    expect(found).toEqual([false, false, false, false, canBe, canBe, canBe, canBe]);
    // The second question of each pair comes too soon for a measurement.
    expect(file.looks()).toBe(3 * looks + 2);
    file.close();
  });

  it('is not led astray by a moment in which all reads are held up', () => {
    const file = measured((look) => (look < looks ? 0.2 : 0.004));
    expect(file.reader.isDirect(0)).toBe(false);
    file.pass(5);
    for (let i = 0; i < 5; i++) expect(file.reader.isDirect(i * mib)).toBe(false);
    expect(file.looks()).toBe(2 * looks);
    file.close();
  });

  it('nor by some reads that are held up now and then', () => {
    const file = measured((look) => (look % 6 < 2 ? 0.2 : 0.004));
    for (let i = 0; i < 5; i++) expect(file.reader.isDirect(0)).toBe(false);
    expect(file.looks()).toBe(looks);
    file.close();
  });

  it('reads the same bytes either way', async () => {
    for (const ms of [0.004, 0.2]) {
      const file = measured(() => ms);
      for (let i = 0; i < 3; i++) {
        file.reader.isDirect(0);
        file.pass(5);
      }
      const target = Buffer.alloc(mib);
      expect(await file.reader.read(target, 12_345)).toBe(mib);
      expect(target.equals(bytes.subarray(12_345, 12_345 + mib))).toBe(true);
      file.close();
    }
  });
});
