import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { register } from '../../src/flow/register.ts';
import { removeRemote } from '../../src/flow/remotes.ts';
import { type CliWorkspace, expectError, makeWorkspace } from '../support/cli.ts';

const policy = `
[policy.production]
weights = { bleu1 = 0.10, bleu2 = 0.15, bleu3 = 0.25, bleu4 = 0.40, rougeL_precision = 0.10 }
min_improvement = 0.001

[policy.production.limits]
latency_ms = { max = 50 }
`;

const names = ['bleu1', 'bleu2', 'bleu3', 'bleu4', 'rougeL_precision', 'latency_ms'];

function metrics(...values: readonly number[]): Record<string, number> {
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? 0]));
}

/** Those of v1.0.0. */
const equal = metrics(0.4, 0.3, 0.25, 0.2, 0.35, 41.5);

/** A workspace without a remote, where captions@v1.0.0 is live in production, and v1.1.0 is registered. */
async function captions(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  await removeRemote(await ws.open(), 'origin');
  fs.appendFileSync(ws.at('.modelstore/config.toml'), policy);
  ws.write('captions', 'weights');
  await ws.add('captions');
  ws.write('equal.json', JSON.stringify(equal));
  const workspace = await ws.open();
  const model = 'captions';
  await register(workspace, { model, version: 'v1.0.0', metrics: equal });
  const better = metrics(0.42, 0.31, 0.25, 0.21, 0.36, 38);
  await register(workspace, { model, version: 'v1.1.0', metrics: better });
  await deploy(workspace, { model, version: 'v1.0.0', environment: 'production' });
  return ws;
}

const toProduction = ['captions@v1.1.0', '--env', 'production'] as const;

