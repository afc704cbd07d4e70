import { spawnSync } from 'node:child_process';
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

  it('are read from JSON, and from nothing else', () => {
    expect(parseOwner('{"host":"a","pid":1,"nonce":"x"}')).toEqual({ host: 'a', pid: 1 });
    for (const text of ['', '{', 'null', '[]', '{"host":1,"pid":1}', '{"host":"a"}']) {
      expect(parseOwner(text)).toBeUndefined();
    }
  });
});
