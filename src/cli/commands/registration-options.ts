import * as path from 'node:path';
import type { Argv } from 'yargs';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { Registration } from '../../flow/register.ts';
import { type Args, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';

/** Adds the options by which people say what a version is. */
export function registrationOptions(parser: Argv): Argv {
  return parser
    .option('metric', {
      type: 'string',
      requiresArg: true,
      describe: 'A metric as NAME=NUMBER; once for each',
    })
    .option('metrics', {
      type: 'string',
      requiresArg: true,
      describe: 'A JSON, YAML or TOML file of metrics; nested names are joined by dots',
    })
    .option('metadata', {
      type: 'string',
      requiresArg: true,
      describe: 'A JSON, YAML or TOML file that is kept as it is; its "metrics" count',
    })
    .option('description', { type: 'string', requiresArg: true, describe: 'What the version is' })
    .option('changelog', {
      type: 'string',
      requiresArg: true,
      describe: 'A line of what changed; once for each',
    })
    .option('status', {
      type: 'string',
      requiresArg: true,
      describe: 'What you call its state, such as candidate; free text',
    })
    .option('label', {
      type: 'string',
      requiresArg: true,
      describe: 'A label as NAME=TEXT; once for each',
    });
}

/** Reads what the options of {@link registrationOptions} say. */
export async function registrationOf(
  context: Context,
  args: Args,
): Promise<Omit<Registration, 'model' | 'version'>> {
  return {
    description: textOf(args, 'description'),
    changelog: listOf(args, 'changelog'),
    status: textOf(args, 'status'),
    labels: pairsOf(listOf(args, 'label')),
    ...(await measuredOf(context, args)),
  };
}

/** Reads the metrics and the metadata that the options name; no metric may be given twice. */
async function measuredOf(
  { cwd }: Context,
  args: Args,
): Promise<Pick<Registration, 'metrics' | 'metadata'>> {
  const { joinMetrics, parseMetricOptions, readMetrics } = await import(
    '../../registry/metrics.ts'
  );
  const { metricsOf, readMetadata } = await import('../../registry/metadata.ts');
  const [metadataFile, metricsFile] = ['metadata', 'metrics'].map((name) => {
    const file = textOf(args, name);
    return file === undefined ? undefined : path.resolve(cwd, file);
  });
  const metadata = metadataFile === undefined ? undefined : await readMetadata(metadataFile);
  const given = parseMetricOptions(listOf(args, 'metric'));
  const read = metricsFile === undefined ? {} : (await readMetrics(metricsFile)).metrics;
  const own = joinMetrics(read, given);
  return { metrics: joinMetrics(metricsOf(metadata, metadataFile ?? ''), own), metadata };
}

/** Reads labels of the form NAME=TEXT. */
function pairsOf(pairs: readonly string[]): Record<string, string> {
  const labels = new Map<string, string>();
  for (const pair of pairs) {
    const cut = pair.indexOf('=');
    const name = pair.slice(0, cut).trim();
    if (cut > 0 && name !== '' && !labels.has(name)) labels.set(name, pair.slice(cut + 1));
    else {
      throw new MstoreError(
        'usage',
        cut > 0 && labels.has(name)
          ? `The label ${printable(name)} is given twice`
          : `${printable(pair)} is no label of the form NAME=TEXT`,
        { hint: 'Write --label NAME=TEXT, once for each label' },
      );
    }
  }
  return Object.fromEntries(labels);
}
