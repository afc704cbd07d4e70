import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { debianGitLfs, type LfsHost, lfsHost, newestGitLfs } from '../support/lfs-program.ts';
import { startVersityGateway } from '../support/s3-servers.ts';
import { freshFolder } from '../support/service-target.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const mib = 1024 * 1024;

interface Team {
  readonly host: LfsHost;
  /** The repository of one of them, with a remote of Git and one of mstore. */
  readonly work: string;
  /** Folder of all of it; the bare repository is `origin.git` there. */
  readonly top: string;
  /** The remote of mstore, where it is a directory. */
  readonly remote: string;
}

/** Makes a repository whose `*.bin` Git LFS keeps, on a remote of mstore. */
async function team(
  client: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Team> {
  const top = tempFolder();
  const host = await lfsHost(path.join(top, 'home'), client);
  const work = path.join(top, 'work');
  const remote = path.join(top, 'remote');
  await host.git(top, 'init', '-q', '--bare', 'origin.git');
  await host.git(top, 'init', '-q', 'work');
  await host.mstore(work, 'init');
  for (const [key, value] of Object.entries(settings)) {
    await host.mstore(work, 'config', 'set', `remote.store.${key}`, value);
  }
  await host.mstore(work, 'remote', 'add', 'store', settings['url'] ?? '../remote');
  await host.git(work, 'lfs', 'track', '*.bin');
  await host.git(work, 'remote', 'add', 'origin', '../origin.git');
  await host.mstore(work, 'lfs', 'install');
  return { host, work, top, remote };
}

async function commit({ host, work }: Team, files: Readonly<Record<string, Buffer>>) {
  for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(work, name), bytes);
  await host.git(work, 'add', '-A');
  await host.git(work, 'commit', '-q', '-m', 'A version');
}

/** Clones in the two steps of the guide. */
async function clone({ host, top }: Team, name: string): Promise<string> {
  const folder = path.join(top, name);
  const said = await host.run(
    top,
    'env',
    'GIT_LFS_SKIP_SMUDGE=1',
    'git',
    'clone',
    '-q',
    'origin.git',
    name,
  );
  expect(said.code, said.said).toBe(0);
  await host.mstore(folder, 'lfs', 'install');
  return folder;
}

function bytesOf(folder: string): number {
  return Number(execFileSync('du', ['-sb', folder], { encoding: 'utf8' }).split('\t')[0]);
}

const large = xorshiftBytes(1, 20 * mib);
const small = xorshiftBytes(2, 3000);

