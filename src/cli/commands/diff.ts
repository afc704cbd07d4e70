import { exitCodes } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import type { JsonValue } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { FileChange } from '../../flow/compare.ts';
import type { PathDiff } from '../../flow/diff.ts';
import type { TensorsDiff } from '../../flow/diff-tensors.ts';
import type { VersionsDiff } from '../../flow/diff-versions.ts';
import type { Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { tellBrokenModels, tensorDiffLines } from '../tensor-text.ts';
import { type Paint, table } from '../text.ts';

export const diffCommand: Command = {
  positionals: '[a] [b]',
  options: (parser) =>
    parser
      .positional('a', {
        type: 'string',
        describe:
          'Version or revision to compare from, or a tracked path; default: the pointers here',
      })
      .positional('b', {
        type: 'string',
        describe: 'Version or revision to compare to; default: the files here',
      })
      .option('tensors', {
        type: 'boolean',
        describe:
          'Compare the tensors of safetensors, GGUF and ONNX files, by how much they differ',
      }),
  examples: [
    ['mstore diff', 'What changed in the files since they were added'],
    ['mstore diff v1 v2', 'What changed between two tags, and how many bytes they share'],
    ['mstore diff bert@v1 bert@production', 'What changed between two versions, metrics too'],
    ['mstore diff bert@v1 bert@v2 --tensors', 'Which tensors changed, and by how much'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const given = [textOf(args, 'a'), textOf(args, 'b')].filter((one) => one !== undefined);
    const work = { signal: context.signal, progress: context.progress };
    if (flagOf(args, 'tensors')) {
      const { diffTensors } = await import('../../flow/diff-tensors.ts');
      return showTensors(context, await diffTensors(workspace, given, context.cwd, work));
    }
    const { findDifferences } = await import('../../flow/diff-arguments.ts');
    const { paths, versions } = await findDifferences(workspace, given, context.cwd, work);
    const lines = paths.flatMap((diff) => describeDiff(diff, context.paint));
    if (versions !== undefined) lines.push(...describeVersions(versions, context.paint));
    if (lines.length === 0) context.note('No differences');
    context.result({ paths, ...(versions === undefined ? {} : { versions }) }, lines);
    return undefined;
  },
};

/** Shows what differs of tensors; a file that cannot be read as what it is gives the exit code of damage. */
function showTensors(context: Context, found: TensorsDiff): number | undefined {
  const { versions, broken } = found;
  tellBrokenModels(context, broken);
  const lines = tensorDiffLines(found, context);
  if (versions !== undefined) lines.push(...describeVersions(versions, context.paint));
  context.result(found, lines);
  return broken.length === 0 ? undefined : exitCodes.corrupt;
}

function describeVersions({ metrics, fields }: VersionsDiff, paint: Paint): string[] {
  const metricRows = metrics.map(({ name, before, after }) => [
    `  ${printable(name)}`,
    before === undefined ? '' : String(before),
    after === undefined ? '' : String(after),
    before === undefined || after === undefined ? '' : grown(after - before),
  ]);
  const fieldRows = fields.map(({ name, before, after }) => [
    `  ${printable(name)}`,
    `${shownValue(before)} -> ${shownValue(after)}`,
  ]);
  return [
    ...(metrics.length === 0 ? [] : [paint.strong('metrics'), ...table(metricRows, [1, 2, 3])]),
    ...(fields.length === 0 ? [] : [paint.strong('metadata'), ...table(fieldRows, [])]),
  ];
}

/** A difference with its sign, without the digits that binary fractions add. */
function grown(difference: number): string {
  const short = Number(difference.toPrecision(6));
  return short > 0 ? `+${short}` : String(short);
}

const valueLengthMax = 60;

function shownValue(value: JsonValue | undefined): string {
  if (value === undefined) return '(none)';
  const text = printable(typeof value === 'string' ? value : JSON.stringify(value));
  return text.length <= valueLengthMax ? text : `${text.slice(0, valueLengthMax - 1)}…`;
}

function describeDiff(diff: PathDiff, paint: Paint): string[] {
  const shared =
    diff.sharedBytes === undefined || diff.change !== 'modified'
      ? ''
      : `  (${formatBytes(diff.sharedBytes)} of ${formatBytes(diff.size)} shared)`;
  return [
    paint.strong(`${printable(diff.path)}${shared}`),
    ...diff.files.map((change) => describeChange(change, paint)),
  ];
}

function describeChange({ path, change, before, after }: FileChange, paint: Paint): string {
  const name = printable(path);
  switch (change) {
    case 'added':
      return paint.good(`  + ${name}  ${formatBytes(after?.size ?? 0)}`);
    case 'removed':
      return paint.bad(`  - ${name}  ${formatBytes(before?.size ?? 0)}`);
    case 'mode':
      return paint.changed(`  x ${name}  executable bit`);
    case 'modified':
      return paint.changed(`  ~ ${name}  ${sizeChange(before, after)}`);
  }
}

/** Both sizes; where they read the same, the difference in bytes. */
function sizeChange(before: FileChange['before'], after: FileChange['after']): string {
  if (before === undefined || after === undefined) return '';
  if (before.link !== undefined || after.link !== undefined) {
    return `${shownSide(before)} -> ${shownSide(after)}`;
  }
  const [from, to] = [formatBytes(before.size), formatBytes(after.size)];
  const grown = after.size - before.size;
  if (from !== to) return `${from} -> ${to}`;
  return grown === 0 ? `${to}, other bytes` : `${to} (${grown > 0 ? '+' : ''}${grown} B)`;
}

function shownSide(side: NonNullable<FileChange['before']>): string {
  return side.link === undefined ? formatBytes(side.size) : `link to ${printable(side.link)}`;
}
