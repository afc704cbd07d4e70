import * as path from 'node:path';
import type { Argv } from 'yargs';
import { errorDocument } from '../../base/error-document.ts';
import { exitCodes, isMstoreError, MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { ShareKind } from '../../flow/sync/build.ts';
import type { LookResult } from '../../flow/sync/look.ts';
import type { SyncOptions } from '../../flow/sync/session.ts';
import type { SyncEvent } from '../../flow/sync/watch.ts';
import { rateAbout } from '../../worktree/rate.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, formatSeconds } from '../text.ts';
import { chooseOptions } from './moving.ts';

const shareKinds = ['reflink', 'hardlink', 'copy'] as const;
/** Bounds of numbers of options. */
const bounds = {
  keep: { min: 2, max: 1000, unit: '' },
  every: { min: 1, max: 86_400, unit: ' seconds' },
  'check-timeout': { min: 1, max: 86_400, unit: ' seconds' },
  'exec-timeout': { min: 1, max: 86_400, unit: ' seconds' },
} as const;

export const syncCommand: Command = {
  positionals: '<model>',
  options: (parser) => hookOptions(placeOptions(parser)),
  examples: [
    [
      'mstore sync bert --env production --to /srv/bert --remote s3://bucket/models',
      'Have what is live now in /srv/bert/current, or fail',
    ],
    [
      "mstore sync bert --env production --to /srv/bert --watch --check 'python3 try.py' --after 'systemctl reload bert'",
      'Follow the environment: try each version, switch, reload',
    ],
    ['mstore sync bert --env production --to /srv/bert --allow-stale', 'Start without a network'],
  ],
  async run(context, args) {
    const options = readOptions(context, args);
    if (!flagOf(args, 'watch')) return once(context, options);
    return watch(context, options, numberOf(args, 'every'));
  },
};

function placeOptions(parser: Argv): Argv {
  const text = { type: 'string', requiresArg: true } as const;
  return parser
    .positional('model', { type: 'string', describe: 'The model' })
    .option('env', {
      ...text,
      demandOption: 'Name the environment with --env',
      describe: 'The environment that is followed',
    })
    .option('to', {
      ...text,
      demandOption: 'Name the directory with --to',
      describe: 'Directory for the versions and the link current',
    })
    .option('remote', {
      ...text,
      describe: 'Name, URL or directory of a remote; once for each of several',
    })
    .option('rate-limit', { ...text, describe: rateAbout })
    .option('once', {
      type: 'boolean',
      conflicts: 'watch',
      describe: 'Look once, then end; what it does without --watch',
    })
    .option('watch', { type: 'boolean', describe: 'Go on, and follow what becomes live' })
    .option('every', {
      ...text,
      implies: 'watch',
      describe: 'Seconds between two looks, 1 to 86400; 30 by default',
    })
    .option('keep', {
      ...text,
      describe: 'Versions that stay, the live one among them; 2 by default, and at least',
    })
    .option('link', {
      ...text,
      describe: `How versions share unchanged files: ${shareKinds.join(', ')}; reflink,copy by default`,
    })
    .option('receipt', {
      ...text,
      describe: 'File that says what is live and verified; default: receipt.json in the directory',
    })
    .option('allow-stale', {
      type: 'boolean',
      describe: 'Where no remote can be asked, take what is here if it is whole',
    })
    .option('take-history', {
      type: 'boolean',
      describe: 'Follow the history that is there, though another one was followed before',
    });
}

function hookOptions(parser: Argv): Argv {
  const text = { type: 'string', requiresArg: true } as const;
  return parser
    .option('check', { ...text, describe: 'Command that must end with 0 before the switch' })
    .option('check-timeout', { ...text, describe: 'Seconds that it may take; 300 by default' })
    .option('before', { ...text, describe: 'Command before the switch, after the check' })
    .option('after', {
      ...text,
      describe: 'Command after the switch; where it fails, the switch is taken back',
    })
    .option('exec', {
      ...text,
      conflicts: ['before', 'after'],
      describe: 'One command for both: MSTORE_STEP says before, after or back',
    })
    .option('exec-timeout', { ...text, describe: 'Seconds that each of these may take; 300' });
}

function readOptions(context: Context, args: Args): SyncOptions {
  const { cwd, signal, progress, options } = context;
  const seconds = (name: 'check-timeout' | 'exec-timeout'): number | undefined => {
    const value = numberOf(args, name);
    return value === undefined ? undefined : value * 1000;
  };
  const exec = commandOf(args, 'exec');
  return {
    model: textOf(args, 'model') ?? '',
    environment: textOf(args, 'env') ?? '',
    to: pathOf(context, args, 'to') ?? cwd,
    cwd,
    signal,
    progress,
    jobs: options.jobs,
    remotes: listOf(args, 'remote'),
    choose: chooseOptions(args),
    keep: numberOf(args, 'keep'),
    link: linkOf(args),
    receipt: pathOf(context, args, 'receipt'),
    allowStale: flagOf(args, 'allow-stale'),
    takeHistory: flagOf(args, 'take-history'),
    hooks: {
      check: commandOf(args, 'check'),
      before: exec ?? commandOf(args, 'before'),
      after: exec ?? commandOf(args, 'after'),
      checkMsMax: seconds('check-timeout'),
      hookMsMax: seconds('exec-timeout'),
    },
    warn: (text) => context.warn(printable(text)),
    output: (bytes) => void process.stderr.write(bytes),
  };
}

function numberOf(args: Args, name: keyof typeof bounds): number | undefined {
  const text = textOf(args, name);
  if (text === undefined) return undefined;
  const { min, max, unit } = bounds[name];
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new MstoreError('usage', `--${name} cannot be ${printable(text)}`, {
    hint: `Write a whole number from ${min} to ${max}${unit}`,
  });
}

function pathOf({ cwd }: Context, args: Args, name: string): string | undefined {
  const text = textOf(args, name);
  if (text === undefined) return undefined;
  if (text !== '') return path.resolve(cwd, text);
  throw new MstoreError('usage', `--${name} names nothing`, { hint: `Write --${name} PATH` });
}

function commandOf(args: Args, name: string): string | undefined {
  const text = textOf(args, name);
  if (text === undefined || text.trim() !== '') return text;
  throw new MstoreError('usage', `--${name} names no command`, {
    hint: 'Leave it out, or write a command line for the shell',
  });
}

function linkOf(args: Args): ShareKind[] | undefined {
  const text = textOf(args, 'link');
  if (text === undefined) return undefined;
  const kinds = text.split(',').map((kind) => kind.trim());
  if (kinds.every((kind) => shareKinds.includes(kind as ShareKind))) return kinds as ShareKind[];
  throw new MstoreError('usage', `--link cannot be ${printable(text)}`, {
    hint: `Ways: ${shareKinds.join(', ')}; several are tried in the order given, and a copy comes last`,
  });
}

async function once(context: Context, options: SyncOptions): Promise<undefined> {
  const { syncOnce } = await import('../../flow/sync/sync.ts');
  const result = await syncOnce(options, context.surroundings);
  context.note(lineOf(result));
  context.result(result, [result.receipt.directory]);
}

async function watch(
  context: Context,
  options: SyncOptions,
  every: number | undefined,
): Promise<number> {
  const { syncWatch } = await import('../../flow/sync/watch.ts');
  await syncWatch(
    {
      ...options,
      everyMs: every === undefined ? undefined : every * 1000,
      onEvent: (event) => tellEvent(context, event),
      onWake: context.onHangup,
    },
    context.surroundings,
  );
  // To be ended is what a service is there for; Ctrl-C ends it as it ends all else.
  if (context.endedBy() !== 'SIGTERM') return exitCodes.interrupted;
  context.event({ event: 'stopped' }, 'Stopped; what is live stays');
  return exitCodes.done;
}

function lineOf({ receipt, switched, previous, done, bytesReceived, ...rest }: LookResult): string {
  const { model, version, environment, verified, stale } = receipt;
  const name = `${model}@${version}`;
  const size = `${count(verified.files, 'file')}, ${formatBytes(verified.bytes)}`;
  if (stale) return `${name} stays: ${size}, every byte right`;
  if (!switched) {
    const how = done === 'kept' ? 'every byte right' : 'built anew, as it was damaged';
    return `${name} is live in ${environment}: ${size}, ${how}`;
  }
  const before = previous === undefined ? '' : ` (was ${previous})`;
  const got = `received ${formatBytes(bytesReceived)}`;
  const shared = rest.bytesShared === 0 ? '' : `, shared ${formatBytes(rest.bytesShared)}`;
  return `${name} is live in ${environment}${before}: ${size}, verified; ${got}${shared}`;
}

function tellEvent(context: Context, event: SyncEvent): void {
  switch (event.event) {
    case 'synced':
      context.event(event, lineOf(event));
      return;
    case 'reachable':
      context.event(event, 'A remote answers again');
      return;
    case 'unreachable':
      tellError(context, event, 'what is live stays');
      return;
    case 'refused':
      tellError(context, event, 'it is not tried again before the environment has a new entry');
      return;
    case 'failed':
      tellError(context, event, `next look in ${formatSeconds(event.retryMs / 1000)}`);
  }
}

/** Tells of an error after which the work goes on. */
function tellError(
  context: Context,
  { error, ...event }: Extract<SyncEvent, { readonly error: MstoreError }>,
  then: string,
): void {
  const { options } = context;
  if (options.json || options.jsonEvents) {
    context.event({ ...event, ...errorDocument(error) }, '');
    return;
  }
  const hint = isMstoreError(error) && error.hint !== undefined ? `. ${error.hint}` : '';
  context.warn(printable(`${error.message} [${error.code}]; ${then}${hint}`));
}
