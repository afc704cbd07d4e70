import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { Command } from '../command.ts';
import { textOf } from '../command.ts';

export const textconvCommand: Command = {
  positionals: '<file>',
  options: (parser) => parser.positional('file', { type: 'string', describe: 'A pointer file' }),
  examples: [
    [
      'git config diff.mstore.textconv "mstore textconv"',
      'Let git diff show pointers as lists of files',
    ],
  ],
  async run(context, args) {
    const path = await import('node:path');
    const { describePointer } = await import('../../flow/textconv.ts');
    const given = textOf(args, 'file') ?? '';
    const lines = describePointer(path.resolve(context.cwd, given));
    if (lines === undefined) {
      throw new MstoreError('not-found', `${printable(given)} does not exist`, {
        hint: 'Name a pointer file',
      });
    }
    context.result({ lines }, lines);
    return undefined;
  },
};
