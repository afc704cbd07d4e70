import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tempFolder } from '../support/temp.ts';

const main = fileURLToPath(new URL('../tools/bench/main.js', import.meta.url));

/** The parts of the document of results that are looked at here. */
interface Results {
  readonly rows: ReadonlyArray<{
    readonly id: string;
    readonly seconds?: { readonly median: number };
    readonly gates: ReadonlyArray<{ readonly of: string; readonly met: boolean }>;
  }>;
  readonly gatesMissed: readonly string[];
  readonly failures: readonly unknown[];
}

/** Runs the bench on little data and returns what it wrote. */
function bench(...args: string[]): { status: number | null; page: string; results: Results } {
  const folder = tempFolder();
  const page = path.join(folder, 'page.md');
  const size = ['--size', '8', '--files', '50', '--runs', '1'];
  const { status } = spawnSync(process.execPath, [main, ...size, ...args, '--write', page], {
    env: { ...process.env, MSTORE_BENCH_DIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(fs.readdirSync(folder).sort()).toEqual(['page.json', 'page.md']);
  const results: Results = JSON.parse(fs.readFileSync(path.join(folder, 'page.json'), 'utf8'));
  return { status, page: fs.readFileSync(page, 'utf8'), results };
}

describe('the bench', { timeout: 120_000 }, () => {
  it('measures each path of mstore, tells its gates and leaves no data', () => {
    const { status, page, results } = bench('--no-peers', '--only', 'large,many,weights,start');
    expect(status).toBe(0);
    const timed = results.rows.filter(({ seconds }) => seconds !== undefined);
    expect(timed.map(({ id }) => id).join(' ')).toBe(
      'add1 push1 add2 push2 again restore pull add1 status push1 restore pull add1 add2 restore version status',
    );
    expect(timed.every(({ seconds }) => (seconds?.median ?? 0) > 0)).toBe(true);
    expect(results.rows.flatMap(({ gates }) => gates).length).toBeGreaterThan(10);
    expect(results.failures).toEqual([]);
    for (const title of ['# Benchmarks', '## Losses', '### One large file', '### Starting'])
      expect(page.split('\n')).toContain(title);
    expect(page).not.toMatch(/undefined|NaN/);
  });

  it('fails for a missed gate where it is asked to', () => {
    // A region of 1 MiB is more of 8 MiB than two versions may take.
    const { status, results } = bench('--no-peers', '--only', 'large', '--gates');
    expect(status).toBe(1);
    expect(results.gatesMissed.join()).toContain('stored, both versions');
  });
});
