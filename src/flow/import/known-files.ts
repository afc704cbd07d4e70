import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { type FileEntry, isFileEntry } from '../../base/tree.ts';
import { gitObjectHash } from '../../git/object-id.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Snapshot, SourceFile } from '../../source/snapshot.ts';
import { BlobReader } from '../../store/blob-reader.ts';
import { trackedFiles } from '../tracked.ts';
import { contentOf } from '../version-content.ts';
import type { Workspace } from '../workspace.ts';

/** Larger files are large on the Hub too, which tells their SHA-256. */
const bytesMax = 64 * 1024 * 1024;

/** The files of a version that are in the local store with their list, by path; none where the list is not here. */
export function filesOf(
  { store }: Workspace,
  record: VersionRecord | undefined,
): ReadonlyMap<string, FileEntry> {
  if (record === undefined || !store.has(record.content.sha256)) return new Map();
  const { entries } = trackedFiles(store, contentOf(store, record, {}));
  return new Map(entries.filter(isFileEntry).map((entry) => [entry.path, entry]));
}

/**
 * Finds the digests of files of which a source tells only the name that Git gives them: those that an earlier
 * version has at the same path, if that has the same bytes.
 */
export function digestsByGit(
  { store }: Workspace,
  { files }: Snapshot,
  earlier: ReadonlyMap<string, FileEntry>,
): Map<string, Digest> {
  const digests = new Map<string, Digest>();
  const reader = new BlobReader(store);
  try {
    for (const file of files) {
      const before = earlier.get(file.path);
      if (before === undefined || !sameByGit(reader, file, before)) continue;
      digests.set(file.path, before.sha256);
    }
  } finally {
    reader.close();
  }
  return digests;
}

function sameByGit(reader: BlobReader, { gitBlob, size }: SourceFile, before: FileEntry): boolean {
  if (gitBlob === undefined || before.size !== size || size > bytesMax) return false;
  try {
    const hash = gitObjectHash('blob', size);
    for (const block of reader.read(before.sha256)) hash.update(block);
    return hash.digest('hex') === gitBlob;
  } catch (error) {
    // What cannot be read here is received anew.
    if (isMstoreError(error)) return false;
    throw error;
  }
}
