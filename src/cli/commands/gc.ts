import * as path from 'node:path';
import { exitCodes, MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { Evicted } from '../../flow/gc/evict.ts';
import type { GcResult, TakenBack } from '../../flow/gc/gc.ts';
import type { GcOptions } from '../../flow/gc/options.ts';
import type { GcPlace } from '../../flow/gc/place.ts';
import type { PendingMark } from '../../flow/gc/sweep.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, formatSeconds, parseSize, parseSpan, table } from '../text.ts';
import { chosenPlace, chosenRemote } from './places.ts';

/** Lines about what is not kept any more. */
const namesMax = 20;

export const gcCommand: Command = {
  positionals: '',
  options: (parser) =>
    parser
      .option('remote', {
        type: 'string',
        describe:
          'Clean up a remote (its name, URL or directory; alone: the default), not the local store',
      })
      .option('dry-run', { type: 'boolean', describe: 'Say what would be removed; change nothing' })
      .option('keep-last', {
        type: 'string',
        requiresArg: true,
        describe: 'Of the history of Git, keep the newest N versions of each path',
      })
      .option('keep-within', {
        type: 'string',
        requiresArg: true,
        describe: 'Keep the versions of this time, and the one before: 90d, 12w',
      })
      .option('keep-tag', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'Keep the versions of tags that fit the pattern: "v*"',
      })
      .option('grace', {
        type: 'string',
        requiresArg: true,
        describe:
          'Time between finding that nothing needs an object and removing it (remotes 7d), or since it was written (local store 1h)',
      })
      .option('forget', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'With --remote: a repository (32 digits) that needs nothing there any more',
      })
      .option('rewrite', {
        type: 'boolean',
        default: true,
        describe: 'Write packs anew of which half is not needed (--no-rewrite: leave them)',
      })
      .option('max-size', {
        type: 'string',
        requiresArg: true,
        describe:
          'Then remove from the local store what remotes hold, least recently used first, until it fits: 50G',
      })
      .option('plan', {
        type: 'string',
        requiresArg: true,
        describe: 'Write down what would be removed',
      })
      .option('apply', {
        type: 'string',
        requiresArg: true,
        describe: 'Remove what a plan names, and nothing else',
      })
      .option('undo', {
        type: 'boolean',
        describe: 'Take back what waits to be removed, as long as its grace period lasts',
      }),
  examples: [
    ['mstore gc', 'Free what no pointer, commit or version needs in the local store'],
    ['mstore gc --keep-last 3 --keep-tag "v*" --dry-run', 'See what a shorter history would free'],
    [
      'mstore gc --remote origin',
      'Mark what nobody needs there; remove what was marked a week ago',
    ],
    ['mstore gc --remote --undo', 'Keep what was marked after all'],
    ['mstore gc --remote --plan plan.json', 'Write a plan, to be read before it is applied'],
    ['mstore gc --remote --apply plan.json', 'Apply it'],
  ],
  async run(context, args) {
    const options = optionsOf(args);
    const gc = await import('../../flow/gc/gc.ts');
    const workspace = await context.workspace();
    const { signal, progress, cwd } = context;
    const { jobs } = context.options;
    const chosen = await chosenRemote(context, workspace, args);
    const place = await chosenPlace(context, workspace, chosen);
    const how = { ...options, signal, progress, jobs };
    if (flagOf(args, 'undo')) {
      tellTakenBack(context, await gc.takeBack(workspace, place, undefined, how));
      return undefined;
    }
    const planFile = textOf(args, 'plan');
    if (planFile !== undefined) {
      const file = path.resolve(cwd, planFile);
      tell(context, await gc.writePlan(workspace, place, file, how));
      context.note(`Wrote the plan ${printable(planFile)}; apply it with --apply`);
      return undefined;
    }
    const applied = textOf(args, 'apply');
    const plan =
      applied === undefined ? undefined : await gc.readPlan(place, path.resolve(cwd, applied), how);
    const result = await gc.cleanUp(workspace, place, { ...how, plan });
    await endUploads(context, workspace, chosen && { chosen, place }, how);
    const bytesMax = sizeOf(args);
    const evicted =
      bytesMax === undefined ? undefined : await shrink(context, workspace, place, bytesMax, how);
    tell(context, result, evicted);
    const { refused } = result;
    return refused === undefined || refused.retained ? undefined : exitCodes.remote;
  },
};

