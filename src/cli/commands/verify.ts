import { exitCodeOf, MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { OwnedRemote } from '../../flow/remotes.ts';
import type { RemoteChoice } from '../../flow/several-remotes.ts';
import type { Finding } from '../../flow/verify/findings.ts';
import type { VerifyReport } from '../../flow/verify/verify.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, formatSeconds, wrap } from '../text.ts';
import { targetOptions } from './moving.ts';
import { chosenRemote } from './places.ts';
import { trustOptions } from './signing-options.ts';

/** Findings of one kind that are shown. */
const findingsShown = 10;
/** Names of what is harmed that are shown of one finding. */
const harmsShown = 5;

export const verifyCommand: Command = {
  positionals: '[target..]',
  options: (parser) =>
    trustOptions(targetOptions(parser), 'With --signature')
      .option('remote', {
        type: 'string',
        describe:
          'Verify a remote in place of the local store: by its name, URL or directory, or the default one',
      })
      .option('subset', {
        type: 'string',
        requiresArg: true,
        describe:
          'A share of it: 5%, of which every day has another slice, or a slice such as 3/20',
      })
      .option('repair', {
        type: 'boolean',
        describe: 'Heal what is damaged from any other copy, and move away what cannot be healed',
      })
      .option('signature', {
        type: 'string',
        describe:
          'Check who signed a version, in place of its bytes; with a file, the signature in it, of a version or a directory',
      })
      .option('rebuild-index', {
        type: 'boolean',
        describe: 'Make the index of the local store again from its packs alone',
      }),
  examples: [
    ['mstore verify', 'Check every byte of the local store'],
    ['mstore verify bert@production', 'Check what one version needs'],
    [
      'mstore verify --remote --subset 5%',
      'Check a twentieth of the default remote, another one every day',
    ],
    [
      'mstore verify --remote origin --repair',
      'Heal a remote from the local store, other remotes and the files',
    ],
    [
      'mstore verify bert@v1 --signature --key release.pub',
      'Check that somebody who is trusted signed a version',
    ],
    [
      'mstore verify ./bert --signature model.sig --key release.pub',
      'Check a directory against a signature of OpenSSF Model Signing',
    ],
    [
      'mstore verify bert@v1 --signature --identity ann@example.com --issuer https://accounts.google.com --trust-root trusted_root.json',
      'Check that somebody signed with an account',
    ],
  ],
  async run(context, args) {
    refuseMixed(args);
    if (args['signature'] !== undefined) {
      const { verifySignature } = await import('./verify-signature.ts');
      return verifySignature(context, args);
    }
    const workspace = await context.workspace();
    const chosen = await chosenRemote(context, workspace, args);
    if (flagOf(args, 'rebuild-index')) return rebuild(context, workspace, chosen);
    const report = await verifyFor(context, workspace, args, chosen);
    context.result(report, lines(context, report));
    summary(context, report);
    return report.code === null ? undefined : exitCodeOf(report.code);
  },
};

function refuseMixed(args: Args): void {
  const isNamed = listOf(args, 'target').length > 0;
  if (textOf(args, 'subset') !== undefined && isNamed) {
    throw new MstoreError('usage', '--subset is a share of everything, not of what is named', {
      hint: 'Leave --subset out, or the names',
    });
  }
  const more = ['subset', 'repair'].find((name) => args[name] !== undefined);
  if (!flagOf(args, 'rebuild-index') || (more === undefined && !isNamed)) return;
  throw new MstoreError('usage', '--rebuild-index makes the whole index again, and nothing else', {
    hint: 'Run "mstore verify --rebuild-index", then "mstore verify" with what else you want',
  });
}

async function rebuild(
  context: Context,
  workspace: Workspace,
  chosen: OwnedRemote | undefined,
): Promise<number | undefined> {
  const { rebuildIndex } = await import('../../flow/repair/rebuild-index.ts');
  const { signal, progress, options } = context;
  const report = await rebuildIndex(workspace, chosen, { signal, progress, jobs: options.jobs });
  const { packs, chunks, indexesWritten, unreadable, code } = report;
  context.result(
    report,
    unreadable.map((key) => `${label(context, 'damage')}  ${printable(key)}`),
  );
  context.note(
    `Made the index of ${count(packs, 'pack')} again (${count(chunks, 'chunk')}); ${count(indexesWritten, 'index object')} had to be written`,
  );
  if (code === null) return undefined;
  context.note('The end of these packs cannot be read: run "mstore verify --repair"');
  return exitCodeOf(code);
}

async function verifyFor(
  context: Context,
  workspace: Workspace,
  args: Args,
  chosen: OwnedRemote | undefined,
): Promise<VerifyReport> {
  const [{ verify }, { parseSubset }, { findVerified }] = await Promise.all([
    import('../../flow/verify/verify.ts'),
    import('../../flow/verify/subset.ts'),
    import('../../flow/verify/targets.ts'),
  ]);
  const { signal, progress, options, surroundings } = context;
  const text = textOf(args, 'subset');
  const given = listOf(args, 'target');
  const isRepair = flagOf(args, 'repair');
  return verify(workspace, chosen, {
    signal,
    progress,
    jobs: options.jobs,
    subset: text === undefined ? undefined : parseSubset(text, surroundings.clock.now()),
    targets:
      given.length === 0
        ? undefined
        : await findVerified(workspace, given, context.cwd, chosen?.remote),
    repairFrom: isRepair ? await otherRemotes(context, workspace, chosen) : undefined,
  });
}

/** The remotes that a repair may ask: all but the one that is repaired. */
async function otherRemotes(
  context: Context,
  workspace: Workspace,
  chosen: OwnedRemote | undefined,
): Promise<RemoteChoice[]> {
  if (workspace.config.remotes().length === 0) return [];
  const { chooseFetchRemotes } = await import('../../flow/several-remotes.ts');
  const choices = await chooseFetchRemotes(workspace, [], context.cwd);
  return choices.filter(
    (choice) =>
      choice.name !== chosen?.name &&
      !('remote' in choice && choice.remote.location === chosen?.remote.location),
  );
}

/** Shows what was found: damage first, then what was healed, then what is only worth knowing. */
function lines(context: Context, { findings, findingsMore }: VerifyReport): string[] {
  const shown: string[] = [];
  const states = ['damage', 'healed', 'notice'] as const;
  for (const state of states) {
    const some = findings.filter((finding) => stateOf(finding) === state);
    for (const finding of some.slice(0, findingsShown))
      shown.push(...findingLines(context, finding));
    const more = some.length - findingsShown;
    if (more > 0)
      shown.push(
        `${label(context, state)}  and ${count(more, 'more finding')} (--json lists them)`,
      );
  }
  if (findingsMore > 0)
    shown.push(`and ${count(findingsMore, 'more finding')} that were only counted`);
  return shown;
}

function stateOf({ healed, severity }: Finding): 'healed' | 'damage' | 'notice' {
  return healed ? 'healed' : severity;
}

function label({ paint }: Context, state: 'healed' | 'damage' | 'notice'): string {
  return {
    damage: paint.bad('damage'),
    healed: paint.good('healed'),
    notice: paint.faint('notice'),
  }[state];
}

function findingLines(context: Context, finding: Finding): string[] {
  const { key, message, harms, harmsMore, repair } = finding;
  const below = (text: string): string[] =>
    wrap(printable(text), Math.max(40, context.width - 8)).map((line) => `        ${line}`);
  const more = harms.length - harmsShown + harmsMore;
  const named = harms.slice(0, harmsShown).join('; ') + (more > 0 ? `; and ${more} more` : '');
  return [
    `${label(context, stateOf(finding))}  ${printable(key ?? '')}`,
    ...below(message),
    ...(harms.length === 0 ? [] : below(`${finding.healed ? 'Harmed' : 'Harms'}: ${named}`)),
    ...(repair === undefined ? [] : below(repair)),
  ];
}

function summary(context: Context, report: VerifyReport): void {
  const { packs, packBytes, recipes, contents, seconds, absent, findings, damage } = report;
  const rate =
    seconds > 0 ? `, ${formatBytes(Math.round((packBytes + report.bytesHashed) / seconds))}/s` : '';
  const where = report.remote === undefined ? 'the local store' : printable(report.remote);
  const slice = report.slice === undefined ? '' : ` (${report.slice} of all names)`;
  context.note(
    `Verified ${where}${slice}: ${count(packs, 'pack')} (${formatBytes(packBytes)}), ${count(recipes, 'recipe')}, ${count(contents, 'version')} of files, in ${formatSeconds(seconds)}${rate}`,
  );
  if (absent.blobs > 0 && report.place === 'local') {
    const more = absent.contents - absent.names.length;
    const names = absent.names.map(printable).join(', ') + (more > 0 ? ` and ${more} more` : '');
    context.note(`Not here, and no damage: ${formatBytes(absent.bytes)} of ${names}`);
  }
  for (const from of report.repairedFrom ?? []) context.note(`Healed from ${printable(from)}`);
  for (const text of report.notAsked ?? []) context.warn(printable(text));
  const healed = findings.filter((finding) => finding.healed).length;
  if (healed > 0) context.note(`Healed ${count(healed, 'finding')}`);
  if (damage === 0) context.note('No damage is left');
  else {
    context.note(`${count(damage, 'finding')} of damage`);
    for (const hint of new Set(hintsOf(report))) context.note(`hint: ${printable(hint)}`);
  }
}

function hintsOf({ findings }: VerifyReport): string[] {
  return findings.flatMap((finding) =>
    stateOf(finding) === 'damage' && finding.hint !== undefined ? [finding.hint] : [],
  );
}
