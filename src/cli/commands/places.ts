import type { GcPlace } from '../../flow/gc/place.ts';
import type { OwnedRemote } from '../../flow/remotes.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, textOf } from '../command.ts';
import type { Context } from '../context.ts';

/** The remote of `--remote [NAME]`, with the power to delete; undefined for the local store. */
export async function chosenRemote(
  { cwd }: Context,
  workspace: Workspace,
  args: Args,
): Promise<OwnedRemote | undefined> {
  const remote = textOf(args, 'remote');
  if (remote === undefined) return undefined;
  const { chooseToClear } = await import('../../flow/remotes.ts');
  return chooseToClear(workspace, remote === '' ? undefined : remote, cwd);
}

/** A chosen remote as a place, or the local store. */
export async function chosenPlace(
  { options: { jobs } }: Context,
  workspace: Workspace,
  chosen: OwnedRemote | undefined,
): Promise<GcPlace> {
  const { localPlace, remotePlace } = await import('../../flow/gc/place.ts');
  return chosen === undefined ? localPlace(workspace, jobs) : remotePlace(workspace, chosen, jobs);
}
