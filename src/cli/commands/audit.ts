import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { AuditCheck } from '../../flow/audit/check-audit.ts';
import type { AuditReading, ReadLine } from '../../flow/audit/read-audit.ts';
import type { ChosenRemote } from '../../flow/remotes.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { checkRegistryName } from '../../registry/names.ts';
import { type Column, columnLines } from '../columns.ts';
import { type Args, type Command, flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { parseMoment } from '../moment.ts';
import { count, jsonText, localTime, parseSpan } from '../text.ts';
import { type DamageTold, damageTold, shownPerson } from './registry-reading.ts';

/** Lines that are shown unless more are asked for. */
const limitDefault = 1000;
/** Objects without a line that are named to people. */
const unloggedShown = 20;

export const auditCommand: Command = {
  positionals: '',
  options: (parser) =>
    parser
      .option('remote', {
        type: 'string',
        requiresArg: true,
        describe: 'Remote whose log is read, by name, URL or directory; default: the default one',
      })
      .option('model', { type: 'string', requiresArg: true, describe: 'This model alone' })
      .option('since', {
        type: 'string',
        requiresArg: true,
        describe: 'What was done from then on: a day, a time, or a span such as 7d',
      })
      .option('limit', {
        type: 'string',
        requiresArg: true,
        describe: `Show so many lines, the newest ones; default: ${limitDefault}`,
      })
      .option('check', {
        type: 'boolean',
        describe: 'Check every line, and every object of the registry against the log',
      })
      .option('jsonl', {
        type: 'boolean',
        describe: 'Print all lines as JSON, one a line, the oldest first',
      })
      .option('forget', {
        type: 'boolean',
        describe: 'Forget which line this host saw last, and follow the log as it is',
      }),
  examples: [
    ['mstore audit', 'Who did what on the default remote; the newest first'],
    ['mstore audit --model ranker --since 30d', 'What was done to one model in 30 days'],
    ['mstore audit --check', 'Whether anything was changed, removed or done without a line'],
    ['mstore audit --jsonl > audit.jsonl', 'Export the whole log'],
  ],
  async run(context, args) {
    refuseTogether(args);
    const workspace = await context.workspace();
    const { chooseRemote } = await import('../../flow/remotes.ts');
    const chosen = await chooseRemote(workspace, textOf(args, 'remote'), context.cwd);
    if (flagOf(args, 'forget')) return forget(context, workspace, chosen);
    const told = damageTold(context);
    if (flagOf(args, 'check')) await check(context, workspace, chosen, told);
    else if (flagOf(args, 'jsonl')) await printLines(context, workspace, chosen, args, told);
    else await show(context, workspace, chosen, args, told);
    return told.exitCode();
  },
};

function refuseTogether(args: Args): void {
  const modes = ['check', 'jsonl', 'forget'].filter((name) => flagOf(args, name));
  const narrowing = ['model', 'since', 'limit'].filter((name) => textOf(args, name) !== undefined);
  const [first, second] = modes;
  const other = first === 'jsonl' ? narrowing.find((name) => name === 'limit') : narrowing[0];
  const odd = second ?? (first === undefined ? undefined : other);
  if (odd === undefined) return;
  throw new MstoreError('usage', `--${first} and --${odd} do not go together`, {
    hint: 'A check is of the whole log; --model and --since narrow what is shown or exported',
  });
}

/** Reads the options that say which lines are asked for. */
function questionOf(
  { surroundings, signal }: Context,
  args: Args,
  { onDamage }: DamageTold,
): Parameters<typeof import('../../flow/audit/read-audit.ts').exportAudit>[2] {
  const model = textOf(args, 'model');
  if (model !== undefined) checkRegistryName('model', model);
  const text = textOf(args, 'since');
  const span = text === undefined ? undefined : parseSpan(text);
  const since =
    text === undefined
      ? undefined
      : span === undefined
        ? parseMoment(text, '--since', 'start')
        : surroundings.clock.now() - span;
  return { model, since, signal, onProblem: onDamage };
}

function limitOf(args: Args): number {
  const text = textOf(args, 'limit') ?? String(limitDefault);
  if (/^\d{1,6}$/.test(text) && Number(text) > 0) return Number(text);
  throw new MstoreError(
    'usage',
    `--limit needs a number from 1 to 999999, not ${printable(text)}`,
    {
      hint: 'Write --limit 100; --jsonl prints all',
    },
  );
}

async function show(
  context: Context,
  workspace: Workspace,
  { name, remote }: ChosenRemote,
  args: Args,
  told: DamageTold,
): Promise<void> {
  const { readAudit } = await import('../../flow/audit/read-audit.ts');
  const question = { ...questionOf(context, args, told), limit: limitOf(args) };
  const reading = await readAudit(workspace, remote, question);
  if (reading.total === 0 && told.exitCode() === undefined) {
    context.note(`Nothing was logged on ${printable(name)} yet`);
  }
  if (reading.more) context.note('Not shown: older lines (see --limit)');
  context.result({ remote: name, ...reading, ...told.document() }, lineTable(reading, context));
}

function lineTable({ lines }: AuditReading, { paint }: Context): string[] {
  if (lines.length === 0) return [];
  const of = (head: string, cellOf: (line: ReadLine) => string): Column => ({
    head,
    cells: lines.map(cellOf),
  });
  const columns = [
    { ...of('#', ({ number }) => String(number)), right: true },
    of('WHEN', ({ at }) => localTime(at)),
    of('ACT', ({ act }) => act),
    of('WHAT', (line) => printable(subjectOf(line))),
    of('BY', ({ by }) => shownPerson(by)),
  ];
  return columnLines(columns, paint);
}

/** Says what an act was about. */
function subjectOf({ model, version, environment, state, objects = [], counts }: ReadLine): string {
  const name = version === undefined ? model : `${model}@${version}`;
  if (name !== undefined) return [name, environment ?? state].filter(Boolean).join(' ');
  if (objects.length > 0) return count(objects.length, 'object');
  const amounts = Object.entries(counts ?? {}).filter(([, amount]) => amount !== 0);
  return amounts.map(([what, amount]) => `${what} ${amount}`).join(', ');
}

async function printLines(
  context: Context,
  workspace: Workspace,
  { remote }: ChosenRemote,
  args: Args,
  told: DamageTold,
): Promise<void> {
  const { exportAudit } = await import('../../flow/audit/read-audit.ts');
  for await (const line of exportAudit(workspace, remote, questionOf(context, args, told))) {
    await context.write(Buffer.from(`${jsonText(line)}\n`));
  }
}

async function check(
  context: Context,
  workspace: Workspace,
  { name, remote }: ChosenRemote,
  told: DamageTold,
): Promise<void> {
  const { checkAudit } = await import('../../flow/audit/check-audit.ts');
  const { signal } = context;
  const found = await checkAudit(workspace, remote, { signal, onProblem: told.onDamage });
  context.result({ remote: name, ...found, ...told.document() }, []);
  noteUnlogged(context, found);
  const sound = told.exitCode() === undefined ? 'nothing was tampered with' : 'see the errors';
  context.note(
    `Checked ${count(found.lines, 'line')} and ${count(found.objects, 'object')}: ${sound}`,
  );
}

/** A crash between an act and its line leaves such an object, and so does whoever goes around the log. */
function noteUnlogged(context: Context, { unlogged, unloggedMore }: AuditCheck): void {
  const before = unlogged.filter(({ beforeLog }) => beforeLog === true);
  const after = unlogged.filter(({ beforeLog }) => beforeLog !== true);
  if (before.length > 0) {
    context.note(`Older than the log: ${count(before.length, 'object')} of the registry`);
  }
  for (const { key } of after.slice(0, unloggedShown)) {
    context.warn(`not logged: ${printable(key)}`);
  }
  const more = Math.max(0, after.length - unloggedShown) + unloggedMore;
  if (more > 0) context.warn(`not logged: ${more} more`);
}

async function forget(
  context: Context,
  workspace: Workspace,
  { name, remote }: ChosenRemote,
): Promise<undefined> {
  const { LastSeen } = await import('../../flow/audit/seen-line.ts');
  const seen = await LastSeen.of(workspace, remote);
  const line = seen.read();
  seen.forget();
  context.note(
    line === undefined
      ? `No line of ${printable(name)} was seen here`
      : `Forgot line ${line.number} of ${printable(name)}`,
  );
  context.result({ remote: name, forgot: line ?? null }, []);
  return undefined;
}
