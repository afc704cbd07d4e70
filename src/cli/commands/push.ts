import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { PushResult } from '../../flow/push.ts';
import type { PushOutcome } from '../../flow/push-all.ts';
import { type Command, listOf } from '../command.ts';
import { type Context, errorDocument } from '../context.ts';
import { count } from '../text.ts';
import { chooseOptions, chooseVersions, remoteOptions } from './moving.ts';

export const pushCommand: Command = {
  positionals: '[target..]',
  options: remoteOptions,
  examples: [
    ['mstore push', 'Send what the pointers here name to the default remote'],
    ['mstore push --all-versions', 'Send every version that Git knows'],
    ['mstore push v1 models/bert --remote backup', 'Send one path of one tag elsewhere'],
    ['mstore push --remote origin --remote backup', 'Send to two remotes'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { pushToAll } = await import('../../flow/push-all.ts');
    const { choosePushRemotes } = await import('../../flow/several-remotes.ts');
    const tracked = await chooseVersions(context, workspace, args);
    const names = listOf(args, 'remote');
    const remotes = await choosePushRemotes(workspace, names, context.cwd, chooseOptions(args));
    const { signal, progress } = context;
    const { jobs } = context.options;
    const outcomes = await pushToAll(workspace, tracked, remotes, { signal, progress, jobs });
    const first = outcomes.flatMap((one) => ('error' in one ? [one.error] : []))[0];
    if (first !== undefined && outcomes.length === 1) throw first;
    for (const outcome of outcomes) tellOutcome(context, outcome);
    context.result(documentOf(outcomes, first), []);
    return first?.exitCode;
  },
};

function tellOutcome(context: Context, outcome: PushOutcome): void {
  const remote = printable(outcome.remote);
  if ('error' in outcome) {
    const { code, message, hint } = outcome.error;
    const options = hint === undefined ? {} : { hint };
    context.fail(new MstoreError(code, `Push to ${remote} failed. ${message}`, options));
    return;
  }
  const { bytesSent, chunksSent, packsSent } = outcome.result;
  if (bytesSent === 0) context.note(`${remote} has everything already; sent 0 bytes`);
  else {
    context.note(
      `Sent ${formatBytes(bytesSent)} (${count(chunksSent, 'chunk')}, ${count(packsSent, 'pack')}) to ${remote}`,
    );
  }
}

/** The document of a push: sums over the remotes, each of them, and the first failure. */
function documentOf(outcomes: readonly PushOutcome[], failure: MstoreError | undefined): object {
  const results = outcomes.flatMap((one) => ('result' in one ? [one.result] : []));
  const sum = (of: (result: PushResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  return {
    ...results[0],
    chunksSent: sum(({ chunksSent }) => chunksSent),
    packsSent: sum(({ packsSent }) => packsSent),
    bytesSent: sum(({ bytesSent }) => bytesSent),
    remotes: outcomes.map((outcome) => {
      if ('error' in outcome) return { remote: outcome.remote, ...errorDocument(outcome.error) };
      const { remote, location, chunksSent, packsSent, bytesSent } = outcome.result;
      return { remote, location, chunksSent, packsSent, bytesSent };
    }),
    ...(failure === undefined ? {} : errorDocument(failure)),
  };
}
