import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { UnfinishedUpload, UploadsResult } from '../../flow/remote-uploads.ts';
import { type Args, flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, formatSeconds, parseSpan, table } from '../text.ts';

/** A push may be at one object for long, and clocks differ. */
const ageMsMin = 3_600_000;

/** `mstore remote uploads`: lists what pushes that died have left, and ends what is old. */
export async function remoteUploads(context: Context, args: Args): Promise<undefined> {
  const how = uploadsOptions(args);
  const [{ unfinishedUploads }, { chooseToClear }] = await Promise.all([
    import('../../flow/remote-uploads.ts'),
    import('../../flow/remotes.ts'),
  ]);
  const workspace = await context.workspace();
  const chosen = await chooseToClear(workspace, textOf(args, 'name'), context.cwd);
  const { signal } = context;
  const result = await unfinishedUploads(workspace, chosen, { ...how, signal });
  context.result(result, table(result.uploads.map(rowOf), [1, 2]));
  if (result.listable) note(context, result);
  else if (chosen.isService) {
    context.note('This service does not list unfinished uploads; it forgets them after a week');
  } else context.note('A directory has none: the next push clears what a killed one left');
  return undefined;
}

function uploadsOptions(args: Args): { endOlderThanMs: number | undefined; dryRun: boolean } {
  const text = textOf(args, 'end-older-than');
  const dryRun = flagOf(args, 'dry-run');
  const endOlderThanMs = text === undefined ? undefined : parseSpan(text);
  if (text === undefined && dryRun) {
    throw new MstoreError('usage', '--dry-run does nothing without --end-older-than', {
      hint: 'Write --end-older-than 24h --dry-run; without both, nothing is ended',
    });
  }
  if (text !== undefined && (endOlderThanMs === undefined || endOlderThanMs < ageMsMin)) {
    throw new MstoreError('usage', `--end-older-than cannot be ${printable(text)}`, {
      hint: 'Write an age of an hour or more, such as 24h or 7d: younger uploads may be under way',
    });
  }
  return { endOlderThanMs, dryRun };
}

function rowOf({ key, ageSeconds, bytes, state }: UnfinishedUpload): string[] {
  return [
    printable(key),
    ageSeconds === undefined ? 'age unknown' : formatSeconds(ageSeconds),
    bytes === undefined ? 'size unknown' : formatBytes(bytes),
    { kept: '', ended: 'ended', 'would-end': 'would be ended' }[state],
  ].slice(0, state === 'kept' ? 3 : 4);
}

function note(context: Context, { uploads, more, remote }: UploadsResult): void {
  const sum = (some: readonly UnfinishedUpload[]) =>
    formatBytes(some.reduce((total, { bytes = 0 }) => total + bytes, 0));
  const chosen = uploads.filter(({ state }) => state !== 'kept');
  context.note(
    `${count(uploads.length, 'unfinished upload')} on ${printable(remote)}, ${sum(uploads)}`,
  );
  if (chosen.length > 0) {
    const done = chosen.some(({ state }) => state === 'ended') ? 'Ended' : 'Would end';
    context.note(`${done} ${count(chosen.length, 'upload')}, ${sum(chosen)}`);
  }
  if (more) context.note('There are more: run the same command again when these are ended');
}
