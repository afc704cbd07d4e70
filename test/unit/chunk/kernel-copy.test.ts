import { expect, it } from 'vitest';
import { type Kernel, makeKernel } from '../../../src/chunk/kernel.ts';

const bytes = 65_536;

function made(): Kernel {
  const kernel = makeKernel(bytes);
  if (kernel === undefined) throw new Error('No kernel was built or runs here');
  return kernel;
}

it('a kernel copies to where it is told, up to the end of the target', () => {
  const { bytes: memory, copy } = made();
  const source = memory.subarray(0, 5);
  source.write('01234');
  const target = memory.subarray(100, 110);
  copy(target, 5, source);
  expect([...memory.subarray(104, 111)]).toEqual([0, 48, 49, 50, 51, 52, 0]);
  copy(target, 0, source);
  expect(String(target)).toBe('0123401234');
  expect(() => copy(target, 6, source)).toThrow('what is copied has room');
});

it('a kernel copies within its own memory only', () => {
  const { bytes: memory, copy, scan } = made();
  const [inside, outside] = [memory.subarray(0, 5), new Uint8Array(5)];
  expect(() => copy(inside, 0, outside)).toThrow('memory of the kernel');
  expect(() => copy(outside, 0, inside)).toThrow('memory of the kernel');
  expect(() => scan(outside, 0, 5, 0)).toThrow('memory of the kernel');
});

it('a kernel has the memory that it was asked for, of whole pages, less than it is built for', () => {
  expect(made().bytes).toHaveLength(bytes);
  expect(() => makeKernel(bytes + 1)).toThrow('the memory fits the kernel');
  expect(() => makeKernel(4096 * bytes)).toThrow('the memory fits the kernel');
});
