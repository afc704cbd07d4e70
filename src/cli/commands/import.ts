import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { ImportPlan, ImportRequest, ImportResult } from '../../flow/import/import.ts';
import type { RefreshResult, SourceChange } from '../../flow/import/refresh.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { dryRunEnd, stepLines } from '../step-text.ts';
import { count } from '../text.ts';
import { importRepository } from './import-dvc.ts';
import { importLfs } from './import-lfs.ts';
import { registrationOf, registrationOptions } from './registration-options.ts';
import { modelAndName } from './registry-options.ts';

/** Changes shown to people. */
const changesShown = 20;

export const importCommand: Command = {
  positionals: '<ref> [paths..]',
  options: (parser) =>
    registrationOptions(parser)
      .positional('ref', {
        type: 'string',
        describe:
          'hf:ORG/NAME[@REV], s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, https://HOST/PATH#sha256=DIGEST, mlflow:models:/NAME/VERSION, dvc:PATH[#rev=REV] or local:DIR; lfs or dvc for what these keep here; with --refresh, MODEL@VERSION',
      })
      .positional('paths', {
        type: 'string',
        array: true,
        describe:
          'With lfs, files and directories to take (default: all); with dvc, the repository, a folder of it or an output (default: the current folder)',
      })
      .option('as', {
        type: 'string',
        requiresArg: true,
        describe: 'What to register it as: MODEL@VERSION',
      })
      .option('path', {
        type: 'string',
        requiresArg: true,
        describe: 'Where its files belong in the workspace (default: models/MODEL)',
      })
      .option('include', {
        type: 'string',
        requiresArg: true,
        describe: 'Take only files that fit a pattern of .gitignore; may be repeated',
      })
      .option('exclude', {
        type: 'string',
        requiresArg: true,
        describe: 'Leave out files that fit a pattern of .gitignore; may be repeated',
      })
      .option('refresh', {
        type: 'boolean',
        describe: 'Show what has changed where a version was imported from; take nothing',
      })
      .option('rev', {
        type: 'string',
        requiresArg: true,
        describe:
          'With lfs or dvc: branch, tag or commit to take from (default: HEAD with lfs, the working tree with dvc)',
      })
      .option('tags', {
        type: 'boolean',
        describe:
          'With dvc: register the Git tags, with --as MODEL those of an output, else those of GTO',
      })
      .option('replace', {
        type: 'boolean',
        describe: 'With dvc: remove the .dvc files of what was taken (default: they stay)',
      })
      .option('dry-run', {
        type: 'boolean',
        describe: 'Show what would be taken; take nothing',
      }),
  examples: [
    ['mstore import hf:org/name --as bert@v1', 'Take a model of the Hugging Face Hub in'],
    [
      'mstore import s3://bucket/models/bert --as bert@v2 --exclude "*.tmp"',
      'Take the plain files of a bucket in',
    ],
    ['mstore import lfs models/bert --as bert@v1', 'Take a version from what Git LFS keeps'],
    ['mstore import lfs models', 'Keep what Git LFS keeps of a directory by mstore instead'],
    ['mstore import bert@v1 --refresh', 'See what has changed there since'],
    ['mstore import dvc', 'Track all that DVC keeps; DVC goes on working'],
  ],
  async run(context, args) {
    const as = textOf(args, 'as');
    const ref = textOf(args, 'ref');
    if (ref === 'lfs') {
      refuseOptions(args, ofDvc, 'import dvc');
      if (as === undefined) refuseOptions(args, ['dry-run'], 'import lfs PATH --as MODEL@VERSION');
      await importLfs(context, args, (request) => take(context, args, request));
      return undefined;
    }
    if (ref === 'dvc') {
      await importRepository(context, args);
      return undefined;
    }
    refuseOptions(args, ['paths', 'rev', ...ofDvc], 'import dvc" and "mstore import lfs');
    if (flagOf(args, 'refresh')) {
      if (as !== undefined) {
        throw new MstoreError(
          'usage',
          '--refresh takes nothing, and --as says what to take it as',
          {
            hint: 'Leave one of them out',
          },
        );
      }
      await refresh(context, args);
      return undefined;
    }
    if (as === undefined) {
      throw new MstoreError('usage', 'Nothing says what to register it as', {
        hint: 'Write --as MODEL@VERSION',
      });
    }
    await take(context, args, { as, from: textOf(args, 'ref') ?? '' });
    return undefined;
  },
};

