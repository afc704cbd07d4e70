import { exitCodes } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { type Command, textOf } from '../command.ts';
import { table } from '../text.ts';

export const healthCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    parser
      .positional('model', {
        type: 'string',
        describe: 'MODEL, MODEL@VERSION or MODEL@ENVIRONMENT; a model alone is that of --env',
      })
      .option('env', {
        type: 'string',
        default: 'production',
        requiresArg: true,
        describe: 'Environment whose version is meant where none is named',
      })
      .option('remote', {
        type: 'string',
        requiresArg: true,
        describe: 'The remote that is asked; default: the default remote',
      }),
  examples: [
    ['mstore health ranker', 'Look whether what is live in production can be had and loaded'],
    ['mstore health ranker@v1.2.0 --json', 'The same of a version, for a program'],
  ],
  async run(context, args) {
    const { chooseRemote } = await import('../../flow/remotes.ts');
    const { modelHealth } = await import('../../flow/health.ts');
    const { remoteRegistry } = await import('../../flow/registry.ts');
    const workspace = await context.workspace();
    const { signal } = context;
    const chosen = await chooseRemote(workspace, textOf(args, 'remote'), context.cwd);
    const [model = '', selector = textOf(args, 'env') ?? ''] = (textOf(args, 'model') ?? '').split(
      '@',
    );
    const health = await modelHealth(workspace, remoteRegistry(chosen, { signal }), {
      model,
      selector,
      remotes: async () => [chosen],
      signal,
    });
    const { status, version, metadata, problems } = health;
    const yes = (is: boolean): string => (is ? 'yes' : 'no');
    context.result(health, [
      `${context.paint.strong(`${printable(model)}@${version}`)} is ${status}`,
      ...table([
        ['  type', printable(health.model_type ?? 'unknown')],
        ['  available', yes(health.available)],
        ['  loadable', yes(health.loadable)],
        ...(metadata.deployed_at === null
          ? []
          : [
              [
                '  live',
                `in ${printable(metadata.environment ?? '')} since ${metadata.deployed_at}`,
              ],
            ]),
      ]),
      ...problems.map((problem) => `  ${printable(problem)}`),
    ]);
    return status === 'unavailable' ? exitCodes.failed : undefined;
  },
};
