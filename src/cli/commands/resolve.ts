import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { ResolvedModel } from '../../flow/resolve/resolve.ts';
import { rateAbout } from '../../worktree/rate.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';
import { chooseOptions } from './moving.ts';

const dayMs = 24 * 60 * 60 * 1000;

export const resolveCommand: Command = {
  positionals: '[ref]',
  options: (parser) =>
    parser
      .positional('ref', {
        type: 'string',
        describe:
          'MODEL@VERSION, MODEL@ENVIRONMENT, a revision of Git, hf:ORG/NAME[@REV], s3://…, gs://…, https://…#sha256=DIGEST, local:DIR; default: MODEL_REF or ML_MODEL_REF',
      })
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'Write to this directory, whole or not at all; default: a place in the cache',
      })
      .option('force', {
        type: 'boolean',
        describe: 'With --to, replace a directory that holds something else',
      })
      .option('remote', {
        type: 'string',
        requiresArg: true,
        describe: 'Name, URL or directory of a remote; once for each of several',
      })
      .option('rate-limit', { type: 'string', requiresArg: true, describe: rateAbout })
      .option('lock', {
        type: 'string',
        requiresArg: true,
        describe: 'Take what this file pins, and pin in it what it lacks',
      })
      .option('update', {
        type: 'boolean',
        describe: 'With --lock, pin anew what the reference names now',
      })
      .option('frozen', {
        type: 'boolean',
        describe: 'With --lock, pin nothing, and fail where the reference has moved',
      })
      .option('env-file', {
        type: 'string',
        requiresArg: true,
        describe: 'Read variables from this file too; the environment wins',
      })
      .option('prune', {
        type: 'number',
        requiresArg: true,
        describe: 'Remove from the cache what nobody asked for in so many days',
      }),
  examples: [
    ['cd "$(mstore resolve bert@production)"', 'Have what is live now here, and go there'],
    [
      'mstore resolve hf:org/name@main --lock models.lock',
      'Pin what a branch names, for everybody',
    ],
    [
      'mstore resolve --lock models.lock --frozen',
      'Start a service with what MODEL_REF names, or not at all',
    ],
    ['mstore resolve --prune 30', 'Free the cache of models that nobody uses'],
  ],
  async run(context, args) {
    if (args['prune'] !== undefined) await prune(context, args);
    else await resolve(context, args);
    return undefined;
  },
};

async function resolve(context: Context, args: Args): Promise<void> {
  const { resolveModel } = await import('../../flow/resolve/resolve.ts');
  const { cwd, surroundings, signal, progress, options } = context;
  const result = await resolveModel(textOf(args, 'ref'), {
    cwd,
    surroundings,
    signal,
    progress,
    jobs: options.jobs,
    remotes: listOf(args, 'remote'),
    choose: chooseOptions(args),
    to: placeOf(context, args, 'to'),
    force: flagOf(args, 'force'),
    lock: placeOf(context, args, 'lock'),
    update: flagOf(args, 'update'),
    frozen: flagOf(args, 'frozen'),
    envFile: placeOf(context, args, 'env-file'),
    // This process ends at once; whoever called it goes on with what it prints.
    holder: process.ppid,
  });
  tell(context, result);
  const { files, locked, ...rest } = result;
  const document = {
    ...rest,
    files: files.length,
    ...(locked === undefined ? {} : { locked: { pin: locked.pin, before: locked.before ?? null } }),
  };
  context.result(document, [result.directory]);
}

function placeOf({ cwd }: Context, args: Args, name: string): string | undefined {
  const given = textOf(args, name);
  if (given === '')
    throw new MstoreError('usage', `--${name} names nothing`, { hint: `Write --${name} PATH` });
  return given === undefined ? undefined : path.resolve(cwd, given);
}

const doneTexts = {
  kept: 'was there, every byte right',
  written: 'written and verified',
  healed: 'written anew, as what was there was damaged',
} as const;

function tell(context: Context, result: ResolvedModel): void {
  const { reference, exact, files, size, done, locked, warnings } = result;
  for (const warning of warnings) context.warn(printable(warning));
  const name =
    reference === exact ? printable(exact) : `${printable(reference)} is ${printable(exact)}`;
  context.note(`${name}: ${count(files.length, 'file')}, ${formatBytes(size)}, ${doneTexts[done]}`);
  if (locked === undefined) return;
  const { pin, before } = locked;
  if (before === undefined) context.note('Pinned in the lock file: commit it');
  else if (before.exact !== pin.exact || before.tree !== pin.tree) {
    context.note(`Pinned anew: it was ${printable(before.exact)}`);
  }
}

async function prune(context: Context, args: Args): Promise<void> {
  const given = Number(args['prune']);
  const others = ['ref', 'to', 'lock', 'update', 'frozen', 'env-file', 'remote', 'force'];
  const other = others.find((name) => args[name] !== undefined);
  if (other !== undefined || !Number.isSafeInteger(given) || given < 0) {
    throw new MstoreError('usage', '--prune takes a number of days, and nothing beside it', {
      hint: 'Write mstore resolve --prune 30',
    });
  }
  const { ModelCache } = await import('../../flow/resolve/model-cache.ts');
  const { surroundings, signal } = context;
  const cache = new ModelCache(surroundings);
  const usedSince = surroundings.clock.now() - given * dayMs;
  const result = await cache.prune({ usedSince, signal });
  const held = result.held === 0 ? '' : `; ${result.held} held by programs that run`;
  context.note(
    `Removed ${count(result.removed, 'model')}, ${formatBytes(result.bytesFreed)}, from ${printable(cache.folder)}${held}`,
  );
  context.result({ ...result, cache: cache.folder }, []);
}
