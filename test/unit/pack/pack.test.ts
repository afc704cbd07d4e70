import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../../src/base/errors.ts';
import { newWriteMemory } from '../../../src/base/sequential-file.ts';
import { readChunk, readPackFooter } from '../../../src/pack/reader.ts';
import { PackWriter } from '../../../src/pack/writer.ts';
import { writePack } from '../../support/packs.ts';
import { runs } from '../../support/runs.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const chunkLists = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 12 });

/** Reads every chunk of a pack with all checks; returns the raw bytes. */
function readAll(file: string): Buffer[] {
  const footer = readPackFooter(file);
  const bytes = fs.readFileSync(file);
  return Array.from({ length: footer.count }, (_, number) => {
    const row = footer.row(number);
    const stored = bytes.subarray(row.offset, row.offset + row.storedLength);
    return Buffer.from(readChunk(stored, row, footer.bytes, footer.idOffset(number), file));
  });
}

describe('a pack', () => {
  it('yields what was written, in order', () => {
    const folder = tempFolder();
    fc.assert(
      fc.property(chunkLists, (chunks) => {
        const { file, footer } = writePack(folder, chunks);
        expect(readAll(file).map((raw) => [...raw])).toEqual(chunks.map((raw) => [...raw]));
        const read = readPackFooter(file);
        expect(read.id).toBe(footer.id);
        expect(read.packBytes).toBe(fs.statSync(file).size);
        expect(read.payloadBytes).toBe(chunks.reduce((sum, raw) => sum + raw.length, 0));
      }),
      runs(50),
    );
  });

  it('has the bytes of its chunks in front, also when they exceed a block of the writer', () => {
    const raw = xorshiftBytes(1, 9 * 1024 * 1024 + 5);
    const parts = [raw.subarray(0, 7), raw.subarray(7, 4_194_311), raw.subarray(4_194_311)];
    const { file } = writePack(tempFolder(), parts);
    expect(fs.readFileSync(file).subarray(0, raw.length).equals(raw)).toBe(true);
    expect(Buffer.concat(readAll(file)).equals(raw)).toBe(true);
  });

  it('shows damage of every single byte', () => {
    const { file } = writePack(tempFolder(), [Buffer.from('first'), Buffer.from('second one')]);
    const whole = fs.readFileSync(file);
    for (let at = 0; at < whole.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(whole);
        damaged[at] = (damaged[at] as number) ^ flip;
        fs.writeFileSync(file, damaged);
        expect(
          codeOf(() => readAll(file)),
          `byte ${at}`,
        ).toMatch(/^(?:corrupt-pack|corrupt-chunk|newer-format)$/);
      }
    }
  });

  it('shows that it was cut short or has more behind it, wherever', () => {
    const { file } = writePack(tempFolder(), [Buffer.from('first'), Buffer.from('second one')]);
    const whole = fs.readFileSync(file);
    for (let length = 0; length < whole.length; length++) {
      fs.writeFileSync(file, whole.subarray(0, length));
      expect(
        codeOf(() => readAll(file)),
        `${length} bytes`,
      ).toBe('corrupt-pack');
    }
    fs.writeFileSync(file, Buffer.concat([whole, Buffer.from([0])]));
    expect(codeOf(() => readAll(file))).toBe('corrupt-pack');
    fs.writeFileSync(file, Buffer.concat([Buffer.from([0]), whole]));
    expect(codeOf(() => readAll(file))).toBe('corrupt-pack');
  });

  it('shows two swapped chunks of one length', () => {
    const { file } = writePack(tempFolder(), [Buffer.from('aaaa'), Buffer.from('bbbb')]);
    const whole = fs.readFileSync(file);
    whole.write('bbbbaaaa');
    fs.writeFileSync(file, whole);
    expect(codeOf(() => readAll(file))).toBe('corrupt-chunk');
  });
});

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isMstoreError(error)) return error.code;
    throw error;
  }
  return 'no error';
}

describe('PackWriter', () => {
  it('does not touch a file that exists', () => {
    const file = path.join(tempFolder(), 'taken');
    fs.writeFileSync(file, 'mine');
    expect(() => new PackWriter(file)).toThrow(/EEXIST/);
    expect(fs.readFileSync(file, 'utf8')).toBe('mine');
  });

  it('refuses an empty chunk and work after its end', () => {
    const writer = new PackWriter(path.join(tempFolder(), 'p'));
    expect(() => writer.append(Buffer.alloc(32), Buffer.alloc(0))).toThrow(/not empty/);
    writer.finish();
    expect(() => writer.finish()).toThrow(/is open/);
    writer.close();
  });

  it('ends where a block of its memory does, with blocks written in the background', async () => {
    const file = path.join(tempFolder(), 'p');
    const memory = newWriteMemory(2);
    const blockBytes = memory.blocks[0]?.length ?? 0;
    const writer = new PackWriter(file, memory);
    const raw = Buffer.alloc(blockBytes * 2 - 10, 7);
    writer.append(Buffer.alloc(32, 1), raw);
    await writer.settled();
    const footer = writer.finish();
    const bytes = fs.readFileSync(file);
    expect(bytes).toHaveLength(footer.packBytes);
    expect(bytes.subarray(0, raw.length).equals(raw)).toBe(true);
    expect(bytes.subarray(raw.length).equals(Buffer.concat([footer.bytes, footer.trailer()]))).toBe(
      true,
    );
  });

  it('copies a chunk before the call returns', () => {
    const { file, footer } = (() => {
      const target = path.join(tempFolder(), 'p');
      const writer = new PackWriter(target);
      const raw = Buffer.from('abc');
      const id = Buffer.alloc(32, 7);
      writer.append(id, raw);
      raw.fill(0);
      id.fill(0);
      return { file: target, footer: writer.finish() };
    })();
    expect(fs.readFileSync(file, 'latin1').slice(0, 3)).toBe('abc');
    expect(footer.chunk(0)).toBe('07'.repeat(32));
  });
});
