import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DirectFile } from '../../../src/base/direct-file.ts';
import { makePages } from '../../../src/base/wasm-memory.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const blockBytes = 64 * 1024;
const blocks = 20;

/** How often files were opened to be written past the page cache, and how many writes they got. */
const direct = vi.hoisted(() => ({ fds: new Set<number>(), writes: 0, delayMs: 0 }));

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs')>();
  const { promisify } = await import('node:util');
  const realWrite = promisify(real.write);
  const openSync = (...args: Parameters<typeof real.openSync>): number => {
    const fd = real.openSync(...args);
    if (typeof args[1] === 'number' && (args[1] & real.constants.O_DIRECT) !== 0)
      direct.fds.add(fd);
    return fd;
  };
  const write = Object.assign(() => {}, {
    [promisify.custom]: async (fd: number, ...rest: [Uint8Array, number, number, number]) => {
      if (direct.fds.has(fd)) {
        direct.writes++;
        await new Promise((resolve) => setTimeout(resolve, direct.delayMs));
      }
      return realWrite(fd, ...rest);
    },
  });
  return { ...real, openSync, write };
});

afterEach(() => {
  direct.fds.clear();
  direct.writes = 0;
  direct.delayMs = 0;
});

async function writeBlocks(options: { directMsMax?: number }): Promise<void> {
  const file = path.join(tempFolder(), 'file');
  const bytes = xorshiftBytes(5, blocks * blockBytes);
  const memory = makePages(bytes.length);
  bytes.copy(memory);
  const out = DirectFile.create(file, options);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    await out.writeBlock(memory.subarray(at, at + blockBytes), at);
  }
  await out.write(Buffer.from('rest'), bytes.length);
  out.close();
  expect(fs.readFileSync(file).equals(Buffer.concat([bytes, Buffer.from('rest')]))).toBe(true);
}

// Where the file system of the tests cannot bypass the page cache, no write goes past it.
describe('DirectFile', () => {
  it('leaves a slow disk to the page cache after the first blocks', async () => {
    direct.delayMs = 5;
    await writeBlocks({ directMsMax: 1 });
    expect(direct.writes).toBeLessThanOrEqual(8);
  });

  it('waits for a disk as long as it takes where it is not told otherwise', async () => {
    direct.delayMs = 5;
    await writeBlocks({});
    expect([0, 1, blocks]).toContain(direct.writes);
  });

  it('closes its file only when the writes under way have ended', async () => {
    const out = DirectFile.create(path.join(tempFolder(), 'file'));
    const { fd } = out;
    direct.delayMs = 20;
    const writing = out.writeBlock(makePages(blockBytes), 0);
    out.close();
    expect(fs.fstatSync(fd).isFile()).toBe(true);
    await writing;
    expect(() => fs.fstatSync(fd)).toThrow(/EBADF/);
  });
});
