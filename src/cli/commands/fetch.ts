import { errorDocument } from '../../base/error-document.ts';
import type { RegistryFailure, RegistryFetch } from '../../flow/fetch-registry.ts';
import type { RemoteChoice } from '../../flow/several-remotes.ts';
import type { Targets } from '../../flow/targets.ts';
import type { BrokenPointer } from '../../flow/tracked.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, type Command, flagOf, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import {
  chooseVersions,
  fetchFrom,
  noteRegistry,
  noteVersion,
  openFetchRemotes,
  remoteOptions,
  tellBroken,
} from './moving.ts';

export const fetchCommand: Command = {
  positionals: '[target..]',
  options: (parser) =>
    remoteOptions(parser).option('take-history', {
      type: 'boolean',
      describe: 'Where registries differ, set aside what is here and take what the remote has',
    }),
  examples: [
    ['mstore fetch', 'Get what the pointers here need, and the registry; touch no file'],
    ['mstore fetch bert@production', 'Get the version that is live now'],
    ['mstore fetch --all-versions', 'Get every version, to work offline'],
    ['mstore fetch --remote origin --remote backup', 'Ask these two, in this order'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { refuseConflicts } = await import('../../flow/registry.ts');
    const remotes = await openFetchRemotes(context, workspace, args);
    const { targets, registry, broken = [] } = await choose(context, workspace, args, remotes);
    const version = await noteVersion(context, targets);
    const result = await fetchFrom(context, workspace, targets.tracked, remotes);
    const unusable = tellBroken(context, { broken });
    const failed = registry && failureOf(registry);
    if (failed !== undefined && targets.version === undefined) throw failed.error;
    const records = registry === undefined ? {} : noteRegistry(context, registry, result);
    refuseConflicts(registry?.conflicts ?? []);
    const error = unusable === undefined ? {} : errorDocument(unusable);
    context.result({ ...version, ...result, ...records, ...error }, []);
    return unusable?.exitCode;
  },
};

/** What failed a registry that no remote gave: one that is damaged is none that is not there. */
function failureOf({ remote, answered, failures }: RegistryFetch): RegistryFailure | undefined {
  if (!answered) return failures[0];
  if (remote !== undefined) return undefined;
  return failures.find(({ error }) => error.code === 'corrupt-registry');
}

/** Finds what is to be fetched; without a reference the whole registry comes as well. */
async function choose(
  context: Context,
  workspace: Workspace,
  args: Args,
  remotes: readonly RemoteChoice[],
): Promise<{
  readonly targets: Targets;
  readonly registry?: RegistryFetch;
  readonly broken?: readonly BrokenPointer[];
}> {
  const given = listOf(args, 'target');
  const { signal, cwd } = context;
  const { jobs } = context.options;
  const options = { signal, jobs, takeHistory: flagOf(args, 'take-history') };
  if (given.length > 0 && !flagOf(args, 'all-versions')) {
    const { findFetchTargets } = await import('../../flow/fetch-targets.ts');
    return findFetchTargets(workspace, given, { cwd, remotes: async () => remotes }, options);
  }
  const targets = await chooseVersions(context, workspace, args);
  if (given.length > 0) return { targets };
  const { fetchRegistry } = await import('../../flow/fetch-registry.ts');
  const registry = await fetchRegistry(workspace, remotes, options);
  return { targets, registry, broken: targets.broken };
}
