import type { Command } from '../command.ts';
import { flagOf } from '../command.ts';

export const initCommand: Command = {
  positionals: '',
  options: (parser) =>
    parser.option('git', {
      type: 'boolean',
      default: true,
      describe: 'Use the Git repository around (--no-git: work without one)',
    }),
  examples: [
    ['mstore init', 'Make the Git repository around a workspace'],
    ['mstore init --no-git', 'Make this folder a workspace without Git'],
  ],
  async run(context, args) {
    const { initWorkspace } = await import('../../flow/init.ts');
    const { workspace, created } = await initWorkspace(
      context.cwd,
      { git: flagOf(args, 'git') },
      context.surroundings,
    );
    context.note(
      created
        ? `Made a workspace in ${workspace.root}`
        : `${workspace.root} is a workspace already`,
    );
    if (created && workspace.git !== undefined) {
      context.note('Next: git add .modelstore .gitattributes && git commit, then mstore add PATH');
    }
    context.result({ root: workspace.root, created, git: workspace.git !== undefined }, []);
    return undefined;
  },
};
