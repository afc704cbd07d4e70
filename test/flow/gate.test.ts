import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { deploy, type MoveOptions, promote, rollback } from '../../src/flow/environments.ts';
import { type GateOptions, gate } from '../../src/flow/gate.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import type { Metrics } from '../../src/registry/metrics.ts';
import { environmentLog, stateLog } from '../../src/registry/registry.ts';
import { makePlainProject, type Project } from '../support/flow-project.ts';
import { environmentDraft, madeRecord, stateDraft } from '../support/registry.ts';
import { tempFolder } from '../support/temp.ts';

const policy = `
[policy.production]
weights = { acc = 0.5, f1 = 0.5 }
min_improvement = 0.01
[policy.production.limits]
latency_ms = { max = 50 }
`;

interface Team extends Project {
  readonly model: string;
  register(version: string, metrics: Metrics): Promise<void>;
  deploy(version: string, options?: MoveOptions): ReturnType<typeof deploy>;
  gate(version: string, options?: GateOptions): ReturnType<typeof gate>;
  /** Lists the versions that were live in production, with what the gate said of each. */
  history(): Promise<Array<[version: string, passed: boolean | undefined]>>;
}

/** A workspace with a tracked model, and policies. */
async function team(policies = policy): Promise<Team> {
  const project = await makePlainProject();
  project.write('model', 'weights');
  await project.add('model');
  fs.appendFileSync(project.at('.modelstore/config.toml'), policies);
  const model = 'ranker';
  const target = (version: string) => ({ model, version, environment: 'production' });
  return {
    ...project,
    model,
    async register(version, metrics) {
      await register(await project.open(), { model, version, metrics });
    },
    deploy: async (version, options = {}) => deploy(await project.open(), target(version), options),
    gate: async (version, options = {}) => gate(await project.open(), target(version), options),
    async history() {
      const registry = await localRegistry(await project.open());
      const entries = await registry.history(model, 'production');
      return entries.map(({ value }) => [value.version, value.gate?.passed]);
    },
  };
}

