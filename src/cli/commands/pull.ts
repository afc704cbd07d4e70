import { MstoreError } from '../../base/errors.ts';
import type { FetchTargets } from '../../flow/fetch-targets.ts';
import type { RemoteChoice } from '../../flow/several-remotes.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, type Command, flagOf, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import {
  fetchFrom,
  noteRegistry,
  noteVersion,
  openFetchRemotes,
  remoteOptions,
  writeVersions,
  writingOptions,
} from './moving.ts';

export const pullCommand: Command = {
  positionals: '[target..]',
  options: (parser) => writingOptions(remoteOptions(parser)),
  examples: [
    ['mstore pull', 'Fetch what the pointers here need and write the files'],
    ['mstore pull bert@production', 'Bring the version that is live now'],
    ['mstore pull v1 --to /srv/model-v1', 'Write a tag to a directory of its own'],
  ],
  async run(context, args) {
    if (flagOf(args, 'all-versions')) {
      throw new MstoreError('usage', 'pull writes one version; --all-versions names many', {
        hint: 'Use "mstore fetch --all-versions", then "mstore checkout REF"',
      });
    }
    context.result(await pullInto(context, await context.workspace(), args), []);
    return undefined;
  },
};

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
