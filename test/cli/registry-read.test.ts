import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { localRegistry } from '../../src/flow/registry.ts';
import type { EnvironmentEntry } from '../../src/registry/entry.ts';
import type { VersionRecord } from '../../src/registry/record.ts';
import { environmentLog, Registry, stateLog } from '../../src/registry/registry.ts';
import { localRemote } from '../../src/remote/local.ts';
import {
  type CliResult,
  type CliWorkspace,
  expectError,
  makeWorkspace,
  startMstore,
} from '../support/cli.ts';
import { environmentDraft, madeRecord, stateDraft } from '../support/registry.ts';

const time = (day: number, hour: number): string =>
  `2026-03-${String(day).padStart(2, '0')}T${String(hour).padStart(2, '0')}:30:00.000Z`;

const metadata = {
  version: '1.1.0',
  model_name: 'ranker',
  created_date: '2026-03-01',
  metrics: { accuracy: 0.91 },
  model_architecture: { layers: 12, heads: ['a', 'b'], activation: null },
  changelog: ['x'],
  status: 'released',
};

const versions: ReadonlyArray<readonly [string, Partial<VersionRecord>]> = [
  ['v1.0.0', { created: time(1, 9), metrics: { accuracy: 0.9, loss: 0.25 } }],
  [
    'v1.1.0',
    {
      created: time(2, 9),
      author: 'Ann Example <ann@example.com>',
      description: 'Trained on the corpus of March, which has twice as many documents as before',
      changelog: ['More data', 'A longer context'],
      status: 'released',
      labels: { team: 'search' },
      metrics: { accuracy: 0.93567, loss: 0.125, 'latency_ms.p99': 12.25, parameters: 66362880 },
      metadata,
      source: {
        git: {
          commit: 'a'.repeat(40),
          branch: 'main',
          dirty: true,
          remote: 'https://example.com/r',
        },
      },
    },
  ],
  ['v1.2.0', { created: time(3, 9), metrics: { accuracy: 0.91, loss: 0.5 } }],
  ['v0.9.0', { created: time(1, 8) }],
];

/** Fills a registry with what a team did in three days. */
async function fill(registry: Registry): Promise<void> {
  const records = new Map(
    versions.map(([version, change]) => [version, madeRecord('ranker', version, change)]),
  );
  for (const record of records.values()) await registry.createRecord(record);
  await registry.createRecord(madeRecord('ocr', 'v1', { created: time(4, 8) }));
  const move = async (
    environment: string,
    version: string,
    at: string,
    change: Partial<EnvironmentEntry> = {},
  ) => {
    const record = records.get(version);
    if (record === undefined) throw new Error(version);
    const log = environmentLog('ranker', environment);
    const draft = { ...environmentDraft(record, environment), at, ...change };
    await registry.append(log, draft, await registry.last(log));
  };
  await move('staging', 'v1.0.0', time(1, 10));
  await move('production', 'v1.0.0', time(1, 11), { action: 'promote', from: 'staging' });
  await move('staging', 'v1.1.0', time(2, 10), { by: 'Bo' });
  const gate = { passed: true, score: 0.98765, rival: 'v1.0.0', rival_score: 0.9, margin: 0.08765 };
  await move('production', 'v1.1.0', time(2, 11), { action: 'promote', from: 'staging', gate });
  await move('staging', 'v1.2.0', time(3, 10), { reason: 'Nightly build' });
  await move('production', 'v1.2.0', time(3, 11), {
    ...{ action: 'promote', from: 'staging', forced: true, by: 'Bo' },
    gate: { passed: false, score: 0.5 },
    reason: 'The customer needs the new labels today, whatever the metrics say',
  });
  await move('production', 'v1.1.0', time(3, 12), { action: 'rollback', reason: 'Bad release' });
  const draft = { ...stateDraft('ranker', 'v0.9.0', 'archived'), at: time(3, 13) };
  await registry.append(stateLog('ranker', 'v0.9.0'), { ...draft, reason: 'Too old' }, undefined);
}

async function filled(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  await fill(await localRegistry(await ws.open()));
  return ws;
}

function run(ws: CliWorkspace, width: number, ...args: string[]): Promise<CliResult> {
  return startMstore(ws.root, args, { env: { TZ: 'UTC', COLUMNS: String(width) } }).done;
}

