import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { cliEnv, mstoreOk } from '../support/cli.ts';
import { executableFor } from '../support/executable.ts';
import { git } from '../support/git.ts';
import { program, programArgs } from '../support/program.ts';
import { tempFolder } from '../support/temp.ts';
import {
  evaluated,
  makeRunner,
  type Runner,
  runSteps,
  type Step,
} from '../support/workflow-steps.ts';

const top = path.resolve(import.meta.dirname, '../..');
const deploy = path.join(top, 'docs/deploy');

interface Workflow {
  readonly env?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<string, { readonly steps: readonly Step[]; readonly needs?: string }>
  >;
}

function read(name: string): unknown {
  return parse(fs.readFileSync(path.join(deploy, name), 'utf8'));
}

const action = read('github-action/action.yml') as {
  readonly inputs: Readonly<Record<string, { readonly default: string }>>;
  readonly outputs: Readonly<Record<string, { readonly value: string }>>;
  readonly runs: { readonly steps: readonly Step[] };
};

const plainEnv = {
  ...cliEnv,
  PATH: process.env['PATH'] ?? '',
  HOME: process.env['HOME'] ?? '',
} as Record<string, string>;

/** Runs the action with what is given to it; `cached` are the steps that use others. */
async function runAction(
  given: Readonly<Record<string, string>>,
  from = path.join(deploy, 'github-action'),
) {
  const inputs = Object.entries(action.inputs).map(([name, input]) => [
    `inputs.${name}`,
    given[name] ?? input.default,
  ]);
  const cached: Step[] = [];
  const runner = makeRunner({
    cwd: tempFolder(),
    temp: path.join(tempFolder(), 'temp'),
    env: { ...plainEnv, GITHUB_ACTION_PATH: from },
    values: Object.fromEntries(inputs),
    uses: async (step) => void cached.push(step),
  });
  const code = await runSteps(action.runs.steps, runner);
  return { code, runner, cached };
}

