import { errorDocument } from '../../base/error-document.ts';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { PushResult } from '../../flow/push.ts';
import type { PushOutcome } from '../../flow/push-all.ts';
import { type Command, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';
import { chooseOptions, chooseVersions, noteVersion, remoteOptions, tellBroken } from './moving.ts';

export const pushCommand: Command = {
  positionals: '[target..]',
  options: remoteOptions,
  examples: [
    [
      'mstore push',
      'Send what the pointers here name, and new versions of models, to the default remote',
    ],
    ['mstore push bert@v1', 'Send one version of a model, with its record'],
    ['mstore push --all-versions', 'Send every version that Git knows'],
    ['mstore push v1 models/bert --remote backup', 'Send one path of one tag elsewhere'],
    ['mstore push --remote origin --remote backup', 'Send to two remotes'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { pushToAll } = await import('../../flow/push-all.ts');
    const { choosePushRemotes } = await import('../../flow/several-remotes.ts');
    const chosen = await chooseVersions(context, workspace, args);
    const names = listOf(args, 'remote');
    const remotes = await choosePushRemotes(workspace, names, context.cwd, chooseOptions(args));
    const { signal, progress } = context;
    const { jobs } = context.options;
    const { tracked, version } = chosen;
    const registry = listOf(args, 'target').length === 0 ? 'all' : version;
    const document = await noteVersion(context, chosen);
    const outcomes = await pushToAll(workspace, tracked, remotes, {
      signal,
      progress,
      jobs,
      registry,
    });
    const broken = tellBroken(context, chosen);
    const [first] = outcomes.flatMap(({ error }) => (error === undefined ? [] : [error]));
    if (first !== undefined && outcomes.length === 1) {
      for (const outcome of outcomes) noteSent(context, outcome);
      throw first;
    }
    for (const outcome of outcomes) tellOutcome(context, outcome);
    const failure = first ?? broken;
    context.result({ ...document, ...documentOf(outcomes, failure) }, []);
    return failure?.exitCode;
  },
};

function tellOutcome(context: Context, outcome: PushOutcome): void {
  noteSent(context, outcome);
  const { remote, error } = outcome;
  if (error === undefined) return;
  const { code, message, hint } = error;
  const what = `Push to ${printable(remote)} failed. ${message}`;
  context.fail(new MstoreError(code, what, hint === undefined ? {} : { hint }));
}

function noteSent(context: Context, outcome: PushOutcome): void {
  if (!('result' in outcome)) return;
  const { bytesSent, chunksSent, packsSent, recordsSent = 0, problems } = outcome.result;
  const remote = printable(outcome.remote);
  for (const { message } of problems) context.warn(printable(`${remote}: ${message}`));
  if (bytesSent === 0) {
    context.note(`${remote} has everything already; sent 0 bytes`);
    return;
  }
  const parts = [count(chunksSent, 'chunk'), count(packsSent, 'pack')];
  if (recordsSent > 0) parts.push(`${count(recordsSent, 'record')} of the registry`);
  context.note(`Sent ${formatBytes(bytesSent)} (${parts.join(', ')}) to ${remote}`);
}

/** The document of a push: sums over the remotes, each of them, and the first failure. */
function documentOf(outcomes: readonly PushOutcome[], failure: MstoreError | undefined): object {
  const results = outcomes.flatMap((one) => ('result' in one ? [one.result] : []));
  const sum = (of: (result: PushResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const { problems: _, ...head } = results[0] ?? { problems: [] };
  const withRecords = results.some(({ recordsSent }) => recordsSent !== undefined);
  return {
    ...head,
    chunksSent: sum(({ chunksSent }) => chunksSent),
    packsSent: sum(({ packsSent }) => packsSent),
    bytesSent: sum(({ bytesSent }) => bytesSent),
    ...(withRecords ? { recordsSent: sum(({ recordsSent = 0 }) => recordsSent) } : {}),
    remotes: outcomes.map((outcome) => ({
      remote: outcome.remote,
      ...('result' in outcome ? shareOf(outcome.result) : {}),
      ...(outcome.error === undefined ? {} : errorDocument(outcome.error)),
    })),
    ...(failure === undefined ? {} : errorDocument(failure)),
  };
}

function shareOf(result: PushResult): object {
  const { location, chunksSent, packsSent, recordsSent, bytesSent, problems } = result;
  const share = { location, chunksSent, packsSent, bytesSent, problems };
  return recordsSent === undefined ? share : { ...share, recordsSent };
}
