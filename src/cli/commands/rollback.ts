import type { Command } from '../command.ts';
import { textOf } from '../command.ts';
import { moveEnvironment, moveOptions } from './environment-moves.ts';

export const rollbackCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    moveOptions(parser)
      .positional('model', { type: 'string', describe: 'The model' })
      .option('env', {
        type: 'string',
        requiresArg: true,
        demandOption: 'Name the environment with --env',
        describe: 'The environment that goes back',
      })
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'A version that was live there; default: the one before',
      }),
  examples: [
    ['mstore rollback ranker --env production', 'Go back to the version that was live before'],
    ['mstore rollback ranker --env production --to v1.0.0', 'Go back to an older one'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { rollback } = await import('../../flow/environments.ts');
    const target = {
      model: textOf(args, 'model') ?? '',
      environment: textOf(args, 'env') ?? '',
      to: textOf(args, 'to'),
    };
    await moveEnvironment(context, workspace, args, (options) =>
      rollback(workspace, target, options),
    );
    return undefined;
  },
};
