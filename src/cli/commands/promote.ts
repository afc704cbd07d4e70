import type { Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import { changeOptions, changeSettings, tellMove } from './registry-options.ts';

export const promoteCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    changeOptions(parser)
      .positional('model', { type: 'string', describe: 'The model' })
      .option('from', {
        type: 'string',
        requiresArg: true,
        describe: 'The environment whose version is promoted',
      })
      .option('to', { type: 'string', requiresArg: true, describe: 'The environment it goes to' })
      .option('dry-run', {
        type: 'boolean',
        describe: 'Say what would be done, and change nothing',
      }),
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
    const settings = await changeSettings(context, workspace, args);
    const dryRun = flagOf(args, 'dry-run');
    tellMove(context, await promote(workspace, target, { ...settings, dryRun }));
    return undefined;
  },
};
