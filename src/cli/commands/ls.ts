import { shortDigest } from '../../base/digest.ts';
import { errorDocument } from '../../base/error-document.ts';
import { exitCodes } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../../base/tree.ts';
import type { Listing } from '../../flow/list.ts';
import type { Workspace } from '../../flow/workspace.ts';
import { type Args, type Command, flagOf, listOf } from '../command.ts';
import type { Context } from '../context.ts';
import { tellBrokenModels, tensorLines } from '../tensor-text.ts';
import { count, type Paint, table } from '../text.ts';
import { chooseVersions, noteVersion, targetOptions, tellBroken } from './moving.ts';

export const lsCommand: Command = {
  positionals: '[target..]',
  options: (parser) =>
    targetOptions(parser).option('tensors', {
      type: 'boolean',
      describe: 'List the tensors of safetensors, GGUF and ONNX files',
    }),
  examples: [
    ['mstore ls', 'List tracked paths and their files'],
    ['mstore ls v1 models/bert', 'List the files of a path at a tag'],
    [
      'mstore ls bert@v1 --tensors',
      'List tensors with their types and shapes, from a remote if need be',
    ],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    if (flagOf(args, 'tensors')) return listTensorsOf(context, workspace, args);
    const { list } = await import('../../flow/list.ts');
    const found = await chooseVersions(context, workspace, args);
    const { tracked, commit } = found;
    const broken = tellBroken(context, found);
    const listings = list(workspace, tracked);
    if (listings.length + found.broken.length === 0)
      context.note('Nothing is tracked yet; start with: mstore add PATH');
    const rows = listings.flatMap((listing) => rowsOf(listing, context.paint));
    context.result(
      {
        commit: commit ?? null,
        ...(await noteVersion(context, found)),
        paths: listings,
        ...(broken === undefined ? {} : errorDocument(broken)),
      },
      table(rows, [0]),
    );
    return broken?.exitCode;
  },
};

/** Lists tensors; a file that cannot be read as what it is gives the exit code of damage. */
async function listTensorsOf(
  context: Context,
  workspace: Workspace,
  args: Args,
): Promise<number | undefined> {
  const { listTensors } = await import('../../flow/tensors.ts');
  const { signal, cwd } = context;
  const options = { signal, jobs: context.options.jobs };
  const found = await listTensors(workspace, listOf(args, 'target'), cwd, options);
  const { tensors, broken, notHere, commit, bytesReceived } = found;
  const version = await noteVersion(context, found);
  tellBrokenModels(context, broken);
  if (notHere.length > 0)
    context.note(`${count(notHere.length, 'file')} that may hold tensors are not here`);
  if (tensors.length + broken.length === 0)
    context.note('No safetensors, GGUF or ONNX file is among them');
  context.result(
    { commit: commit ?? null, ...version, tensors, broken, notHere, bytesReceived },
    tensorLines(tensors, context.paint),
  );
  return broken.length === 0 ? undefined : exitCodes.corrupt;
}

function rowsOf(listing: Listing, paint: Paint): string[][] {
  const { path, kind, size, sha256, entries } = listing;
  const head = [
    formatBytes(size),
    sha256.slice(0, 12),
    paint.strong(printable(path) + (kind === 'tree' ? '/' : '')),
  ];
  if (kind === 'file') return [head];
  if (entries === undefined)
    return [head, ['', '', '  (its list of files is not here; run mstore fetch)']];
  return [head, ...entries.map((entry) => entryRow(path, entry))];
}

function entryRow(parent: string, entry: TreeEntry): string[] {
  const name = printable(`${parent}/${entry.path}`);
  if (isFileEntry(entry)) {
    return [
      formatBytes(entry.size),
      shortDigest(entry.sha256),
      entry.executable ? `${name} *` : name,
    ];
  }
  return isLinkEntry(entry)
    ? ['', 'link', `${name} -> ${printable(entry.link)}`]
    : ['', 'directory', `${name}/`];
}
