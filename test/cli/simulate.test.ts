import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mstore } from '../support/cli.ts';
import { tempFolder } from '../support/temp.ts';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const history = ['v1', 'v2'].map((version) => ({
  ...{ version, action: 'deploy', at: at(0), automatic: false },
}));
const place = { model: 'ranker', environment: 'production' };
const series = [
  { at: at(0), ...place, history },
  { at: at(70), ...place, outcomes: [{ version: 'v2', ok: false, count: 30 }] },
  { at: at(90), ...place, outcomes: [{ version: 'v2', ok: true, count: 90 }] },
];

function folderWith(lines: readonly unknown[], rules = 'max_error_rate = 0.5\nmin_calls = 20') {
  const folder = tempFolder();
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  fs.writeFileSync(path.join(folder, 'series.jsonl'), `${text.join('\n')}\n`);
  fs.writeFileSync(path.join(folder, 'rules.toml'), `[monitor.production]\n${rules}\n`);
  return folder;
}

const simulate = (folder: string, ...more: string[]) =>
  mstore(folder, 'simulate', 'series.jsonl', '--rules', 'rules.toml', ...more);

describe('mstore simulate', () => {
  it('shows what rules would have done', async () => {
    const folder = folderWith(series);
    const shown = await simulate(folder);
    expect(shown.stderr).toBe('');
    expect(shown.stdout).toContain('ranker, production: 120 calls from ');
    expect(shown.stdout).toMatch(/v2 +go back to v1\n +100 % of 30 calls in 300 s failed \(30\)/);
    const { environments } = JSON.parse((await simulate(folder, '--json')).stdout) as {
      environments: unknown[];
    };
    expect(environments).toMatchObject([
      {
        ...place,
        rules: 'production',
        calls: 120,
        acts: [{ at: at(70), act: 'moved', version: 'v2', to: 'v1' }],
      },
    ]);
  });

  it('says where rules would have done nothing, and where none apply', async () => {
    const quiet = await simulate(folderWith(series, 'max_error_rate = 1'));
    expect(quiet.stdout).toContain('the rules of production would have done nothing');
    const staging = series.map((line) => ({ ...line, environment: 'staging' }));
    expect((await simulate(folderWith(staging))).stdout).toBe('ranker, staging: no rules apply\n');
  });

  it.each([
    ['{', 'Line 1 of', 'is no JSON'],
    [{ ...place, history }, 'Line 1 of', 'has no time'],
    [{ at: at(0), ...place }, 'Line 1 of', 'neither "history" nor "outcomes"'],
    [{ at: at(0), ...place, history: [{}] }, 'Line 1 of', 'an entry without a version'],
    [{ at: at(0), ...place, outcomes: [{ version: 'v1' }] }, 'Line 1 of', 'without "ok"'],
    [{ at: at(0), model: '../x', history }, 'Line 1 of', 'has no "model"'],
    ['x'.repeat(5_000_000), 'Line 1 of', 'is too long'],
  ])('refuses line %#', async (line, where, what) => {
    const refused = await simulate(folderWith([line]));
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(where);
    expect(refused.stderr).toContain(what);
  });

  it('refuses a series whose time goes back, and rules that are none', async () => {
    const backward = await simulate(folderWith([...series, series[0]]));
    expect(backward.stderr).toContain('is of an earlier time');
    const rules = await simulate(folderWith(series, 'max_error_rate = 7'));
    expect(rules.stderr).toContain('monitor.production.max_error_rate is 7');
    const none = await mstore(tempFolder(), 'simulate', 'none.jsonl', '--rules', 'none.toml');
    expect(none).toMatchObject({ code: 3, stdout: '' });
  });
});