/** Options of `import dvc` that no other import has. */
const ofDvc = ['tags', 'replace'];

/** What is for whole repositories means nothing to others. */
function refuseOptions(args: Args, names: readonly string[], command: string): void {
  const found = names.find((name) => listOf(args, name).length > 0);
  if (found === undefined) return;
  const what =
    found === 'paths'
      ? `Unknown argument: ${printable(listOf(args, found)[0] ?? '')}`
      : `--${found} cannot be given here`;
  throw new MstoreError('usage', what, {
    hint: `${found === 'paths' ? 'Paths belong' : 'It belongs'} to "mstore ${command}"; one path of DVC is dvc:PATH or dvc:PATH#rev=REV`,
  });
}

/** What is taken, and as what. */
export interface TakeRequest extends Pick<ImportRequest, 'from' | 'open'> {
  /** `MODEL@VERSION`. */
  readonly as: string;
}

async function take(context: Context, args: Args, { as, from, open }: TakeRequest): Promise<void> {
  const { model, name: version } = modelAndName(as, 'VERSION');
  const workspace = await context.workspace();
  const { importModel, planImport } = await import('../../flow/import/import.ts');
  const { cwd, signal, progress, options } = context;
  const given = textOf(args, 'path');
  const request = {
    ...(await registrationOf(context, args)),
    model,
    version,
    from,
    open,
    cwd,
    path: given === undefined ? undefined : workspace.relative(given, cwd),
    include: listOf(args, 'include'),
    exclude: listOf(args, 'exclude'),
  };
  const work = { signal, progress, jobs: options.jobs };
  if (flagOf(args, 'dry-run')) {
    tellPlan(context, as, await planImport(workspace, request, work));
    return;
  }
  const result = await importModel(workspace, request, work);
  for (const warning of result.warnings) context.warn(warning);
  tell(context, `${model}@${version}`, result);
  const { record, ...rest } = result;
  context.result({ ...rest, sha256: record.sha256, record: record.value }, []);
}

function tellPlan(context: Context, name: string, plan: ImportPlan): void {
  const { from, files, bytes, steps } = plan;
  const what = `${count(files, 'file')}, ${formatBytes(bytes)}`;
  context.note(`To import ${printable(from)} as ${name} (${what}):`);
  context.result(plan, stepLines(steps));
  context.note(dryRunEnd);
}

function tell(context: Context, name: string, result: ImportResult): void {
  const { created, from, files, bytes, bytesReceived, bytesNew } = result;
  const what = `${count(files, 'file')}, ${formatBytes(bytes)}`;
  if (!created) {
    context.note(`${name} was imported from ${printable(from)} before: ${what}`);
    return;
  }
  const parts = [`${formatBytes(bytesReceived)} received`, `${formatBytes(bytesNew)} new`];
  context.note(`Imported ${printable(from)} as ${name}: ${what} (${parts.join(', ')})`);
  context.note(`Run "mstore checkout ${name}" for its files, "mstore push" to send it on`);
}

async function refresh(context: Context, args: Args): Promise<void> {
  const workspace = await context.workspace();
  const { refreshImport } = await import('../../flow/import/refresh.ts');
  const { cwd, signal, progress } = context;
  const { model, name: selector } = modelAndName(textOf(args, 'ref') ?? '', 'VERSION');
  const result = await refreshImport(workspace, { model, selector }, { signal, progress, cwd });
  tellRefresh(context, result);
}

function tellRefresh(context: Context, result: RefreshResult): void {
  const { model, version, from, now, asked, changes } = result;
  const name = `${model}@${version}`;
  if (changes.length === 0) {
    const moved = from === now ? '' : ` (${printable(now)} has the same files)`;
    context.note(`${name} is what ${printable(asked)} is now${moved}`);
    context.result(result, []);
    return;
  }
  context.note(`${name} is from ${printable(from)}; ${printable(asked)} has changed since:`);
  const lines = changes.slice(0, changesShown).map(lineOf);
  if (changes.length > changesShown) lines.push(`  and ${changes.length - changesShown} more`);
  context.result(result, lines);
  context.note(
    `Nothing was taken; to have it: mstore import ${printable(asked)} --as ${model}@NEW`,
  );
}

function lineOf({ path, change, size, sizeBefore }: SourceChange): string {
  const sizes = [sizeBefore, size].filter((one) => one !== undefined).map(formatBytes);
  return `  ${change.padEnd(7)}  ${printable(path)}  ${sizes.join(' -> ')}`;
}
