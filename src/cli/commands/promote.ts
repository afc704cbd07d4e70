import type { Command } from '../command.ts';
import { textOf } from '../command.ts';
import { moveEnvironment, moveOptions } from './environment-moves.ts';

export const promoteCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    moveOptions(parser)
      .positional('model', { type: 'string', describe: 'The model' })
      .option('from', {
        type: 'string',
        requiresArg: true,
        describe: 'The environment whose version is promoted',
      })
      .option('to', { type: 'string', requiresArg: true, describe: 'The environment it goes to' }),
  examples: [
    [
      'mstore promote ranker --from staging --to production',
      'Make live in production what is live in staging',
    ],
    ['mstore promote ranker', 'Take the next step of registry.lifecycle'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { promote } = await import('../../flow/environments.ts');
    const target = {
      model: textOf(args, 'model') ?? '',
      from: textOf(args, 'from'),
      to: textOf(args, 'to'),
    };
    await moveEnvironment(context, workspace, args, (options) =>
      promote(workspace, target, options),
    );
    return undefined;
  },
};
