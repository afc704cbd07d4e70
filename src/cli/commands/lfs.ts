import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { LfsInstalled, LfsStatus } from '../../flow/lfs/setup.ts';
import { type Args, type Command, flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { table } from '../text.ts';

export const lfsCommand: Command = {
  positionals: '<action>',
  options: (parser) =>
    parser
      .positional('action', {
        choices: ['install', 'uninstall', 'status'] as const,
        describe: 'What to do',
      })
      .option('remote', {
        type: 'string',
        requiresArg: true,
        describe:
          'Name of the remote that keeps the objects; by default those that push and fetch use',
      })
      .option('local', {
        type: 'boolean',
        conflicts: 'global',
        describe: 'Write to the configuration of this repository; what it does without --global',
      })
      .option('global', {
        type: 'boolean',
        describe: 'Write to the configuration of the user; install needs --url then',
      })
      .option('url', {
        type: 'string',
        requiresArg: true,
        describe:
          'Address of Git LFS that it is for, with all below it; default: every remote of Git',
      })
      .option('force', { type: 'boolean', describe: 'Replace another agent' }),
  examples: [
    ['mstore lfs install', 'Have Git LFS keep objects of this repository on the default remote'],
    ['mstore lfs install --remote bucket', 'On another remote of the workspace'],
    [
      'mstore lfs install --global --url https://git.example.com/team',
      'In all repositories of a team, so that git clone alone is enough',
    ],
    ['mstore lfs status', 'See what is set up, and what is lacking'],
    ['mstore lfs uninstall', 'Give the objects back to the server; those on the remote stay there'],
  ],
  async run(context, args) {
    const action = textOf(args, 'action');
    const unused = {
      status: ['remote', 'url', 'force', 'local', 'global'],
      uninstall: ['remote', 'url', 'force'],
    };
    const extra = unused[action as keyof typeof unused]?.find((name) => args[name] !== undefined);
    if (extra !== undefined) {
      throw new MstoreError('usage', `--${extra} has no meaning for ${action}`, {
        hint: 'Run "mstore lfs --help"',
      });
    }
    if (action === 'status') return status(context);
    if (action === 'uninstall') await uninstall(context, args);
    else await install(context, args);
    return undefined;
  },
};

async function install(context: Context, args: Args): Promise<void> {
  const { installLfs } = await import('../../flow/lfs/setup.ts');
  const installed = await installLfs(await context.workspace(), {
    scope: flagOf(args, 'global') ? 'global' : 'local',
    url: textOf(args, 'url'),
    remote: textOf(args, 'remote'),
    force: flagOf(args, 'force'),
  });
  tellInstalled(context, installed);
  context.result(installed, []);
}

function tellInstalled(context: Context, { remote, url, filters }: LfsInstalled): void {
  const where = url === undefined ? '' : ` for ${printable(url)}`;
  context.note(`Git LFS moves its objects to and from the remote ${remote} now${where}`);
  if (!filters) context.warn('the filters of Git LFS are not set up: run "git lfs install"');
  context.note('Objects that are elsewhere: git lfs push --all REMOTE sends those that are here');
}

async function uninstall(context: Context, args: Args): Promise<void> {
  const { uninstallLfs } = await import('../../flow/lfs/setup.ts');
  const scope = flagOf(args, 'global') ? 'global' : 'local';
  const removed = await uninstallLfs(await context.workspace(), scope);
  context.note(removed ? 'Git LFS does not use mstore any more' : 'Nothing was set up');
  context.result({ scope, removed }, []);
}

async function status(context: Context): Promise<undefined> {
  const { lfsStatus } = await import('../../flow/lfs/setup.ts');
  const found = await lfsStatus(await context.workspace());
  context.result(found, linesOf(found));
  for (const problem of found.problems) context.warn(problem);
}

function linesOf({
  installed,
  urls,
  program,
  args,
  remote,
  storage,
  repository,
}: LfsStatus): string[] {
  const places = urls.length === 0 ? 'every remote of Git' : urls.map(printable).join(', ');
  return table([
    ['installed', installed ? `for ${places}` : 'no'],
    ...(program === undefined
      ? []
      : [['started as', printable(`${program} ${args ?? ''}`.trim())]]),
    ['default remote', remote ?? 'none'],
    ['objects here', printable(storage)],
    ['kept as', repository],
  ]);
}
