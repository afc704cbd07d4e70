import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { Usage, UsageEntry } from '../../flow/usage.ts';
import { type Column, columnLines } from '../columns.ts';
import { type Command, flagOf, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';
import { chosenPlace, chosenRemote } from './places.ts';

export const duCommand: Command = {
  positionals: '[path..]',
  options: (parser) =>
    parser
      .positional('path', {
        type: 'string',
        array: true,
        describe: 'Tracked paths, or folders above them; default: all',
      })
      .option('remote', {
        type: 'string',
        describe:
          'Look at a remote (its name, URL or directory; alone: the default), not the local store',
      })
      .option('versions', { type: 'boolean', describe: 'A line for each version, not each path' }),
  examples: [
    ['mstore du', 'What each tracked path takes in the local store, over all its versions'],
    ['mstore du models/bert --versions', 'What each version of a path takes'],
    ['mstore du --remote origin', 'The same of a remote, of all repositories that push to it'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { usage } = await import('../../flow/usage.ts');
    const { signal, cwd } = context;
    const chosen = await chosenRemote(context, workspace, args);
    const place = await chosenPlace(context, workspace, chosen);
    const byVersion = flagOf(args, 'versions');
    const paths = listOf(args, 'path')
      .map((given) => workspace.relative(given, cwd))
      .filter((path) => path !== '');
    const found = await usage(workspace, place, { signal, byVersion, paths });
    context.result(found, lines(context, found, byVersion));
    summary(context, found);
    return undefined;
  },
};

function lines({ paint }: Context, { entries }: Usage, byVersion: boolean): string[] {
  if (entries.length === 0) return [];
  const bytes = (head: string, bytesOf: (entry: UsageEntry) => number): Column => ({
    head,
    cells: entries.map((entry) => formatBytes(bytesOf(entry))),
    right: true,
  });
  const versions = entries.map((entry) => String(entry.versions));
  const columns: Column[] = [
    bytes('FILES', ({ size }) => size),
    bytes('STORED', ({ stored }) => stored),
    bytes('OWN', ({ own }) => own),
    ...(byVersion ? [] : [{ head: 'VERSIONS', cells: versions, right: true }]),
    {
      head: byVersion ? 'VERSION' : 'PATH',
      cells: entries.map(({ name, absent }) => printable(name) + (absent > 0 ? ' *' : '')),
    },
  ];
  return columnLines(columns, paint);
}

function summary(context: Context, found: Usage): void {
  const { place, entries, size, stored, needless, marked, kinds } = found;
  if (entries.some(({ absent }) => absent > 0)) context.note('* not all of it is here');
  const total = kinds.reduce((sum, { bytes }) => sum + bytes, 0);
  const ratio = stored > 0 ? ` (${(size / stored).toFixed(1)} times as much)` : '';
  context.note(
    `${printable(place)} takes ${formatBytes(total)}: ${kinds.map(kindText).join(', ')}`,
  );
  if (size > 0) {
    context.note(
      `Needed: ${formatBytes(stored)} of chunks, for ${formatBytes(size)} of files${ratio}`,
    );
  }
  if (needless > 0) {
    const waiting = marked > 0 ? `, ${formatBytes(marked)} of it marked already` : '';
    context.note(`Needless: ${formatBytes(needless)} in packs${waiting}; "mstore gc" frees it`);
  }
}

function kindText({ kind, objects, bytes }: Usage['kinds'][number]): string {
  return `${printable(kind)} ${formatBytes(bytes)} (${count(objects, 'object')})`;
}
