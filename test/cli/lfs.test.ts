import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { type CliResult, cliEnv, startMstore } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { type AnyReply, completed, putLfsObject } from '../support/lfs.ts';
import { program, programArgs } from '../support/program.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

/** A repository with a workspace and a directory remote, under a home of its own. */
async function repository() {
  const top = tempFolder();
  const root = path.join(top, 'work');
  fs.mkdirSync(root);
  git(root, 'init', '-q');
  const env = { HOME: top, GIT_CONFIG_GLOBAL: path.join(top, 'gitconfig') };
  const run = (...args: string[]): Promise<CliResult> => startMstore(root, args, { env }).done;
  const ok = async (...args: string[]): Promise<CliResult> => {
    const result = await run(...args);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    return result;
  };
  await ok('init');
  await ok('remote', 'add', 'origin', '../remote');
  const config = (...args: string[]) => git(root, 'config', ...args);
  return { top, root, env, run, ok, config };
}

interface Agent {
  ask(request: object): void;
  /** Waits for the answers to end, and for the program. */
  end(): Promise<{ replies: AnyReply[]; code: number | null; stderr: string }>;
  kill(): void;
  seen(text: string): Promise<void>;
}

function startAgent(root: string, env: NodeJS.ProcessEnv, ...args: string[]): Agent {
  const child = spawn(program, [...programArgs, 'lfs-agent', ...args], {
    cwd: root,
    env: { ...cliEnv, ...env },
  });
  let out = '';
  let stderr = '';
  let look = (): void => {};
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part;
    look();
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  const done = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    ask: (request) => void child.stdin.write(`${JSON.stringify(request)}\n`),
    async end() {
      child.stdin.end();
      const code = await done;
      const lines = out.split('\n').filter((line) => line !== '');
      return { replies: lines.map((line) => JSON.parse(line) as AnyReply), code, stderr };
    },
    kill: () => void child.kill('SIGKILL'),
    seen: (text) =>
      new Promise((resolve) => {
        look = () => (out.includes(text) ? resolve() : undefined);
        look();
      }),
  };
}

const init = (operation: string, processes = 1) => ({
  event: 'init',
  operation,
  remote: 'origin',
  concurrent: processes > 1,
  concurrenttransfers: processes,
});

function upload(root: string, bytes: Buffer) {
  const oid = sha256(bytes);
  return {
    event: 'upload',
    oid,
    size: bytes.length,
    path: putLfsObject(root, { oid, bytes }),
    action: null,
  };
}

describe('mstore lfs-agent', () => {
  it('keeps standard output for the protocol, and ends with its input', async () => {
    const { root, env } = await repository();
    const bytes = xorshiftBytes(1, 300_000);
    const agent = startAgent(root, env, '--remote', 'origin');
    agent.ask(init('upload'));
    agent.ask(upload(root, bytes));
    const up = await agent.end();
    expect(up).toMatchObject({ code: 0, stderr: '' });
    expect(up.replies[0]).toEqual({});
    expect(completed(up.replies)).toEqual([{ event: 'complete', oid: sha256(bytes) }]);

    const down = startAgent(root, env);
    down.ask(init('download'));
    down.ask({ event: 'download', oid: sha256(bytes), size: bytes.length, action: null });
    down.ask({ event: 'terminate' });
    const { replies, code } = await down.end();
    expect(code).toBe(0);
    expect(fs.readFileSync(completed(replies)[0]?.path ?? '').equals(bytes)).toBe(true);
  });

  it('that was killed leaves nothing that keeps the next from its work', async () => {
    const { root, env } = await repository();
    const bytes = xorshiftBytes(2, 40_000_000);
    const request = upload(root, bytes);
    const killed = startAgent(root, env);
    killed.ask(init('upload', 2));
    killed.ask(request);
    await killed.seen('"bytesSoFar"');
    killed.kill();
    await killed.end();
    expect(fs.existsSync(path.join(root, '.modelstore/cache/lfs-upload.lock'))).toBe(true);
    const next = startAgent(root, env);
    next.ask(init('upload', 2));
    next.ask(request);
    const { replies } = await next.end();
    expect(completed(replies)).toEqual([{ event: 'complete', oid: request.oid }]);
    expect(fs.readdirSync(path.join(root, '.modelstore/store/tmp'))).toEqual([]);
    expect(fs.existsSync(path.join(root, '.modelstore/cache/lfs-upload.lock'))).toBe(false);
  });

  it('says what to do where there is no workspace, and who starts it', async () => {
    const { top, env } = await repository();
    const bare = path.join(top, 'bare');
    fs.mkdirSync(bare);
    git(bare, 'init', '-q');
    const agent = startAgent(bare, env);
    agent.ask(init('upload'));
    const { replies, code } = await agent.end();
    expect(code).toBe(0);
    expect(replies[0]?.error?.code).toBe(3);
    expect(replies[0]?.error?.message).toMatch(
      /No mstore workspace .*\[no-workspace\]\. Run "mstore init"/,
    );

    const other = startAgent(bare, env);
    other.ask({ event: 'verify' });
    const refused = await other.end();
    expect(refused).toMatchObject({ code: 2, replies: [] });
    expect(refused.stderr).toContain('mstore lfs install');
  });
});