async function shown(ws: CliWorkspace, width: number, ...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run(ws, width, ...args);
  expect(code, stderr).toBe(0);
  expect(stdout).not.toContain('\u001b');
  const lines = stdout.split('\n');
  expect(lines.pop()).toBe('');
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(width);
  return lines;
}

describe('mstore models', () => {
  it('lists what is live where, on one line or several', async () => {
    const ws = await filled();
    expect(await shown(ws, 200, 'models')).toEqual([
      'MODEL   VERSIONS  LATEST  CHANGED           LIVE',
      'ocr            1  v1      2026-03-04 08:30  -',
      'ranker         3  v1.2.0  2026-03-03 13:30  production v1.1.0, staging v1.2.0',
    ]);
    expect(await shown(ws, 70, 'models')).toEqual([
      'MODEL   VERSIONS  LATEST  CHANGED           LIVE',
      'ocr            1  v1      2026-03-04 08:30  -',
      'ranker         3  v1.2.0  2026-03-03 13:30  production v1.1.0,',
      '                                            staging v1.2.0',
    ]);
    const { models } = JSON.parse((await ws.ok('models', '--json')).stdout);
    expect(models[1]).toEqual({
      ...{ model: 'ranker', versions: 3, retired: 1, latest: 'v1.2.0', changed: time(3, 13) },
      live: [
        { environment: 'production', version: 'v1.1.0', since: time(3, 12) },
        { environment: 'staging', version: 'v1.2.0', since: time(3, 10) },
      ],
    });
  });

  it('leaves out what has no version in use, and says so', async () => {
    const ws = await makeWorkspace();
    const empty = await ws.ok('models');
    expect([empty.stdout, empty.stderr]).toEqual([
      '',
      expect.stringMatching(/^No model is registered yet; start with: mstore register/),
    ]);
    const registry = await localRegistry(await ws.open());
    await registry.createRecord(madeRecord('old', 'v1'));
    const log = stateLog('old', 'v1');
    await registry.append(log, stateDraft('old', 'v1', 'deleted'), undefined);
    const hidden = await ws.ok('models');
    expect([hidden.stdout, hidden.stderr]).toEqual(['', expect.stringMatching(/1 model without/)]);
    expect((await ws.ok('models', '--all')).stdout).toMatch(/^old +0 +- /m);
  });
});

