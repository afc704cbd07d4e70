import type { ModelSummary } from '../../flow/registry-read.ts';
import { type Column, columnLines, columnWidth, spreadCells } from '../columns.ts';
import type { Command } from '../command.ts';
import { flagOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, localTime, wrapList } from '../text.ts';
import { damageTold, openToRead, readingOptions } from './registry-reading.ts';

/** Columns that the list of what is live has at least. */
const liveWidthMin = 24;

export const modelsCommand: Command = {
  positionals: '',
  options: (parser) =>
    readingOptions(parser).option('all', {
      type: 'boolean',
      describe: 'Also models all of whose versions were archived or deleted',
    }),
  examples: [
    ['mstore models', 'List the models, with what is live where'],
    ['mstore models --remote origin', 'List those of a remote, as they are there now'],
  ],
  async run(context, args) {
    const registry = await openToRead(context, await context.workspace(), args);
    const { listModels } = await import('../../flow/registry-read.ts');
    const told = damageTold(context);
    const all = await listModels(registry, { onDamage: told.onDamage });
    const models = flagOf(args, 'all')
      ? all
      : all.filter(({ versions, live }) => versions > 0 || live.length > 0);
    const hidden = all.length - models.length;
    if (all.length === 0 && told.exitCode() === undefined) {
      context.note('No model is registered yet; start with: mstore register MODEL@VERSION PATH');
    }
    if (hidden > 0) {
      context.note(`Not shown: ${count(hidden, 'model')} without versions in use (see --all)`);
    }
    const lines = models.length === 0 ? [] : modelLines(models, context);
    context.result({ models, ...told.document() }, lines);
    return told.exitCode();
  },
};

function modelLines(models: readonly ModelSummary[], { paint, width }: Context): string[] {
  const column = (head: string, cellOf: (model: ModelSummary) => string): Column => ({
    head,
    cells: models.map(cellOf),
  });
  const columns: Column[] = [
    column('MODEL', ({ model }) => model),
    { ...column('VERSIONS', ({ versions }) => String(versions)), right: true },
    column('LATEST', ({ latest }) => latest ?? '-'),
    column('CHANGED', ({ changed }) => localTime(changed)),
  ];
  const used = columns.reduce((sum, one) => sum + columnWidth(one) + 2, 0);
  const room = Math.max(liveWidthMin, width - used);
  const live = models.map((model) =>
    wrapList(
      model.live.map(({ environment, version }) => `${environment} ${version}`),
      room,
    ),
  );
  const spread = columns.map((one) => spreadCells(one, live));
  return columnLines([...spread, { head: 'LIVE', cells: live.flat() }], paint);
}
