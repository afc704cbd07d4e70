import { expect } from 'vitest';
import { startMstore } from './cli.ts';
import { noise } from './flow-scratch.ts';
import { filesBelow } from './flow-state.ts';

/** Runs the command line to its end; returns how long it took, in milliseconds. */
export async function timedRun(cwd: string, ...args: string[]): Promise<number> {
  const start = performance.now();
  const result = await startMstore(cwd, args).done;
  expect(result.code, result.stdout + result.stderr).toBe(0);
  return performance.now() - start;
}

/**
 * Runs the command line and kills it, as a power failure would, somewhere in the time that a run takes.
 * @param at share of the time, from 0 to 1
 * @returns whether it was killed before it had ended
 */
export async function killedRun(
  cwd: string,
  usualMs: number,
  at: number,
  ...args: string[]
): Promise<boolean> {
  const run = startMstore(cwd, args);
  // Before this share only Node itself is at work.
  const timer = setTimeout(() => run.child.kill('SIGKILL'), usualMs * (0.25 + 0.75 * at));
  const { code, stdout, stderr } = await run.done;
  clearTimeout(timer);
  if (code !== null) expect(code, stdout + stderr).toBe(0);
  return code === null;
}

/** Points in time from 0 to 1, drawn by a seed but spread over the whole. */
export function killPoints(count: number, seed: string): number[] {
  return Array.from({ length: count }, (_, n) => {
    const chance = noise(4, `${seed} ${n}`).readUInt32LE() / 2 ** 32;
    return (n + chance) / count;
  });
}

/** Temporary files below a folder, those of Git left out. */
export function tempsBelow(folder: string): string[] {
  return filesBelow(folder).filter((file) => file.endsWith('.tmp') && !file.startsWith('.git/'));
}
