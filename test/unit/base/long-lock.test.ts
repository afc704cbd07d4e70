import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { thisOwner } from '../../../src/base/host.ts';
import { LongLock } from '../../../src/base/long-lock.ts';
import { tempFolder } from '../../support/temp.ts';

const of = 'a place';

function fileFor(): string {
  return path.join(tempFolder(), 'a.lock');
}

it('is held by one at a time, until it is released', async () => {
  const file = fileFor();
  const lock = await LongLock.take(file, { of });
  await expect(LongLock.take(file, { of })).rejects.toMatchObject({
    code: 'locked',
    message: `Another mstore keeps a place: process ${process.pid}`,
  });
  const next = LongLock.take(file, { of, waitMsMax: 5_000 });
  lock.check();
  lock.release();
  (await next).release();
  expect(fs.readdirSync(path.dirname(file))).toEqual([]);
});

it('is taken from a process of this host that has ended', async () => {
  const file = fileFor();
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  fs.writeFileSync(file, JSON.stringify({ ...thisOwner(), pid: child.pid }));
  const lock = await LongLock.take(file, { of });
  lock.release();
  expect(fs.existsSync(file)).toBe(false);
});

it('is taken from an earlier start of this machine', async () => {
  const file = fileFor();
  fs.writeFileSync(file, JSON.stringify({ ...thisOwner(), host: 'f'.repeat(12), boot: 'other' }));
  fs.utimesSync(file, 0, 0);
  (await LongLock.take(file, { of })).release();
});

it('is taken from a container that has fallen silent, and not from one that lives', async () => {
  const file = fileFor();
  // Whoever cannot be asked is watched by our own clock, which goes fast here.
  let now = 0;
  const clock = { now: () => Date.now(), monotonic: () => (now += 2_000) };
  const foreign = JSON.stringify({ host: 'e'.repeat(12), pid: 1 });
  fs.writeFileSync(file, foreign);
  (await LongLock.take(file, { of, clock })).release();
  fs.writeFileSync(file, foreign);
  let beat = 1;
  const beating = setInterval(() => fs.utimesSync(file, beat, beat++), 20);
  await expect(LongLock.take(file, { of, clock })).rejects.toMatchObject({
    code: 'locked',
    message: 'Another mstore keeps a place: another host or container',
  });
  clearInterval(beating);
  expect(fs.readFileSync(file, 'utf8')).toBe(foreign);
});

it('is watched where its owner cannot be read, and then taken', async () => {
  const file = fileFor();
  fs.writeFileSync(file, 'torn');
  let now = 0;
  const clock = { now: () => Date.now(), monotonic: () => (now += 2_000) };
  (await LongLock.take(file, { of, clock })).release();
});

it('tells a holder that has lost it', async () => {
  const file = fileFor();
  const lock = await LongLock.take(file, { of });
  const other = JSON.stringify({ ...thisOwner(), nonce: 'other' });
  fs.writeFileSync(file, other);
  expect(() => lock.check()).toThrowError(expect.objectContaining({ code: 'locked' }));
  lock.release();
  expect(fs.readFileSync(file, 'utf8')).toBe(other);
});

it('shows that its holder lives', async () => {
  const file = fileFor();
  const lock = await LongLock.take(file, { of });
  fs.utimesSync(file, 1, 1);
  await expect.poll(() => fs.statSync(file).mtimeMs, { timeout: 10_000 }).toBeGreaterThan(2_000);
  lock.release();
});

it('ends the waiting when it is aborted', async () => {
  const file = fileFor();
  const lock = await LongLock.take(file, { of });
  const ending = new AbortController();
  setTimeout(() => ending.abort(), 50);
  const waiting = LongLock.take(file, { of, waitMsMax: 60_000, signal: ending.signal });
  await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
  lock.release();
});
