import { MstoreError } from '../../base/errors.ts';
import { shellWord } from '../../base/names.ts';
import type { WorkOptions } from '../add.ts';
import type { MoveResult } from '../environments.ts';
import { findTargets } from '../targets.ts';
import type { Workspace } from '../workspace.ts';
import { parseDestination } from './destination.ts';
import { type PublishResult, publish } from './publish.ts';

/** How an environment was moved, and what followed it. */
export type MirroredMove = MoveResult & { readonly mirror?: PublishResult };

/**
 * Moves an environment, and lets the alias of its name in MLflow name the version that is live then, which is published where
 * it was not. All that can be known before is looked at before anything moves.
 * @param to `mlflow:NAME`
 * @param move moves the environment, or says how it would be moved
 * @throws MstoreError as `publish`; those that come once the environment has moved say so
 */
export async function moveMirrored(
  workspace: Workspace,
  to: string,
  move: (dryRun: boolean) => Promise<MoveResult>,
  { dryRun = false, ...options }: WorkOptions & { readonly dryRun?: boolean } = {},
): Promise<MirroredMove> {
  if (parseDestination(to).kind !== 'mlflow') {
    throw new MstoreError('usage', 'Only aliases of MLflow follow an environment', {
      hint: 'Write --mirror mlflow:NAME',
    });
  }
  const follow = async (result: MoveResult, isPlan: boolean): Promise<PublishResult> => {
    const { model, version, environment } = result;
    const targets = await findTargets(workspace, [`${model}@${version}`], workspace.root);
    const request = { to, aliases: [environment], dryRun: isPlan };
    return publish(workspace, targets, request, options);
  };
  const planned = await move(true);
  const plan = await follow(planned, true);
  if (dryRun) return { ...planned, mirror: plan };
  const moved = await move(false);
  try {
    return { ...moved, mirror: await follow(moved, false) };
  } catch (error) {
    if (!(error instanceof MstoreError)) throw error;
    const { model, environment, version } = moved;
    const name = `${model}@${version}`;
    throw new MstoreError(
      error.code,
      `${name} is live in ${environment} now, but its alias did not follow: ${error.message}`,
      {
        hint: `Let it follow: mstore publish ${name} --to ${shellWord(to)} --alias ${environment}`,
        cause: error,
        details: { ...error.details, model, environment, version },
      },
    );
  }
}
