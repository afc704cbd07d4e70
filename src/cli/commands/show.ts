import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { isJsonObject, type JsonObject } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { LivePeriod, VersionDetails } from '../../flow/registry-history.ts';
import type { StateEntry } from '../../registry/entry.ts';
import type { GitSource, VersionRecord } from '../../registry/record.ts';
import type { Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { treeLines } from '../json-tree.ts';
import { jsonText, localTime, type Paint, table, wrap } from '../text.ts';
import { modelAndName } from './registry-options.ts';
import { openToRead, readingOptions } from './registry-reading.ts';
import { paintState } from './versions.ts';

/** Periods of the past that are shown, unless `-v` asks for all. */
const pastShown = 5;

export const showCommand: Command = {
  positionals: '<ref>',
  options: (parser) =>
    readingOptions(parser)
      .positional('ref', {
        type: 'string',
        describe: 'MODEL@VERSION, MODEL@latest, or MODEL@ENVIRONMENT for what is live there',
      })
      .option('metadata', {
        type: 'boolean',
        describe: 'Print the metadata alone, as JSON, as they were registered',
      }),
  examples: [
    ['mstore show ranker@v1.2.0', 'Show everything that is known of a version'],
    ['mstore show ranker@production', 'Show the version that is live in production'],
    ['mstore show ranker@latest --metadata', 'Print the metadata file of the latest version'],
  ],
  async run(context, args) {
    const { model, name } = modelAndName(textOf(args, 'ref') ?? '', 'VERSION');
    const registry = await openToRead(context, await context.workspace(), args);
    const { readVersion } = await import('../../flow/registry-history.ts');
    const details = await readVersion(registry, model, name);
    if (flagOf(args, 'metadata')) tellMetadata(context, details.record);
    else context.result(details, detailLines(details, context));
    return undefined;
  },
};

function tellMetadata(context: Context, { model, version, metadata }: VersionRecord): void {
  if (context.options.jsonEvents) {
    throw new MstoreError('usage', '--metadata prints one document, not events', {
      hint: 'Leave --json-events out',
    });
  }
  if (metadata === undefined) {
    throw new MstoreError('not-found', `${model}@${version} was registered without metadata`, {
      hint: 'Metadata are given when a version is registered: mstore register --metadata FILE',
      details: { model, version },
    });
  }
  context.result(metadata, [jsonText(metadata, 2)]);
}

function detailLines({ sha256, record, states, live }: VersionDetails, context: Context): string[] {
  const { paint, width } = context;
  const { model, version, description, metrics, changelog = [], metadata } = record;
  const shown = context.options.verbose ? Number.POSITIVE_INFINITY : pastShown;
  const facts: Array<readonly [name: string, lines: readonly string[]]> = [
    ['state', stateLines(states, paint)],
    ['live', live.filter(({ until }) => until === null).map((one) => liveLine(one, paint))],
    ['was live', pastLines(live, shown)],
    ['created', [`${localTime(record.created)} by ${printable(record.author)}`]],
    ['status', record.status === undefined ? [] : [printable(record.status)]],
    ['labels', labelLines(record.labels)],
    ['content', contentLines(record)],
    ['sha256', [record.content.sha256]],
    ['record', [sha256]],
    ['source', sourceLines(record.source)],
    ['tool', [printable(record.tool)]],
  ];
  const nameWidth = Math.max(
    ...facts.map(([name, lines]) => (lines.length === 0 ? 0 : name.length)),
  );
  const rows = facts.flatMap(([name, lines]) =>
    lines
      .flatMap((line) => wrap(line, width - nameWidth - 4))
      .map((line, i) => [i === 0 ? `  ${paint.faint(name)}` : '', line]),
  );
  const part = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ['', paint.strong(title), ...lines];
  return [
    paint.strong(`${model}@${version}`),
    ...(description === undefined ? [] : textLines(description, '  ', width)),
    '',
    ...table(rows),
    ...part('Metrics', metricLines(metrics)),
    ...part(
      'Changelog',
      changelog.flatMap((line) => listItem(line, width)),
    ),
    ...part('Metadata', metadata === undefined ? [] : treeLines(metadata, '  ')),
  ];
}

function stateLines(states: readonly StateEntry[], paint: Paint): string[] {
  const last = states.at(-1);
  if (last === undefined) return ['active'];
  const { state, at, by, forced, reason } = last;
  const how = forced ? `, ${paint.changed('forced')}` : '';
  const line = `${paintState(state, paint)} since ${localTime(at)}, by ${printable(by)}${how}`;
  return reason === undefined ? [line] : [line, printable(reason)];
}

function liveLine({ environment, since, by, action, reason }: LivePeriod, paint: Paint): string {
  const why = reason === undefined ? '' : `: ${printable(reason)}`;
  return `${paint.good(environment)} since ${localTime(since)} (${action} by ${printable(by)}${why})`;
}

function pastLines(live: readonly LivePeriod[], shown: number): string[] {
  const past = live.flatMap(({ environment, since, until }) =>
    until === null ? [] : [`${environment} from ${localTime(since)} to ${localTime(until)}`],
  );
  const more = past.length - shown;
  return more > 0 ? [...past.slice(0, shown), `and ${more} times before (-v shows all)`] : past;
}

function labelLines(labels: VersionRecord['labels'] = {}): string[] {
  return Object.entries(labels).map(([name, text]) => `${printable(name)}=${printable(text)}`);
}

function contentLines({ content }: VersionRecord): string[] {
  const { path, kind, size, executable } = content;
  const shownPath = kind === 'tree' ? `${printable(path)}/` : printable(path);
  const what = kind === 'tree' ? 'directory' : executable ? 'executable file' : 'file';
  return [`${shownPath}, ${what} of ${formatBytes(size)}`];
}

/** The state of Git in words; sources of other kinds as they are. */
function sourceLines({ git, ...others }: NonNullable<VersionRecord['source']> = {}): string[] {
  const lines = treeLines(others as JsonObject, '');
  return isJsonObject(git) ? [...gitLines(git as unknown as GitSource), ...lines] : lines;
}

function gitLines({ commit, branch, dirty, remote }: GitSource): string[] {
  const at = commit === undefined ? 'no commit yet' : `commit ${printable(commit)}`;
  const on = branch === undefined ? '' : ` on ${printable(branch)}`;
  const changed = dirty ? ', with changes that were not committed' : '';
  const line = `git ${at}${on}${changed}`;
  return remote === undefined ? [line] : [line, printable(remote)];
}

/** Names and values, aligned at the points of the numbers. */
function metricLines(metrics: VersionRecord['metrics']): string[] {
  const rows = Object.entries(metrics).map(([name, value]) => {
    const [, whole = '', rest = ''] = /^(-?\d+)(.*)$/.exec(String(value)) ?? [];
    return { name: printable(name), whole, rest };
  });
  const most = (lengths: number[]): number => lengths.reduce((a, b) => Math.max(a, b), 0);
  const nameWidth = most(rows.map(({ name }) => name.length));
  const wholeWidth = most(rows.map(({ whole }) => whole.length));
  return rows.map(
    ({ name, whole, rest }) => `  ${name.padEnd(nameWidth)}  ${whole.padStart(wholeWidth)}${rest}`,
  );
}

function listItem(text: string, width: number): string[] {
  const [first = '', ...rest] = textLines(text, '    ', width);
  return [`  - ${first.trimStart()}`, ...rest];
}

function textLines(text: string, indent: string, width: number): string[] {
  return text
    .split('\n')
    .flatMap((line) => wrap(printable(line), width - indent.length))
    .map((line) => `${indent}${line}`.trimEnd());
}