/** Removes what remotes hold from the local store, until the rest fits. */
async function shrink(
  { cwd }: Context,
  workspace: Workspace,
  place: GcPlace,
  bytesMax: number,
  how: GcOptions,
): Promise<Evicted> {
  const [{ evict }, { chooseToClear, listRemotes }] = await Promise.all([
    import('../../flow/gc/evict.ts'),
    import('../../flow/remotes.ts'),
  ]);
  const remotes = [];
  for (const { name } of listRemotes(workspace)) {
    remotes.push(await chooseToClear(workspace, name, cwd));
  }
  return evict(workspace, place, remotes, { ...how, bytesMax });
}

/** Ends uploads that killed pushes left, when they are so old that none can be under way. */
async function endUploads(
  context: Context,
  workspace: Workspace,
  of:
    | {
        chosen: Parameters<typeof import('../../flow/remote-uploads.ts').unfinishedUploads>[1];
        place: GcPlace;
      }
    | undefined,
  { dryRun = false, graceMs = uploadAgeMs, signal }: GcOptions,
): Promise<void> {
  if (of?.chosen.remote.uploads === undefined) return;
  const { unfinishedUploads } = await import('../../flow/remote-uploads.ts');
  const endOlderThanMs = Math.max(graceMs, uploadAgeMsMin);
  const { uploads } = await unfinishedUploads(workspace, of.chosen, {
    endOlderThanMs,
    dryRun,
    signal,
  });
  const old = uploads.filter(({ state }) => state !== 'kept');
  if (old.length === 0) return;
  const done = dryRun ? 'Would end' : 'Ended';
  context.note(`${done} ${count(old.length, 'upload')} that killed pushes left`);
}

const uploadAgeMs = 7 * 86_400_000;
const uploadAgeMsMin = 86_400_000;

function sizeOf(args: Args): number | undefined {
  const text = textOf(args, 'max-size');
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes === undefined) throw wrong('max-size', text, 'Write a size such as 500M or 50G');
  const other = ['remote', 'apply'].find((name) => textOf(args, name) !== undefined);
  if (other === undefined) return bytes;
  throw new MstoreError('usage', `--max-size and --${other} do not go together`, {
    hint: 'It is about the local store: run it apart',
  });
}

function optionsOf(args: Args): GcOptions {
  sizeOf(args);
  const last = textOf(args, 'keep-last');
  const within = textOf(args, 'keep-within');
  const tags = listOf(args, 'keep-tag');
  const grace = textOf(args, 'grace');
  const forget = listOf(args, 'forget');
  const isRemote = textOf(args, 'remote') !== undefined;
  const hasPolicy = last !== undefined || within !== undefined || tags.length > 0;
  refuseTogether(args, hasPolicy, forget.length > 0);
  if (last !== undefined && !/^[1-9]\d{0,8}$/.test(last)) {
    throw wrong('keep-last', last, 'Write a whole number from 1 on');
  }
  const withinMs = within === undefined ? undefined : parseSpan(within);
  if (within !== undefined && withinMs === undefined) {
    throw wrong('keep-within', within, 'Write a time such as 24h, 90d or 12w');
  }
  const graceMs = grace === undefined ? undefined : grace === '0' ? 0 : parseSpan(grace);
  if (grace !== undefined && graceMs === undefined) {
    throw wrong('grace', grace, 'Write a time such as 24h or 7d, or 0');
  }
  const odd = forget.find((repository) => !/^[0-9a-f]{32}$/.test(repository));
  if (odd !== undefined) {
    throw wrong('forget', odd, 'Write the 32 digits that core.repository has in that repository');
  }
  if (forget.length > 0 && !isRemote) {
    throw new MstoreError('usage', '--forget is about a remote', {
      hint: 'Add --remote NAME',
    });
  }
  const policy = hasPolicy
    ? {
        last: last === undefined ? undefined : Number(last),
        withinMs,
        tags: tags.length === 0 ? undefined : tags,
      }
    : undefined;
  return {
    dryRun: flagOf(args, 'dry-run'),
    graceMs,
    policy,
    forget,
    ...(flagOf(args, 'rewrite') ? {} : { rewriteShare: 2 }),
  };
}

/** A plan says by itself what is given up, and taking back needs nothing else. */
function refuseTogether(args: Args, hasPolicy: boolean, forgets: boolean): void {
  const given = ['plan', 'apply', 'undo', 'dry-run'].filter((name) =>
    name === 'undo' || name === 'dry-run' ? flagOf(args, name) : textOf(args, name) !== undefined,
  );
  const isPlain = given.length === 0 || (given.length === 1 && given[0] !== undefined);
  const isDryApply = given.length === 2 && given.includes('apply') && given.includes('dry-run');
  if (!isPlain && !isDryApply) {
    const names = given.map((name) => `--${name}`).join(' and ');
    throw new MstoreError('usage', `${names} do not go together`, {
      hint: 'Run "mstore gc --help"',
    });
  }
  const saysItself = given.includes('apply') ? '--apply' : given.includes('undo') ? '--undo' : '';
  if (saysItself !== '' && (hasPolicy || forgets)) {
    throw new MstoreError('usage', `${saysItself} takes no options about what to keep`, {
      hint: 'Give them when the plan is made, or to a clean-up without a plan',
    });
  }
}