describe('mstore versions', () => {
  it('shows the metrics that have room, aligned, and names the others', async () => {
    const ws = await filled();
    expect(await shown(ws, 80, 'versions', 'ranker')).toEqual([
      'VERSION  LIVE        CREATED     SIZE  accuracy   loss  latency_ms.p99',
      'v1.2.0   staging     2026-03-03   5 B    0.9100  0.500               -',
      'v1.1.0   production  2026-03-02   5 B    0.9357  0.125           12.25',
      'v1.0.0               2026-03-01   5 B    0.9000  0.250               -',
    ]);
    expect(await shown(ws, 200, 'versions', 'ranker', '--all')).toEqual([
      'VERSION  STATE     LIVE        CREATED           AUTHOR                        SIZE  accuracy   loss  latency_ms.p99  parameters',
      'v1.2.0   active    staging     2026-03-03 09:30  Ann                            5 B    0.9100  0.500               -           -',
      'v1.1.0   active    production  2026-03-02 09:30  Ann Example <ann@example.co…   5 B    0.9357  0.125           12.25  66,362,880',
      'v1.0.0   active                2026-03-01 09:30  Ann                            5 B    0.9000  0.250               -           -',
      'v0.9.0   archived              2026-03-01 08:30  Ann                            5 B         -      -               -           -',
    ]);
    const { stderr } = await run(ws, 80, 'versions', 'ranker');
    expect(stderr.split('\n')).toEqual([
      'Not shown: 1 archived or deleted version (see --all)',
      'No room for: parameters (--sort shows one of them, --json all)',
      '',
    ]);
    expect((await run(ws, 80, 'versions', 'ranker', '-q')).stderr).toBe('');
  });

  it('follows the policies: what counts most is shown first, and what is better comes first', async () => {
    const ws = await filled();
    fs.appendFileSync(
      ws.at('.modelstore/config.toml'),
      [
        '',
        '[policy.staging.weights]',
        'accuracy = 0.9',
        'parameters = 0.1',
        '[policy."ranker@production"]',
        'lower_is_better = ["loss"]',
        '[policy."ranker@production".weights]',
        '"latency_ms.p99" = 0.95',
        'loss = 0.05',
        '[policy."other@staging".weights]',
        'parameters = 1',
        '',
      ].join('\n'),
    );
    const [head, ...lines] = await shown(ws, 65, 'versions', 'ranker', '--sort', 'loss');
    expect(head).toBe('VERSION  LIVE        CREATED     SIZE   loss  latency_ms.p99');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['v1.1.0', 'v1.0.0', 'v1.2.0']);
    const { stderr } = await run(ws, 65, 'versions', 'ranker', '--sort', 'loss');
    expect(stderr).toContain('No room for: accuracy, parameters (');
    const worst = await shown(ws, 65, 'versions', 'ranker', '--sort', 'loss', '--reverse');
    expect(worst[1]).toMatch(/^v1\.2\.0 /);
  });

  it('names some of many metrics without room', async () => {
    const ws = await makeWorkspace();
    const metrics = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`metric_${i + 10}`, i]),
    );
    const registry = await localRegistry(await ws.open());
    await registry.createRecord(madeRecord('m', 'v1', { metrics }));
    const { stderr } = await run(ws, 80, 'versions', 'm');
    expect(stderr).toMatch(/^No room for: metric_14, .*, metric_21 and 28 more metrics \(--sort/);
  });

  it('always shows the metric that they are sorted by', async () => {
    const ws = await filled();
    const sorted = await shown(ws, 60, 'versions', 'ranker', '--sort', 'parameters');
    expect(sorted).toEqual([
      'VERSION  LIVE        CREATED     SIZE  parameters  accuracy',
      'v1.1.0   production  2026-03-02   5 B  66,362,880    0.9357',
      'v1.2.0   staging     2026-03-03   5 B           -    0.9100',
      'v1.0.0               2026-03-01   5 B           -    0.9000',
    ]);
    const lowest = await shown(ws, 60, 'versions', 'ranker', '--sort', 'loss', '--reverse');
    expect(lowest.map((line) => line.split(' ')[0])).toEqual([
      'VERSION',
      'v1.1.0',
      'v1.0.0',
      'v1.2.0',
    ]);
  });

  it('gives full values as JSON, and errors with the nearest name', async () => {
    const ws = await filled();
    const document = JSON.parse((await ws.ok('versions', 'ranker', '--json')).stdout);
    expect(document).toMatchObject({ model: 'ranker', latest: 'v1.2.0', retired: 1 });
    expect(document.versions[1]).toMatchObject({
      version: 'v1.1.0',
      ...{ state: 'active', live: ['production'], status: 'released', labels: { team: 'search' } },
      metrics: { accuracy: 0.93567, 'latency_ms.p99': 12.25, parameters: 66362880 },
    });
    expectError(await ws.run('versions', 'rankr', '--json'), {
      ...{ code: 'unknown-model', message: /no model rankr/, hint: /Did you mean ranker\?/ },
    });
    expectError(await ws.run('versions', 'ranker', '--sort', 'acuracy', '--json'), {
      ...{ code: 'usage', message: /metric acuracy/, hint: /Did you mean accuracy\?/ },
    });
  });
});

