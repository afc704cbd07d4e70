import type { Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import { changeOptions, changeSettings, tellMove } from './registry-options.ts';

export const rollbackCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    changeOptions(parser)
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
      })
      .option('dry-run', {
        type: 'boolean',
        describe: 'Say what would be done, and change nothing',
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
    const settings = await changeSettings(context, workspace, args);
    const dryRun = flagOf(args, 'dry-run');
    tellMove(context, await rollback(workspace, target, { ...settings, dryRun }));
    return undefined;
  },
};