const good = { acc: 0.8, f1: 0.7, latency_ms: 40 };
const coded = (code: string, message: RegExp = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error;

describe('deploy and promote', () => {
  it('let the first model in and keep out what is not better by enough', async () => {
    const one = await team();
    await one.register('v1', good);
    await one.register('v2', { ...good, acc: 0.81 });
    await one.register('v3', { ...good, acc: 0.83 });
    expect((await one.deploy('v1')).gate).toEqual({
      passed: true,
      policy: 'production',
      score: 0.75,
      min_improvement: 0.01,
    });
    await expect(one.deploy('v2')).rejects.toThrow(
      coded(
        'gate-refused',
        /^The gate of production refuses ranker@v2: v2 scores 0\.755, 0\.005 ab/,
      ),
    );
    const { gate: decision } = await one.deploy('v3');
    expect(decision).toMatchObject({ passed: true, rival: 'v1', rival_score: 0.75 });
    expect(decision?.margin).toBeCloseTo(0.015, 12);
    expect(await one.history()).toEqual([
      ['v1', true],
      ['v3', true],
    ]);
  });

  it('refuse in a dry run too, and write nothing then', async () => {
    const one = await team();
    await one.register('v1', { ...good, latency_ms: 51 });
    await expect(one.deploy('v1', { dryRun: true })).rejects.toThrow(coded('gate-refused'));
    await one.register('v2', good);
    expect((await one.deploy('v2', { dryRun: true })).gate?.passed).toBe(true);
    expect(await one.history()).toEqual([]);
  });

  it('pass a refusal by force, tell of it and record it', async () => {
    const one = await team();
    await one.register('v1', good);
    await one.register('v2', { ...good, acc: 0.1 });
    await one.register('v3', { acc: 1, f1: 1 });
    await one.deploy('v1');
    const force = { force: true, reason: 'The customer waits' };
    const forced = await one.deploy('v2', force);
    expect(forced.warnings).toEqual([
      expect.stringMatching(/^passed by force: The gate of production refuses ranker@v2: /),
    ]);
    expect(forced.gate).toMatchObject({ passed: false, rival: 'v1' });
    await expect(one.deploy('v3')).rejects.toThrow(coded('bad-metrics', /v3 has no .* latency_ms/));
    const unjudged = await one.deploy('v3', force);
    expect(unjudged.warnings).toEqual([
      expect.stringMatching(/^passed by force: the gate could not judge, as v3 has no/),
    ]);
    expect(unjudged.gate).toBeUndefined();
    const registry = await localRegistry(await one.open());
    const entries = await registry.history(one.model, 'production');
    expect(entries.map(({ value }) => [value.version, value.forced, value.reason])).toEqual([
      ['v1', undefined, undefined],
      ['v2', true, 'The customer waits'],
      ['v3', true, 'The customer waits'],
    ]);
    expect(await one.history()).toEqual([
      ['v1', true],
      ['v2', false],
      ['v3', undefined],
    ]);
  });

  it('do not pass a policy that cannot be read, by force either', async () => {
    const one = await team('[policy.production]\nweights = { acc = 0.5 }\n');
    await one.register('v1', good);
    const force = { force: true, reason: 'x' };
    await expect(one.deploy('v1', force)).rejects.toThrow(coded('config-invalid'));
  });

  it('ask the gate where a version goes, not where it comes from, and never on the way back', async () => {
    const one = await team();
    await one.register('v1', good);
    await one.register('v2', { ...good, acc: 0.9 });
    await one.register('v3', { ...good, acc: 0.1, latency_ms: 99 });
    const workspace = await one.open();
    const staged = async (version: string) => {
      await deploy(workspace, { model: one.model, version, environment: 'staging' });
      return promote(workspace, { model: one.model, from: 'staging', to: 'production' });
    };
    expect((await staged('v1')).gate?.passed).toBe(true);
    expect((await staged('v2')).gate).toMatchObject({ passed: true, rival: 'v1' });
    await expect(staged('v3')).rejects.toThrow(coded('gate-refused', /latency_ms is 99/));
    const back = await rollback(workspace, { model: one.model, environment: 'production' });
    expect(back).toMatchObject({ version: 'v1' });
    expect(back.gate).toBeUndefined();
  });

  it('ask nothing where no policy applies', async () => {
    const one = await team('[policy."other@production"]\nlimits = { acc = { min = 1 } }\n');
    await one.register('v1', {});
    expect((await one.deploy('v1')).gate).toBeUndefined();
    await expect(one.gate('v1')).rejects.toThrow(
      coded('not-found', /^No policy applies to ranker/),
    );
  });

  it('record a gate without a score', async () => {
    const one = await team('[policy.production]\nlimits = { acc = { min = 0.5 } }\n');
    await one.register('v1', good);
    expect((await one.deploy('v1')).gate).toEqual({ passed: true, policy: 'production' });
    expect(await one.history()).toEqual([['v1', true]]);
  });
});

describe('gate', () => {
  it('judges as a deployment would, and changes nothing', async () => {
    const one = await team();
    await one.register('v1', good);
    await one.register('v2', { ...good, acc: 0.81 });
    await one.deploy('v1');
    const { verdict, facts } = await one.gate('v2');
    expect(verdict).toMatchObject({ passed: false, version: 'v2', rival: 'v1', improved: false });
    expect(facts).toMatchObject({ model: 'ranker', environment: 'production' });
    expect((await one.gate('latest')).verdict.version).toBe('v2');
    expect((await one.gate('production')).verdict).toMatchObject({
      passed: true,
      version: 'v1',
      noRival: 'itself',
    });
    expect(await one.history()).toEqual([['v1', true]]);
  });

  it('judges by results that are given in place of those of the version', async () => {
    const one = await team();
    await one.register('v1', good);
    await one.deploy('v1');
    await one.register('v2', {});
    await expect(one.gate('v2')).rejects.toThrow(coded('bad-metrics'));
    const { verdict } = await one.gate('v2', { results: { ...good, acc: 0.9 } });
    expect(verdict).toMatchObject({ passed: true, version: 'v2', rival: 'v1' });
  });

  it('takes the policy of the model before that of all', async () => {
    const one = await team(
      `${policy}[policy."ranker@production"]\nlimits = { acc = { min = 0.9 } }\n`,
    );
    await one.register('v1', good);
    expect((await one.gate('v1')).verdict).toMatchObject({
      passed: false,
      policy: 'ranker@production',
    });
  });

  it('compares with the best that was ever live and still counts', async () => {
    const one = await team();
    await one.register('v1', { ...good, acc: 0.95 });
    await one.register('v2', { ...good, acc: 0.9 });
    await one.register('v3', good);
    await one.register('never-live', { ...good, acc: 1 });
    const force = { force: true, reason: 'x' };
    for (const version of ['v1', 'v2', 'v3', 'v1', 'v3']) await one.deploy(version, force);
    await one.register('v4', { ...good, acc: 0.93 });
    expect((await one.gate('v4')).verdict).toMatchObject({ passed: false, rival: 'v1' });
    const registry = await localRegistry(await one.open());
    const bring = (version: string, state: 'archived' | 'deprecated') =>
      registry.append(
        stateLog(one.model, version),
        stateDraft(one.model, version, state),
        undefined,
      );
    await bring('v2', 'archived');
    await bring('v1', 'deprecated');
    expect((await one.gate('v4')).verdict).toMatchObject({ passed: true, rival: 'v2' });
  });

  it('compares with what is live, or with a version by name', async () => {
    const live = await team(`[policy.production]\nweights = { acc = 1 }\ncompare_with = "live"\n`);
    await live.register('v1', { acc: 0.9 });
    await live.register('v2', { acc: 0.8 });
    expect((await live.gate('v2')).verdict).toMatchObject({ passed: true, noRival: 'first' });
    await live.deploy('v1');
    await live.deploy('v2', { force: true, reason: 'x' });
    await live.register('v3', { acc: 0.85 });
    expect((await live.gate('v3')).verdict).toMatchObject({ passed: true, rival: 'v2' });
    const named = await team(`[policy.production]\nweights = { acc = 1 }\ncompare_with = "v1"\n`);
    await named.register('v2', { acc: 0.95 });
    await expect(named.gate('v2')).rejects.toThrow(
      coded(
        'unknown-version',
        /^The policy production compares with v1, which is no version of ran/,
      ),
    );
    await named.register('v1', { acc: 0.9 });
    expect((await named.gate('v2')).verdict).toMatchObject({ passed: true, rival: 'v1' });
    expect((await named.gate('v1')).verdict.noRival).toBe('itself');
  });

  it('does not compare with a record other than the one that was live', async () => {
    const one = await team();
    await one.register('v1', good);
    const registry = await localRegistry(await one.open());
    const other = madeRecord(one.model, 'v1', { metrics: good });
    const log = environmentLog(one.model, 'production');
    await registry.append(log, environmentDraft(other, 'production'), undefined);
    await one.register('v2', good);
    await expect(one.gate('v2')).rejects.toThrow(coded('corrupt-registry', /ranker@v1/));
  });

  it('writes its files whether it passes or not, and replaces those of before', async () => {
    const one = await team();
    const outputFolder = path.join(tempFolder(), 'deep/gate');
    const info = () =>
      JSON.parse(fs.readFileSync(path.join(outputFolder, 'deployment_info.json'), 'utf8')) as {
        passed: boolean;
        results: string | null;
      };
    await one.register('v1', good);
    const { files } = await one.gate('v1', { outputFolder });
    expect(files).toEqual(
      ['deployment_info.json', 'model_comparison.json', 'deployment.log'].map((name) =>
        path.join(outputFolder, name),
      ),
    );
    expect(fs.readdirSync(outputFolder).sort()).toEqual(
      files.map((file) => path.basename(file)).sort(),
    );
    expect(info()).toMatchObject({ passed: true, results: null });
    const results = { ...good, latency_ms: 99 };
    await one.gate('v1', { outputFolder, results, resultsFrom: 'eval.json' });
    expect(info()).toMatchObject({ passed: false, results: 'eval.json' });
    expect(fs.readdirSync(outputFolder)).toHaveLength(3);
    fs.writeFileSync(path.join(outputFolder, '../file'), '');
    await expect(
      one.gate('v1', { outputFolder: path.join(outputFolder, '../file/x') }),
    ).rejects.toMatchObject({ name: 'MstoreError' });
  });

  it('says which policies there are where none applies', async () => {
    const one = await team();
    await one.register('v1', good);
    const workspace = await one.open();
    const asked = (environment: string) =>
      gate(workspace, { model: one.model, version: 'v1', environment });
    await expect(asked('prodution')).rejects.toMatchObject({
      code: 'not-found',
      hint: 'There is one for production; did you mean that?',
      details: { policies: ['production'] },
    });
    await expect(asked('eu.staging')).rejects.toMatchObject({
      hint: expect.stringMatching(
        /^Write \[policy\."eu\.staging"\] into .*config\.toml$/,
      ) as string,
    });
    await expect(asked('Production')).rejects.toThrow(coded('bad-name'));
  });
});
