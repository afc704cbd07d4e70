import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable, shellWord } from '../../base/names.ts';
import { programEntry } from '../../base/program-files.ts';
import type { GitProgram, SettingScope } from '../../git/program.ts';
import { defaultRemote, listRemotes } from '../remotes.ts';
import type { Workspace } from '../workspace.ts';
import { lfsRepositoryOf } from './lfs-roots.ts';
import { lfsStorageOf } from './storage.ts';

/** The name of the agent in the configuration of Git: without a dot, in lower case, as Git LFS wants it. */
const agentName = 'mstore';
const agentKey = `lfs.customtransfer.${agentName}`;
/** The last part of the keys that choose an agent, for all remotes of Git or for one address. */
const switchName = 'standalonetransferagent';

/** What is set up, and for what. */
export interface LfsInstall {
  readonly scope: SettingScope;
  /** Address of Git LFS that it is for, with all below it; by default every remote of Git. */
  readonly url?: string | undefined;
  /** Name of the remote of mstore; by default those that push and fetch use. */
  readonly remote?: string | undefined;
  /** Replaces another agent. */
  readonly force?: boolean;
}

/** What {@link installLfs} wrote. */
export interface LfsInstalled {
  readonly scope: SettingScope;
  readonly url?: string;
  /** Name of the remote that it goes to now. */
  readonly remote: string;
  /** What Git LFS starts, and the arguments, as its shell reads them. */
  readonly program: string;
  readonly args: string;
  /** Whether the filters of Git LFS are set up, by "git lfs install". */
  readonly filters: boolean;
}

/**
 * Has Git LFS move its objects by mstore: writes to the configuration of Git, of this repository or of its user. Git LFS
 * takes none of it from files that are committed, so each clone needs it.
 * @throws MstoreError `unknown-remote`, `would-overwrite` where another agent is chosen, `usage`, `no-git`, `git-failed`
 */
export async function installLfs(
  workspace: Workspace,
  { scope, url, remote, force = false }: LfsInstall,
): Promise<LfsInstalled> {
  if (scope === 'global' && url === undefined) {
    throw new MstoreError(
      'usage',
      'Without an address --global would take all repositories away from their servers of Git LFS',
      { hint: 'Add --url https://HOST/PATH: all repositories below it; or leave --global out' },
    );
  }
  const goesTo = remoteFor(workspace, remote);
  const { program: git } = await lfsStorageOf(workspace);
  const key = switchKey(url);
  const before = await settingOf(git, key, scope);
  if (before !== undefined && before !== agentName && !force) {
    throw new MstoreError('would-overwrite', `Git LFS has another agent: ${printable(before)}`, {
      hint: `Look at "git config --show-origin ${key}"; --force replaces it`,
      details: { key },
    });
  }
  const started = startedAs(workspace, scope, remote);
  // The choice comes last: Git LFS passes over an agent that is chosen and not described, without a word.
  await git.set(scope, `${agentKey}.path`, started.program);
  await git.set(scope, `${agentKey}.args`, started.args);
  await git.set(scope, key, agentName);
  const filters = await hasFilters(git);
  return { scope, ...(url === undefined ? {} : { url }), remote: goesTo, ...started, filters };
}

/**
 * Takes out what {@link installLfs} wrote, whatever it was for. Objects stay where they are.
 * @returns whether there was anything
 */
export async function uninstallLfs(workspace: Workspace, scope: SettingScope): Promise<boolean> {
  const { program: git } = await lfsStorageOf(workspace);
  const chosen = await git.settings(`lfs\\.(.*\\.)?${switchName}`, scope);
  const described = await git.settings(`lfs\\.customtransfer\\.${agentName}\\..*`, scope);
  const ours = [...chosen].filter(([, value]) => value === agentName).map(([key]) => key);
  const keys = [...ours, ...described.keys()];
  for (const key of keys) await git.unset(scope, key);
  return keys.length > 0;
}

/** How Git LFS is set up for a workspace. */
export interface LfsStatus {
  /** Whether Git LFS moves objects of this repository by mstore, for all remotes of Git or for some addresses. */
  readonly installed: boolean;
  /** Addresses that it is for; none where it is for all. */
  readonly urls: readonly string[];
  readonly program?: string;
  readonly args?: string;
  /** Default remote of the workspace; left out where there is none. */
  readonly remote?: string;
  /** Whether the filters of Git LFS are set up. */
  readonly filters: boolean;
  /** Absolute folder in which Git LFS keeps objects here. */
  readonly storage: string;
  /** Identity under which the objects are kept on remotes. */
  readonly repository: string;
  /** What keeps it from working. */
  readonly problems: readonly string[];
}

/**
 * Tells how Git LFS is set up.
 * @throws MstoreError `no-git`, `git-failed`
 */
