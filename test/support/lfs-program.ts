import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { cliEnv } from './cli.ts';
import { installDebian } from './debian.ts';
import { type GoProgram, installGoProgram } from './go-program.ts';
import { program, programArgs } from './program.ts';

/** The client of Git LFS. */
const gitLfs: GoProgram = {
  from: 'github.com/git-lfs/git-lfs/v3',
  version: 'v3.8.1',
  name: 'git-lfs',
};

/** Builds the newest client, and returns the folder that it is in. */
export async function newestGitLfs(): Promise<string> {
  return path.dirname(await installGoProgram(gitLfs));
}

/** Installs the client of Debian, which is some years old, and returns the folder that it is in. */
export async function debianGitLfs(): Promise<string> {
  await installDebian('/usr/bin/git-lfs', 'git-lfs');
  return '/usr/bin';
}

/** How a command ended. */
export interface Ended {
  readonly code: number;
  /** Both outputs. */
  readonly said: string;
}

/** A machine of somebody: a home with a configuration of Git, and the client of Git LFS. */
export interface LfsHost {
  /** Runs a command, whatever its end. */
  run(cwd: string, file: string, ...args: string[]): Promise<Ended>;
  /** Runs Git, which must succeed; returns what it said. */
  git(cwd: string, ...args: string[]): Promise<string>;
  /** Runs mstore, which must succeed. */
  mstore(cwd: string, ...args: string[]): Promise<string>;
}

/**
 * Makes a home with the filters of Git LFS.
 * @param client folder of the client
 */
export async function lfsHost(
  home: string,
  client: string,
  more: NodeJS.ProcessEnv = {},
): Promise<LfsHost> {
  const { GIT_CONFIG_NOSYSTEM: _, ...own } = cliEnv;
  const env: NodeJS.ProcessEnv = {
    ...own,
    HOME: home,
    GIT_CONFIG_GLOBAL: path.join(home, 'gitconfig'),
    GIT_TERMINAL_PROMPT: '0',
    PATH: `${client}${path.delimiter}${process.env['PATH']}`,
    ...more,
  };
  fs.mkdirSync(home, { recursive: true });
  const run = async (cwd: string, file: string, ...args: string[]): Promise<Ended> => {
    try {
      const how = { cwd, env, maxBuffer: 64 * 1024 * 1024 };
      const { stdout, stderr } = await promisify(execFile)(file, args, how);
      return { code: 0, said: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, said: `${stdout}${stderr}` };
    }
  };
  const ok = async (cwd: string, file: string, ...args: string[]): Promise<string> => {
    const { code, said } = await run(cwd, file, ...args);
    if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}: ${said}`);
    return said;
  };
  const git = (cwd: string, ...args: string[]) => ok(cwd, 'git', ...args);
  await git(home, 'config', '--global', 'init.defaultBranch', 'main');
  await git(home, 'lfs', 'install', '--skip-repo');
  return { run, git, mstore: (cwd, ...args) => ok(cwd, program, ...programArgs, ...args) };
}
