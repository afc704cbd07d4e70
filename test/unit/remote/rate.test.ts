import { describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../../src/base/clock.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { type RateLimit, rateLimit, rateLimited } from '../../../src/remote/wrappers/rate.ts';
import { retrying, retryPolicy } from '../../../src/remote/wrappers/retry.ts';
import { readObject, testBytes } from '../../support/remote-bytes.ts';
import { newS3Remote, testS3Server } from '../../support/s3-remote.ts';
import { VirtualTime } from '../../support/virtual-time.ts';

const limitIn = (time: VirtualTime, bytesPerSecond: number) =>
  rateLimit({ bytesPerSecond, clock: time.clock, sleep: time.sleep });

/** Passes blocks on and notes when each came. */
async function drain(
  limit: RateLimit,
  blocks: Iterable<Uint8Array>,
  onPiece: (bytes: number) => void,
): Promise<void> {
  for await (const piece of limit.pace(blocks, undefined)) onPiece(piece.length);
}

describe('a limit of the rate', () => {
  it.each([10_000, 1_000_000, 20_000_000, 200_000_000])(
    'lets %i bytes a second through, whatever the number of streams',
    async (rate) => {
      for (const streams of [1, 7]) {
        const time = new VirtualTime();
        const limit = limitIn(time, rate);
        const total = 10 * rate;
        const moves: { at: number; bytes: number }[] = [];
        const blocks = [new Uint8Array(Math.ceil(total / streams / 4))];
        const own = [0, 1, 2, 3].flatMap(() => blocks);
        const all = Array.from({ length: streams }, () =>
          drain(limit, own, (bytes) => moves.push({ at: time.now, bytes })),
        );
        await time.run(Promise.all(all));
        // The last piece leaves when those before it are paid for; a tenth of a second is free.
        expect(time.now).toBeGreaterThan(9_800);
        expect(time.now).toBeLessThan(10_001);
        for (let from = 0; from < 10_000; from += 250) {
          const inWindow = moves.filter(({ at }) => at >= from && at < from + 1000);
          const bytes = inWindow.reduce((sum, move) => sum + move.bytes, 0);
          expect(bytes).toBeLessThanOrEqual(rate * 1.2);
        }
        expect(Math.max(...moves.map(({ bytes }) => bytes))).toBeLessThanOrEqual(rate / 20);
      }
    },
  );

  it('gives streams equal shares', async () => {
    const time = new VirtualTime();
    const limit = limitIn(time, 1_000_000);
    const moved = [0, 0, 0];
    const all = moved.map((_, n) =>
      drain(limit, [new Uint8Array(3_000_000)], (bytes) => {
        moved[n] = (moved[n] ?? 0) + bytes;
        if (time.now > 1000) expect(Math.max(...moved) - Math.min(...moved)).toBeLessThan(200_000);
      }),
    );
    await time.run(Promise.all(all));
    expect(moved).toEqual([3_000_000, 3_000_000, 3_000_000]);
  });

  it('makes up for a short delay, and not for a long rest', async () => {
    const time = new VirtualTime();
    const limit = limitIn(time, 1_000_000);
    await time.run(drain(limit, [new Uint8Array(1000)], () => {}));
    time.now += 3_600_000;
    const before = time.now;
    await time.run(drain(limit, [new Uint8Array(1_000_000)], () => {}));
    expect(time.now - before).toBeGreaterThanOrEqual(840);
  });

  it('passes bytes on as they are', async () => {
    const time = new VirtualTime();
    const bytes = testBytes(100_003);
    const remote = rateLimited(memoryRemote(), limitIn(time, 50_000));
    expect(await time.run(remote.create('a', bytesSource(bytes)))).toBe('created');
    expect(time.now).toBeGreaterThan(1_800);
    const before = time.now;
    expect((await time.run(readObject(remote, 'a'))).equals(bytes)).toBe(true);
    expect(time.now - before).toBeGreaterThan(1_800);
  });

  it('ends a wait with the signal', async () => {
    const limit = rateLimit({ bytesPerSecond: 10_000, clock: systemClock });
    const remote = rateLimited(memoryRemote(), limit);
    const stop = new AbortController();
    const created = remote.create('a', bytesSource(new Uint8Array(100_000_000)), {
      signal: stop.signal,
    });
    setTimeout(() => stop.abort(), 20);
    await expect(created).rejects.toMatchObject({ code: 'interrupted' });
    expect(await remote.stat('a')).toBeUndefined();
  });
});

describe('a limit of a service', async () => {
  const server = await testS3Server({ partBytesMin: 1000 });

  it('bounds bodies as they leave, those that are sent again too', async () => {
    const time = new VirtualTime();
    const limit = limitIn(time, 100_000);
    const { clock } = time;
    const policy = retryPolicy({ clock, random: systemRandom, sleep: async () => {} });
    const remote = newS3Remote(server, { limit, policy, partBytes: 50_000 });
    const patient = rateLimited(retrying(remote, policy), limit, 'reads');
    const bytes = testBytes(200_000);
    server.fault({ how: 'reset', at: 'partNumber=2', times: 2 });
    expect(await time.run(patient.create('a', bytesSource(bytes)))).toBe('created');
    // Of a part whose connection was reset, less than all may have left.
    expect(time.now).toBeGreaterThan(1_800);
    expect(time.now).toBeLessThan(3_001);
    const before = time.now;
    expect((await time.run(readObject(patient, 'a'))).equals(bytes)).toBe(true);
    expect(time.now - before).toBeGreaterThan(1_800);
    // What was sent last may still have to be paid for: a piece.
    expect(time.now - before).toBeLessThan(2_051);
  });

  it('ends with the signal while a body waits to leave', async () => {
    const limit = rateLimit({ bytesPerSecond: 10_000, clock: systemClock });
    const remote = newS3Remote(server, { limit, partBytes: 1_000_000 });
    const stop = new AbortController();
    for (const size of [900_000, 3_000_000]) {
      const created = remote.create('slow', bytesSource(testBytes(size)), { signal: stop.signal });
      setTimeout(() => stop.abort(), 100);
      await expect(created).rejects.toMatchObject({ code: 'interrupted' });
    }
    expect(await remote.stat('slow')).toBeUndefined();
    expect(server.uploads.size).toBe(0);
  });
});
