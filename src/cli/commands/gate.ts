import * as path from 'node:path';
import { exitCodeOf, exitCodes } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { MetricsFile } from '../../registry/metrics.ts';
import { type Args, type Command, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { verdictLines } from '../gate-text.ts';
import { decidingRemote, modelAndName, placeOptions } from './registry-options.ts';

export const gateCommand: Command = {
  positionals: '<ref>',
  options: (parser) =>
    placeOptions(parser)
      .positional('ref', {
        type: 'string',
        describe: 'MODEL@VERSION, MODEL@latest, or MODEL@ENVIRONMENT for what is live there',
      })
      .option('env', {
        type: 'string',
        requiresArg: true,
        demandOption: 'Name the environment with --env',
        describe: 'The environment whose policy judges',
      })
      .option('results', {
        type: 'string',
        requiresArg: true,
        describe:
          'A JSON, YAML or TOML file of metrics; default: those the version was registered with',
      })
      .option('output-dir', {
        type: 'string',
        requiresArg: true,
        describe:
          'Directory for deployment_info.json, model_comparison.json and deployment.log, passed or not',
      }),
  examples: [
    ['mstore gate ranker@v1.2.0 --env production', 'Judge a version by its own metrics'],
    [
      'mstore gate ranker@v1.2.0 --env production --results eval.json --output-dir gate',
      'Judge it by what was measured now, and write that down',
    ],
  ],
  async run(context, args) {
    const { model, name: version } = modelAndName(textOf(args, 'ref') ?? '', 'VERSION');
    const environment = textOf(args, 'env') ?? '';
    const workspace = await context.workspace();
    const { gate } = await import('../../flow/gate.ts');
    const from = textOf(args, 'results');
    const output = textOf(args, 'output-dir');
    const results = await readResults(context, args);
    const { verdict, facts, files } = await gate(
      workspace,
      { model, version, environment },
      {
        remote: await decidingRemote(context, workspace, args),
        signal: context.signal,
        jobs: context.options.jobs,
        results: results?.metrics,
        resultsFrom: from,
        outputFolder: output === undefined ? undefined : path.resolve(context.cwd, output),
      },
    );
    for (const file of files) context.note(`Wrote ${printable(path.relative(context.cwd, file))}`);
    context.result(
      { ...verdict, model, environment, record: facts.record, files },
      verdictLines(verdict, environment, context.paint, process.stdout.columns),
    );
    return verdict.passed ? exitCodes.done : exitCodeOf('gate-refused');
  },
};

/** Reads the file of --results; texts in it, such as the name of a run, are left out and told. */
async function readResults({ cwd, note }: Context, args: Args): Promise<MetricsFile | undefined> {
  const file = textOf(args, 'results');
  if (file === undefined) return undefined;
  const { readMetrics } = await import('../../registry/metrics.ts');
  const read = await readMetrics(path.resolve(cwd, file), { numbersOnly: true });
  if (read.leftOut.length > 0) {
    const names = read.leftOut.slice(0, 5).map(printable).join(', ');
    const more = read.leftOut.length > 5 ? ', …' : '';
    note(`Left out of ${printable(file)}, as they are no numbers: ${names}${more}`);
  }
  return read;
}
