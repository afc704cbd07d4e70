import type { Argv } from 'yargs';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { ChosenRemote } from '../../flow/remotes.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';

/** Adds the options that say where a registry is changed. */
export function placeOptions(parser: Argv): Argv {
  return parser
    .option('remote', {
      type: 'string',
      requiresArg: true,
      describe: 'The remote that decides; default: the default remote, where there is one',
    })
    .option('local', {
      type: 'boolean',
      conflicts: 'remote',
      describe: 'Change the local registry alone; "mstore push" sends it later',
    });
}

/** What `--git-tag` does, for the help. */
export const gitTagAbout = 'Tell of it by annotated Git tags too, as GTO does';

/** Adds the options of commands that change what counts. */
export function changeOptions(parser: Argv): Argv {
  return placeOptions(parser)
    .option('reason', { type: 'string', requiresArg: true, describe: 'Why; the history keeps it' })
    .option('force', {
      type: 'boolean',
      describe: 'Pass what the rules refuse; needs a reason, and the history tells of it',
    })
    .option('git-tag', { type: 'boolean', describe: gitTagAbout });
}

/** Opens the remote that decides; undefined where the local registry does. */
export async function decidingRemote(
  context: Context,
  workspace: Workspace,
  args: Args,
): Promise<ChosenRemote | undefined> {
  const { chooseRemote, defaultRemote } = await import('../../flow/remotes.ts');
  const named = textOf(args, 'remote');
  if (flagOf(args, 'local')) return undefined;
  if (named === undefined && defaultRemote(workspace) === undefined) return undefined;
  return chooseRemote(workspace, named, context.cwd);
}

/** Reads the options that all changes share. */
export async function changeSettings(context: Context, workspace: Workspace, args: Args) {
  return {
    remote: await decidingRemote(context, workspace, args),
    reason: textOf(args, 'reason'),
    force: flagOf(args, 'force'),
    gitTag: flagOf(args, 'git-tag'),
    signal: context.signal,
    jobs: context.options.jobs,
  };
}

/** Splits `MODEL@NAME`. */
export function modelAndName(text: string, what: string): { model: string; name: string } {
  const [model = '', name = '', ...rest] = text.split('@');
  if (model !== '' && name !== '' && rest.length === 0) return { model, name };
  throw new MstoreError('usage', `${printable(text)} is not of the form MODEL@${what}`, {
    hint: `Write for example safety_classifier@${what === 'VERSION' ? 'v1.2.0' : 'production'}`,
  });
}

/** Tells which Git tags were made, and how to share them. */
export function tellTags(
  context: Context,
  tags: readonly string[] | undefined,
  dryRun = false,
): void {
  if (tags === undefined) return;
  if (tags.length === 0) context.note('Git has its tags already');
  else if (dryRun) context.note(`Git tags would be made: ${tags.join(', ')}`);
  else {
    const names = tags.map((tag) => `'refs/tags/${tag}'`).join(' ');
    context.note(`Git tags made; share them with: git push origin ${names}`);
  }
}
