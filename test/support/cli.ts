import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.ts';
import { exitCodeOf } from '../../src/base/errors.ts';
import { add } from '../../src/flow/add.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { push } from '../../src/flow/push.ts';
import { addRemote, chooseRemote, removeRemote } from '../../src/flow/remotes.ts';
import { status } from '../../src/flow/status.ts';
import { type Surroundings, systemSurroundings } from '../../src/flow/surroundings.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { openWorkspace, type Workspace } from '../../src/flow/workspace.ts';
import { git, gitTestEnv } from './git.ts';
import { program, programArgs } from './program.ts';
import { tempFolder } from './temp.ts';

/** The environment of the command line in tests: nothing of the user's settings. */
export const cliEnv: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(gitTestEnv).filter(([name]) => !name.startsWith('MSTORE_')),
);

/** The parts of JSON documents that tests look at. */
export interface CliDocument {
  readonly error?: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string;
    readonly details?: Readonly<Record<string, unknown>>;
  };
  readonly paths?: ReadonlyArray<{
    readonly path: string;
    readonly state?: string;
    readonly error?: { readonly code: ErrorCode; readonly message: string };
  }>;
  readonly state?: string;
  readonly bytesSent?: number;
}

/** How a run of the command line ended. */
export interface CliResult {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What standard output holds, where that is one JSON document; otherwise empty. */
  readonly json: CliDocument;
}

/** How to start the command line. */
export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** User and group to run as; only root can choose. */
  readonly uid?: number;
}

/** A run of the command line that has been started. */
export interface RunningCli {
  readonly child: ChildProcess;
  readonly done: Promise<CliResult>;
  /** Resolves when standard output holds `text`; rejects when the run ends before. */
  seen(text: string): Promise<void>;
  /** What Ctrl-C does: the signal goes to the process and to those it started. */
  interrupt(): void;
}

/** Starts the command line in a process group of its own; it is killed with the test at the latest. */
export function startMstore(
  cwd: string,
  args: readonly string[],
  options: CliOptions = {},
): RunningCli {
  const child = spawn(program, [...programArgs, ...args], {
    cwd,
    env: { ...cliEnv, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    stdout += part;
    for (const watch of watchers) watch();
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  const done = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, stdout, stderr, json: parseDocument(stdout) });
    });
  });
  return {
    child,
    done,
    seen: (text) =>
      new Promise((resolve, reject) => {
        const watch = (): void => {
          if (!stdout.includes(text)) return;
          watchers.delete(watch);
          resolve();
        };
        watchers.add(watch);
        watch();
        done.then(() => reject(new Error(`Ended before ${text}: ${stdout}${stderr}`)), reject);
      }),
    interrupt: () => void process.kill(-(child.pid as number), 'SIGINT'),
  };
}

function parseDocument(text: string): CliDocument {
  try {
    return JSON.parse(text) as CliDocument;
  } catch {
    return {};
  }
}

/** Runs the command line and waits for its end. */
export function mstore(cwd: string, ...args: string[]): Promise<CliResult> {
  return startMstore(cwd, args).done;
}

/** Runs the command line, which must succeed. */
export async function mstoreOk(cwd: string, ...args: string[]): Promise<CliResult> {
  const result = await mstore(cwd, ...args);
  expect(result.code, `mstore ${args.join(' ')}: ${result.stdout}${result.stderr}`).toBe(0);
  return result;
}

/** A workspace at the top of a new Git repository, with a directory remote `origin`. */
export interface CliWorkspace {
  readonly root: string;
  /** Folder of the remote, outside the workspace. */
  readonly remote: string;
  /** Folder of the local store. */
  readonly store: string;
  /** Absolute path of an entry. */
  at(relative: string): string;
  write(relative: string, bytes: Uint8Array | string): void;
  read(relative: string): Buffer;
  remove(relative: string): void;
  open(): Promise<Workspace>;
  /** In this process, for what a test builds on: faster than starting the command line. */
  add(...paths: string[]): Promise<void>;
  push(): Promise<void>;
  addRemote(name: string, folder: string): Promise<void>;
  /** Makes `origin` another remote. */
  moveRemote(folder: string): Promise<void>;
  /** Keeps the store elsewhere, by the configuration of this machine. */
  moveStore(folder: string): void;
  /** Runs the command line in the workspace. */
  run(...args: string[]): Promise<CliResult>;
  ok(...args: string[]): Promise<CliResult>;
}

function surroundings(): Surroundings {
  return systemSurroundings(cliEnv);
}

/** Makes a {@link CliWorkspace}; without `folder` in a temporary folder of its own. */
export async function makeWorkspace(folder?: string): Promise<CliWorkspace> {
  const top = folder ?? tempFolder();
  const root = path.join(top, 'work');
  const remote = path.join(top, 'remote');
  fs.mkdirSync(root);
  git(root, 'init', '-q');
  const { workspace } = await initWorkspace(root, { git: true }, surroundings());
  await addRemote(workspace, 'origin', remote, { isDefault: true, create: true }, root);
  return workspaceAt(root, remote);
}

