import type { Command } from '../command.ts';
import { flagOf } from '../command.ts';

export const initCommand: Command = {
  positionals: '',
  options: (parser) =>
    parser
      .option('git', {
        type: 'boolean',
        default: true,
        describe: 'Use the Git repository around (--no-git: work without one)',
      })
      .option('diff-driver', {
        type: 'boolean',
        describe: 'Let git diff show pointers as lists of files',
      }),
  examples: [
    ['mstore init', 'Make the Git repository around a workspace'],
    ['mstore init --no-git', 'Make this folder a workspace without Git'],
  ],
  async run(context, args) {
    const diffDriver = flagOf(args, 'diff-driver');
    const { initWorkspace } = await import('../../flow/init.ts');
    const { workspace, created } = await initWorkspace(
      context.cwd,
      { git: flagOf(args, 'git'), diffDriver },
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
    if (diffDriver) {
      context.note('Each clone also needs: git config diff.mstore.textconv "mstore textconv"');
    }
    context.result({ root: workspace.root, created, git: workspace.git !== undefined }, []);
    return undefined;
  },
};
