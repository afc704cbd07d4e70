import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { HistoryEntry, LiveThen } from '../../flow/registry-history.ts';
import { type Column, columnLines, columnWidth, numberCells, spreadCells } from '../columns.ts';
import type { Args, Command } from '../command.ts';
import { textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { parseMoment } from '../moment.ts';
import { count, localTime, type Paint, visibleLength, wrap } from '../text.ts';
import { openToRead, readingOptions, shownPerson } from './registry-reading.ts';

const reasonIndent = '    ';
/** Reasons that are longer are wrapped beside their entries when they get so many columns. */
const reasonWidthMin = 40;

export const historyCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    readingOptions(parser)
      .positional('model', { type: 'string', describe: 'Name of a model' })
      .option('env', {
        type: 'string',
        requiresArg: true,
        describe: 'This environment alone; default: all of them',
      })
      .option('at', {
        type: 'string',
        requiresArg: true,
        describe:
          'Show what was live then: a day (its end is meant) or a time, in the time zone of this machine unless it names one',
      })
      .option('limit', {
        type: 'string',
        requiresArg: true,
        describe: 'Show so many entries, the newest ones',
      }),
  examples: [
    ['mstore history ranker', 'Who made what live when, and why; the newest first'],
    ['mstore history ranker --env production --limit 5', 'The last changes of production'],
    ['mstore history ranker --at 2026-11-21', 'What was live at the end of that day'],
    ['mstore history ranker --at 2026-11-21T10:00:00Z', 'What was live at 10:00 UTC'],
  ],
  async run(context, args) {
    const model = textOf(args, 'model') ?? '';
    const environment = textOf(args, 'env');
    const limit = limitOf(args);
    const at = textOf(args, 'at');
    const moment = at === undefined ? undefined : parseMoment(at, '--at');
    if (moment !== undefined && limit !== undefined) {
      throw new MstoreError('usage', '--at and --limit do not go together', {
        hint: '--at shows one version for each environment',
      });
    }
    const registry = await openToRead(context, await context.workspace(), args);
    const { readHistory, readLiveAt } = await import('../../flow/registry-history.ts');
    if (moment !== undefined) {
      const live = await readLiveAt(registry, model, moment, environment);
      tellLive(context, model, new Date(moment).toISOString(), live);
      return undefined;
    }
    const history = await readHistory(registry, model, { environment, limit });
    const left = history.total - history.entries.length;
    if (history.total === 0) {
      context.note(
        `No version of ${model} was deployed yet; start with: mstore deploy ${model}@VERSION --env ENVIRONMENT`,
      );
    }
    if (left > 0) context.note(`Not shown: ${count(left, 'older entry', 'older entries')}`);
    context.result(history, entryLines(history.entries, context));
    return undefined;
  },
};

function limitOf(args: Args): number | undefined {
  const text = textOf(args, 'limit');
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new MstoreError('usage', `--limit needs a number from 1 on, not ${printable(text)}`, {
    hint: 'Write --limit 10',
  });
}

function tellLive(context: Context, model: string, at: string, live: readonly LiveThen[]): void {
  const { paint } = context;
  if (live.length === 0) context.note(`No version of ${model} was deployed yet`);
  else context.note(`Live at ${localTime(at)}:`);
  const cell = (cellOf: (entry: HistoryEntry) => string): string[] =>
    live.map(({ entry }) => (entry === null ? '' : cellOf(entry)));
  const columns: Column[] = [
    { head: 'ENVIRONMENT', cells: live.map(({ environment }) => environment) },
    {
      head: 'VERSION',
      cells: live.map(({ entry }) => (entry === null ? '-' : paint.good(entry.version))),
    },
    { head: 'SINCE', cells: cell((entry) => localTime(entry.at)) },
    { head: 'BY', cells: cell(({ by }) => shownPerson(by)) },
    { head: '#', cells: cell(({ number }) => String(number)), right: true },
  ];
  context.result({ model, at, live }, live.length === 0 ? [] : columnLines(columns, paint));
}

/** Reasons stand beside their entries where there is room for them, else below. */
function entryLines(entries: readonly HistoryEntry[], { paint, width }: Context): string[] {
  if (entries.length === 0) return [];
  const columns = entryColumns(entries, paint);
  const reasons = entries.map(({ reason }) => (reason === undefined ? '' : printable(reason)));
  if (reasons.every((reason) => reason === '')) return columnLines(columns, paint);
  const used = columns.reduce((sum, column) => sum + columnWidth(column) + 2, 0);
  const longest = reasons.reduce((most, reason) => Math.max(most, reason.length), 0);
  const room = width - used;
  const isBeside = room >= Math.min(longest, reasonWidthMin);
  if (isBeside) {
    const parts = reasons.map((reason) => wrap(reason, room));
    const spread = columns.map((column) => spreadCells(column, parts));
    return columnLines([...spread, { head: 'REASON', cells: parts.flat() }], paint);
  }
  const [head = '', ...lines] = columnLines(columns, paint);
  const below = reasons.map((reason) => wrap(reason, width - reasonIndent.length));
  return [
    head,
    ...lines.flatMap((line, i) => {
      const parts = below[i]?.filter((part) => part !== '') ?? [];
      return [line, ...parts.map((part) => reasonIndent + part)];
    }),
  ];
}

function entryColumns(entries: readonly HistoryEntry[], paint: Paint): Column[] {
  const of = (head: string, cellOf: (entry: HistoryEntry) => string): Column => ({
    head,
    cells: entries.map(cellOf),
  });
  const columns = [
    { ...of('#', ({ number }) => String(number)), right: true },
    of('WHEN', ({ at }) => localTime(at)),
    of('ENVIRONMENT', ({ environment }) => environment),
    of('ACTION', ({ action, forced }) =>
      forced ? `${action}, ${paint.changed('forced')}` : action,
    ),
    of('VERSION', ({ version }) => version),
    of('BY', ({ by }) => shownPerson(by)),
    scoreColumn(entries, paint),
  ];
  return columns.filter(({ head, cells }) => head !== 'SCORE' || cells.some(visibleLength));
}

/** Scores of gates; one that was not enough, and was passed by force, is marked. */
function scoreColumn(entries: readonly HistoryEntry[], paint: Paint): Column {
  const scores = numberCells(entries.map(({ gate }) => gate?.score));
  const cells = entries.map(({ gate }, i) => {
    if (gate === undefined) return '';
    const score = scores[i] ?? '';
    return gate.passed ? score : paint.bad(`${score} failed`);
  });
  return { head: 'SCORE', cells };
}
