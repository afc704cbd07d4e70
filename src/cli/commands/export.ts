import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { type Command, flagOf, listOf, textOf } from '../command.ts';
import { count } from '../text.ts';
import { noteVersion, noteWritten, targetOptions } from './moving.ts';

export const exportCommand: Command = {
  positionals: '<target..>',
  options: (parser) =>
    targetOptions(parser)
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'Directory to write, whole or not at all',
      })
      .option('force', { type: 'boolean', describe: 'Replace a directory that is not empty' })
      .option('metadata', {
        type: 'boolean',
        describe:
          'Write mstore-package.json beside the files: digests, and what is known of the version',
      })
      .option('lfs', {
        type: 'string',
        requiresArg: true,
        describe:
          'Pattern of .gitattributes: files that it fits become objects and pointers of Git LFS; may be repeated',
      }),
  examples: [
    ['mstore export bert@v1 --to /srv/bert-v1', 'Write the files of a version, plainly'],
    ['mstore export bert@v1 --to out --metadata', 'With a list of digests and the record'],
    [
      'mstore export bert@v1 --to ../paper/bert --lfs "*.safetensors"',
      'Into a repository of Git, whose Git LFS keeps the weights',
    ],
  ],
  async run(context, args) {
    const to = textOf(args, 'to');
    if (to === undefined || to === '') {
      throw new MstoreError('usage', 'export writes to a directory, and none is named', {
        hint: 'Write --to DIR; "mstore package" makes one file',
      });
    }
    const workspace = await context.workspace();
    const { findTargets } = await import('../../flow/targets.ts');
    const { exportTo } = await import('../../flow/export.ts');
    const found = await findTargets(workspace, listOf(args, 'target'), context.cwd);
    const version = await noteVersion(context, found);
    const { signal, progress } = context;
    const written = await exportTo(workspace, found, path.resolve(context.cwd, to), {
      signal,
      progress,
      jobs: context.options.jobs,
      force: flagOf(args, 'force'),
      keep: [context.cwd],
      metadata: flagOf(args, 'metadata'),
      lfs: args['lfs'] === undefined ? undefined : listOf(args, 'lfs'),
    });
    noteWritten(context, written);
    if (written.lfs !== undefined) {
      const { objects, bytes } = written.lfs;
      context.note(`${count(objects, 'file')} of them, ${formatBytes(bytes)}, belong to Git LFS`);
      context.note(
        `Next: git add, git commit and git push there; "git lfs checkout" shows their content`,
      );
    }
    context.result({ ...version, ...written }, []);
    return undefined;
  },
};
