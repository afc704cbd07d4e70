import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { type AddResult, add } from '../../src/flow/add.ts';
import { type CheckoutOptions, type CheckoutResult, checkout } from '../../src/flow/checkout.ts';
import { type CheckoutToResult, checkoutTo } from '../../src/flow/checkout-to.ts';
import { type FetchResult, fetch } from '../../src/flow/fetch.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { type PushResult, push } from '../../src/flow/push.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { type StatusResult, status } from '../../src/flow/status.ts';
import { type Surroundings, systemSurroundings } from '../../src/flow/surroundings.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { openWorkspace, type Workspace } from '../../src/flow/workspace.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import { scratchFolder } from './flow-scratch.ts';
import { git, gitTestEnv } from './git.ts';

/** Replaces parts of the surroundings of a test. */
export type SurroundingsChange = Partial<Surroundings>;

/** The surroundings of the flows in a test: this system, and nothing of the user's settings. */
export function testSurroundings(change: SurroundingsChange = {}): Surroundings {
  const env = Object.fromEntries(
    Object.entries(gitTestEnv).filter(([name]) => !name.startsWith('MSTORE_')),
  );
  return { ...systemSurroundings(env), ...change };
}

/**
 * A remote in memory that is a remote already.
 * @param clock that of the place
 */
export async function emptyRemote(
  location = 'memory://test',
  clock: Clock = systemClock,
): Promise<RemotePruner> {
  const remote = memoryRemote(location, clock);
  await initRemote(remote, clock, testSurroundings().random);
  return remote;
}

/**
 * Surroundings in which `memory://NAME` opens one of the given remotes and all else what it opens
 * elsewhere.
 */
export function withRemotes(
  remotes: Readonly<Record<string, RemotePruner>>,
  change: SurroundingsChange = {},
): SurroundingsChange {
  return {
    ...change,
    async openRemote(url, options) {
      const name = url.startsWith('memory://') ? url.slice('memory://'.length) : undefined;
      return (name === undefined ? undefined : remotes[name]) ?? openRemote(url, options);
    },
  };
}

/**
 * A workspace under test. Each call opens the workspace afresh, as each command of the command line
 * does, so that nothing is carried over in memory.
 */
export interface Project {
  readonly root: string;
  open(change?: SurroundingsChange): Promise<Workspace>;
  /** Absolute path of an entry. */
  at(relative: string): string;
  write(relative: string, bytes: Uint8Array | string, mode?: number): void;
  read(relative: string): Buffer;
  add(...paths: string[]): Promise<AddResult>;
  status(): Promise<StatusResult>;
  checkout(args?: readonly string[], options?: CheckoutOptions): Promise<CheckoutResult>;
  checkoutTo(
    folder: string,
    args?: readonly string[],
    options?: CheckoutOptions,
  ): Promise<CheckoutToResult>;
  /** Pushes what the arguments choose to `memory://origin`, or to another remote. */
  push(args?: readonly string[], remote?: string): Promise<PushResult>;
  fetch(args?: readonly string[], remote?: string): Promise<FetchResult>;
  pull(args?: readonly string[], options?: CheckoutOptions): Promise<CheckoutResult>;
  /** Commits everything that Git does not ignore; returns the commit's id. */
  commit(): string;
}

/** Wraps an existing workspace. */
export function projectAt(root: string, change: SurroundingsChange = {}): Project {
  const open = (more: SurroundingsChange = {}) =>
    openWorkspace(root, testSurroundings({ ...change, ...more }));
  const at = (relative: string) => path.join(root, relative);
  const choose = async (args: readonly string[]) => {
    const workspace = await open();
    const { tracked } = await findTargets(workspace, args, root);
    return { workspace, tracked };
  };
  const project: Project = {
    root,
    open,
    at,
    write(relative, bytes, mode) {
      fs.mkdirSync(path.dirname(at(relative)), { recursive: true });
      fs.writeFileSync(at(relative), bytes);
      if (mode !== undefined) fs.chmodSync(at(relative), mode);
    },
    read: (relative) => fs.readFileSync(at(relative)),
    add: async (...paths) => add(await open(), paths),
    status: async () => status(await open()),
    async checkout(args = [], options = {}) {
      const { workspace, tracked } = await choose(args);
      return checkout(workspace, tracked, options);
    },
    async checkoutTo(folder, args = [], options = {}) {
      const { workspace, tracked } = await choose(args);
      return checkoutTo(workspace, tracked, folder, options);
    },
    async push(args = [], remote = 'memory://origin') {
      const { workspace, tracked } = await choose(args);
      return push(workspace, tracked, await chooseRemote(workspace, remote, root));
    },
    async fetch(args = [], remote = 'memory://origin') {
      const { workspace, tracked } = await choose(args);
      return fetch(workspace, tracked, await chooseRemote(workspace, remote, root));
    },
    async pull(args = [], options = {}) {
      await project.fetch(args);
      return project.checkout(args, options);
    },
    commit() {
      git(root, 'add', '-A');
      git(root, 'commit', '-q', '--allow-empty', '-m', 'A commit');
      return git(root, 'rev-parse', 'HEAD');
    },
  };
  return project;
}

/** Makes a workspace at the top of a new Git repository. */
export async function makeProject(change: SurroundingsChange = {}): Promise<Project> {
  const root = scratchFolder();
  git(root, 'init', '-q');
  await initWorkspace(root, { git: true }, testSurroundings(change));
  return projectAt(root, change);
}

/** Makes a workspace without Git. */
export async function makePlainProject(change: SurroundingsChange = {}): Promise<Project> {
  const root = scratchFolder();
  await initWorkspace(root, { git: false }, testSurroundings(change));
  return projectAt(root, change);
}

/** Clones the Git repository of a project: another workspace, whose store is empty. */
export function cloneProject(from: Project, change: SurroundingsChange = {}): Project {
  const root = scratchFolder();
  git(root, 'clone', '-q', from.root, '.');
  return projectAt(root, change);
}

/** Waits until files that were just written are no longer too young for the stat cache. */
export async function settle(): Promise<void> {
  await delay(40);
}
