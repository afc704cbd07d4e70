import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry } from '../../base/tree.ts';
import type { Edition } from '../../publish/publication.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Sealed } from '../../registry/sealed.ts';
import { BlobReader } from '../../store/blob-reader.ts';
import { checkPresent } from '../checkout.ts';
import { type Tracked, trackedFiles } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';

/** An edition, and the reader of its bytes, which is to be closed. */
export interface OpenEdition {
  readonly edition: Edition;
  readonly notes: readonly string[];
  close(): void;
}

/**
 * Opens a version of the local store as other services take it: plain files alone.
 * @throws MstoreError `objects-missing`; `unsupported-file-type` for links, which they do not have
 */
export function openEdition(
  workspace: Workspace,
  record: Sealed<VersionRecord>,
  content: Tracked,
): OpenEdition {
  checkPresent(workspace.store, [content]);
  const { entries } = trackedFiles(workspace.store, content);
  const link = entries.find((entry) => 'link' in entry);
  if (link !== undefined) {
    const { model, version } = record.value;
    throw new MstoreError(
      'unsupported-file-type',
      `${model}@${version} holds the link ${printable(link.path)}, which no other service keeps`,
      {
        hint: 'Publish a version with a file in its place',
        details: { model, version, path: link.path },
      },
    );
  }
  const reader = new BlobReader(workspace.store, 1);
  const files = entries.filter(isFileEntry);
  const marked = files.filter(({ executable }) => executable).length;
  const empty = entries.length - files.length;
  return {
    edition: {
      record,
      files: files.map(({ path, size, sha256 }) => ({
        path,
        size,
        sha256,
        open: () => reader.open(sha256),
        read: () => reader.read(sha256),
      })),
    },
    notes: [
      ...(marked > 0 ? [`That files may be executed is not kept there (${marked})`] : []),
      ...(empty > 0 ? [`Empty directories are not kept there (${empty})`] : []),
    ],
    close: () => reader.close(),
  };
}
