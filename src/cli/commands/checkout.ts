import type { Command } from '../command.ts';
import { listOf } from '../command.ts';
import { noteVersion, targetOptions, writeVersions, writingOptions } from './moving.ts';

export const checkoutCommand: Command = {
  positionals: '[target..]',
  options: (parser) => writingOptions(targetOptions(parser)),
  examples: [
    ['mstore checkout', 'Write the files that the pointers here name'],
    ['mstore checkout v1', 'Go to the versions of a tag; git diff shows the pointers that changed'],
    ['mstore checkout bert@production', 'Go to the version of a model that is live'],
    ['mstore checkout v1 models/bert --to /tmp/bert-v1', 'Write one path of a tag elsewhere'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const { findTargets } = await import('../../flow/targets.ts');
    const found = await findTargets(workspace, listOf(args, 'target'), context.cwd);
    const version = await noteVersion(context, found);
    const written = await writeVersions(context, workspace, found.tracked, args);
    context.result({ ...version, ...written }, []);
    return undefined;
  },
};
