import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { InfoResult, ModelInfo } from '../../flow/info.ts';
import { textAt } from '../../weights/json-text.ts';
import { type Command, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, table } from '../text.ts';
import { noteVersion } from './moving.ts';

/** Files and labels of one model that are shown, unless `-v` asks for all. */
const filesShown = 20;
const labelsShown = 5;

export const infoCommand: Command = {
  positionals: '<target..>',
  options: (parser) =>
    parser.positional('target', {
      type: 'string',
      array: true,
      describe: 'MODEL@VERSION, a branch, tag or commit, then paths; or tracked paths alone',
    }),
  examples: [
    ['mstore info ranker@v1.2.0', 'Show type, labels, parameters and files of a version'],
    ['mstore info models/ranker', 'Show them of a tracked path'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { info } = await import('../../flow/info.ts');
    const { signal, progress } = context;
    const found = await info(workspace, listOf(args, 'target'), context.cwd, { signal, progress });
    const { commit, source, models } = found;
    const version = await noteVersion(context, found);
    context.result(
      {
        ...version,
        ...(commit === undefined ? {} : { commit }),
        ...(source === undefined ? {} : { source }),
        models,
      },
      lines(context, found),
    );
    return undefined;
  },
};

function lines(context: Context, { version, source, models }: InfoResult): string[] {
  const { value } = version?.record ?? {};
  const head = value === undefined ? [] : [context.paint.strong(`${value.model}@${value.version}`)];
  const { commit, branch, dirty } = source?.git ?? {};
  const from =
    commit === undefined
      ? []
      : [
          `  source      commit ${commit.slice(0, 12)}${branch === undefined ? '' : ` of ${branch}`}${dirty ? ', with changes' : ''}`,
        ];
  const others = Object.entries(source ?? {}).filter(([key]) => key !== 'git');
  // What an import was from names its exact revision.
  const more = others.map(([key, origin]) => `  imported    ${textAt(origin, 'from') ?? key}`);
  return [
    ...head,
    ...[...from, ...more].map(printable),
    ...models.flatMap((one) => modelLines(context, one)),
  ];
}

function modelLines(context: Context, model: ModelInfo): string[] {
  const { paint, options } = context;
  const { path, kind, files, labels, tensors, parameters, availability } = model;
  const opset = Object.entries(model.opset).map(([domain, version]) => `${domain} ${version}`);
  const dtypes = Object.entries(model.dtypes).map(([name, number]) => `${name} (${number})`);
  const facts: Array<readonly [string, string]> = [
    ['type', model.modelType ?? 'unknown'],
    ['size', `${formatBytes(model.size)} in ${count(files.length, 'file')}`],
    [
      'parameters',
      tensors === 0 ? '' : `${count(parameters, '', '').trim()} in ${count(tensors, 'tensor')}`,
    ],
    ['dtypes', dtypes.join(', ')],
    ['opset', opset.join(', ')],
    ['labels', labels === null ? '' : labelsText(labels)],
    ['sha256', model.sha256],
    [
      'here',
      availability.complete ? 'all of it' : `all but ${formatBytes(availability.missingBytes)}`,
    ],
  ];
  const shown = options.verbose ? files.length : filesShown;
  const rows = files
    .slice(0, shown)
    .map((file) => ['', formatBytes(file.size), file.format ?? 'not here', printable(file.path)]);
  const more = files.length - shown;
  return [
    paint.strong(printable(path) + (kind === 'tree' ? '/' : '')),
    ...table(
      facts
        .filter(([, text]) => text !== '')
        .map(([name, text]) => [`  ${paint.faint(name)}`, printable(text)]),
    ),
    ...table(rows, [1]),
    ...(more > 0 ? [`  and ${count(more, 'more file')} (-v shows them)`] : []),
  ];
}

function labelsText({ count: number, from, first }: NonNullable<ModelInfo['labels']>): string {
  const more = number > labelsShown ? ', …' : '';
  return `${number} of ${from.split('/').at(-1)}: ${first.slice(0, labelsShown).join(', ')}${more}`;
}
