import type { Command } from '../command.ts';
import { textOf } from '../command.ts';
import { moveEnvironment, moveOptions } from './environment-moves.ts';
import { modelAndName } from './registry-options.ts';

export const deployCommand: Command = {
  positionals: '<ref>',
  options: (parser) =>
    moveOptions(parser)
      .positional('ref', {
        type: 'string',
        describe: 'MODEL@VERSION, MODEL@latest, or MODEL@ENVIRONMENT for what is live there',
      })
      .option('env', {
        type: 'string',
        requiresArg: true,
        demandOption: 'Name the environment with --env',
        describe: 'The environment, such as staging',
      }),
  examples: [
    ['mstore deploy ranker@v1.2.0 --env staging', 'Make a version live in staging'],
    [
      'mstore deploy ranker@v1.1.0 --env production --force --reason "outage"',
      'Pass the rules, and say why',
    ],
  ],
  async run(context, args) {
    const { model, name: version } = modelAndName(textOf(args, 'ref') ?? '', 'VERSION');
    const workspace = await context.workspace();
    const { deploy } = await import('../../flow/environments.ts');
    const target = { model, version, environment: textOf(args, 'env') ?? '' };
    await moveEnvironment(context, workspace, args, (options) =>
      deploy(workspace, target, options),
    );
    return undefined;
  },
};
