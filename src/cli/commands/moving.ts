import type { Argv } from 'yargs';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { CheckoutOptions, CheckoutResult } from '../../flow/checkout.ts';
import type { CheckoutToResult } from '../../flow/checkout-to.ts';
import type { FetchResult } from '../../flow/fetch.ts';
import type { RegistryFetch } from '../../flow/fetch-registry.ts';
import type { ChooseOptions } from '../../flow/remotes.ts';
import type { RemoteChoice } from '../../flow/several-remotes.ts';
import type { Targets } from '../../flow/targets.ts';
import type { BrokenPointer, Tracked } from '../../flow/tracked.ts';
import type { ChosenVersion } from '../../flow/version-content.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type LinkKind, linkKinds, parseLinkKinds } from '../../worktree/config-keys.ts';
import { parseRate, rateAbout } from '../../worktree/rate.ts';
import { type Args, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';

/** Adds `[ref-or-path..]`, which all commands that move or write versions take. */
export function targetOptions(parser: Argv): Argv {
  return parser.positional('target', {
    type: 'string',
    array: true,
    describe:
      'MODEL@VERSION, a branch, tag or commit, then paths; or paths alone; default: all tracked paths',
  });
}

/** Adds the options of commands that talk to a remote. */
export function remoteOptions(parser: Argv): Argv {
  return targetOptions(parser)
    .option('remote', {
      type: 'string',
      requiresArg: true,
      describe: 'Name, URL or directory of a remote; once for each of several',
    })
    .option('rate-limit', { type: 'string', requiresArg: true, describe: rateAbout })
    .option('all-versions', { type: 'boolean', describe: 'Every version in the history of Git' });
}

/** Adds the options of commands that write files. */
export function writingOptions(parser: Argv): Argv {
  return parser
    .option('to', {
      type: 'string',
      requiresArg: true,
      describe: 'Write to this directory, whole or not at all',
    })
    .option('force', {
      type: 'boolean',
      describe: 'Overwrite and remove files that are stored nowhere',
    })
    .option('link', {
      type: 'string',
      requiresArg: true,
      describe: `How to place files, in order of preference: ${linkKinds.join(', ')}`,
    });
}

/** Reads `--rate-limit`: how the remotes of a transfer are opened. */
export function chooseOptions(args: Args): ChooseOptions {
  const text = textOf(args, 'rate-limit');
  const rateMax = text === undefined ? undefined : parseRate(text);
  if (text === undefined || rateMax !== undefined) return { rateMax };
  throw new MstoreError('usage', `--rate-limit cannot be ${printable(text)}`, { hint: rateAbout });
}

/** Says which version of the registry was chosen, and returns it for the document. */
export async function noteVersion(
  context: Context,
  { version: found }: Pick<Targets, 'version'>,
): Promise<{ readonly version?: ChosenVersion }> {
  if (found === undefined) return {};
  const { chosenVersion } = await import('../../flow/version-content.ts');
  const version = chosenVersion(found);
  const name = `${version.model}@${version.version}`;
  if (found.by !== undefined) context.note(`${version.model}@${found.by} is ${version.version}`);
  if (found.state !== 'active') context.warn(`${name} is ${found.state}`);
  return { version };
}

/** What the arguments of a command chose. */
export interface ChosenVersions extends Targets {
  /** Pointers that cannot be used, where all that is tracked here was chosen. */
  readonly broken: readonly BrokenPointer[];
}

/** Finds what the arguments of a transfer choose, here. */
export async function chooseVersions(
  context: Context,
  workspace: Workspace,
  args: Args,
): Promise<ChosenVersions> {
  const targets = listOf(args, 'target');
  if (!flagOf(args, 'all-versions')) {
    if (targets.length === 0) return chooseAllHere(workspace);
    const { findTargets } = await import('../../flow/targets.ts');
    return { ...(await findTargets(workspace, targets, context.cwd)), broken: [] };
  }
  const { allVersions } = await import('../../flow/history.ts');
  const { selectTracked } = await import('../../flow/tracked.ts');
  const set = await allVersions(workspace);
  for (const { path, error } of set.broken) context.warn(`${printable(path)}: ${error.message}`);
  const paths = targets.map((given) => workspace.relative(given, context.cwd));
  const none = { commit: undefined, version: undefined, broken: [] };
  if (paths.length === 0) return { ...none, tracked: [...set.tracked] };
  const names = new Set(
    selectTracked({ tracked: set.tracked, broken: [] }, paths).map(({ path }) => path),
  );
  return { ...none, tracked: set.tracked.filter(({ path }) => names.has(path)) };
}

async function chooseAllHere(workspace: Workspace): Promise<ChosenVersions> {
  const { selectTracked, trackedInWorkspace } = await import('../../flow/tracked.ts');
  const { tracked, broken } = trackedInWorkspace(workspace);
  const all = selectTracked({ tracked, broken: [] }, []);
  return { commit: undefined, version: undefined, tracked: all, broken };
}

/**
 * Tells of pointers that cannot be used, where the work went on without them.
 * @returns the first error, with which the command ends
 */
export function tellBroken(
  context: Context,
  { broken }: Pick<ChosenVersions, 'broken'>,
): MstoreError | undefined {
  for (const { error } of broken) context.fail(error);
  return broken[0]?.error;
}

/**
 * Says what was brought of the registry, and warns of remotes that could not be asked.
 * @param result of a fetch that has warned already
 */
export function noteRegistry(
  context: Context,
  registry: RegistryFetch,
  result?: FetchResult,
): object {
  const { remote, records, failures, setAside } = registry;
  const told = new Set(
    result?.remotes.flatMap(({ problems }) => problems.map(({ message }) => message)),
  );
  for (const { remote: name, error } of failures) {
    if (told.has(error.message)) continue;
    context.warn(printable(`${name} did not give its registry: ${error.message}`));
  }
  if (records > 0) {
    context.note(`Fetched ${count(records, 'record')} of the registry from ${remote}`);
  }
  if (setAside === undefined) return { recordsFetched: records };
  context.note(`What differed here was set aside in ${printable(setAside)}`);
  return { recordsFetched: records, setAside };
}

/** Opens the remotes that a fetch asks. */
export async function openFetchRemotes(
  context: Context,
  workspace: Workspace,
  args: Args,
): Promise<readonly RemoteChoice[]> {
  const { chooseFetchRemotes } = await import('../../flow/several-remotes.ts');
  const names = listOf(args, 'remote');
  return chooseFetchRemotes(workspace, names, context.cwd, chooseOptions(args));
}

/** Fetches from remotes, and says what they gave. */
export async function fetchFrom(
  context: Context,
  workspace: Workspace,
  tracked: readonly Tracked[],
  remotes: readonly RemoteChoice[],
): Promise<FetchResult> {
  const { fetch } = await import('../../flow/fetch.ts');
  const { signal, progress } = context;
  const { jobs } = context.options;
  const result = await fetch(workspace, tracked, remotes, { signal, progress, jobs });
  noteFetch(context, result);
  return result;
}

/** Parses `--link copy,reflink`. */
function linkOption(args: Args): LinkKind[] | undefined {
  const text = textOf(args, 'link');
  if (text === undefined) return undefined;
  const kinds = parseLinkKinds(text);
  if (kinds !== undefined) return kinds;
  throw new MstoreError('usage', `--link does not know ${printable(text)}`, {
    hint: `Ways: ${linkKinds.join(', ')}; several are tried in the order given`,
  });
}

/** Says what each remote brought, and warns of those with which something was wrong. */
export function noteFetch(context: Context, { remotes, chunksFetched }: FetchResult): void {
  for (const { remote, problems } of remotes) {
    for (const { message } of problems) context.warn(printable(`${remote}: ${message}`));
  }
  if (chunksFetched === 0) context.note('The local store has everything already');
  for (const share of remotes) {
    if (share.chunksFetched === 0) continue;
    context.note(
      `Fetched ${formatBytes(share.bytesReceived)} (${count(share.chunksFetched, 'chunk')}) from ${share.remote}`,
    );
  }
}

/** Reads the options of commands that write files. */
export function writingOptionsOf(context: Context, args: Args): CheckoutOptions {
  return {
    signal: context.signal,
    progress: context.progress,
    jobs: context.options.jobs,
    force: flagOf(args, 'force'),
    link: linkOption(args),
  };
}

/** Says what was written to a directory. */
export function noteWritten(context: Context, { files, bytes, directory }: CheckoutToResult): void {
  context.note(`Wrote ${count(files, 'file')}, ${formatBytes(bytes)}, to ${printable(directory)}`);
}

/** Writes versions to the workspace or, with `--to`, to a directory of their own. */
export async function writeVersions(
  context: Context,
  workspace: Workspace,
  tracked: readonly Tracked[],
  args: Args,
): Promise<CheckoutResult | CheckoutToResult> {
  try {
    return await write(context, workspace, tracked, args);
  } catch (error) {
    const given = listOf(args, 'target').map(printable).join(' ');
    if (given === '' || !isMstoreError(error, 'objects-missing')) throw error;
    throw new MstoreError(error.code, error.message, {
      hint: `Run "mstore pull ${given}" (or "mstore fetch ${given}") to get them from a remote`,
      details: error.details,
      cause: error,
    });
  }
}

async function write(
  context: Context,
  workspace: Workspace,
  tracked: readonly Tracked[],
  args: Args,
): Promise<CheckoutResult | CheckoutToResult> {
  const options = writingOptionsOf(context, args);
  const to = textOf(args, 'to');
  if (to === '') {
    throw new MstoreError('usage', '--to names no directory', { hint: 'Write --to DIR' });
  }
  if (to !== undefined) {
    const { checkoutTo } = await import('../../flow/checkout-to.ts');
    const path = await import('node:path');
    const result = await checkoutTo(workspace, tracked, path.resolve(context.cwd, to), {
      ...options,
      keep: [context.cwd],
    });
    noteWritten(context, result);
    return result;
  }
  const { checkout } = await import('../../flow/checkout.ts');
  const result = await checkout(workspace, tracked, options);
  const { filesWritten, filesRemoved, filesUnchanged, bytesWritten } = result;
  const removed = filesRemoved > 0 ? `, removed ${filesRemoved}` : '';
  context.note(
    `Wrote ${count(filesWritten, 'file')} (${formatBytes(bytesWritten)})${removed}, ${filesUnchanged} unchanged`,
  );
  for (const path of result.pointersChanged)
    context.note(`Pointer changed: ${printable(path)}.mstore`);
  for (const path of result.kept)
    context.warn(`kept ${printable(path)}: it is no part of the version and stored nowhere`);
  return result;
}
