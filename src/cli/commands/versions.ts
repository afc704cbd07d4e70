import { formatBytes } from '../../base/format-bytes.ts';
import { compareUtf8 } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { VersionList, VersionSummary } from '../../flow/registry-read.ts';
import type { VersionState } from '../../registry/entry.ts';
import { type Column, columnLines, fitColumns, numberCells } from '../columns.ts';
import type { Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, localTime, type Paint } from '../text.ts';
import { damageTold, openToRead, readingOptions, shownPerson } from './registry-reading.ts';

/** From this width on the time of day is shown beside the date. */
const wideFrom = 120;
/** Names of environments that are shown of a version. */
const liveShown = 2;
/** Metrics without room that are named. */
const hiddenNamed = 8;
/** The author comes behind so many metrics when there is little room. */
const metricsBeforeAuthor = 2;

export const versionsCommand: Command = {
  positionals: '<model>',
  options: (parser) =>
    readingOptions(parser)
      .positional('model', { type: 'string', describe: 'Name of a model' })
      .option('sort', {
        type: 'string',
        requiresArg: true,
        describe:
          'version (the latest first; default), created (the newest first), or a metric: the highest first, or the lowest where a policy says that less is better',
      })
      .option('reverse', {
        type: 'boolean',
        describe: 'Turn the order around',
      })
      .option('all', { type: 'boolean', describe: 'Also versions that were archived or deleted' }),
  examples: [
    ['mstore versions ranker', 'List the versions of a model, the latest first'],
    ['mstore versions ranker --sort accuracy', 'The highest accuracy first'],
    ['mstore versions ranker --sort loss --reverse', 'The lowest loss first'],
  ],
  async run(context, args) {
    const model = textOf(args, 'model') ?? '';
    const workspace = await context.workspace();
    const { metricPreferences } = await import('../../flow/metric-preferences.ts');
    const { readVersions } = await import('../../flow/registry-read.ts');
    const { weights, lowerIsBetter } = metricPreferences(workspace, model);
    const registry = await openToRead(context, workspace, args);
    const sort = textOf(args, 'sort');
    const all = flagOf(args, 'all');
    const reverse = flagOf(args, 'reverse');
    const told = damageTold(context);
    const { onDamage } = told;
    const how = { sort, reverse, all, lowerIsBetter, onDamage };
    const list = await readVersions(registry, model, how);
    const inOrder = metricsInOrder(list.versions, weights);
    const metrics = [
      ...inOrder.filter((name) => name === sort),
      ...inOrder.filter((name) => name !== sort),
    ];
    const { columns, hidden } = chooseColumns(list, metrics, sort, context);
    const lines = list.versions.length === 0 ? [] : columnLines(columns, context.paint);
    if (!all && list.retired > 0) {
      const what = count(list.retired, 'archived or deleted version');
      context.note(`Not shown: ${what} (see --all)`);
    }
    if (hidden.length > 0) {
      const names = hidden.slice(0, hiddenNamed).map(printable).join(', ');
      const more = hidden.length - hiddenNamed;
      const rest = more > 0 ? ` and ${count(more, 'more metric')}` : '';
      context.note(`No room for: ${names}${rest} (--sort shows one of them, --json all)`);
    }
    context.result({ ...list, ...told.document() }, lines);
    return told.exitCode();
  },
};

/** Chooses what fits: of the metrics the one that is sorted by, then the others as they come. */
function chooseColumns(
  { versions, latest }: VersionList,
  names: readonly string[],
  sort: string | undefined,
  { paint, width }: Context,
): { columns: Column[]; hidden: string[] } {
  const metrics = names.map((name, i) => ({
    name,
    column: {
      head: printable(name),
      cells: metricCells(versions, name),
      right: true,
      ...(name === sort ? {} : { rank: i }),
    },
  }));
  const of = (head: string, cellOf: (version: VersionSummary) => string): Column => ({
    head,
    cells: versions.map(cellOf),
  });
  const dateLength = width < wideFrom ? 10 : undefined;
  const columns: Column[] = [
    of('VERSION', ({ version }) => (version === latest ? paint.strong(version) : version)),
    ...(versions.some(({ state }) => state !== 'active')
      ? [of('STATE', ({ state }) => paintState(state, paint))]
      : []),
    ...(versions.some(({ live }) => live.length > 0)
      ? [of('LIVE', ({ live }) => (live.length === 0 ? '' : paint.good(shownLive(live))))]
      : []),
    of('CREATED', ({ created }) => localTime(created).slice(0, dateLength)),
    {
      ...of('AUTHOR', ({ author }) => shownPerson(author)),
      rank: metricsBeforeAuthor - 0.5,
    },
    { ...of('SIZE', ({ size }) => formatBytes(size)), right: true },
    ...metrics.map(({ column }) => column),
  ];
  const chosen = fitColumns(columns, width);
  const hidden = metrics.filter(({ column }) => !chosen.includes(column));
  return { columns: chosen, hidden: hidden.map(({ name }) => name) };
}

/** Those that count most in policies come first, then those that most versions have. */
function metricsInOrder(
  versions: readonly VersionSummary[],
  weights: ReadonlyMap<string, number>,
): string[] {
  const uses = new Map<string, number>();
  for (const { metrics } of versions) {
    for (const name of Object.keys(metrics)) uses.set(name, (uses.get(name) ?? 0) + 1);
  }
  const weightOf = (name: string): number => weights.get(name) ?? 0;
  return [...uses]
    .sort(([a, m], [b, n]) => weightOf(b) - weightOf(a) || n - m || compareUtf8(a, b))
    .map(([name]) => name);
}

function metricCells(versions: readonly VersionSummary[], name: string): string[] {
  return numberCells(
    versions.map(({ metrics }) => (Object.hasOwn(metrics, name) ? metrics[name] : undefined)),
  );
}

function shownLive(environments: readonly string[]): string {
  const more = environments.length - liveShown;
  return `${environments.slice(0, liveShown).join(', ')}${more > 0 ? ` +${more}` : ''}`;
}

/** Shows the state of a version: what is out of use stands back. */
export function paintState(state: VersionState, paint: Paint): string {
  if (state === 'active') return state;
  return { deprecated: paint.changed, archived: paint.faint, deleted: paint.bad }[state](state);
}