export async function lfsStatus(workspace: Workspace): Promise<LfsStatus> {
  const { program: git, storage } = await lfsStorageOf(workspace);
  const chosen = await git.settings(`lfs\\.(.*\\.)?${switchName}`);
  const described = await git.settings(`lfs\\.customtransfer\\.${agentName}\\.(path|args)`);
  const isForAll = chosen.get(`lfs.${switchName}`) === agentName;
  const urls = [...chosen]
    .filter(([key, value]) => value === agentName && key !== `lfs.${switchName}`)
    .map(([key]) => key.slice('lfs.'.length, -switchName.length - 1));
  const installed = isForAll || urls.length > 0;
  const program = described.get(`${agentKey}.path`);
  const args = described.get(`${agentKey}.args`);
  const filters = await hasFilters(git);
  const remote = defaultRemote(workspace);
  const problems = [
    ...(installed ? [] : ['Git LFS does not use mstore here: run "mstore lfs install"']),
    ...(installed && program === undefined
      ? ['The agent is chosen and not described: run "mstore lfs install"']
      : []),
    ...(installed && program !== undefined && !isFound(program, workspace)
      ? [`The program ${printable(program)} is not there: run "mstore lfs install"`]
      : []),
    ...(filters ? [] : ['The filters of Git LFS are not set up: run "git lfs install"']),
    ...(remote === undefined && !args?.includes('--remote')
      ? ['No remote is set up: run "mstore remote add NAME DIR"']
      : []),
  ];
  return {
    installed,
    urls: isForAll ? [] : urls,
    ...(program === undefined ? {} : { program }),
    ...(args === undefined ? {} : { args }),
    ...(remote === undefined ? {} : { remote }),
    filters,
    storage: storage.folder,
    repository: lfsRepositoryOf(workspace),
    problems,
  };
}

/** Only a remote of the configuration can be named: every clone has it, whatever its folder. */
function remoteFor(workspace: Workspace, remote: string | undefined): string {
  const names = listRemotes(workspace).map(({ name }) => name);
  const name = remote ?? defaultRemote(workspace);
  if (name !== undefined && names.includes(name)) return name;
  const what =
    name === undefined ? 'No remote is the default' : `There is no remote ${printable(name)}`;
  throw new MstoreError('unknown-remote', what, {
    hint:
      names.length === 0
        ? 'Run "mstore remote add NAME DIR", and commit .modelstore'
        : `Use --remote with one of ${names.join(', ')}`,
    ...(name === undefined ? {} : { details: { name } }),
  });
}

/** What Git LFS is to start: `mstore` where that is found and is this program, else this program by its path. */
function startedAs(
  workspace: Workspace,
  scope: SettingScope,
  remote: string | undefined,
): { readonly program: string; readonly args: string } {
  // Git LFS starts it at the top of the working tree.
  const folder = workspace.gitPrefix.replace(/\/$/, '');
  const words = [
    ...(folder === '' || scope === 'global' ? [] : ['-C', shellWord(folder)]),
    'lfs-agent',
    ...(remote === undefined ? [] : ['--remote', shellWord(remote)]),
  ];
  const entry = programEntry();
  const found = onPath(workspace, agentName);
  if (found !== undefined && realOf(found) === realOf(entry.file)) {
    return { program: agentName, args: words.join(' ') };
  }
  if (!entry.isScript) return { program: entry.file, args: words.join(' ') };
  return { program: process.execPath, args: [shellWord(entry.file), ...words].join(' ') };
}

function isFound(program: string, workspace: Workspace): boolean {
  return path.isAbsolute(program)
    ? fs.existsSync(program)
    : onPath(workspace, program) !== undefined;
}

function onPath({ surroundings: { env } }: Workspace, name: string): string | undefined {
  const folders = (env['PATH'] ?? '').split(path.delimiter);
  return folders
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, name))
    .find((file) => fs.existsSync(file));
}

function realOf(file: string): string | undefined {
  try {
    return fs.realpathSync(file);
  } catch {
    return undefined;
  }
}

function switchKey(url: string | undefined): string {
  if (url === undefined) return `lfs.${switchName}`;
  if (URL.canParse(url) && !/\s/.test(url)) return `lfs.${url}.${switchName}`;
  throw new MstoreError('usage', `--url cannot be ${printable(url)}`, {
    hint: 'Write the address that "git lfs env" shows as its endpoint, or the beginning of it',
  });
}

async function settingOf(
  git: GitProgram,
  key: string,
  scope: SettingScope,
): Promise<string | undefined> {
  const all = await git.settings(`lfs\\.(.*\\.)?${switchName}`, scope);
  return all.get(key);
}

async function hasFilters(git: GitProgram): Promise<boolean> {
  const filters = await git.settings('filter\\.lfs\\.(process|clean)');
  return filters.size > 0;
}
