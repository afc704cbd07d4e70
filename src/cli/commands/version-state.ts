import { printable } from '../../base/names.ts';
import type { VersionState } from '../../registry/entry.ts';
import type { Command } from '../command.ts';
import { textOf } from '../command.ts';
import { changeOptions, changeSettings, modelAndName, tellTags } from './registry-options.ts';

/** Makes the command that brings a version to a state. */
function stateCommand(state: VersionState, examples: Command['examples']): Command {
  return {
    positionals: '<ref>',
    options: (parser) =>
      changeOptions(parser).positional('ref', { type: 'string', describe: 'MODEL@VERSION' }),
    examples,
    async run(context, args) {
      const { model, name: version } = modelAndName(textOf(args, 'ref') ?? '', 'VERSION');
      const workspace = await context.workspace();
      const { setVersionState } = await import('../../flow/version-states.ts');
      const settings = await changeSettings(context, workspace, args);
      const result = await setVersionState(workspace, { model, version, state }, settings);
      const name = `${model}@${result.version}`;
      context.note(
        result.unchanged
          ? `${name} is ${state} already`
          : `${name} is ${state} now; it was ${result.before}`,
      );
      for (const warning of result.warnings) context.warn(printable(warning));
      tellTags(context, result.gitTags);
      context.result(result, []);
      return undefined;
    },
  };
}

export const archiveCommand = stateCommand('archived', [
  ['mstore archive ranker@v1.0.0 --reason "replaced"', 'Take a version out of use and keep it'],
]);

export const deprecateCommand = stateCommand('deprecated', [
  ['mstore deprecate ranker@v1.0.0', 'Warn whoever deploys it from now on'],
]);

export const restoreCommand = stateCommand('active', [
  ['mstore restore ranker@v1.0.0', 'Bring an archived or deprecated version back'],
]);

export const deleteCommand = stateCommand('deleted', [
  [
    'mstore delete ranker@v0.9.0 --reason "trained on wrong data"',
    'Remove a version for good; its name is never given again',
  ],
]);
