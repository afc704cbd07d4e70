import type { Command } from '../command.ts';
import { chooseVersions, fetchChosen, remoteOptions } from './moving.ts';

export const fetchCommand: Command = {
  positionals: '[target..]',
  options: remoteOptions,
  examples: [
    ['mstore fetch', 'Get what the pointers here need; touch no file of the workspace'],
    ['mstore fetch --all-versions', 'Get every version, to work offline'],
    ['mstore fetch --remote origin --remote backup', 'Ask these two, in this order'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const tracked = await chooseVersions(context, workspace, args);
    context.result(await fetchChosen(context, workspace, tracked, args), []);
    return undefined;
  },
};
