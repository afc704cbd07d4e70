import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { Command } from '../command.ts';
import { listOf } from '../command.ts';
import { count } from '../text.ts';

export const addCommand: Command = {
  positionals: '<path..>',
  options: (parser) =>
    parser.positional('path', { type: 'string', array: true, describe: 'Files and directories' }),
  examples: [
    ['mstore add models/model.onnx', 'Track one file; commit models/model.onnx.mstore'],
    ['mstore add artifacts/bert', 'Track a directory as a whole; run it again after a change'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { add } = await import('../../flow/add.ts');
    const paths = listOf(args, 'path').map((given) => workspace.relative(given, context.cwd));
    const result = await add(workspace, paths, {
      signal: context.signal,
      progress: context.progress,
      jobs: context.options.jobs,
    });
    for (const warning of result.warnings) context.warn(warning);
    for (const { path, pointer, files, changed } of result.paths) {
      const size = `${count(files, 'file')}, ${formatBytes(pointer.size)}`;
      context.note(`${changed ? 'Added' : 'Unchanged'} ${printable(path)} (${size})`);
    }
    const { bytesNew, bytesStored, chunksNew } = result;
    const compressed = bytesStored < bytesNew ? ` in ${formatBytes(bytesStored)}` : '';
    context.note(
      chunksNew === 0
        ? 'Nothing new to store'
        : `Stored ${formatBytes(bytesNew)}${compressed} (${count(chunksNew, 'new chunk')})`,
    );
    context.result(
      {
        ...result,
        paths: result.paths.map(({ path, pointer, files, changed }) => ({
          path,
          kind: pointer.kind,
          sha256: pointer.sha256,
          size: pointer.size,
          files,
          changed,
        })),
      },
      [],
    );
    return undefined;
  },
};
