import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { CreateBucketCommand, PutObjectLockConfigurationCommand } from '@aws-sdk/client-s3';
import { afterAll, describe, expect, it } from 'vitest';
import { type CliResult, startMstore } from '../support/cli.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { type GoProgram, installGoProgram } from '../support/go-program.ts';
import { startMinio } from '../support/s3-servers.ts';
import { type S3Target, s3Client, testCredentials } from '../support/s3-target.ts';
import { endServers } from '../support/server-process.ts';
import { freshFolder } from '../support/service-target.ts';
import { tempFolder } from '../support/temp.ts';

afterAll(endServers);

/** What MinIO is administered with. */
const minioClient: GoProgram = {
  from: 'github.com/minio/mc',
  version: 'v0.0.0-20250313080218-cf909e1063a9',
  name: 'mc',
};

const roles = ['reader', 'publisher', 'promoter', 'collector'] as const;
type Role = (typeof roles)[number];

/** Credentials of a user that has the policy of a role. */
const credentialsOf = (role: Role): NodeJS.ProcessEnv => ({
  AWS_ACCESS_KEY_ID: `key-of-${role}`,
  AWS_SECRET_ACCESS_KEY: `secret-of-${role}`,
});

/** Has MinIO make a user for each role, whose policy is what the command prints. */
async function addUsers({ endpoint }: S3Target, documentOf: (role: Role) => Promise<string>) {
  const program = await installGoProgram(minioClient);
  const folder = tempFolder();
  const { accessKeyId, secretAccessKey } = testCredentials;
  const url = endpoint.replace('://', `://${accessKeyId}:${secretAccessKey}@`);
  const mc = (...args: string[]) =>
    promisify(execFile)(program, ['--config-dir', folder, ...args], {
      env: { ...process.env, MC_HOST_there: url },
    });
  for (const role of roles) {
    const file = path.join(folder, `${role}.json`);
    fs.writeFileSync(file, await documentOf(role));
    const { AWS_ACCESS_KEY_ID: key = '', AWS_SECRET_ACCESS_KEY: secret = '' } = credentialsOf(role);
    await mc('admin', 'user', 'add', 'there', key, secret);
    await mc('admin', 'policy', 'create', 'there', role, file);
    await mc('admin', 'policy', 'attach', 'there', role, '--user', key);
  }
}

/** Runs commands in a project, as the owner or as a role. */
function runner(project: Project) {
  return async (role: Role | undefined, ...args: string[]): Promise<CliResult> => {
    const own = Object.entries(process.env).filter(([name]) => name.startsWith('AWS_'));
    const env = { ...Object.fromEntries(own), ...(role === undefined ? {} : credentialsOf(role)) };
    return startMstore(project.root, args, { env }).done;
  };
}

/** A project whose remote is a new folder of a bucket. */
async function projectAt(target: S3Target, folder: string, isFirst: boolean) {
  const project = await makeProject();
  const run = runner(project);
  const ok = async (role: Role | undefined, ...args: string[]): Promise<CliResult> => {
    const result = await run(role, ...args);
    expect(result.code, `${role}: ${args.join(' ')}\n${result.stdout}${result.stderr}`).toBe(0);
    return result;
  };
  for (const [key, value] of Object.entries(target.settings)) {
    await ok(undefined, 'config', 'set', `remote.origin.${key}`, String(value));
  }
  const add = ['remote', 'add', 'origin', target.url(folder)];
  await ok(undefined, ...add, ...(isFirst ? [] : ['--no-create']));
  return { project, run, ok };
}

const target = await startMinio();