/** Wraps an existing workspace. */
export function workspaceAt(root: string, remote: string): CliWorkspace {
  const at = (relative: string): string => path.join(root, relative);
  const open = (): Promise<Workspace> => openWorkspace(root, surroundings());
  return {
    root,
    remote,
    store: at('.modelstore/store'),
    at,
    write(relative, bytes) {
      fs.mkdirSync(path.dirname(at(relative)), { recursive: true });
      fs.writeFileSync(at(relative), bytes);
    },
    read: (relative) => fs.readFileSync(at(relative)),
    remove: (relative) => fs.rmSync(at(relative), { recursive: true, force: true }),
    open,
    add: async (...paths) => void (await add(await open(), paths)),
    async push() {
      const workspace = await open();
      const { tracked } = await findTargets(workspace, [], root);
      await push(workspace, tracked, await chooseRemote(workspace, undefined, root));
    },
    async addRemote(name, folder) {
      await addRemote(await open(), name, folder, { isDefault: false, create: true }, root);
    },
    async moveRemote(folder) {
      await removeRemote(await open(), 'origin');
      await addRemote(await open(), 'origin', folder, { isDefault: true, create: true }, root);
    },
    moveStore(folder) {
      fs.writeFileSync(at('.modelstore/config.local.toml'), `[store]\npath = "${folder}"\n`);
    },
    run: (...args) => mstore(root, ...args),
    ok: (...args) => mstoreOk(root, ...args),
  };
}

/** What an error must say. */
export interface ExpectedError {
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
}

/** Checks that a run with `--json` ended with this error, its exit code, and nothing else. */
export function expectError(result: CliResult, expected: ExpectedError): void {
  expect(result.json.error, result.stdout + result.stderr).toMatchObject({
    code: expected.code,
    message: expect.stringMatching(expected.message),
    hint: expect.stringMatching(expected.hint),
  });
  expect(result.code).toBe(exitCodeOf(expected.code));
  expect(result.stderr).toBe('');
}

/**
 * Runs a command that must be refused: checks the error, and that every file of workspace, store and
 * remote is as it was.
 */
export async function expectRefused(
  ws: CliWorkspace,
  args: readonly string[],
  expected: ExpectedError,
): Promise<CliResult> {
  const before = snapshot(ws);
  const result = await ws.run('--json', ...args);
  expectError(result, expected);
  expect(snapshot(ws)).toEqual(before);
  expectNoLeftovers(ws);
  return result;
}

/** Every file of a workspace but Git's and the caches, its store and its remote: name and content. */
export function snapshot(ws: CliWorkspace): Record<string, string> {
  return {
    ...describeFolder(ws.root, 'work', (name) => ['.git', '.modelstore'].includes(name)),
    ...describeFolder(ws.store, 'store', (name) => ['tmp', 'remotes'].includes(name)),
    ...describeFolder(ws.remote, 'remote', (name) => name === 'tmp'),
  };
}

/**
 * Describes all that is below a folder, by path behind a prefix: mode and digest, target, or kind.
 * @param skip leaves paths below the folder out
 */
export function describeFolder(
  folder: string,
  prefix: string,
  skip: (relative: string) => boolean = () => false,
): Record<string, string> {
  const found: Record<string, string> = {};
  const stat = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return found;
  for (const raw of fs.readdirSync(folder, { encoding: 'buffer' })) {
    const name = raw.toString('latin1');
    if (skip(name)) continue;
    const full = Buffer.concat([Buffer.from(`${folder}/`), raw]);
    const entry = fs.lstatSync(full);
    const shown = `${prefix}/${name}`;
    if (entry.isDirectory()) {
      found[`${shown}/`] = 'folder';
      const inside = (relative: string): boolean => skip(`${name}/${relative}`);
      Object.assign(found, describeFolder(full.toString(), shown, inside));
    } else if (entry.isFile()) {
      const digest = createHash('sha256').update(fs.readFileSync(full)).digest('hex');
      found[shown] = `${(entry.mode & 0o777).toString(8)} ${digest}`;
    } else if (entry.isSymbolicLink()) found[shown] = `-> ${fs.readlinkSync(full)}`;
    else found[shown] = 'special';
  }
  return found;
}

/** Checks that no temporary file and no lock is left in workspace, store, remote or beside them. */
export function expectNoLeftovers(ws: CliWorkspace): void {
  const left = [
    ...tempsBelow(ws.root),
    ...(ws.store.startsWith(ws.root) ? [] : tempsBelow(ws.store)),
    ...tempsBelow(ws.remote),
    ...fs.readdirSync(path.dirname(ws.root)).filter((name) => name.startsWith('.')),
  ];
  expect(left).toEqual([]);
}

function tempsBelow(folder: string): string[] {
  if (!fs.lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === '.git' ? [] : tempsBelow(full);
    return /\.(?:tmp|lock|building)$/.test(entry.name) || path.basename(folder) === 'tmp'
      ? [full]
      : [];
  });
}

/** Checks, by the status, that the files of all tracked paths are there and as the pointers say. */
export async function expectGood(ws: CliWorkspace): Promise<void> {
  const { paths } = await status(await ws.open());
  expect(paths.filter(({ state }) => state !== 'unchanged')).toEqual([]);
}

/** Changes one bit of a file. */
export function flipBit(file: string, offset: number): void {
  const bytes = fs.readFileSync(file);
  const at = offset < 0 ? bytes.length + offset : offset;
  bytes[at] = (bytes[at] as number) ^ 1;
  fs.writeFileSync(file, bytes);
}

/** The files below a folder, sorted. */
export function filesBelow(folder: string): string[] {
  return fs
    .readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

/** The one file below a folder. */
export function soleFile(folder: string): string {
  const files = filesBelow(folder);
  expect(files).toHaveLength(1);
  return files[0] as string;
}
