import type { Argv } from 'yargs';
import { printable } from '../../base/names.ts';
import type { MoveOptions, MoveResult } from '../../flow/environments.ts';
import type { MirroredMove } from '../../flow/publish/mirror.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { changeOptions, changeSettings, tellTags } from './registry-options.ts';
import { keyPlaceOf, signingKeyOptions } from './signing-options.ts';

/** Adds the options of commands that move an environment. */
export function moveOptions(parser: Argv): Argv {
  return signingKeyOptions(changeOptions(parser), 'Private key that signs the entry of the history')
    .option('dry-run', { type: 'boolean', describe: 'Say what would be done, and change nothing' })
    .option('mirror', {
      type: 'string',
      requiresArg: true,
      describe: 'mlflow:NAME: the alias named as the environment follows there',
    });
}

/** Moves an environment as the options say, tells of it, and ends the command with it. */
export async function moveEnvironment(
  context: Context,
  workspace: Workspace,
  args: Args,
  move: (options: MoveOptions) => Promise<MoveResult>,
): Promise<void> {
  const key = { place: keyPlaceOf(args), cwd: context.cwd };
  const settings = { ...(await changeSettings(context, workspace, args)), key };
  const dryRun = flagOf(args, 'dry-run');
  const to = textOf(args, 'mirror');
  if (to === undefined) {
    tellMove(context, await move({ ...settings, dryRun }));
    return;
  }
  const { moveMirrored } = await import('../../flow/publish/mirror.ts');
  const { signal, progress } = context;
  const moving = (isPlan: boolean): Promise<MoveResult> => move({ ...settings, dryRun: isPlan });
  tellMove(context, await moveMirrored(workspace, to, moving, { dryRun, signal, progress }));
}

/** Tells how an environment was moved. */
function tellMove(context: Context, result: MirroredMove): void {
  const { model, environment, version, before, unchanged, dryRun, isNew, remote } = result;
  for (const warning of result.warnings) context.warn(printable(warning));
  const where = remote === undefined ? '' : ` on ${printable(remote)}`;
  const name = `${model}@${version}`;
  if (unchanged) context.note(`${name} is live in ${environment}${where} already`);
  else if (dryRun) {
    const change = before === undefined ? `to ${version}` : `from ${before} to ${version}`;
    context.note(`${environment} of ${model} would go ${change}${where}`);
  } else {
    const change = before === undefined ? '' : `, before it ${before}`;
    context.note(`${name} is live in ${environment}${where} now (entry ${result.number}${change})`);
    if (isNew) context.note(`${environment} is a new environment of ${model}`);
  }
  tellTags(context, result.gitTags, dryRun);
  tellMirror(context, result);
  context.result(result, []);
}

function tellMirror(context: Context, { environment, mirror }: MirroredMove): void {
  if (mirror === undefined) return;
  const { to, changed, dryRun, reference } = mirror;
  const alias = `The alias ${environment} of ${printable(to)}`;
  if (!changed) context.note(`${alias} names it already`);
  else if (dryRun) context.note(`${alias} would follow`);
  else context.note(`${alias} names ${printable(reference ?? '')} now`);
}
