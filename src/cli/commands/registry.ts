import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { ImportResult } from '../../flow/registry-import.ts';
import type { Args, Command } from '../command.ts';
import { flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { jsonText } from '../text.ts';

export const registryCommand: Command = {
  positionals: '<action> [file]',
  options: (parser) =>
    parser
      .positional('action', { choices: ['export', 'import'] as const, describe: 'What to do' })
      .positional('file', {
        type: 'string',
        describe: 'For import: a JSON or YAML file with models and deployments',
      })
      .option('git-tags', {
        type: 'boolean',
        describe: 'Import the annotated Git tags of GTO in place of a file',
      })
      .option('path-of', {
        type: 'string',
        requiresArg: true,
        describe:
          'Where the data of a model is tracked, as MODEL=PATH; {version} stands for the version',
      })
      .option('rename', {
        type: 'string',
        requiresArg: true,
        describe: 'The name of a model here, as THEIRS=OURS; with --git-tags',
      })
      .option('partial', {
        type: 'boolean',
        describe: 'Import what can be imported, and tell what was left out',
      })
      .option('dry-run', {
        type: 'boolean',
        describe: 'Say what would be imported, and change nothing',
      }),
  examples: [
    ['mstore registry export > registry.json', 'Print all versions and what is live as one JSON'],
    [
      'mstore registry import registry.json --path-of ranker=models/ranker/{version}',
      'Take over a registry that was kept by hand',
    ],
    ['mstore registry import --git-tags', 'Take over the versions and stages of GTO'],
  ],
  async run(context, args) {
    const file = textOf(args, 'file');
    if (textOf(args, 'action') === 'export') return exportAll(context, args, file);
    return importAll(context, args, file);
  },
};

async function exportAll(
  context: Context,
  args: Args,
  file: string | undefined,
): Promise<undefined> {
  const given = ['git-tags', 'path-of', 'rename', 'partial', 'dry-run'].find(
    (name) => args[name] !== undefined && args[name] !== false,
  );
  if (file !== undefined || given !== undefined) {
    throw new MstoreError('usage', `"registry export" takes no ${given ? `--${given}` : 'file'}`, {
      hint: 'It prints to standard output: mstore registry export > FILE',
    });
  }
  const workspace = await context.workspace();
  const { localRegistry } = await import('../../flow/registry.ts');
  const { exportRegistry } = await import('../../flow/registry-export.ts');
  const document = await exportRegistry(await localRegistry(workspace, { signal: context.signal }));
  context.result(document, jsonText(document, 2).split('\n'));
  return undefined;
}

async function importAll(
  context: Context,
  args: Args,
  file: string | undefined,
): Promise<undefined> {
  const fromTags = flagOf(args, 'git-tags');
  if (fromTags === (file !== undefined)) {
    throw new MstoreError('usage', '"registry import" takes either a file or --git-tags', {
      hint: 'Run "mstore registry import FILE" or "mstore registry import --git-tags"',
    });
  }
  const models = pairsOf(args, 'rename');
  if (file !== undefined && models.size > 0) {
    throw new MstoreError('usage', '--rename is for --git-tags alone', {
      hint: 'Rename the model in the file',
    });
  }
  const workspace = await context.workspace();
  const options = {
    paths: new Map(
      [...pairsOf(args, 'path-of')].map(([name, given]) => [
        name,
        workspace.relative(given, context.cwd),
      ]),
    ),
    partial: flagOf(args, 'partial'),
    dryRun: flagOf(args, 'dry-run'),
    signal: context.signal,
  };
  if (file === undefined) {
    const { importGitTags } = await import('../../flow/import-git-tags.ts');
    tell(context, await importGitTags(workspace, { ...options, models }));
  } else {
    const { importRegistryFile } = await import('../../flow/import-registry-file.ts');
    tell(context, await importRegistryFile(workspace, path.resolve(context.cwd, file), options));
  }
  return undefined;
}

function tell(context: Context, result: ImportResult): void {
  const { versions, unchanged, entries, states, leftOut, notes, dryRun } = result;
  for (const what of leftOut) context.warn(`Left out: ${printable(what)}`);
  for (const what of notes) context.warn(printable(what));
  const counts = [
    count(versions.length, 'version'),
    count(entries.length, 'entry', 'entries'),
    count(states.length, 'state'),
  ];
  const known =
    unchanged.length === 0 ? '' : `; ${count(unchanged.length, 'version')} known already`;
  context.note(`${dryRun ? 'Would import' : 'Imported'} ${counts.join(', ')}${known}`);
  if (!dryRun && versions.length + entries.length + states.length > 0) {
    context.note('Run "mstore push" to share them');
  }
  context.result(result, []);
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Reads options of the form NAME=TEXT; each name once. */
function pairsOf(args: Args, option: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const text of listOf(args, option)) {
    const cut = text.indexOf('=');
    const [name, value] = [text.slice(0, cut), text.slice(cut + 1)];
    if (cut > 0 && value !== '' && !pairs.has(name)) pairs.set(name, value);
    else {
      throw new MstoreError(
        'usage',
        pairs.has(name)
          ? `--${option} names ${printable(name)} twice`
          : `--${option} ${printable(text)} is not of the form NAME=TEXT`,
        { hint: `Write --${option} NAME=TEXT, once for each name` },
      );
    }
  }
  return pairs;
}
