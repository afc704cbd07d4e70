import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { PublishResult } from '../../flow/publish/publish.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { dryRunEnd, stepLines } from '../step-text.ts';
import { noteVersion } from './moving.ts';

export const publishCommand: Command = {
  positionals: '<ref>',
  options: (parser) =>
    parser
      .positional('ref', { type: 'string', describe: 'MODEL@VERSION or MODEL@ENVIRONMENT' })
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'Where to: hf:ORG/NAME, hf:ORG/NAME@BRANCH or mlflow:NAME',
      })
      .option('dry-run', { type: 'boolean', describe: 'Show what would be done; change nothing' })
      .option('tag', {
        type: 'string',
        requiresArg: true,
        describe: 'Name of the tag on the Hub (default: the name of the version)',
      })
      .option('public', {
        type: 'boolean',
        describe: 'Let everybody see a repository that is created (default: private)',
      })
      .option('card', {
        type: 'string',
        requiresArg: true,
        describe: 'Template of the model card, in Markdown',
      })
      .option('replace-card', {
        type: 'boolean',
        describe: 'Replace a README.md on the Hub that mstore did not write',
      })
      .option('experiment', {
        type: 'string',
        requiresArg: true,
        describe:
          'Name of the experiment in MLflow, such as {date}_{model}_{experiment_type}_{version} (default: {model})',
      })
      .option('alias', {
        type: 'string',
        requiresArg: true,
        describe: 'Alias in MLflow that names this version from then on; may be repeated',
      })
      .option('stage', {
        type: 'string',
        requiresArg: true,
        describe: 'Stage in MLflow to move the version to: Staging, Production or Archived',
      }),
  examples: [
    ['mstore publish bert@v1 --to hf:org/bert --dry-run', 'See what would be sent to the Hub'],
    [
      'mstore publish bert@production --to hf:org/bert',
      'Publish what is live, tagged by its version',
    ],
  ],
  async run(context, args) {
    const to = textOf(args, 'to');
    if (to === undefined) {
      throw new MstoreError('usage', 'Nothing says where to publish it to', {
        hint: 'Write --to hf:ORG/NAME or --to mlflow:NAME',
      });
    }
    const workspace = await context.workspace();
    const { findTargets } = await import('../../flow/targets.ts');
    const { publish } = await import('../../flow/publish/publish.ts');
    const found = await findTargets(workspace, [textOf(args, 'ref') ?? ''], context.cwd);
    await noteVersion(context, found);
    const { signal, progress } = context;
    const result = await publish(workspace, found, requestOf(context, args, to), {
      signal,
      progress,
    });
    tell(context, result);
    return undefined;
  },
};

function requestOf(context: Context, args: Args, to: string) {
  const card = textOf(args, 'card');
  return {
    to,
    dryRun: flagOf(args, 'dry-run'),
    tag: textOf(args, 'tag'),
    isPublic: flagOf(args, 'public'),
    card: card === undefined ? undefined : path.resolve(context.cwd, card),
    replaceCard: flagOf(args, 'replace-card'),
    experiment: textOf(args, 'experiment'),
    aliases: listOf(args, 'alias'),
    stage: textOf(args, 'stage'),
  };
}

function tell(context: Context, result: PublishResult): void {
  const {
    model,
    version,
    to,
    steps,
    changed,
    dryRun,
    notes,
    reference,
    url,
    bytesSent = 0,
  } = result;
  const name = `${model}@${version}`;
  for (const note of notes) context.warn(note);
  if (!changed) {
    context.note(`${name} is published at ${printable(to)} already`);
    context.result(result, []);
    return;
  }
  if (dryRun) {
    context.note(`To publish ${name} to ${printable(to)}:`);
    context.result(result, stepLines(steps));
    context.note(dryRunEnd);
    return;
  }
  context.note(
    `Published ${name} as ${printable(reference ?? '')} (${formatBytes(bytesSent)} sent)`,
  );
  context.result(result, url === undefined ? [] : [url]);
}