describe.each([
  ['the newest git-lfs', newestGitLfs, 20],
  ['the git-lfs of Debian', debianGitLfs, 6],
])('%s and a directory', (_, client, versions) => {
  it('pushes many versions in little more than one, and clones, pulls and checks them', async () => {
    const made = await team(await client());
    const { host, work, remote } = made;
    const bytes = Buffer.from(large);
    await commit(made, { 'a.bin': bytes, 'small.bin': small });
    await host.git(work, 'push', '-q', 'origin', 'main');
    for (let version = 2; version <= versions; version++) {
      bytes.write(`version ${version}`, (version * 987_654) % bytes.length);
      await commit(made, { 'a.bin': bytes });
      // Some are pushed one by one, some together.
      if (version < 4) await host.git(work, 'push', '-q', 'origin', 'main');
    }
    await host.git(work, 'push', '-q', 'origin', 'main');
    expect(bytesOf(path.join(work, '.git/lfs/objects'))).toBeGreaterThan(20 * mib * versions);
    expect(bytesOf(remote)).toBeLessThan(60 * mib);

    const folder = await clone(made, 'clone');
    expect(fs.statSync(path.join(folder, 'a.bin')).size).toBeLessThan(1024);
    await host.git(folder, 'lfs', 'pull');
    expect(fs.readFileSync(path.join(folder, 'a.bin')).equals(bytes)).toBe(true);
    expect(fs.readFileSync(path.join(folder, 'small.bin')).equals(small)).toBe(true);
    expect(await host.git(folder, 'lfs', 'fsck')).toContain('OK');
    await host.git(folder, 'lfs', 'fetch', '--all');
    await host.git(folder, 'checkout', '-q', `HEAD~${versions - 1}`);
    expect(fs.readFileSync(path.join(folder, 'a.bin')).equals(large)).toBe(true);
    expect(await host.git(folder, 'lfs', 'fsck')).toContain('OK');
    expect(await host.git(folder, 'status', '--short')).toBe('');
    // A clean-up by anybody takes nothing of it.
    await host.mstore(work, 'gc', '--remote', '--keep-last', '1', '--grace', '0');
    await host.mstore(work, 'gc', '--remote', '--grace', '0');
    await host.mstore(work, 'verify', '--remote');
    const again = await clone(made, 'again');
    await host.git(again, 'lfs', 'fetch', '--all');
    expect(await host.git(again, 'lfs', 'fsck')).toContain('OK');
  });

  it('clones in one step where an address is set up for the user', async () => {
    const made = await team(await client());
    const { host, work, top } = made;
    await commit(made, { 'a.bin': large.subarray(0, mib), 'small.bin': small });
    await host.git(work, 'push', '-q', 'origin', 'main');
    const endpoint =
      /Endpoint(?: \(\w+\))?=(\S+)/.exec(await host.git(work, 'lfs', 'env'))?.[1] ?? '';
    await host.mstore(work, 'lfs', 'install', '--global', '--url', endpoint);
    await host.git(top, 'clone', '-q', path.join(top, 'origin.git'), 'clone');
    expect(fs.readFileSync(path.join(top, 'clone/small.bin')).equals(small)).toBe(true);
    expect(fs.statSync(path.join(top, 'clone/a.bin')).size).toBe(mib);
  });

  it('tells what is wrong with the remote, and is done when that is over', async () => {
    const made = await team(await client());
    const { host, work, remote } = made;
    const files = Object.fromEntries(
      [3, 4, 5, 6].map((seed) => [`${seed}.bin`, xorshiftBytes(seed, 12 * mib)]),
    );
    await commit(made, files);
    // Gone half-way: one object is there, the others are not.
    const pushing = host.run(work, 'git', 'push', '-q', 'origin', 'main');
    const roots = path.join(remote, 'roots');
    while (!fs.existsSync(roots)) await delay(5);
    fs.renameSync(remote, `${remote}.away`);
    const failed = await pushing;
    expect(failed.code, failed.said).not.toBe(0);
    expect(failed.said).toMatch(/\[\d\] .*\[(?:not-a-remote|remote-unreachable|not-found)\]/);
    const blocked = await host.run(work, 'git', 'push', '-q', 'origin', 'main');
    expect(blocked.code).not.toBe(0);
    fs.rmSync(remote, { recursive: true, force: true });
    fs.renameSync(`${remote}.away`, remote);
    await host.git(work, 'push', '-q', 'origin', 'main');

    // Damaged: that object alone does not come.
    const folder = await clone(made, 'clone');
    const pack = execFileSync('find', [path.join(remote, 'packs'), '-name', '*.pack'], {
      encoding: 'utf8',
    })
      .trim()
      .split('\n')[0] as string;
    const whole = fs.readFileSync(pack);
    const damaged = Buffer.from(whole);
    damaged.fill(0, 1000, 2000);
    fs.chmodSync(pack, 0o644);
    fs.writeFileSync(pack, damaged);
    const pulled = await host.run(folder, 'git', 'lfs', 'pull');
    expect(pulled.code, pulled.said).toBe(2);
    expect(pulled.said).toMatch(/\[5\] .*\[corrupt-/);
    const came = Object.keys(files).filter(
      (name) => fs.statSync(path.join(folder, name)).size > mib,
    );
    expect(came).toHaveLength(3);
    fs.writeFileSync(pack, whole);
    await host.git(folder, 'lfs', 'pull');
    for (const [name, bytes] of Object.entries(files)) {
      expect(fs.readFileSync(path.join(folder, name)).equals(bytes), name).toBe(true);
    }
    expect(await host.git(folder, 'lfs', 'fsck')).toContain('OK');
  });

  it('gives its files to mstore, and gets them back', async () => {
    const made = await team(await client());
    const { host, work, top } = made;
    await commit(made, { 'a.bin': large.subarray(0, mib), 'small.bin': small });
    await host.git(work, 'push', '-q', 'origin', 'main');
    const folder = await clone(made, 'clone');
    await host.mstore(folder, 'import', 'lfs', '--as', 'bert@v1', '--include', '*.bin');
    const next = await host.mstore(folder, 'import', 'lfs', 'a.bin');
    expect(next).toContain('git rm -q --cached -- a.bin');
    await host.git(folder, 'rm', '-q', '--cached', '--', 'a.bin');
    await host.git(folder, 'add', '-A');
    await host.git(folder, 'commit', '-q', '-m', 'Over');
    expect(await host.git(folder, 'lfs', 'ls-files', '-n')).toBe('small.bin\n');
    expect(fs.statSync(path.join(folder, 'a.bin')).size).toBe(mib);
    expect(await host.git(folder, 'status', '--short')).toBe('');

    await host.mstore(folder, 'export', 'bert@v1', '--to', '../work/back', '--lfs', '*.bin');
    await host.git(work, 'add', 'back');
    await host.git(work, 'commit', '-q', '-m', 'Back');
    await host.git(work, 'push', '-q', 'origin', 'main');
    expect(await host.git(work, 'lfs', 'fsck', '--pointers')).toContain('OK');
    await host.git(work, 'lfs', 'checkout');
    expect(fs.readFileSync(path.join(work, 'back/small.bin')).equals(small)).toBe(true);
    expect(await host.git(work, 'status', '--short')).toBe('');
    await host.mstore(work, 'lfs', 'uninstall');
    const apart = await host.run(top, 'git', 'clone', '-q', 'origin.git', 'apart');
    expect(apart.code).not.toBe(0);
  });
});

describe('the newest git-lfs and an S3 server', () => {
  it('pushes and pulls, and tells of credentials that are refused', async () => {
    const target = await startVersityGateway();
    const client = await newestGitLfs();
    const aws = Object.entries(process.env).filter(([name]) => name.startsWith('AWS_'));
    const top = tempFolder();
    const env = Object.fromEntries(aws);
    const host = await lfsHost(path.join(top, 'home'), client, env);
    const url = target.url(freshFolder());
    await host.git(top, 'init', '-q', '--bare', 'origin.git');
    await host.git(top, 'init', '-q', 'work');
    const work = path.join(top, 'work');
    await host.mstore(work, 'init');
    for (const [key, value] of Object.entries(target.settings)) {
      await host.mstore(work, 'config', 'set', `remote.store.${key}`, String(value));
    }
    await host.mstore(work, 'remote', 'add', 'store', url);
    await host.git(work, 'lfs', 'track', '*.bin');
    await host.git(work, 'remote', 'add', 'origin', '../origin.git');
    await host.mstore(work, 'lfs', 'install');
    const made = { host, work, top, remote: url };
    const bytes = Buffer.from(large);
    await commit(made, { 'a.bin': bytes, 'small.bin': small });
    bytes.write('edited', 5 * mib);
    await commit(made, { 'a.bin': bytes });
    const refusing = await lfsHost(path.join(top, 'other'), client, {
      ...env,
      AWS_SECRET_ACCESS_KEY: 'wrong',
    });
    const refused = await refusing.run(work, 'git', 'push', '-q', 'origin', 'main');
    expect(refused.code).not.toBe(0);
    expect(refused.said).toMatch(/\[8\] .*\[remote-refused\]/);
    await host.git(work, 'push', '-q', 'origin', 'main');
    const folder = await clone(made, 'clone');
    await host.git(folder, 'lfs', 'fetch', '--all');
    await host.git(folder, 'lfs', 'pull');
    expect(fs.readFileSync(path.join(folder, 'a.bin')).equals(bytes)).toBe(true);
    expect(await host.git(folder, 'lfs', 'fsck')).toContain('OK');
  });
});
