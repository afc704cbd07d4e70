import { shortDigest } from '../../base/digest.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import { type Command, flagOf, textOf } from '../command.ts';
import { registrationOf, registrationOptions } from './registration-options.ts';
import { gitTagAbout, modelAndName, tellTags } from './registry-options.ts';

export const registerCommand: Command = {
  positionals: '<name> [path]',
  options: (parser) =>
    registrationOptions(parser)
      .positional('name', { type: 'string', describe: 'MODEL@VERSION' })
      .positional('path', {
        type: 'string',
        describe: 'The tracked path; may be left out where one alone is tracked',
      })

      .option('git-tag', { type: 'boolean', describe: gitTagAbout }),
  examples: [
    [
      'mstore register ranker@v1.2.0 models/ranker --metric accuracy=0.91',
      'Give the content of a tracked path a version that never changes',
    ],
    ['mstore register ranker@v1.2.0 --metrics eval.json', 'Take all metrics of a file'],
  ],
  async run(context, args) {
    const { model, name: version } = modelAndName(textOf(args, 'name') ?? '', 'VERSION');
    const workspace = await context.workspace();
    const { register } = await import('../../flow/register.ts');
    const tracked = textOf(args, 'path');
    const about = await registrationOf(context, args);
    const { record, created, gitTags, warnings } = await register(
      workspace,
      {
        model,
        version,
        path: tracked === undefined ? undefined : workspace.relative(tracked, context.cwd),
        ...about,
      },
      { signal: context.signal, progress: context.progress, gitTag: flagOf(args, 'git-tag') },
    );
    for (const warning of warnings) context.warn(warning);
    const { content } = record.value;
    const what = `${printable(content.path)}, ${formatBytes(content.size)}, record ${shortDigest(record.sha256)}`;
    context.note(
      created
        ? `Registered ${model}@${version}: ${what}`
        : `${model}@${version} is registered already, and is the same: ${what}`,
    );
    tellTags(context, gitTags);
    const tagged = gitTags === undefined ? {} : { gitTags };
    context.result(
      { created, sha256: record.sha256, record: record.value, ...tagged, warnings },
      [],
    );
    return undefined;
  },
};
