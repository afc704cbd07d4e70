import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { hostToken } from '../../../src/base/host.ts';
import { withLock } from '../../../src/base/lock.ts';
import { outputOf, startRemoteProcess } from '../../support/remote-process.ts';
import { tempFolder } from '../../support/temp.ts';

const locked = expect.objectContaining({ code: 'locked' }) as Error;

async function deadPid(): Promise<number> {
  const child = startRemoteProcess('', []);
  await outputOf(child);
  return child.pid as number;
}

describe('withLock', () => {
  it('gives the result of the work and releases, also when the work fails', async () => {
    const file = path.join(tempFolder(), 'lock');
    expect(await withLock(file, () => fs.existsSync(file))).toBe(true);
    await expect(withLock(file, () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    expect(fs.readdirSync(path.dirname(file))).toEqual([]);
  });

  it('lets in one at a time', async () => {
    const file = path.join(tempFolder(), 'lock');
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, () =>
        withLock(file, async () => {
          most = Math.max(most, ++inside);
          await delay(1);
          inside--;
        }),
      ),
    );
    expect(most).toBe(1);
  });

  it('waits for a live holder and then gives up', async () => {
    const file = path.join(tempFolder(), 'lock');
    const content = JSON.stringify({ host: hostToken(), pid: process.ppid });
    fs.writeFileSync(file, content);
    await expect(withLock(file, () => 1, { waitMsMax: 30 })).rejects.toThrow(locked);
    expect(fs.readFileSync(file, 'utf8')).toBe(content);
  });

  it('takes over from a holder that ended', async () => {
    const file = path.join(tempFolder(), 'lock');
    fs.writeFileSync(file, JSON.stringify({ host: hostToken(), pid: await deadPid() }));
    expect(await withLock(file, () => 1, { waitMsMax: 1_000 })).toBe(1);
    expect(fs.readdirSync(path.dirname(file))).toEqual([]);
  });

  it('leaves the lock of another host alone for a day', async () => {
    const file = path.join(tempFolder(), 'lock');
    fs.writeFileSync(file, JSON.stringify({ host: '0123456789ab', pid: 1 }));
    const made = fs.statSync(file).mtimeMs;
    const clock = (now: number) => ({ now: () => now, monotonic: () => performance.now() });
    const day = 24 * 60 * 60 * 1000;
    const soon = { waitMsMax: 20, clock: clock(made + day - 1) };
    await expect(withLock(file, () => 1, soon)).rejects.toThrow(locked);
    expect(await withLock(file, () => 1, { waitMsMax: 1_000, clock: clock(made + day + 1) })).toBe(
      1,
    );
  });

  it('leaves a lock that cannot be read alone while it is young', async () => {
    const file = path.join(tempFolder(), 'lock');
    fs.writeFileSync(file, '{"ho');
    await expect(withLock(file, () => 1, { waitMsMax: 20 })).rejects.toThrow(locked);
    const old = Date.now() / 1000 - 60;
    fs.utimesSync(file, old, old);
    expect(await withLock(file, () => 1, { waitMsMax: 1_000 })).toBe(1);
  });

  it('does not remove the lock of whoever took it over meanwhile', async () => {
    const file = path.join(tempFolder(), 'lock');
    await withLock(file, () => fs.writeFileSync(file, 'theirs'));
    expect(fs.readFileSync(file, 'utf8')).toBe('theirs');
  });

  it('loses no step of many processes, some of which die in it', async () => {
    const folder = tempFolder();
    const lock = path.join(folder, 'lock');
    const counter = path.join(folder, 'count');
    fs.writeFileSync(counter, '0');
    fs.writeFileSync(lock, JSON.stringify({ host: hostToken(), pid: await deadPid() }));
    const script = `
      import * as fs from 'node:fs';
      import { withLock } from './base/lock.js';
      const [lock, counter, dies] = process.argv.slice(2);
      for (let i = 0; i < 25; i++) {
        await withLock(lock, () => {
          const count = Number(fs.readFileSync(counter, 'utf8'));
          fs.writeFileSync(counter, String(count + 1));
          if (dies === 'yes' && i === 10) process.kill(process.pid, 'SIGKILL');
        });
      }
      process.stdout.write('done');
    `;
    const living = Array.from({ length: 3 }, () =>
      startRemoteProcess(script, [lock, counter, 'no']),
    );
    const dying = [startRemoteProcess(script, [lock, counter, 'yes'])];
    const ends = await Promise.allSettled([...living, ...dying].map(outputOf));
    expect(ends.map(({ status }) => status)).toEqual([
      ...living.map(() => 'fulfilled'),
      ...dying.map(() => 'rejected'),
    ]);
    expect(Number(fs.readFileSync(counter, 'utf8'))).toBe(living.length * 25 + dying.length * 11);
    // The one that died may have been the last to hold it.
    await withLock(lock, () => {});
    expect(fs.readdirSync(folder).sort()).toEqual(['count']);
  });
});
