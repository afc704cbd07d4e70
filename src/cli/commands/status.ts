import { exitCodes } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { PathStatus } from '../../flow/status.ts';
import type { Command } from '../command.ts';
import { listOf } from '../command.ts';
import type { Paint } from '../text.ts';
import { count } from '../text.ts';

/** Changed files shown for one tracked path, unless `-v` asks for all. */
const changesShown = 10;

export const statusCommand: Command = {
  positionals: '[path..]',
  options: (parser) =>
    parser.positional('path', {
      type: 'string',
      array: true,
      describe: 'Tracked paths; default: all',
    }),
  examples: [['mstore status', 'Show what changed, what is missing, what is not committed']],
  async run(context, args) {
    const workspace = await context.workspace();
    const { status } = await import('../../flow/status.ts');
    const paths = listOf(args, 'path').map((given) => workspace.relative(given, context.cwd));
    const result = await status(workspace, paths, {
      signal: context.signal,
      progress: context.progress,
    });
    const shown = context.options.verbose ? Number.POSITIVE_INFINITY : changesShown;
    const lines = result.paths.flatMap((path) => describePath(path, shown, context.paint));
    if (result.paths.length === 0)
      lines.push('Nothing is tracked yet; start with: mstore add PATH');
    else lines.push(...summary(result.paths));
    context.result(result, lines);
    const faults = result.paths.flatMap(({ error }) => (error === undefined ? [] : [error.code]));
    if (faults.length === 0) return undefined;
    // What a newer mstore wrote is not damaged.
    const isNewer = faults.every((code) => code === 'newer-format');
    return isNewer ? exitCodes.failed : exitCodes.corrupt;
  },
};

function describePath(status: PathStatus, shown: number, paint: Paint): string[] {
  const name = printable(status.path);
  const uncommitted = status.pointer === 'new' || status.pointer === 'changed';
  const pointer = uncommitted
    ? paint.changed(
        `  (pointer ${status.pointer === 'new' ? 'not committed' : 'changed since the last commit'})`,
      )
    : '';
  switch (status.state) {
    case 'unchanged':
      return uncommitted ? [`  ${paint.good('unchanged')}  ${name}${pointer}`] : [];
    case 'missing': {
      const how =
        status.missingBytes > 0
          ? `${formatBytes(status.missingBytes)} to pull`
          : 'in the local store; run mstore checkout';
      return [`  ${paint.bad('missing')}    ${name}  (${how})${pointer}`];
    }
    case 'unlisted':
      return [
        `  ${paint.bad('unlisted')}   ${name}  (its list of files is not here; run mstore fetch)${pointer}`,
      ];
    case 'broken':
      return [`  ${paint.bad('broken')}     ${name}  ${status.error?.message ?? ''}`];
    case 'modified': {
      const head = `  ${paint.changed('modified')}   ${name}${pointer}`;
      const changes = status.changes.slice(0, shown).map(({ path, change, after, before }) => {
        const size = after ?? before;
        const what = { added: '+', removed: '-', modified: '~', mode: 'x' }[change];
        return `      ${what} ${printable(path)}${size === undefined ? '' : `  ${formatBytes(size.size)}`}`;
      });
      const rest = status.changes.length - changes.length;
      if (rest > 0) changes.push(`      … and ${rest} more (-v shows all)`);
      const problems = status.problems.map((problem) => `      ! ${problem}`);
      return [head, ...changes, ...problems];
    }
  }
}

function summary(paths: readonly PathStatus[]): string[] {
  const unchanged = paths.filter(({ state }) => state === 'unchanged').length;
  if (unchanged === paths.length) return [`${count(paths.length, 'tracked path')}, all unchanged`];
  return [`${count(paths.length, 'tracked path')}, ${unchanged} unchanged`];
}