/** An address that gives a file out. */
async function served(file: string): Promise<string> {
  const server = http.createServer((_, response) => fs.createReadStream(file).pipe(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mstore`;
}

let executable: string;
let digest: string;
beforeAll(async () => {
  executable = await executableFor('x64');
  digest = createHash('sha256').update(fs.readFileSync(executable)).digest('hex');
}, 300_000);

describe('the action', () => {
  it('takes the executable that was named, for all steps that follow', async () => {
    const { code, runner, cached } = await runAction({
      url: await served(executable),
      sha256: digest,
    });
    expect(code, runner.printed).toBe(0);
    for (const { value } of Object.values(action.outputs)) {
      const name = value.slice(4, -3);
      expect(runner.values[name], name).toMatch(/\S/);
    }
    expect(cached.map(({ uses }) => uses)).toEqual(['actions/cache@v4']);
    const followed = await runSteps(
      [{ run: 'mstore --version && mstore init --no-git -q && mstore config get store.path' }],
      runner,
    );
    expect(followed, runner.printed).toBe(0);
    expect(runner.printed).toContain(runner.values['steps.install.outputs.store']);
    expect(fs.readdirSync(path.join(runner.temp, 'mstore-bin'))).toEqual(['mstore']);
  });

  it('keeps no cache where none is wanted', async () => {
    const given = { url: await served(executable), sha256: digest, cache: 'false' };
    expect((await runAction(given)).cached).toEqual([]);
  });

  it.each([
    [
      'another digest',
      { sha256: '0'.repeat(64) },
      /has the SHA-256 [0-9a-f]{64}, not 0{64}: it is not used/,
    ],
    ['no digest', {}, /needs its sha256/],
    ['half a digest', { sha256: 'abc' }, /needs its sha256/],
    ['no address', { sha256: '0'.repeat(64), url: '' }, /A sha256 was given and no url/],
    [
      'an address where nothing is',
      { sha256: '0'.repeat(64), url: 'http://127.0.0.1:9/' },
      /cannot be had/,
    ],
  ])('runs nothing with %s', async (_, given, message) => {
    const { code, runner } = await runAction({ url: await served(executable), ...given });
    expect(code).toBe(1);
    expect(runner.printed).toMatch(message);
    expect(runner.printed).toMatch(/^::error title=mstore::/m);
    expect(fs.readdirSync(path.join(runner.temp, 'mstore-bin'))).toEqual([]);
    expect(runner.env['PATH']).toBe(plainEnv['PATH']);
  });

  it('builds what it stands in, where nothing is named', async () => {
    const copy = path.join(tempFolder(), 'repository');
    const listed = execFileSync(
      'git',
      [
        'ls-files',
        '-z',
        'src',
        'bin',
        'docs/deploy',
        'test/tools',
        'package.json',
        'package-lock.json',
        'tsconfig.json',
        '.npmrc',
      ],
      { cwd: top, encoding: 'utf8' },
    );
    for (const name of listed.split('\0').filter((found) => found !== ''))
      fs.cpSync(path.join(top, name), path.join(copy, name));
    const { code, runner } = await runAction({}, path.join(copy, 'docs/deploy/github-action'));
    expect(code, runner.printed).toBe(0);
    expect(await runSteps([{ run: 'mstore models --help' }], runner), runner.printed).toBe(0);
  });
});

/** A team: a repository with a policy, two versions of which the first is live, and a clone of it for each job. */
async function team(score: string) {
  const folder = tempFolder();
  const lab = path.join(folder, 'lab');
  fs.mkdirSync(lab);
  git(lab, 'init', '-q');
  await mstoreOk(lab, 'init');
  await mstoreOk(lab, 'remote', 'add', 'origin', '../remote');
  fs.appendFileSync(
    path.join(lab, '.modelstore/config.toml'),
    '\n[policy.production]\nweights = { accuracy = 1 }\nmin_improvement = 0.01\n',
  );
  for (const [version, accuracy] of [
    ['v1.0.0', '0.80'],
    ['v1.1.0', score],
  ] as const) {
    fs.mkdirSync(path.join(lab, 'ocr'), { recursive: true });
    fs.writeFileSync(path.join(lab, 'ocr/labels.txt'), version);
    await mstoreOk(lab, 'add', 'ocr');
    git(lab, 'add', '-A');
    git(lab, 'commit', '-qm', version);
    await mstoreOk(
      lab,
      'register',
      `ocr@${version}`,
      'ocr',
      '--metric',
      `accuracy=${accuracy}`,
      '--git-tag',
    );
    await mstoreOk(lab, 'push');
  }
  await mstoreOk(lab, 'deploy', 'ocr@v1.0.0', '--env', 'production');
  const clone = (name: string): string => {
    git(folder, 'clone', '-q', lab, name);
    return path.join(folder, name);
  };
  const live = async (): Promise<string> => {
    const { stdout } = await mstoreOk(
      lab,
      'show',
      'ocr@production',
      '--remote',
      'origin',
      '--json',
    );
    return (JSON.parse(stdout) as { record: { version: string } }).record.version;
  };
  return { folder, lab, clone, live };
}

/** A folder for the PATH with mstore in it. */
function programs(): string {
  const folder = tempFolder();
  const words = [program, ...programArgs].map((word) => `'${word}'`).join(' ');
  fs.writeFileSync(path.join(folder, 'mstore'), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  return folder;
}

/** Runs one job of a workflow; what it takes from others is there already. */
async function runJob(
  name: string,
  job: string,
  cwd: string,
  values: Readonly<Record<string, string>>,
): Promise<{ code: number; runner: Runner }> {
  const workflow = read(name) as Workflow;
  const known =
    /^(?:actions\/(?:checkout|upload-artifact)@v4|aws-actions\/configure-aws-credentials@v4|OWNER\/mstore\/docs\/deploy\/github-action@v1)$/;
  const runner = makeRunner({
    cwd,
    temp: path.join(tempFolder(), 'temp'),
    env: { ...plainEnv, PATH: `${programs()}:${plainEnv['PATH']}` },
    values: { ...values },
    uses: async ({ uses }) => expect(uses).toMatch(known),
  });
  for (const [variable, value] of Object.entries(workflow.env ?? {}))
    runner.env[variable] = evaluated(value, runner);
  const code = await runSteps(workflow.jobs[job]?.steps ?? [], runner);
  return { code, runner };
}

describe('gate and promote', () => {
  const file = 'github-workflows/gate-and-promote.yml';
  const values = { 'github.ref_name': 'ocr@v1.1.0', 'github.run_id': '7', 'github.actor': 'ann' };

  it('makes a version live that is better', async () => {
    const { lab, clone, live } = await team('0.90');
    expect(git(lab, 'tag')).toContain('ocr@v1.1.0');
    const gate = await runJob(file, 'gate', clone('gate'), values);
    expect(gate.code, gate.runner.printed).toBe(0);
    expect(gate.runner.summary).toMatch(/^```\n[\s\S]*v1\.1\.0[\s\S]*\n```\n$/);
    expect(await live()).toBe('v1.0.0');
    const promote = await runJob(file, 'promote', clone('promote'), values);
    expect(promote.code, promote.runner.printed).toBe(0);
    expect(await live()).toBe('v1.1.0');
    const { stdout } = await mstoreOk(lab, 'history', 'ocr', '--remote', 'origin', '--json');
    expect(stdout).toContain('run 7 by ann');
  });

  it('keeps out one that is not, and says why; who promotes it all the same is refused', async () => {
    const { clone, live } = await team('0.80');
    const { code, runner } = await runJob(file, 'gate', clone('gate'), values);
    expect(code, runner.printed).toBe(7);
    expect(runner.summary).toContain('v1.1.0');
    expect((read(file) as Workflow).jobs['promote']?.needs).toBe('gate');
    expect((await runJob(file, 'promote', clone('promote'), values)).code).toBe(7);
    expect(await live()).toBe('v1.0.0');
  });

  it('does so in GitLab', async () => {
    const { clone, live } = await team('0.90');
    const jobs = read('gitlab-ci.yml') as Record<
      string,
      { script: string[]; variables: Record<string, string> }
    >;
    const store = jobs['.mstore']?.variables['MSTORE_STORE_PATH'] ?? '';
    for (const job of ['gate', 'promote']) {
      const cwd = clone(job);
      const env = {
        ...plainEnv,
        PATH: `${programs()}:${plainEnv['PATH']}`,
        MSTORE_STORE_PATH: store.replace('$CI_PROJECT_DIR', cwd),
        CI_COMMIT_TAG: 'ocr@v1.1.0',
        CI_PIPELINE_ID: '7',
        GITLAB_USER_LOGIN: 'ann',
      };
      execFileSync('sh', ['-ec', jobs[job]?.script.join('\n') ?? 'false'], {
        cwd,
        env,
        stdio: 'pipe',
      });
      if (job === 'gate')
        expect(fs.readdirSync(path.join(cwd, 'gate'))).toContain('deployment_info.json');
    }
    expect(await live()).toBe('v1.1.0');
  });
});

describe('check models', () => {
  const file = 'github-workflows/check-models.yml';

  it('passes what is on the remote and whole, and nothing else', async () => {
    const { lab, clone } = await team('0.90');
    const good = await runJob(file, 'check', clone('good'), {});
    expect(good.code, good.runner.printed).toBe(0);
    fs.writeFileSync(path.join(lab, 'ocr/labels.txt'), 'not pushed');
    await mstoreOk(lab, 'add', 'ocr');
    git(lab, 'commit', '-qam', 'not pushed');
    const bad = await runJob(file, 'check', clone('bad'), {});
    expect(bad.code).toBe(4);
    expect(bad.runner.printed).toContain('[objects-missing]');
    fs.writeFileSync(path.join(lab, 'ocr/model.safetensors'), Buffer.alloc(64, 0xff));
    await mstoreOk(lab, 'add', 'ocr');
    git(lab, 'commit', '-qam', 'damaged');
    await mstoreOk(lab, 'push');
    const damaged = await runJob(file, 'check', clone('damaged'), {});
    expect(damaged.code, damaged.runner.printed).toBe(5);
  });
});
