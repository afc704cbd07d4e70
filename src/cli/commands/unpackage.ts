import * as path from 'node:path';
import { addAbortSignal } from 'node:stream';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { PackageInput } from '../../flow/package-source.ts';
import { type Args, type Command, flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';
import { noteWritten } from './moving.ts';

export const unpackageCommand: Command = {
  positionals: '<file>',
  options: (parser) =>
    parser
      .positional('file', { type: 'string', describe: 'A package; - is standard input' })
      // Without this the parser takes - for an empty text.
      .nargs('file', 1)
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'Write the files to this directory, whole or not at all; needs no workspace',
      })
      .option('force', {
        type: 'boolean',
        describe: 'With --to, replace the directory as a whole',
      }),
  examples: [
    ['mstore unpackage bert_v1.tar.gz', 'Take a version into the store and the registry here'],
    ['mstore unpackage bert_v1.tar.gz --to /srv/bert-v1', 'Write its files, without a workspace'],
  ],
  async run(context, args) {
    const to = textOf(args, 'to');
    if (to === '') {
      throw new MstoreError('usage', '--to names no directory', { hint: 'Write --to DIR' });
    }
    if (to === undefined && flagOf(args, 'force')) {
      throw new MstoreError('usage', '--force is for --to alone: a registry never changes', {
        hint: 'Leave it out, or name a directory with --to',
      });
    }
    await (to === undefined ? takeIn(context, args) : writeTo(context, args, to));
    return undefined;
  },
};

async function inputOf({ cwd, signal }: Context, args: Args): Promise<PackageInput> {
  const file = textOf(args, 'file') ?? '';
  if (file === '-') {
    return { name: 'standard input', blocks: addAbortSignal(signal, process.stdin) };
  }
  const { packageFile } = await import('../../flow/package-source.ts');
  return packageFile(path.resolve(cwd, file), signal);
}

async function writeTo(context: Context, args: Args, to: string): Promise<void> {
  const { unpackageTo } = await import('../../flow/unpackage-to.ts');
  const { signal, progress, surroundings, cwd } = context;
  const input = await inputOf(context, args);
  const { manifest, ...written } = await unpackageTo(input, path.resolve(cwd, to), surroundings, {
    signal,
    progress,
    force: flagOf(args, 'force'),
    keep: [cwd],
  });
  noteWritten(context, written);
  context.result({ name: manifest.name, ...versionOf(manifest.version), ...written }, []);
}

async function takeIn(context: Context, args: Args): Promise<void> {
  const workspace = await context.workspace();
  const { unpackage } = await import('../../flow/unpackage.ts');
  const { signal, progress } = context;
  const { jobs } = context.options;
  const input = await inputOf(context, args);
  const result = await unpackage(workspace, input, { signal, progress, jobs });
  const { manifest, version, files, bytes, bytesNew, records, conflicts } = result;
  const name = `${version.model}@${version.version}`;
  const parts = [`${formatBytes(bytesNew)} new`, `${count(records, 'record')} of the registry`];
  context.note(`${name}: ${count(files, 'file')}, ${formatBytes(bytes)} (${parts.join(', ')})`);
  const document = {
    name: manifest.name,
    ...versionOf(version),
    files,
    bytes,
    bytesNew,
    records,
  };
  const [first] = conflicts;
  if (first === undefined) {
    context.note(`Run "mstore checkout ${name}" for its files, "mstore push" to send it on`);
    context.result(document, []);
    return;
  }
  throw new MstoreError(
    first.kind === 'version' ? 'version-exists' : 'histories-differ',
    `${conflicts.map(({ text }) => printable(text)).join('\n')}`,
    {
      hint: `${name} was taken, and all of its package but that; what is here stays as it is`,
      details: { conflicts: conflicts.map((one) => `${one.model}@${one.name}`) },
    },
  );
}

function versionOf(
  version:
    | { readonly model: string; readonly version: string; readonly record: string }
    | undefined,
): object {
  if (version === undefined) return {};
  const { record: sha256, ...names } = version;
  return { version: { ...names, sha256 } };
}
