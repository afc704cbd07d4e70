import { exitCodes } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { Finding, ImportNote, Summary, Verdict } from '../../validate/report.ts';
import type { FileValidation } from '../../validate/validate.ts';
import { type Command, flagOf, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, wrap } from '../text.ts';
import { noteVersion } from './moving.ts';

/** Findings and imports of one file that are shown, unless `-v` asks for all. */
const findingsShown = 10;
const importsShown = 8;

export const validateCommand: Command = {
  positionals: '<target..>',
  options: (parser) =>
    parser
      .positional('target', {
        type: 'string',
        array: true,
        describe:
          'Files and directories; or MODEL@VERSION, a branch, tag or commit, then paths in it',
      })
      .option('problems', {
        type: 'boolean',
        describe: 'Leave out files of which nothing was found',
      }),
  examples: [
    ['mstore validate models/bert', 'See what is wrong with files, and what they would run'],
    ['mstore validate ranker@v1.2.0', 'Look into a version in the store'],
    ['mstore validate download.pt && python load.py', 'Look before you load'],
  ],
  async run(context, args) {
    const { validate } = await import('../../flow/validate.ts');
    const { signal, progress } = context;
    const found = await validate(() => context.workspace(), listOf(args, 'target'), context.cwd, {
      signal,
      progress,
    });
    const files = flagOf(args, 'problems')
      ? found.files.filter(({ findings }) => findings.length > 0)
      : found.files;
    const version = await noteVersion(context, found);
    context.result(
      { verdict: found.verdict, ...version, files },
      files.flatMap((file) => fileLines(context, file)),
    );
    summary(context, found.files);
    const isBad = found.verdict === 'invalid' || found.verdict === 'dangerous';
    return isBad ? exitCodes.corrupt : undefined;
  },
};

function fileLines(context: Context, file: FileValidation): string[] {
  const { path, size, format, verdict, findings, findingsMore = 0 } = file;
  const shown = context.options.verbose ? findings.length : findingsShown;
  const more = findings.length - shown + findingsMore;
  const facts = [format, formatBytes(size), ...factsOf(file.summary)].join(', ');
  return [
    `${label(context, verdict)}  ${context.paint.strong(printable(path))}  ${printable(facts)}`,
    ...findings.slice(0, shown).flatMap((finding) => findingLines(context, finding)),
    ...(more > 0 ? [`           and ${count(more, 'more finding')} (--json lists them)`] : []),
    ...importLines(context, file.summary.imports ?? []),
  ];
}

function label({ paint }: Context, verdict: Verdict): string {
  const text = verdict.padEnd(9);
  if (verdict === 'ok') return paint.good(text);
  return verdict === 'warning' ? paint.changed(text) : paint.bad(text);
}

function factsOf(summary: Summary): string[] {
  const { tensors, parameters, dtypes = {}, opset = {}, architecture, labels, members } = summary;
  const names = Object.keys(dtypes);
  const sets = Object.entries(opset).map(([domain, version]) => `${domain} ${version}`);
  return [
    ...(architecture === undefined ? [] : [architecture]),
    ...(tensors === undefined ? [] : [count(tensors, 'tensor')]),
    ...(parameters === undefined || parameters === 0 ? [] : [count(parameters, 'parameter')]),
    ...(names.length === 0 ? [] : [names.slice(0, 4).join(' ')]),
    ...(sets.length === 0 ? [] : [`opset ${sets.slice(0, 4).join(', ')}`]),
    ...(labels === undefined ? [] : [count(labels, 'label')]),
    ...(members === undefined ? [] : [count(members, 'member')]),
    ...weightsFact(summary),
  ];
}

function weightsFact({ weightsOnly }: Summary): string[] {
  if (weightsOnly === undefined) return [];
  return [weightsOnly ? 'loads with weights_only' : 'weights_only refuses it'];
}

function findingLines(context: Context, { rule, severity, where, message }: Finding): string[] {
  const place = where === undefined ? '' : `${where}: `;
  const text = printable(`${place}${message} [${rule}]`);
  return wrap(text, Math.max(40, context.width - 22)).map(
    (line, i) => `           ${(i === 0 ? severity : '').padEnd(9)}  ${line}`,
  );
}

function importLines(context: Context, imports: readonly ImportNote[]): string[] {
  const { length } = imports;
  if (length === 0) return [];
  const shown = context.options.verbose ? length : importsShown;
  const names = imports.slice(0, shown).map(({ name }) => name);
  const more = length > shown ? ` and ${length - shown} more` : '';
  const text = printable(`imports ${names.join(', ')}${more}`);
  return wrap(text, Math.max(40, context.width - 11)).map((line) => `           ${line}`);
}

function summary(context: Context, files: readonly FileValidation[]): void {
  const of = (verdict: Verdict): number => files.filter((file) => file.verdict === verdict).length;
  const [warning, invalid, dangerous] = [of('warning'), of('invalid'), of('dangerous')];
  const parts = [
    ...(dangerous === 0 ? [] : [`${dangerous} dangerous`]),
    ...(invalid === 0 ? [] : [`${invalid} invalid`]),
    ...(warning === 0 ? [] : [`${warning} with warnings`]),
  ];
  const found = parts.length === 0 ? 'no rule is broken' : parts.join(', ');
  context.note(`Looked into ${count(files.length, 'file')}: ${found}`);
}
