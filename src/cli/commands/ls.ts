import { shortDigest } from '../../base/digest.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../../base/tree.ts';
import type { Listing } from '../../flow/list.ts';
import type { Command } from '../command.ts';
import { errorDocument } from '../context.ts';
import { type Paint, table } from '../text.ts';
import { chooseVersions, noteVersion, targetOptions, tellBroken } from './moving.ts';

export const lsCommand: Command = {
  positionals: '[target..]',
  options: targetOptions,
  examples: [
    ['mstore ls', 'List tracked paths and their files'],
    ['mstore ls v1 models/bert', 'List the files of a path at a tag'],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
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
