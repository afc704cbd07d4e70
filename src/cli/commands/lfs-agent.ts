import { type Command, textOf } from '../command.ts';

export const lfsAgentCommand: Command = {
  positionals: '',
  options: (parser) =>
    parser.option('remote', {
      type: 'string',
      requiresArg: true,
      describe: 'Remote that keeps the objects; by default those that push and fetch use',
    }),
  examples: [
    ['mstore lfs install', 'Have Git LFS start it: nobody starts it by hand'],
    ['git config lfs.customtransfer.mstore.args', 'See how it is started'],
  ],
  async run(context, args) {
    const { runLfsAgent } = await import('../../flow/lfs/agent.ts');
    await runLfsAgent({
      input: process.stdin,
      write: (reply) => context.write(reply),
      workspace: () => context.workspace(),
      clock: context.surroundings.clock,
      remote: textOf(args, 'remote'),
      cwd: context.cwd,
      signal: context.signal,
      jobs: context.options.jobs,
    });
    return undefined;
  },
};
