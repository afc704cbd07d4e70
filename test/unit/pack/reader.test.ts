import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { chunkProblem, readChunk, readPackFooter } from '../../../src/pack/reader.ts';
import { writePack } from '../../support/packs.ts';
import { openFilesBelow } from '../../support/remote-bytes.ts';
import { tempFolder } from '../../support/temp.ts';

it('the file of a pack is closed once its footer was read, or could not be', () => {
  const folder = tempFolder();
  const { file } = writePack(folder, []);
  expect(readPackFooter(file).count).toBe(0);
  fs.writeFileSync(path.join(folder, 'odd'), 'x'.repeat(60));
  expect(() => readPackFooter(path.join(folder, 'odd'))).toThrow(/does not end with a trailer/);
  expect(openFilesBelow(folder)).toEqual([]);
});

it('a damaged chunk is named, and what is wrong with it', () => {
  const [chunk, actual] = [sha256('a'), sha256('b')];
  expect(chunkProblem(chunk, 'p', actual)).toMatchObject({
    code: 'corrupt-chunk',
    message: `The chunk ${chunk} in p is damaged: its bytes have another digest`,
    hint: expect.stringContaining('Move that pack away') as string,
    details: { chunk, actual, where: 'p' },
  });
  expect(chunkProblem(chunk, 'p').message).toMatch(/: its bytes cannot be decoded$/);
  const form = { encoding: 9, rawLength: 1 };
  expect(() => readChunk(Buffer.alloc(1), form, Buffer.alloc(32), 0, 'p')).toThrow(
    expect.objectContaining({ code: 'newer-format', hint: 'Install a newer mstore' }) as Error,
  );
});
