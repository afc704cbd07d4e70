import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { type FileEntry, isFileEntry } from '../../base/tree.ts';
import { contentHash } from '../../dvc/content-hash.ts';
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
 * Finds the digests of files of which a source tells only the name that Git or DVC gives them: those that an earlier
 * version has at the same path, if that has the same bytes.
 */
export function digestsByName(
  { store }: Workspace,
  { files }: Snapshot,
  earlier: ReadonlyMap<string, FileEntry>,
): Map<string, Digest> {
  const digests = new Map<string, Digest>();
  const reader = new BlobReader(store);
  try {
    for (const file of files) {
      const before = earlier.get(file.path);
      if (before === undefined || !sameByName(reader, file, before)) continue;
      digests.set(file.path, before.sha256);
    }
  } finally {
    reader.close();
  }
  return digests;
}

function sameByName(
  reader: BlobReader,
  { gitBlob, md5, size }: SourceFile,
  before: FileEntry,
): boolean {
  if (before.size !== size) return false;
  try {
    if (gitBlob !== undefined && size <= bytesMax) {
      const hash = gitObjectHash('blob', size);
      for (const block of reader.read(before.sha256)) hash.update(block);
      return hash.digest('hex') === gitBlob;
    }
    if (md5 === undefined) return false;
    const hash = contentHash(md5.hash);
    for (const block of reader.read(before.sha256)) hash.update(block);
    return hash.is(md5.digest);
  } catch (error) {
    // What cannot be read here is received anew.
    if (isMstoreError(error)) return false;
    throw error;
  }
}
