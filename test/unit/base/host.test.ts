import { spawnSync } from 'node:child_process';
import { uptime } from 'node:os';
import { describe, expect, it } from 'vitest';
import {
  hostToken,
  ownerIsGone,
  parseOwner,
  processRuns,
  thisOwner,
} from '../../../src/base/host.ts';

const day = 24 * 60 * 60 * 1000;

describe('owners', () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;

  it('of this host are asked, however long ago they were heard of', () => {
    expect(hostToken()).toMatch(/^[0-9a-f]{12}$/);
    expect(processRuns(process.pid)).toBe(true);
    expect(processRuns(1)).toBe(true);
    expect(processRuns(dead)).toBe(false);
    expect(ownerIsGone({ host: hostToken(), pid: dead }, 0)).toBe(true);
    expect(ownerIsGone({ host: hostToken(), pid: process.ppid }, 10 * day)).toBe(false);
    expect(ownerIsGone(thisOwner(), 10 * day)).toBe(false);
  });

  it('of other hosts count as gone after a day', () => {
    expect(ownerIsGone({ host: 'elsewhere', pid: dead }, day)).toBe(false);
    expect(ownerIsGone({ host: 'elsewhere', pid: dead }, day + 1)).toBe(true);
  });

  it('of an earlier start of this machine are gone, by what they touched before it', () => {
    const before = { ...thisOwner(), host: 'elsewhere', boot: 'another start' };
    const upMs = uptime() * 1000;
    expect(ownerIsGone(before, upMs + 60_000)).toBe(true);
    expect(ownerIsGone(before, upMs - 60_000)).toBe(upMs - 60_000 > day);
    expect(ownerIsGone({ ...before, machine: 'another' }, upMs + 60_000)).toBe(upMs > day);
    const same = { ...thisOwner(), host: 'elsewhere' };
    expect(ownerIsGone(same, upMs + 60_000)).toBe(upMs > day);
    expect(parseOwner(JSON.stringify(before))).toEqual(before);
    expect(parseOwner(JSON.stringify({ ...before, boot: '' }))).toEqual({
      host: 'elsewhere',
      pid: process.pid,
    });
  });

  it('are read from JSON, and from nothing else', () => {
    expect(parseOwner('{"host":"a","pid":1,"nonce":"x"}')).toEqual({ host: 'a', pid: 1 });
    for (const text of ['', '{', 'null', '[]', '{"host":1,"pid":1}', '{"host":"a"}']) {
      expect(parseOwner(text)).toBeUndefined();
    }
  });
});
