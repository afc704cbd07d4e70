import { MstoreError } from '../../base/errors.ts';
import type { Command } from '../command.ts';
import { flagOf } from '../command.ts';
import {
  chooseVersions,
  fetchChosen,
  remoteOptions,
  writeVersions,
  writingOptions,
} from './moving.ts';

export const pullCommand: Command = {
  positionals: '[target..]',
  options: (parser) => writingOptions(remoteOptions(parser)),
  examples: [
    ['mstore pull', 'Fetch what the pointers here need and write the files'],
    ['mstore pull v1 --to /srv/model-v1', 'Write a tag to a directory of its own'],
  ],
  async run(context, args) {
    if (flagOf(args, 'all-versions')) {
      throw new MstoreError('usage', 'pull writes one version; --all-versions names many', {
        hint: 'Use "mstore fetch --all-versions", then "mstore checkout REF"',
      });
    }
    const workspace = await context.workspace();
    const { isPresent } = await import('../../flow/checkout.ts');
    const tracked = await chooseVersions(context, workspace, args);
    // With everything here no remote is needed: a pull works offline, and without any remote set up.
    const fetched = isPresent(workspace.store, tracked)
      ? undefined
      : await fetchChosen(context, workspace, tracked, args);
    const written = await writeVersions(context, workspace, tracked, args);
    context.result({ fetched: fetched ?? null, written }, []);
    return undefined;
  },
};