describe('mstore history', () => {
  it('shows reasons beside entries, wrapped, or below where it is narrow', async () => {
    const ws = await filled();
    expect(await shown(ws, 200, 'history', 'ranker', '--env', 'production')).toEqual([
      '#  WHEN              ENVIRONMENT  ACTION           VERSION  BY   SCORE          REASON',
      '4  2026-03-03 12:30  production   rollback         v1.1.0   Ann                 Bad release',
      '3  2026-03-03 11:30  production   promote, forced  v1.2.0   Bo   0.5000 failed  The customer needs the new labels today, whatever the metrics say',
      '2  2026-03-02 11:30  production   promote          v1.1.0   Ann  0.9877',
      '1  2026-03-01 11:30  production   promote          v1.0.0   Ann',
    ]);
    const middle = await shown(ws, 125, 'history', 'ranker', '--env', 'production', '--limit', '2');
    expect(middle).toEqual([
      '#  WHEN              ENVIRONMENT  ACTION           VERSION  BY   SCORE       REASON',
      '4  2026-03-03 12:30  production   rollback         v1.1.0   Ann              Bad release',
      '3  2026-03-03 11:30  production   promote, forced  v1.2.0   Bo   0.5 failed  The customer needs the new labels today,',
      '                                                                             whatever the metrics say',
    ]);
    expect(await shown(ws, 80, 'history', 'ranker')).toEqual([
      '#  WHEN              ENVIRONMENT  ACTION           VERSION  BY   SCORE',
      '4  2026-03-03 12:30  production   rollback         v1.1.0   Ann',
      '    Bad release',
      '3  2026-03-03 11:30  production   promote, forced  v1.2.0   Bo   0.5000 failed',
      '    The customer needs the new labels today, whatever the metrics say',
      '3  2026-03-03 10:30  staging      deploy           v1.2.0   Ann',
      '    Nightly build',
      '2  2026-03-02 11:30  production   promote          v1.1.0   Ann  0.9877',
      '2  2026-03-02 10:30  staging      deploy           v1.1.0   Bo',
      '1  2026-03-01 11:30  production   promote          v1.0.0   Ann',
      '1  2026-03-01 10:30  staging      deploy           v1.0.0   Ann',
    ]);
  });

  it('shows what was live at a time', async () => {
    const ws = await filled();
    expect(await shown(ws, 80, 'history', 'ranker', '--at', '2026-03-02')).toEqual([
      'ENVIRONMENT  VERSION  SINCE             BY   #',
      'production   v1.1.0   2026-03-02 11:30  Ann  2',
      'staging      v1.1.0   2026-03-02 10:30  Bo   2',
    ]);
    expect(await shown(ws, 80, 'history', 'ranker', '--at', '2026-03-01T10:45Z')).toEqual([
      'ENVIRONMENT  VERSION  SINCE             BY   #',
      'production   -',
      'staging      v1.0.0   2026-03-01 10:30  Ann  1',
    ]);
    const { stdout } = await run(ws, 80, 'history', 'ranker', '--at', '2026-03-02', '--json');
    const { at, live } = JSON.parse(stdout);
    expect(at).toBe('2026-03-02T23:59:59.999Z');
    expect(live[0]).toMatchObject({
      environment: 'production',
      entry: { number: 2, at: time(2, 11) },
    });
  });

  it('gives entries as they are stored as JSON', async () => {
    const ws = await filled();
    const { stdout } = await ws.ok('history', 'ranker', '--limit', '2', '--json');
    const { model, total, entries } = JSON.parse(stdout);
    expect([model, total]).toEqual(['ranker', 7]);
    const registry = await localRegistry(await ws.open());
    const stored = await registry.entry(environmentLog('ranker', 'production'), 3);
    expect(entries[1]).toEqual({ ...stored.value, sha256: stored.sha256 });
  });

  it('names an entry that was damaged, with exit code 5', async () => {
    const ws = await filled();
    const key = 'refs/models/ranker/environments/production/00000002.json';
    const file = path.join(ws.store, key);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"Ann"', '"Eve"'));
    const { code, stderr } = await ws.run('history', 'ranker', '--limit', '1');
    expect(code).toBe(5);
    expect(stderr).toContain(key);
    expect((await ws.run('history', 'ranker', '--env', 'staging')).code).toBe(0);
  });

  it.each([
    [['--at', 'soon'], /--at needs a date, not soon/],
    [['--limit', '0'], /--limit needs a number from 1 on, not 0/],
    [['--limit', '-3'], /--limit needs a number/],
    [['--at', '2026-03-01', '--limit', '1'], /do not go together/],
  ])('refuses %j', async (args, message) => {
    const ws = await makeWorkspace();
    expectError(await ws.run('history', 'ranker', '--json', ...args), {
      ...{ code: 'usage', message, hint: /--at|--limit/ },
    });
  });
});

