import { printable } from '../../base/names.ts';
import type { Command } from '../command.ts';
import { listOf } from '../command.ts';

export const untrackCommand: Command = {
  positionals: '<path..>',
  options: (parser) =>
    parser.positional('path', { type: 'string', array: true, describe: 'Tracked paths' }),
  examples: [
    ['mstore untrack models/old.onnx', 'Remove its pointer and ignore line; the file stays'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { untrack } = await import('../../flow/untrack.ts');
    const paths = listOf(args, 'path').map((given) => workspace.relative(given, context.cwd));
    const untracked = await untrack(workspace, paths);
    for (const path of untracked)
      context.note(`No longer tracked: ${printable(path)} (the files stay)`);
    context.result({ paths: untracked }, []);
    return undefined;
  },
};