describe('MinIO', () => {
  it('lets each role do its work, and no other', async () => {
    const folder = freshFolder();
    const { project, run, ok } = await projectAt(target, folder, true);
    await addUsers(target, async (role) => {
      const { stdout } = await ok(undefined, 'remote', 'policy', 'origin', '--role', role);
      return stdout;
    });
    for (const role of roles) {
      const { stdout } = await ok(role, 'remote', 'check', 'origin', '--as', role);
      expect(stdout).not.toContain('failed');
      const [other = 'reader'] = roles.filter((each) => each !== role);
      expect((await run(role, 'remote', 'check', 'origin', '--as', other)).code, role).toBe(8);
    }
    const owner = await run(undefined, 'remote', 'check', 'origin', '--as', 'reader', '--json');
    expect(owner.stdout).toContain('too-powerful');
    const refused = async (role: Role, ...args: string[]): Promise<void> => {
      const { code, json } = await run(role, ...args, '--json');
      expect([code, json.error?.code], args.join(' ')).toEqual([8, 'remote-refused']);
    };
    project.write('bert/weights', 'one');
    await ok(undefined, 'add', 'bert');
    await ok(undefined, 'register', 'bert@v1', 'bert');
    await refused('reader', 'push');
    await refused('promoter', 'push');
    await ok('publisher', 'push');
    await refused('publisher', 'deploy', 'bert@v1', '--env', 'production');
    await refused('collector', 'deploy', 'bert@v1', '--env', 'production');
    const deployed = await ok('promoter', 'deploy', 'bert@v1', '--env', 'production');
    expect(deployed.stderr).not.toContain('warning');
    await refused('promoter', 'archive', 'bert@v1', '--force', '--reason', 'x');

    const host = await projectAt(target, folder, false);
    await host.ok('reader', 'pull', 'bert@production', '--to', 'live');
    expect(fs.readFileSync(host.project.at('live/weights'), 'utf8')).toBe('one');
    await host.ok('reader', 'audit', '--check');
    const { stdout } = await host.ok('reader', 'audit', '--jsonl');
    const acts = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { act: string }).act);
    expect(acts).toEqual(['begin', 'push', 'deploy']);

    host.project.write('other', 'nothing needs it');
    await host.ok(undefined, 'add', 'other');
    await host.ok('publisher', 'push');
    const { stdout: identity } = await host.ok(undefined, 'config', 'get', 'core.repository');
    const gc = ['gc', '--remote', '--grace', '0', '--forget', identity.trim()];
    await refused('publisher', ...gc);
    const collected = await ok('collector', ...gc, '--json');
    expect(JSON.parse(collected.stdout)).toMatchObject({ swept: { packs: 1 } });
    await host.ok('reader', 'verify', '--remote');
  });

  it('works in a bucket with an object lock, where deletions only hide', async () => {
    const locked = { ...target, bucket: 'locked', url: (name: string) => `s3://locked/${name}` };
    const client = s3Client(target);
    await client.send(
      new CreateBucketCommand({ Bucket: 'locked', ObjectLockEnabledForBucket: true }),
    );
    await client.send(
      new PutObjectLockConfigurationCommand({
        Bucket: 'locked',
        ObjectLockConfiguration: {
          ObjectLockEnabled: 'Enabled',
          Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 3 } },
        },
      }),
    );
    await lockedWork(locked, /versioned.*each object for 3 days, governance/);
  });
});

/** Pushes, deploys and cleans up in a bucket whose objects are locked. */
async function lockedWork(target: S3Target, told: RegExp): Promise<CliResult> {
  const { project, run, ok } = await projectAt(target, freshFolder(), true);
  project.write('bert/weights', Buffer.alloc(20_000_000, 'weights'));
  await ok(undefined, 'add', 'bert');
  await ok(undefined, 'register', 'bert@v1', 'bert');
  await ok(undefined, 'push');
  await ok(undefined, 'deploy', 'bert@v1', '--env', 'production');
  await ok(undefined, 'audit', '--check');
  expect((await run(undefined, 'remote', 'check', 'origin')).stdout).toMatch(told);
  project.write('other', 'nothing needs it');
  await ok(undefined, 'add', 'other');
  await ok(undefined, 'push');
  const { stdout } = await ok(undefined, 'config', 'get', 'core.repository');
  return ok(undefined, 'gc', '--remote', '--grace', '0', '--forget', stdout.trim(), '--json');
}
