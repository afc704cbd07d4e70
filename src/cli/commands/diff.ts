import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { FileChange } from '../../flow/compare.ts';
import type { PathDiff } from '../../flow/diff.ts';
import type { Command } from '../command.ts';
import { textOf } from '../command.ts';
import type { Paint } from '../text.ts';

export const diffCommand: Command = {
  positionals: '[a] [b]',
  options: (parser) =>
    parser
      .positional('a', {
        type: 'string',
        describe: 'Revision to compare from, or a tracked path; default: the pointers here',
      })
      .positional('b', {
        type: 'string',
        describe: 'Revision to compare to; default: the files here',
      }),
  examples: [
    ['mstore diff', 'What changed in the files since they were added'],
    ['mstore diff v1 v2', 'What changed between two tags, and how many bytes they share'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { diffVersions, diffWorkspace } = await import('../../flow/diff.ts');
    const { findTargets, resolveRevision } = await import('../../flow/targets.ts');
    const { trackedAt, trackedInWorkspace } = await import('../../flow/tracked.ts');
    const a = textOf(args, 'a');
    const b = textOf(args, 'b');
    const work = { signal: context.signal, progress: context.progress };
    const from = await findTargets(workspace, a === undefined ? [] : [a], context.cwd);
    if (b !== undefined && from.commit === undefined) {
      throw new MstoreError(
        'usage',
        `${printable(a ?? '')} is a path; two revisions are compared`,
        {
          hint: 'Write mstore diff REV REV, or mstore diff PATH for its changes here',
        },
      );
    }
    const now = from.commit === undefined ? [] : trackedInWorkspace(workspace).tracked;
    const diffs =
      b === undefined
        ? await diffWorkspace(workspace, from.tracked, now, work)
        : diffVersions(
            workspace,
            from.tracked,
            (await trackedAt(workspace, await resolveRevision(workspace, b))).tracked,
          );
    const lines = diffs.flatMap((diff) => describeDiff(diff, context.paint));
    if (diffs.length === 0) context.note('No differences');
    context.result({ paths: diffs }, lines);
    return undefined;
  },
};

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
