import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { MstoreError } from '../../../src/base/errors.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../../src/remote/remote.ts';
import { counting } from '../../../src/remote/wrappers/counting.ts';
import { diskCached } from '../../../src/remote/wrappers/disk-cache.ts';
import { readObject, testBytes } from '../../support/remote-bytes.ts';
import { tempFolder } from '../../support/temp.ts';

const mib = 1024 * 1024;
const key = 'packs/ab/one.pack';
const bytes = testBytes(10 * mib + 99);

async function scene({ bytesMax = 1024 * mib, behind = memoryRemote() as RemotePruner } = {}) {
  const folder = tempFolder();
  await behind.create(key, bytesSource(bytes));
  const counted = counting(behind);
  const isContent = (name: string) => name.startsWith('packs/');
  const open = () => diskCached(counted, { folder, bytesMax, clock: systemClock, isContent });
  const files = () =>
    fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name));
  return { folder, cached: open(), open, counted, files };
}

describe('reads that are kept on the disk', () => {
  it('reach the place behind once for all who read at the same time', async () => {
    const { cached, counted } = await scene();
    const readers = Array.from({ length: 20 }, () => readObject(cached, key));
    for (const read of await Promise.all(readers)) expect(read.equals(bytes)).toBe(true);
    expect(counted.counts().get).toEqual({ calls: 1, bytes: bytes.length });
    const ranges = Array.from({ length: 10 }, (_, i) => {
      const range = { start: i * mib + 5, end: i * mib + 500_000 };
      return readObject(cached, key, range).then((read) =>
        expect(read.equals(bytes.subarray(range.start, range.end))).toBe(true),
      );
    });
    await Promise.all(ranges);
    expect(counted.counts().get.calls).toBe(1);
  });

  it('are there for the next process, which asks for the size alone', async () => {
    const { cached, open, counted } = await scene();
    await readObject(cached, key);
    const next = open();
    expect((await readObject(next, key)).equals(bytes)).toBe(true);
    expect(counted.counts().get.calls).toBe(1);
    expect(next.counts).toMatchObject({ hits: 3, misses: 0 });
  });

  it('ask for what lies between what is here', async () => {
    const { cached, counted } = await scene();
    await readObject(cached, key, { start: 5 * mib, end: 5 * mib + 10 });
    expect(counted.counts().get).toEqual({ calls: 1, bytes: 4 * mib });
    expect((await readObject(cached, key)).equals(bytes)).toBe(true);
    expect(counted.counts().get).toEqual({ calls: 3, bytes: bytes.length });
  });

  it('find what was damaged on the disk, and ask for it anew', async () => {
    const { cached, counted, files } = await scene();
    await readObject(cached, key);
    const kept = files();
    expect(kept).toHaveLength(3);
    for (const [i, file] of kept.entries()) {
      const content = fs.readFileSync(file);
      if (i === 0) fs.truncateSync(file, content.length - 7);
      else if (i === 1) fs.writeFileSync(file, content.fill(1, 300_000, 300_001));
      else fs.writeFileSync(file, content.fill(9, 0, 4));
    }
    expect((await readObject(cached, key)).equals(bytes)).toBe(true);
    expect(counted.counts().get.calls).toBe(4);
    expect((await readObject(cached, key)).equals(bytes)).toBe(true);
    expect(counted.counts().get.calls).toBe(4);
  });

  it('take no more room than they may, and what was used last stays', async () => {
    const { cached, counted, files } = await scene({ bytesMax: 20 * mib });
    for (let i = 0; i < 6; i++) {
      await counted.create(`packs/ab/${i}`, bytesSource(testBytes(4 * mib, `${i}`)));
      await readObject(cached, `packs/ab/${i}`);
      await readObject(cached, 'packs/ab/0');
    }
    const room = files().reduce((sum, file) => sum + fs.statSync(file).size, 0);
    expect(room).toBeLessThanOrEqual(20 * mib);
    expect(cached.counts.bytes).toBe(room);
    const before = counted.counts().get.calls;
    await readObject(cached, 'packs/ab/0');
    await readObject(cached, 'packs/ab/5');
    expect(counted.counts().get.calls).toBe(before);
    await readObject(cached, 'packs/ab/1');
    expect(counted.counts().get.calls).toBe(before + 1);
  });

  it('go through where the disk keeps nothing', async () => {
    const { cached, folder, counted } = await scene();
    fs.rmSync(folder, { recursive: true });
    fs.writeFileSync(folder, 'in the way');
    expect((await readObject(cached, key)).equals(bytes)).toBe(true);
    expect(counted.counts().get.bytes).toBeGreaterThanOrEqual(bytes.length);
    fs.rmSync(folder);
  });

  it('fail as the place behind does, and not longer', async () => {
    let isAway = true;
    const behind = memoryRemote();
    const { cached } = await scene({
      behind: {
        ...behind,
        async *get(...args: Parameters<RemotePruner['get']>) {
          if (isAway) throw new MstoreError('remote-unreachable', 'It is away');
          yield* behind.get(...args);
        },
      },
    });
    const reads = await Promise.allSettled([readObject(cached, key), readObject(cached, key)]);
    for (const read of reads) {
      expect(read).toMatchObject({ status: 'rejected', reason: { code: 'remote-unreachable' } });
    }
    isAway = false;
    expect((await readObject(cached, key)).equals(bytes)).toBe(true);
  });

  it('are not ended for others by one who goes away', async () => {
    const { cached, counted } = await scene();
    const stop = new AbortController();
    const first = readObject(cached, key, undefined, { signal: stop.signal }).catch(
      (error) => error.code,
    );
    const second = readObject(cached, key);
    stop.abort();
    expect(await first).toBe('interrupted');
    expect((await second).equals(bytes)).toBe(true);
    expect(counted.counts().get.bytes).toBeLessThanOrEqual(2 * bytes.length);
  });

  it('keep nothing of what comes and goes', async () => {
    const { cached, counted, files } = await scene();
    await counted.create('refs/a', bytesSource(Buffer.from('one')));
    for (let i = 0; i < 2; i++) expect(String(await readObject(cached, 'refs/a'))).toBe('one');
    expect(counted.counts().get.calls).toBe(2);
    expect(files()).toEqual([]);
  });
});