function wrong(option: string, value: string, hint: string): MstoreError {
  return new MstoreError('usage', `--${option} cannot be ${printable(value)}`, { hint });
}

function tell(context: Context, result: GcResult, evicted?: Evicted): void {
  const { place, dryRun, kept, marked, givenUp, youngBytes, rewritten, swept, pending } = result;
  for (const warning of result.warnings) context.warn(warning);
  if (result.refused !== undefined) {
    context.warn(printable(`${result.refused.message}. ${result.refused.hint}`));
  }
  const shown = givenUp.slice(0, namesMax);
  const rows = shown.map(({ name, size }) => [name, formatBytes(size)]);
  context.result(evicted === undefined ? result : { ...result, evicted }, table(rows, [1]));
  if (givenUp.length > shown.length) {
    context.note(`and ${givenUp.length - shown.length} more versions that are not kept`);
  }
  const name = printable(place);
  context.note(`${name} needs ${formatBytes(kept.bytes)} in ${count(kept.packs, 'pack')}`);
  const would = dryRun ? 'Would remove' : 'Found needless';
  if (marked.bytes > 0) context.note(`${would}: ${amount(marked)}`);
  if (rewritten.packs > 0) {
    const what = `${count(rewritten.packs, 'pack')}, ${formatBytes(rewritten.bytes)}, of which little is needed`;
    context.note(`${dryRun ? 'Would write' : 'Wrote'} anew: ${what}`);
  }
  if (swept.packs + swept.recipes + swept.roots > 0) context.note(`Removed ${amount(swept)}`);
  if (swept.rescued > 0) {
    context.note(`Kept ${count(swept.rescued, 'pack')} that was needed again`);
  }
  for (const one of pending) context.note(pendingLine(one));
  if (youngBytes > 0) {
    context.note(
      `Left ${formatBytes(youngBytes)} that was just written, for commands that may be under way; --grace 0 takes it too`,
    );
  }
  if (evicted !== undefined) tellEvicted(context, evicted);
  const isNothing = marked.bytes + rewritten.packs + swept.packs + swept.recipes + youngBytes === 0;
  if (isNothing && pending.length === 0 && evicted === undefined) {
    context.note('Nothing to clean up');
  }
}

function tellEvicted(context: Context, evicted: Evicted): void {
  const { dryRun, packs, bytesBefore, bytesAfter, unsaved } = evicted;
  for (const warning of evicted.warnings) context.warn(warning);
  const what = `${formatBytes(bytesBefore - bytesAfter)} in ${count(packs, 'pack')}`;
  context.note(
    packs === 0
      ? `The local store takes ${formatBytes(bytesAfter)}`
      : `${dryRun ? 'Would remove' : 'Removed'} ${what} that remotes hold; ${formatBytes(bytesAfter)} stay`,
  );
  if (unsaved > 0) {
    context.note(`Kept ${count(unsaved, 'older pack')} that no remote holds whole: push first`);
  }
}

function amount({
  packs,
  recipes,
  bytes,
}: {
  packs: number;
  recipes: number;
  bytes: number;
}): string {
  return `${formatBytes(bytes)} (${count(packs, 'pack')}, ${count(recipes, 'recipe')})`;
}

function pendingLine({ bytes, dueInSeconds, reason }: PendingMark): string {
  const when = dueInSeconds === 0 ? 'by the next clean-up' : `in ${spanOf(dueInSeconds)}`;
  return `${formatBytes(bytes)} can be removed ${when} (${printable(reason)}); --undo keeps it`;
}

function spanOf(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  return days >= 2 ? count(days, 'day') : formatSeconds(seconds);
}

function tellTakenBack(context: Context, result: TakenBack): void {
  for (const warning of result.warnings) context.warn(printable(warning));
  context.result(result, []);
  const bytes = result.marks.reduce((sum, one) => sum + one.bytes, 0);
  context.note(
    result.marks.length === 0
      ? `Nothing waits to be removed from ${printable(result.place)}`
      : `Kept ${formatBytes(bytes)} in ${printable(result.place)} that waited to be removed`,
  );
}
