import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliWorkspace, makeWorkspace, mstoreOk } from '../support/cli.ts';

/*
 * What teams do with scripts of their own: registry.json, folders for production, staging and archive, and
 * a .env that names a version.
 */
const policy = `
[policy.production]
weights = { bleu4 = 0.6, rouge = 0.4 }
min_improvement = 0.01
`;

/** A workspace with a remote, a gate, and versions with the scores that are given. */
async function team(versions: Readonly<Record<string, number>>): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  fs.appendFileSync(workspace.at('.modelstore/config.toml'), policy);
  for (const [version, score] of Object.entries(versions)) {
    workspace.write('models/captions/weights.bin', `weights of ${version}`);
    await workspace.add('models/captions');
    const metrics = ['--metric', `bleu4=${score}`, '--metric', `rouge=${score}`];
    await workspace.ok('register', `captions@${version}`, ...metrics);
  }
  await workspace.ok('push');
  return workspace;
}

async function live(workspace: CliWorkspace, environment: string): Promise<string> {
  const { stdout } = await workspace.ok('show', `captions@${environment}`, '--json');
  return (JSON.parse(stdout) as { record: { version: string } }).record.version;
}

async function historyOf(workspace: CliWorkspace): Promise<Array<Record<string, unknown>>> {
  const args = ['history', 'captions', '--env', 'production', '--json'];
  const { stdout } = await workspace.ok(...args);
  return (JSON.parse(stdout) as { entries: Array<Record<string, unknown>> }).entries;
}

describe('what teams script by hand', () => {
  it('archives what was live and promotes what was staged', async () => {
    const workspace = await team({ 'v1.0.0': 0.3, 'v1.1.0': 0.4 });
    await workspace.ok('deploy', 'captions@v1.0.0', '--env', 'production');
    await workspace.ok('deploy', 'captions@v1.1.0', '--env', 'staging');
    // What is live, and what one may go back to, is not archived unseen.
    const early = await workspace.run('archive', 'captions@v1.0.0', '--json');
    expect(early.json.error?.code).toBe('version-in-use');
    const places = ['--from', 'staging', '--to', 'production'];
    await workspace.ok('promote', 'captions', ...places, '--reason', 'better captions');
    const kept = ['--force', '--reason', 'replaced'];
    await workspace.ok('archive', 'captions@v1.0.0', ...kept);
    expect(await live(workspace, 'production')).toBe('v1.1.0');
    const [entry] = await historyOf(workspace);
    expect(entry).toMatchObject({ action: 'promote', from: 'staging', reason: 'better captions' });
    expect((await workspace.ok('versions', 'captions')).stdout).not.toContain('v1.0.0');
    expect((await workspace.ok('versions', 'captions', '--all')).stdout).toMatch(
      /v1\.0\.0 .*archived/,
    );
  });

  it('goes back after a bad release, and a host serves what was live before', async () => {
    const workspace = await team({ 'v1.0.0': 0.3, 'v1.1.0': 0.4 });
    await workspace.ok('deploy', 'captions@v1.0.0', '--env', 'production');
    await workspace.ok('deploy', 'captions@v1.1.0', '--env', 'production');
    const between = new Date().toISOString();
    await workspace.ok('rollback', 'captions', '--env', 'production', '--reason', 'errors doubled');
    const [entry] = await historyOf(workspace);
    expect(entry).toMatchObject({
      action: 'rollback',
      version: 'v1.0.0',
      reason: 'errors doubled',
    });
    const then = await workspace.ok('history', 'captions', '--at', between, '--json');
    expect(JSON.parse(then.stdout)).toMatchObject({ live: [{ entry: { version: 'v1.1.0' } }] });
    // A host with nothing but the remote: no workspace, no Git, no configuration.
    const host = fs.mkdtempSync(path.join(path.dirname(workspace.root), 'host-'));
    const from = ['--remote', workspace.remote, '--to', 'model'];
    await mstoreOk(host, 'pull', 'captions@production', ...from);
    expect(fs.readFileSync(path.join(host, 'model/weights.bin'), 'utf8')).toBe('weights of v1.0.0');
    expect(fs.readdirSync(host)).toEqual(['model']);
  });

  it('takes the first model without a rival, and refuses one that is not better enough', async () => {
    const workspace = await team({ 'v1.0.0': 0.3, 'v1.1.0': 0.305, 'v1.2.0': 0.32 });
    await workspace.ok('deploy', 'captions@v1.0.0', '--env', 'production');
    const refused = await workspace.run('deploy', 'captions@v1.1.0', '--env', 'production');
    expect(refused.code).toBe(7);
    expect(refused.stderr).toMatch(/\[gate-refused\]/);
    expect(await live(workspace, 'production')).toBe('v1.0.0');
    expect((await workspace.run('gate', 'captions@v1.1.0', '--env', 'production')).code).toBe(7);
    // Nobody asked for a gate in staging.
    await workspace.ok('deploy', 'captions@v1.1.0', '--env', 'staging');
    await workspace.ok('deploy', 'captions@v1.2.0', '--env', 'production');
    expect((await historyOf(workspace))[0]).toMatchObject({
      gate: { passed: true, rival: 'v1.0.0' },
    });
  });

  it('forces a release with a reason, which stays to be seen', async () => {
    const workspace = await team({ 'v1.0.0': 0.3, 'v1.1.0': 0.2 });
    await workspace.ok('deploy', 'captions@v1.0.0', '--env', 'production');
    const target = ['deploy', 'captions@v1.1.0', '--env', 'production'];
    expect((await workspace.run(...target, '--force')).code).toBe(2);
    await workspace.ok(...target, '--force', '--reason', 'v1.0.0 leaks names');
    expect((await historyOf(workspace))[0]).toMatchObject({
      forced: true,
      reason: 'v1.0.0 leaks names',
      gate: { passed: false },
    });
    expect((await workspace.ok('history', 'captions')).stdout).toMatch(/forced/);
  });

  it('tells the second of two hosts who was first', async () => {
    const workspace = await team({ 'v1.0.0': 0.3, 'v1.1.0': 0.4 });
    const runs = await Promise.all(
      ['v1.0.0', 'v1.1.0'].map((version) =>
        workspace.run('deploy', `captions@${version}`, '--env', 'staging', '--json'),
      ),
    );
    const codes = runs.map(({ code }) => code).sort();
    // One after the other both may succeed; at once, one of them loses and is told.
    expect([
      [0, 0],
      [0, 6],
    ]).toContainEqual(codes);
    const lost = runs.find(({ code }) => code === 6);
    if (lost !== undefined) expect(lost.json.error?.code).toBe('lost-race');
    // Here the last entry may be lacking until the next fetch, where both were compared before the first one came.
    const where = ['--env', 'staging', '--remote', 'origin', '--json'];
    const { stdout } = await workspace.ok('history', 'captions', ...where);
    const { total } = JSON.parse(stdout) as { total: number };
    expect(total).toBe(codes.filter((code) => code === 0).length);
  });
});
