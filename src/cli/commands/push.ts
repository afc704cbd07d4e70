import { formatBytes } from '../../base/format-bytes.ts';
import type { Command } from '../command.ts';
import { count } from '../text.ts';
import { chooseVersions, openChosenRemote, remoteOptions } from './moving.ts';

export const pushCommand: Command = {
  positionals: '[target..]',
  options: remoteOptions,
  examples: [
    ['mstore push', 'Send what the pointers here name to the default remote'],
    ['mstore push --all-versions', 'Send every version that Git knows'],
    ['mstore push v1 models/bert --remote backup', 'Send one path of one tag elsewhere'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { push } = await import('../../flow/push.ts');
    const tracked = await chooseVersions(context, workspace, args);
    const remote = await openChosenRemote(context, workspace, args);
    const { signal, progress } = context;
    const result = await push(workspace, tracked, remote, {
      signal,
      progress,
      jobs: context.options.jobs,
    });
    if (result.bytesSent === 0)
      context.note(`${result.remote} has everything already; sent 0 bytes`);
    else {
      context.note(
        `Sent ${formatBytes(result.bytesSent)} (${count(result.chunksSent, 'chunk')}, ${count(result.packsSent, 'pack')}) to ${result.remote}`,
      );
    }
    context.result(result, []);
    return undefined;
  },
};
