import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { FetchTargets } from '../../flow/fetch-targets.ts';
import type { RemoteChoice } from '../../flow/several-remotes.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import {
  chooseOptions,
  fetchFrom,
  noteFetch,
  noteRegistry,
  noteVersion,
  noteWritten,
  openFetchRemotes,
  remoteOptions,
  writeVersions,
  writingOptions,
  writingOptionsOf,
} from './moving.ts';

export const pullCommand: Command = {
  positionals: '[target..]',
  options: (parser) => writingOptions(remoteOptions(parser)),
  examples: [
    ['mstore pull', 'Fetch what the pointers here need and write the files'],
    ['mstore pull bert@production', 'Bring the version that is live now'],
    ['mstore pull v1 --to /srv/model-v1', 'Write a tag to a directory of its own'],
    [
      'mstore pull bert@v1 --remote s3://bucket/models --to /srv/bert',
      'Write a version anywhere, without a workspace',
    ],
  ],
  async run(context, args) {
    if (flagOf(args, 'all-versions')) {
      throw new MstoreError('usage', 'pull writes one version; --all-versions names many', {
        hint: 'Use "mstore fetch --all-versions", then "mstore checkout REF"',
      });
    }
    const workspace = await workspaceOrNone(context, args);
    const document =
      workspace === undefined
        ? await pullWithout(context, args)
        : await pullInto(context, workspace, args);
    context.result(document, []);
    return undefined;
  },
};

/** Opens the workspace; undefined where there is none and none is needed. */
async function workspaceOrNone(context: Context, args: Args): Promise<Workspace | undefined> {
  try {
    return await context.workspace();
  } catch (error) {
    if (!isMstoreError(error, 'no-workspace')) throw error;
    if (textOf(args, 'to') && listOf(args, 'target').length === 1) return undefined;
    throw new MstoreError(error.code, error.message, {
      hint: `${error.hint}; without one, write "mstore pull MODEL@VERSION --remote URL --to DIR"`,
      details: error.details,
    });
  }
}

async function pullInto(context: Context, workspace: Workspace, args: Args): Promise<object> {
  const { isPresent } = await import('../../flow/checkout.ts');
  const { withFileLists } = await import('../../flow/version-content.ts');
  let opened: Promise<readonly RemoteChoice[]> | undefined;
  const remotes = () => {
    opened ??= openFetchRemotes(context, workspace, args);
    return opened;
  };
  const { targets, registry } = await choose(context, workspace, args, remotes);
  const records = registry === undefined ? {} : noteRegistry(context, registry);
  const version = await noteVersion(context, targets);
  // With everything here no remote is needed: a pull works offline, and without any remote set up.
  const fetched = isPresent(workspace.store, targets.tracked)
    ? undefined
    : await fetchFrom(context, workspace, targets.tracked, await remotes());
  const tracked = targets.tracked.map((item) => withFileLists(workspace.store, item));
  const written = await writeVersions(context, workspace, tracked, args);
  return { ...version, ...records, fetched: fetched ?? null, written };
}

/** Finds what is to be written; for a version of a model the registry of the remote is asked first. */
async function choose(
  context: Context,
  workspace: Workspace,
  args: Args,
  remotes: () => Promise<readonly RemoteChoice[]>,
): Promise<FetchTargets> {
  const { findFetchTargets } = await import('../../flow/fetch-targets.ts');
  const { signal, cwd } = context;
  const options = { signal, jobs: context.options.jobs };
  // A workspace that has no remote knows its own versions all the same.
  const alone = listOf(args, 'remote').length === 0 && workspace.config.remotes().length === 0;
  const parts = { cwd, remotes: alone ? async () => [] : remotes };
  return findFetchTargets(workspace, listOf(args, 'target'), parts, options);
}

async function pullWithout(context: Context, args: Args): Promise<object> {
  const { pullAlone } = await import('../../flow/pull-alone.ts');
  const { cwd, surroundings } = context;
  const [reference = ''] = listOf(args, 'target');
  const directory = path.resolve(cwd, textOf(args, 'to') ?? '');
  const remotes = listOf(args, 'remote');
  const wanted = { reference, remotes, directory, cwd, choose: chooseOptions(args) };
  const options = { ...writingOptionsOf(context, args), keep: [cwd] };
  const { found, fetched, written, failures } = await pullAlone(wanted, surroundings, options);
  for (const { remote, error } of failures) {
    context.warn(printable(`${remote} did not give its registry: ${error.message}`));
  }
  const version = await noteVersion(context, { version: found });
  noteFetch(context, fetched);
  noteWritten(context, written);
  return { ...version, fetched, written };
}