describe('mstore lfs', () => {
  it('writes what Git LFS reads, and takes it out again', async () => {
    const { root, ok, config } = await repository();
    const before = fs.readFileSync(path.join(root, '.git/config'), 'utf8');
    const none = await ok('lfs', 'status');
    expect(none.stdout).toMatch(/installed +no/);
    expect(none.stderr).toContain('run "mstore lfs install"');
    const made = await ok('lfs', 'install');
    expect(made.stderr).toContain('run "git lfs install"');
    config('filter.lfs.process', 'git-lfs filter-process');
    expect((await ok('lfs', 'install', '--remote', 'origin')).stderr).not.toContain(
      'git lfs install',
    );
    expect(config('lfs.standalonetransferagent')).toBe('mstore');
    const line = `'${config('lfs.customtransfer.mstore.path')}' ${config('lfs.customtransfer.mstore.args')}`;
    expect(line).toMatch(/ lfs-agent --remote origin$/);
    const status = await ok('lfs', 'status', '--json');
    expect(status.json).toMatchObject({
      installed: true,
      urls: [],
      remote: 'origin',
      problems: [],
    });
    config('--unset', 'filter.lfs.process');
    await ok('lfs', 'uninstall');
    expect(fs.readFileSync(path.join(root, '.git/config'), 'utf8')).toBe(before);
    expect((await ok('lfs', 'uninstall')).stderr).toContain('Nothing was set up');
  });

  it('starts what is called mstore where that is this program, and by its path where it is not', async () => {
    const { top, root, env, ok, config } = await repository();
    await ok('lfs', 'install');
    expect(config('lfs.customtransfer.mstore.args')).toContain('lfs-agent');
    expect(path.isAbsolute(config('lfs.customtransfer.mstore.path'))).toBe(true);
    const bin = path.join(top, 'bin');
    fs.mkdirSync(bin);
    fs.symlinkSync(programArgs[0] ?? program, path.join(bin, 'mstore'));
    const PATH = `${bin}${path.delimiter}${process.env['PATH']}`;
    const { code } = await startMstore(root, ['lfs', 'install'], { env: { ...env, PATH } }).done;
    expect(code).toBe(0);
    expect(config('lfs.customtransfer.mstore.path')).toBe('mstore');
    expect(config('lfs.customtransfer.mstore.args')).toBe('lfs-agent');
    expect((await ok('lfs', 'status')).stderr).toContain('The program mstore is not there');
  });

  it('names the folder of a workspace that is not at the top', async () => {
    const { top, env } = await repository();
    const root = path.join(top, 'mono');
    const inside = path.join(root, "team's models");
    fs.mkdirSync(inside, { recursive: true });
    git(root, 'init', '-q');
    for (const args of [
      ['init', '--no-git'],
      ['remote', 'add', 'origin', '../../remote'],
      ['lfs', 'install'],
    ]) {
      const { code, stderr } = await startMstore(inside, args, { env }).done;
      expect(code, stderr).toBe(0);
    }
    expect(git(root, 'config', 'lfs.customtransfer.mstore.args')).toMatch(
      /-C .*team.*models.* lfs-agent$/,
    );
  });

  it('is for one address, of one repository or of all of a user', async () => {
    const { env, ok, run, config } = await repository();
    expect((await run('lfs', 'install', '--global')).stderr).toContain('--url');
    const url = 'https://git.example.com/team';
    await ok('lfs', 'install', '--global', '--url', url);
    expect(config('-f', env.GIT_CONFIG_GLOBAL, `lfs.${url}.standalonetransferagent`)).toBe(
      'mstore',
    );
    expect((await ok('lfs', 'status', '--json')).json).toMatchObject({
      installed: true,
      urls: [url],
    });
    await ok('lfs', 'uninstall', '--global');
    expect((await ok('lfs', 'status', '--json')).json).toMatchObject({ installed: false });
    expect((await run('lfs', 'install', '--url', 'not an address')).code).toBe(2);
  });

  it('refuses what cannot work', async () => {
    const { run, config } = await repository();
    const unknown = await run('lfs', 'install', '--remote', 'nowhere', '--json');
    expect(unknown.json.error?.code).toBe('unknown-remote');
    config('lfs.standalonetransferagent', 'folder');
    const taken = await run('lfs', 'install', '--json');
    expect(taken.json.error?.code).toBe('would-overwrite');
    expect(config('lfs.standalonetransferagent')).toBe('folder');
    expect((await run('lfs', 'uninstall')).code).toBe(0);
    expect(config('lfs.standalonetransferagent')).toBe('folder');
    expect((await run('lfs', 'install', '--force')).code).toBe(0);
    expect(config('lfs.standalonetransferagent')).toBe('mstore');
    expect((await run('lfs', 'status', '--force')).code).toBe(2);
  });
});
