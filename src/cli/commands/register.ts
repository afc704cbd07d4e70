import * as path from 'node:path';
import { shortDigest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import type { JsonObject } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { Metrics } from '../../registry/metrics.ts';
import type { Args, Command } from '../command.ts';
import { flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { gitTagAbout, modelAndName, tellTags } from './registry-options.ts';

export const registerCommand: Command = {
  positionals: '<name> [path]',
  options: (parser) =>
    parser
      .positional('name', { type: 'string', describe: 'MODEL@VERSION' })
      .positional('path', {
        type: 'string',
        describe: 'The tracked path; may be left out where one alone is tracked',
      })
      .option('metric', {
        type: 'string',
        requiresArg: true,
        describe: 'A metric as NAME=NUMBER; once for each',
      })
      .option('metrics', {
        type: 'string',
        requiresArg: true,
        describe: 'A JSON or YAML file of metrics; nested names are joined by dots',
      })
      .option('metadata', {
        type: 'string',
        requiresArg: true,
        describe: 'A JSON or YAML file that is kept as it is; its "metrics" count',
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
      })
      .option('git-tag', { type: 'boolean', describe: gitTagAbout }),
  examples: [
    [
      'mstore register ranker@v1.2.0 models/ranker --metric accuracy=0.91',
      'Give the content of a tracked path a version that never changes',
    ],
    ['mstore register ranker@v1.2.0 --metrics eval.json', 'Take all metrics of a file'],
  ],
  async run(context, args) {
    const { model, name: version } = modelAndName(textOf(args, 'name') ?? '', 'VERSION');
    const workspace = await context.workspace();
    const { register } = await import('../../flow/register.ts');
    const tracked = textOf(args, 'path');
    const measured = await measuredOf(context, args);
    const { record, created, gitTags, warnings } = await register(
      workspace,
      {
        model,
        version,
        path: tracked === undefined ? undefined : workspace.relative(tracked, context.cwd),
        description: textOf(args, 'description'),
        changelog: listOf(args, 'changelog'),
        status: textOf(args, 'status'),
        labels: pairsOf(listOf(args, 'label')),
        ...measured,
      },
      { signal: context.signal, progress: context.progress, gitTag: flagOf(args, 'git-tag') },
    );
    for (const warning of warnings) context.warn(warning);
    const { content } = record.value;
    const what = `${printable(content.path)}, ${formatBytes(content.size)}, record ${shortDigest(record.sha256)}`;
    context.note(
      created
        ? `Registered ${model}@${version}: ${what}`
        : `${model}@${version} is registered already, and is the same: ${what}`,
    );
    tellTags(context, gitTags);
    const tagged = gitTags === undefined ? {} : { gitTags };
    context.result(
      { created, sha256: record.sha256, record: record.value, ...tagged, warnings },
      [],
    );
    return undefined;
  },
};

/** Reads the metrics and the metadata that the options name; no metric may be given twice. */
async function measuredOf(
  { cwd }: Context,
  args: Args,
): Promise<{ metrics: Metrics; metadata: JsonObject | undefined }> {
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