describe('mstore gate', () => {
  it('explains the verdict on standard output, and ends with 0 or 7', async () => {
    const ws = await captions();
    const passed = await ws.run('gate', ...toProduction);
    expect(passed).toMatchObject({ code: 0, stderr: '' });
    expect(passed.stdout).toBe(
      [
        'metric            weight  v1.1.0   v1.0.0  difference    share',
        'bleu1               0.1    0.42    0.4          +0.02  +0.002',
        'bleu2               0.15   0.31    0.3          +0.01  +0.0015',
        'bleu3               0.25   0.25    0.25          0      0',
        'bleu4               0.4    0.21    0.2          +0.01  +0.004',
        'latency_ms                38      41.5          -3.5',
        'rougeL_precision    0.1    0.36    0.35         +0.01  +0.001',
        'score                      0.271   0.2625              +0.0085',
        '',
        'ok  latency_ms is 38, at most 50 is asked for',
        '',
        'passed: v1.1.0 scores 0.271, 0.0085 above v1.0.0, the best so far (asked for is at least 0.001 above it)',
        '',
      ].join('\n'),
    );
    const results = { ...metrics(0.4, 0.3, 0.25, 0.2, 0.35, 61), run: 'a17', ok: true };
    ws.write('eval/later.json', JSON.stringify(results));
    const refused = await ws.run('gate', ...toProduction, '--results', 'eval/later.json');
    expect(refused.code).toBe(7);
    expect(refused.stderr).toBe('Left out of eval/later.json, as they are no numbers: ok, run\n');
    expect(refused.stdout).toMatch(/\nfailed {2}latency_ms is 61, at most 50 is asked for\n/);
    expect(refused.stdout).toMatch(
      /\nrefused: v1\.1\.0 scores 0\.2625, as much as v1\.0\.0, .*\n$/,
    );
  });

  it('writes its files where --output-dir says, passed or not', async () => {
    const ws = await captions();
    const passed = await ws.run('gate', ...toProduction, '--output-dir', 'out/gate');
    expect(passed.code).toBe(0);
    expect(passed.stderr).toBe(
      'Wrote out/gate/deployment_info.json\nWrote out/gate/model_comparison.json\nWrote out/gate/deployment.log\n',
    );
    const info = () => JSON.parse(ws.read('out/gate/deployment_info.json').toString()) as object;
    expect(info()).toMatchObject({ model_name: 'captions', passed: true, rival: 'v1.0.0' });
    expect(
      (await ws.run('gate', ...toProduction, '--results', 'equal.json', '--output-dir', 'out/gate'))
        .code,
    ).toBe(7);
    expect(info()).toMatchObject({ passed: false, results: 'equal.json' });
  });

  it('is one document with --json, and no error when it refuses', async () => {
    const ws = await captions();
    const refused = await ws.run('gate', ...toProduction, '--results', 'equal.json', '--json');
    expect(refused).toMatchObject({ code: 7, stderr: '' });
    expect(refused.json).toMatchObject({
      model: 'captions',
      environment: 'production',
      passed: false,
      rival: 'v1.0.0',
      margin: 0,
      files: [],
    });
    expect(refused.json).not.toHaveProperty('error');
  });

  it('is obeyed by deploy and promote, which end with 7, and is passed by force with a reason', async () => {
    const ws = await captions();
    await ws.ok('register', 'captions@v1.2.0', '--metrics', 'equal.json');
    const deploy = ['deploy', 'captions@v1.2.0', '--env', 'production'];
    expectError(await ws.run(...deploy, '--json'), {
      code: 'gate-refused',
      message:
        /^The gate of production refuses captions@v1\.2\.0: v1\.2\.0 scores 0\.2625, as much as/,
      hint: /^Look at "mstore gate captions@v1\.2\.0 --env production", or pass it with --force/,
    });
    await ws.ok('deploy', 'captions@v1.2.0', '--env', 'staging');
    const promote = await ws.run('promote', 'captions', '--from', 'staging', '--to', 'production');
    expect(promote.code).toBe(7);
    expect(promote.stderr).toMatch(
      /^error: The gate of production refuses .* \[gate-refused\]\nhint: /,
    );
    expect((await ws.run(...deploy, '--force')).code).toBe(2);
    const forced = await ws.ok(...deploy, '--force', '--reason', 'a promise');
    expect(forced.stderr).toMatch(/^warning: passed by force: The gate of production refuses/);
  });

  it.each([
    [
      'a model alone',
      ['captions', '--env', 'production'],
      'usage',
      /not of the form MODEL@VERSION/,
      /./,
    ],
    [
      'no environment',
      ['captions@v1.1.0'],
      'usage',
      /Name the environment with --env/,
      /gate --help/,
    ],
    [
      'an unknown version',
      ['captions@v9', '--env', 'production'],
      'unknown-version',
      /no version or environment v9/,
      /./,
    ],
    [
      'no policy',
      ['captions@v1.1.0', '--env', 'staging'],
      'not-found',
      /^No policy applies to captions in staging$/,
      /^Write \[policy\.staging\] into /,
    ],
    [
      'no file of results',
      [...toProduction, '--results', 'none.json'],
      'not-found',
      /There is no file .*none\.json/,
      /Check the path/,
    ],
    [
      'results that lack a metric',
      [...toProduction, '--results', 'few.json'],
      'bad-metrics',
      /has no finite metric bleu4/,
      /Did you mean bleu_4\?/,
    ],
    [
      'results with NaN',
      [...toProduction, '--results', 'nan.json'],
      'bad-metrics',
      /it holds NaN/,
      /neither compared/,
    ],
  ] as const)('refuses %s', async (_, args, code, message, hint) => {
    const ws = await captions();
    const { bleu4, ...few } = metrics(1, 1, 1, 1, 1, 1);
    ws.write('few.json', JSON.stringify({ ...few, bleu_4: bleu4 }));
    ws.write('nan.json', '{"bleu1": NaN}');
    const out = ['--output-dir', 'out'];
    expectError(await ws.run('gate', ...args, ...out, '--json'), { code, message, hint });
    expect(fs.existsSync(ws.at('out'))).toBe(false);
  });

  it('refuses policies that cannot be right, and those of one machine', async () => {
    const ws = await captions();
    const file = ws.at('.modelstore/config.toml');
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, text.replace('bleu1 = 0.10', 'bleu1 = 0.20'));
    const wrong = {
      code: 'config-invalid',
      message: /policy\.production\.weights sums to 1\.1 instead of 1/,
      hint: /./,
    } as const;
    expectError(await ws.run('gate', ...toProduction, '--json'), wrong);
    expectError(await ws.run('deploy', ...toProduction, '--json'), wrong);
    fs.writeFileSync(file, text);
    ws.write('.modelstore/config.local.toml', '[policy.production]\n');
    expectError(await ws.run('status', '--json'), {
      code: 'config-invalid',
      message: /config\.local\.toml holds policies/,
      hint: /Move them to config\.toml/,
    });
  });
});
