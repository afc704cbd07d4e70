import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tempFolder } from '../support/temp.ts';

const main = fileURLToPath(new URL('../tools/bench/main.js', import.meta.url));

/** The parts of the document of results that are looked at here. */
interface Results {
  readonly date: string;
  readonly dates?: Readonly<Record<string, string>>;
  readonly machine: { readonly cpus: number };
  readonly rows: ReadonlyArray<{
    readonly id: string;
    readonly section?: string;
    readonly seconds?: { readonly median: number };
    readonly gates: ReadonlyArray<{ readonly of: string; readonly met: boolean }>;
  }>;
  readonly services: ReadonlyArray<{
    readonly rows: ReadonlyArray<{
      readonly id: string;
      readonly who: string;
      readonly seconds: { readonly count: number };
      readonly ofFastest: { readonly median: number };
      readonly cpuSecondsPerGB: number;
      readonly requests: number;
      readonly sent: number;
      readonly received: number;
      readonly peakBytes: number;
      readonly gates?: ReadonlyArray<{ readonly of: string; readonly met: boolean }>;
    }>;
  }>;
  readonly gatesMissed: readonly string[];
  readonly failures: readonly unknown[];
}

/** Stands in for the command line of Amazon: copies to and from a folder that is the bucket. */
const copier = `#!/bin/sh
if [ "$1" = --version ]; then echo aws-cli/0.0.0; exit; fi
for word; do from=$to; to=$word; done
place() { case $1 in s3://*) echo "$HOME/\${1#s3://}" ;; *) echo "$1" ;; esac; }
mkdir -p "$(dirname "$(place "$to")")"
cp -r "$(place "$from")" "$(place "$to")"
`;

/** Makes a virtual environment that has the stand-in. */
function copierEnvironment(): string {
  const folder = tempFolder();
  fs.mkdirSync(path.join(folder, 'bin'));
  fs.writeFileSync(path.join(folder, 'bin/aws'), copier, { mode: 0o755 });
  return folder;
}

interface Bench {
  readonly status: number | null;
  readonly page: string;
  readonly results: Results;
}

/** Runs the bench on little data and returns what it wrote. */
function bench(...args: string[]): Bench {
  return benchOnto(undefined, ...args);
}

/** Runs the bench onto what another run wrote. */
function benchOnto(earlier: Results | undefined, ...args: string[]): Bench {
  const folder = tempFolder();
  const page = path.join(folder, 'page.md');
  if (earlier !== undefined) {
    fs.writeFileSync(path.join(folder, 'page.json'), JSON.stringify(earlier));
  }
  const write = earlier === undefined ? '--write' : '--update';
  const size = ['--size', '8', '--files', '50', '--runs', '1'];
  const { status, stderr } = spawnSync(process.execPath, [main, ...size, ...args, write, page], {
    env: { ...process.env, MSTORE_BENCH_DIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (!fs.existsSync(page)) throw new Error(stderr.toString());
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

  it('measures encrypted remotes beside clear ones', () => {
    const { status, page, results } = bench('--no-peers', '--only', 'encryption');
    expect(status).toBe(0);
    expect(results.failures).toEqual([]);
    expect(page).toMatch(
      /## Encrypted remotes\n[^#]*\| push \| \d+ \| \d+ \| \d+ % \|\n\| fetch \| \d+ /,
    );
  });

  it('measures services beside a peer, counts what goes there, and tells the gates', () => {
    const venv = copierEnvironment();
    const peer = ['--peers', 'aws s3 cp', '--venv', venv];
    const { status, page, results } = bench('--only', 'services', '--servers', 'test', ...peer);
    expect(status).toBe(0);
    expect(results.failures).toEqual([]);
    const rows = results.services.flatMap((service) => service.rows);
    expect(rows.map(({ id, who }) => `${id} ${who}`)).toEqual(
      ['push1', 'push2', 'pull', 'one'].flatMap((id) => [`${id} mstore`, `${id} aws s3 cp`]),
    );
    expect(rows.every(({ seconds }) => seconds.count === 1)).toBe(true);
    const [first, second, pull, one] = rows.filter(({ who }) => who === 'mstore');
    const size = 8 * 1024 * 1024;
    expect(first?.sent).toBeGreaterThan(size);
    expect(second?.sent).toBeGreaterThan(1024 * 1024);
    expect(second?.sent).toBeLessThan(size / 2);
    expect(pull?.received).toBeGreaterThan(size);
    expect(one?.received).toBeLessThan(size / 100);
    for (const row of [first, second, pull, one]) {
      expect(row?.requests).toBeGreaterThan(2);
      expect(row?.cpuSecondsPerGB).toBeGreaterThan(0);
      expect(row?.peakBytes).toBeLessThan(300e6);
    }
    expect(first?.gates?.map(({ of }) => of)).toEqual(['wall', 'peakBytes']);
    expect(second?.gates?.map(({ of }) => of)).toEqual(['faster', 'peakBytes']);
    expect(one?.gates?.[0]).toMatchObject({ of: 'receivedShare', met: true });
    const peers = rows.filter(({ who }) => who !== 'mstore');
    // It is the fastest peer itself, and never came by the proxy.
    expect(peers.map(({ ofFastest, requests }) => [ofFastest.median, requests])).toEqual(
      peers.map(() => [1, 0]),
    );
    expect(page.split('\n')).toContain('### S3, the server of the tests');
    expect(page).not.toMatch(/undefined|NaN/);
  });

  it('puts a part into an earlier page, and leaves the others as they were', () => {
    const { results: first } = bench('--no-peers', '--only', 'weights,many');
    const earlier = { ...first, date: '2001-02-03' };
    const { status, page, results } = benchOnto(earlier, '--no-peers', '--only', 'many');
    expect(status).toBe(0);
    const rowsOf = (all: Results, section: string) =>
      all.rows.filter((row) => row.section === section);
    expect(rowsOf(results, 'weights')).toEqual(rowsOf(earlier, 'weights'));
    expect(rowsOf(results, 'many')).toHaveLength(5);
    expect(rowsOf(results, 'many')).not.toEqual(rowsOf(earlier, 'many'));
    expect(results.rows.filter(({ id }) => id === 'peak')).toHaveLength(1);
    const { date } = results;
    expect(results.dates).toEqual({ weights: '2001-02-03', many: date });
    expect(page).toContain('Of 2001-02-03 are: real weights.');
    const elsewhere = { ...earlier, machine: { ...earlier.machine, cpus: 999 } };
    expect(() => benchOnto(elsewhere, '--no-peers', '--only', 'many')).toThrow('other machine');
  });

  it('fails for a missed gate where it is asked to', () => {
    // A region of 1 MiB is more of 8 MiB than two versions may take.
    const { status, results } = bench('--no-peers', '--only', 'large', '--gates');
    expect(status).toBe(1);
    expect(results.gatesMissed.join()).toContain('stored, both versions');
  });
});
