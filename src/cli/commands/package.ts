import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import { type Command, flagOf, listOf, textOf } from '../command.ts';
import { count } from '../text.ts';
import { noteVersion } from './moving.ts';

/** Stands for standard output. */
const streamName = '-';

export const packageCommand: Command = {
  positionals: '<target..>',
  options: (parser) =>
    parser
      .positional('target', {
        type: 'string',
        array: true,
        describe: 'MODEL@VERSION; or a branch, tag or commit, or nothing, and one tracked path',
      })
      .option('output', {
        type: 'string',
        requiresArg: true,
        describe: 'File to write; - is standard output; default: MODEL_VERSION.tar.gz here',
      })
      .option('force', { type: 'boolean', describe: 'Replace a file of that name' }),
  examples: [
    ['mstore package bert@v1', 'Make bert_v1.tar.gz, with all that is known of the version'],
    ['mstore package bert@production --output /media/usb/', 'Put it into a folder'],
    ['mstore package bert@v1 --output - | ssh HOST mstore unpackage -', 'Send it elsewhere'],
    ['mstore package v1 models/bert', 'Take the files of a tag along'],
  ],
  async run(context, args) {
    const output = textOf(args, 'output');
    const isStream = output === streamName;
    if (output === '' || (isStream && (context.options.json || context.options.jsonEvents))) {
      throw new MstoreError(
        'usage',
        isStream ? '--output - prints the package, not JSON' : '--output names no file',
        { hint: isStream ? 'Leave --json out, or name a file' : 'Write --output FILE' },
      );
    }
    const workspace = await context.workspace();
    const { findTargets } = await import('../../flow/targets.ts');
    const { packageVersion } = await import('../../flow/package.ts');
    const found = await findTargets(workspace, listOf(args, 'target'), context.cwd);
    const version = await noteVersion(context, found);
    const { signal, progress } = context;
    const to = isStream
      ? (bytes: Uint8Array) => context.write(bytes)
      : fileOf(context.cwd, output ?? `.${path.sep}`);
    const result = await packageVersion(workspace, found, to, {
      signal,
      progress,
      force: flagOf(args, 'force'),
    });
    const where = result.file === undefined ? 'standard output' : printable(result.file);
    const parts = [
      count(result.files, 'file'),
      `${count(result.records, 'record')} of the registry`,
    ];
    context.note(`Wrote ${formatBytes(result.size)} (${parts.join(', ')}) to ${where}`);
    if (!isStream) context.result({ ...version, ...result }, [result.file ?? '']);
    return undefined;
  },
};

/** Makes a path absolute and leaves a separator at its end, which says that a folder is meant. */
function fileOf(cwd: string, output: string): string {
  const isFolder = /[/\\]$/.test(output) && (output.endsWith('/') || path.sep === '\\');
  return path.resolve(cwd, output) + (isFolder ? path.sep : '');
}
