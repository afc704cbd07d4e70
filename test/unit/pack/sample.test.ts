import { expect, it } from 'vitest';
import { choosePlan } from '../../../src/pack/probe.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const slice = 8 * 1024;

it('a chunk of 64 bytes is looked at, a shorter one is not', () => {
  expect(choosePlan(Buffer.alloc(64)).encoding).toBe('deflate');
  expect(choosePlan(Buffer.alloc(63)).encoding).toBe('raw');
});

it('a chunk that is shorter than the sample is looked at as a whole', () => {
  for (const length of [5_000, slice, 3 * slice - 1, 3 * slice])
    expect(choosePlan(xorshiftBytes(1, length)).encoding, `${length} bytes`).toBe('raw');
});

it('of a long chunk the start, the middle and the end are looked at, and nothing else', () => {
  const length = 300_000;
  const middle = Math.floor((length - slice) / 2 / 4) * 4;
  const places = [0, middle, 2 * middle];
  const inside = xorshiftBytes(1, length);
  for (const at of places) inside.fill(0, at, at + slice);
  expect(choosePlan(inside)).toEqual({ encoding: 'deflate', methods: ['runs'] });
  for (const at of places) {
    const outside = Buffer.alloc(length);
    xorshiftBytes(1, slice).copy(outside, at);
    expect(choosePlan(outside), `noise from ${at} on`).not.toEqual(choosePlan(inside));
  }
});
