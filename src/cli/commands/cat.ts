import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { TensorRange } from '../../flow/tensors.ts';
import { type Args, type Command, textOf } from '../command.ts';

export const catCommand: Command = {
  positionals: '<file>',
  options: (parser) =>
    parser
      .positional('file', {
        type: 'string',
        describe: '[REF:]PATH of a file in a tracked path',
      })
      .option('tensor', {
        type: 'string',
        requiresArg: true,
        describe: 'Print the bytes of this tensor of a safetensors, GGUF or ONNX file',
      })
      .option('range', {
        type: 'string',
        requiresArg: true,
        describe: 'With --tensor: only A to B of its first axis, without B, as A:B',
      }),
  examples: [
    ['mstore cat models/bert/config.json', 'Print a file from the store, verified'],
    ['mstore cat v1:models/bert/config.json', 'Print it as it was at a tag'],
    [
      'mstore cat bert@v1:models/bert/model.safetensors --tensor pooler.bias > bias',
      'Take one tensor out of a model, from a remote if need be',
    ],
  ],
  async run(context, args) {
    if (context.options.json || context.options.jsonEvents) {
      throw new MstoreError('usage', 'cat prints the bytes of a file, not JSON', {
        hint: 'Leave --json out',
      });
    }
    const range = rangeOf(args);
    const tensor = textOf(args, 'tensor');
    const workspace = await context.workspace();
    const { cwd, signal } = context;
    const given = textOf(args, 'file') ?? '';
    if (tensor !== undefined) {
      const { readTensor } = await import('../../flow/tensors.ts');
      const options = { cwd, signal, range, jobs: context.options.jobs };
      await readTensor(workspace, given, tensor, (block) => context.write(block), options);
      return undefined;
    }
    const { findFile, readFile } = await import('../../flow/list.ts');
    const file = await findFile(workspace, given, cwd);
    await readFile(workspace, file, (block) => context.write(block));
    return undefined;
  },
};

/** Reads `--range A:B`. */
function rangeOf(args: Args): TensorRange | undefined {
  const text = textOf(args, 'range');
  if (text === undefined) return undefined;
  if (textOf(args, 'tensor') === undefined) {
    throw new MstoreError('usage', '--range chooses a part of a tensor, and no tensor is named', {
      hint: 'Name it with --tensor NAME',
    });
  }
  const [, start, end] = /^(\d{0,15}):(\d{0,15})$/.exec(text) ?? [];
  if (start === undefined || end === undefined) {
    throw new MstoreError('usage', `--range cannot be ${printable(text)}`, {
      hint: 'Write it as A:B, with B left out of it; A: and :B reach to the ends',
    });
  }
  const number = (digits: string) => (digits === '' ? undefined : Number(digits));
  return { start: number(start), end: number(end) };
}
