import type { Command } from '../command.ts';
import { chooseVersions, noteFetch, openChosenRemote, remoteOptions } from './moving.ts';

export const fetchCommand: Command = {
  positionals: '[target..]',
  options: remoteOptions,
  examples: [
    ['mstore fetch', 'Get what the pointers here need; touch no file of the workspace'],
    ['mstore fetch --all-versions', 'Get every version, to work offline'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { fetch } = await import('../../flow/fetch.ts');
    const tracked = await chooseVersions(context, workspace, args);
    const remote = await openChosenRemote(context, workspace, args);
    const { signal, progress } = context;
    const result = await fetch(workspace, tracked, remote, {
      signal,
      progress,
      jobs: context.options.jobs,
    });
    noteFetch(context, result);
    context.result(result, []);
    return undefined;
  },
};
