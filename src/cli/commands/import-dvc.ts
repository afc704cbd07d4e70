import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { DvcImportResult, ImportedOutput } from '../../flow/import/dvc-import.ts';
import type { DvcTagsResult, ImportedTag } from '../../flow/import/dvc-tags.ts';
import { type Args, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';

/** What is said of one version, and means nothing to a whole repository. */
const ofOneVersion = [
  ...['path', 'include', 'exclude', 'refresh', 'metric', 'metrics', 'metadata'],
  ...['description', 'changelog', 'status', 'label'],
];

/** Takes over what DVC keeps: of one working tree or revision, or of the tags of Git. */
export async function importRepository(context: Context, args: Args): Promise<void> {
  const { cwd, signal, progress, options } = context;
  const [given = '.', second] = listOf(args, 'paths');
  if (second !== undefined) {
    throw new MstoreError('usage', `Unknown argument: ${printable(second)}`, {
      hint: 'Write "mstore import dvc [PATH]" once for each path',
    });
  }
  const folder = path.resolve(cwd, given);
  const dryRun = flagOf(args, 'dry-run');
  const work = { signal, progress, jobs: options.jobs };
  const model = textOf(args, 'as');
  refuse(args, ofOneVersion, 'it is for one version, and this takes a repository');
  if (flagOf(args, 'tags')) {
    refuse(args, ['rev', 'replace'], '--tags takes what is at the tags of Git');
    if (model?.includes('@')) {
      throw new MstoreError('usage', 'With --tags, each tag is a version: --as names a model', {
        hint: 'Write --as MODEL',
      });
    }
    const workspace = await context.workspace();
    const { importDvcTags } = await import('../../flow/import/dvc-tags.ts');
    tellTags(context, await importDvcTags(workspace, { output: folder, model, dryRun }, work));
    return;
  }
  if (model !== undefined) {
    throw new MstoreError('usage', 'All outputs of DVC are not one version', {
      hint: 'Write dvc:PATH --as MODEL@VERSION for one of them, or --tags --as MODEL for the versions of one',
    });
  }
  const workspace = await context.workspace();
  const { importDvc } = await import('../../flow/import/dvc-import.ts');
  const revision = textOf(args, 'rev');
  const replace = flagOf(args, 'replace');
  tell(context, await importDvc(workspace, { folder, revision, dryRun, replace }, work));
}

function refuse(args: Args, names: readonly string[], why: string): void {
  const found = names.find((name) => args[name] !== undefined);
  if (found === undefined) return;
  throw new MstoreError('usage', `--${found} cannot be given: ${why}`, { hint: 'Leave it out' });
}

function tell(context: Context, result: DvcImportResult): void {
  for (const warning of result.warnings) context.warn(warning);
  const { outputs, bytesReceived, bytesNew, removed, dryRun } = result;
  const of = (wanted: ImportedOutput['outcome']): number =>
    outputs.filter(({ outcome }) => outcome === wanted).length;
  context.result(result, outputs.map(lineOf));
  const parts = [`${of('unchanged')} unchanged`, `${of('left-out')} left out`];
  if (dryRun) {
    context.note(`${count(of('taken'), 'output')} of DVC would be taken (${parts[1]})`);
    return;
  }
  const bytes = `${formatBytes(bytesReceived)} received, ${formatBytes(bytesNew)} new`;
  context.note(`Took ${count(of('taken'), 'output')} of DVC (${parts.join(', ')}): ${bytes}`);
  if (removed.length > 0) context.note(`Removed ${removed.map(printable).join(', ')}`);
  context.note('Commit the pointers (*.mstore) and .gitignore; "mstore push" sends the data on');
}

function lineOf({ path: name, file, outcome, why }: ImportedOutput): string {
  const reason = why === undefined ? printable(file) : `${printable(file)}: ${why}`;
  return `  ${outcome.padEnd(9)}  ${printable(name)}  (${reason})`;
}

function tellTags(context: Context, result: DvcTagsResult): void {
  for (const warning of [...result.warnings, ...result.notes]) context.warn(warning);
  const { tags, moves, bytesReceived, bytesNew, dryRun } = result;
  const of = (wanted: ImportedTag['outcome']): number =>
    tags.filter(({ outcome }) => outcome === wanted).length;
  context.result(result, tags.map(lineOfTag));
  const left = `${of('left-out')} left out`;
  if (dryRun) {
    context.note(`${count(of('registered'), 'tag')} would be registered (${left})`);
    return;
  }
  const bytes = `${formatBytes(bytesReceived)} received, ${formatBytes(bytesNew)} new`;
  context.note(
    `Registered ${count(of('registered'), 'version')} (${of('unchanged')} unchanged, ${left}): ${bytes}`,
  );
  if (moves > 0) context.note(`Took ${count(moves, 'entry', 'entries')} of histories and states`);
}

function lineOfTag({ tag, model, version, path: name, outcome, why }: ImportedTag): string {
  const from = name === undefined ? printable(tag) : `${printable(name)} at ${printable(tag)}`;
  return `  ${outcome.padEnd(10)}  ${printable(`${model}@${version}`)}  (${from}${why === undefined ? '' : `: ${why}`})`;
}
