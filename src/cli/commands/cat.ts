import { MstoreError } from '../../base/errors.ts';
import type { Command } from '../command.ts';
import { textOf } from '../command.ts';

export const catCommand: Command = {
  positionals: '<file>',
  options: (parser) =>
    parser.positional('file', {
      type: 'string',
      describe: '[REF:]PATH of a file in a tracked path',
    }),
  examples: [
    ['mstore cat models/bert/config.json', 'Print a file from the store, verified'],
    ['mstore cat v1:models/bert/config.json', 'Print it as it was at a tag'],
  ],
  async run(context, args) {
    if (context.options.json || context.options.jsonEvents) {
      throw new MstoreError('usage', 'cat prints the bytes of a file, not JSON', {
        hint: 'Leave --json out',
      });
    }
    const workspace = await context.workspace();
    const { findFile, readFile } = await import('../../flow/list.ts');
    const file = await findFile(workspace, textOf(args, 'file') ?? '', context.cwd);
    await readFile(workspace, file, (block) => context.write(block));
    return undefined;
  },
};