describe('mstore show', () => {
  it('shows everything of a version', async () => {
    const ws = await filled();
    const { sha256, value } = madeRecord('ranker', 'v1.1.0', versions[1]?.[1]);
    expect(await shown(ws, 80, 'show', 'ranker@production')).toEqual([
      'ranker@v1.1.0',
      '  Trained on the corpus of March, which has twice as many documents as before',
      '',
      '  state     active',
      '  live      production since 2026-03-03 12:30 (rollback by Ann: Bad release)',
      '  was live  production from 2026-03-02 11:30 to 2026-03-03 11:30',
      '            staging from 2026-03-02 10:30 to 2026-03-03 10:30',
      '  created   2026-03-02 09:30 by Ann Example <ann@example.com>',
      '  status    released',
      '  labels    team=search',
      '  content   models/m/, directory of 5 B',
      `  sha256    ${value.content.sha256}`,
      `  record    ${sha256}`,
      `  source    git commit ${'a'.repeat(40)} on main, with`,
      '            changes that were not committed',
      '            https://example.com/r',
      '  tool      test',
      '',
      'Metrics',
      '  accuracy               0.93567',
      '  loss                   0.125',
      '  latency_ms.p99        12.25',
      '  parameters      66362880',
      '',
      'Changelog',
      '  - More data',
      '  - A longer context',
      '',
      'Metadata',
      '  version       1.1.0',
      '  model_name    ranker',
      '  created_date  2026-03-01',
      '  metrics',
      '    accuracy  0.91',
      '  model_architecture',
      '    layers      12',
      '    heads       [a, b]',
      '    activation  null',
      '  changelog     [x]',
      '  status        released',
    ]);
  });

  it('tells why a version was taken out of use', async () => {
    const ws = await filled();
    expect(await shown(ws, 80, 'show', 'ranker@v0.9.0')).toEqual(
      expect.arrayContaining([
        '  state    archived since 2026-03-03 13:30, by Ann',
        '           Too old',
      ]),
    );
  });

  it('gives the record unchanged as JSON, and the metadata as they were given', async () => {
    const ws = await filled();
    const made = madeRecord('ranker', 'v1.1.0', versions[1]?.[1]);
    const { stdout } = await ws.ok('show', 'ranker@v1.1.0', '--json');
    const document = JSON.parse(stdout);
    expect(document.sha256).toBe(made.sha256);
    expect(JSON.stringify(document.record)).toBe(JSON.stringify(made.value));
    expect(document.live).toHaveLength(3);
    for (const more of [[], ['--json']]) {
      const given = await ws.ok('show', 'ranker@v1.1.0', '--metadata', ...more);
      expect(given.stdout).toBe(`${JSON.stringify(metadata, null, 2)}\n`);
    }
    expectError(await ws.run('show', 'ranker@v1.0.0', '--metadata', '--json'), {
      ...{ code: 'not-found', message: /without metadata/, hint: /--metadata FILE/ },
    });
    expect((await ws.run('show', 'ranker@v1.1.0', '--metadata', '--json-events')).code).toBe(2);
  });

  it('lets nothing through that a terminal obeys', async () => {
    const ws = await makeWorkspace();
    const registry = await localRegistry(await ws.open());
    const evil = 'x\u001b[2J\u202e';
    const change = {
      ...{ author: evil, description: evil, changelog: [evil], status: evil, tool: evil },
      labels: { [evil]: evil },
      metrics: { [evil]: 1 },
      metadata: { [evil]: evil },
      source: { [evil]: evil, git: { dirty: true, commit: evil, branch: evil, remote: evil } },
    };
    const record = madeRecord('m', 'v1', change);
    await registry.createRecord(record);
    const draft = { ...environmentDraft(record, 'e'), by: evil, reason: evil };
    await registry.append(environmentLog('m', 'e'), draft, undefined);
    for (const args of [['models'], ['versions', 'm'], ['show', 'm@v1'], ['history', 'm']]) {
      const { stdout, stderr } = await ws.ok(...args);
      expect(stdout + stderr).not.toContain('\u001b');
      expect(stdout + stderr).not.toContain('\u202e');
    }
  });
});

describe('with --remote', () => {
  it('all of them read the remote, and leave the local registry alone', async () => {
    const ws = await makeWorkspace();
    await fill(new Registry(localRemote(ws.remote)));
    for (const args of [
      ['models'],
      ['versions', 'ranker'],
      ['show', 'ranker@latest'],
      ['history', 'ranker'],
    ]) {
      const { stdout } = await ws.ok(...args, '--remote', 'origin');
      expect(stdout, args[0]).toMatch(/ranker|v1\.2\.0/);
    }
    expect(fs.existsSync(path.join(ws.store, 'refs'))).toBe(false);
    expect((await ws.ok('models')).stdout).toBe('');
    expectError(await ws.run('models', '--remote', 'origni', '--json'), {
      ...{ code: 'unknown-remote', message: /no remote origni/, hint: /origin/ },
    });
  });
});
