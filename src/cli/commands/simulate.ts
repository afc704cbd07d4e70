import * as path from 'node:path';
import { printable } from '../../base/names.ts';
import type { SimulatedEnvironment, SimulateOptions } from '../../flow/simulate.ts';
import type { SimulatedAct } from '../../monitor/simulation.ts';
import { columnLines } from '../columns.ts';
import { type Args, type Command, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, localTime, type Paint, wrap } from '../text.ts';

export const simulateCommand: Command = {
  positionals: '<file>',
  options: (parser) =>
    parser
      .positional('file', {
        type: 'string',
        describe: 'What "mstore serve --record FILE" wrote',
      })
      .option('rules', {
        type: 'string',
        requiresArg: true,
        describe: 'TOML with tables [monitor.ENVIRONMENT]; default: the configuration here',
      }),
  examples: [
    ['mstore simulate series.jsonl', 'What the rules here would have done'],
    ['mstore simulate series.jsonl --rules stricter.toml', 'The same by other rules'],
  ],
  async run(context, args) {
    const { simulate } = await import('../../flow/simulate.ts');
    const file = path.resolve(context.cwd, textOf(args, 'file') ?? '');
    const environments = await simulate({ file, rules: await rulesOf(context, args) });
    context.result(
      { environments },
      environments.flatMap((environment) => lines(environment, context)),
    );
    return undefined;
  },
};

async function rulesOf(context: Context, args: Args): Promise<SimulateOptions['rules']> {
  const given = textOf(args, 'rules');
  if (given === undefined) return (await context.workspace()).config.monitors;
  const { rulesOfFile } = await import('../../flow/simulate.ts');
  return rulesOfFile(path.resolve(context.cwd, given));
}

function lines(
  { model, environment, rules, calls, from, to, acts }: SimulatedEnvironment,
  { paint, width }: Context,
): string[] {
  const name = `${paint.strong(printable(model))}, ${printable(environment)}`;
  const told = `${count(calls, 'call')} from ${localTime(from)} to ${localTime(to)}`;
  if (rules === null) return [`${name}: no rules apply`];
  if (acts.length === 0) return [`${name}: ${told}; the rules of ${rules} would have done nothing`];
  const heads = columnLines(
    [
      { head: 'WHEN', cells: acts.map(({ at }) => localTime(at)) },
      { head: 'VERSION', cells: acts.map(({ version }) => printable(version)) },
      { head: 'WOULD', cells: acts.map((act) => would(act, paint)) },
    ],
    paint,
  );
  const [head = '', ...rows] = heads;
  return [
    `${name}: ${told}`,
    head,
    ...rows.flatMap((row, i) => [row, ...reasonLines(acts[i], width)]),
  ];
}

function would({ act, to = '' }: SimulatedAct, paint: Paint): string {
  if (act === 'blocked') return paint.bad('stay');
  return `${act === 'moved' ? 'go' : 'want'} back to ${printable(to)}`;
}

const indent = '    ';

function reasonLines(act: SimulatedAct | undefined, width: number): string[] {
  if (act === undefined) return [];
  const text = act.blocked === undefined ? act.reason : `${act.reason}; but ${act.blocked}`;
  return wrap(text, width - indent.length).map((line) => indent + line);
}
