import type { Digest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import {
  checkEntries,
  type DirectoryEntry,
  type LinkEntry,
  sortEntries,
  type TreeEntry,
  TreeProblem,
} from '../base/tree.ts';
import type { DvcHash } from '../dvc/object-key.ts';

/** A file of a model where it lies elsewhere. */
export interface SourceFile {
  /** `/`-separated path below the top of the model. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly executable?: true;
  /** Digest of its bytes, where the source tells it. */
  readonly sha256?: Digest;
  /** When it was written, in milliseconds since 1970-01-01 UTC by the clock of the source, where that tells. */
  readonly time?: number | undefined;
  /** Name that Git gives its bytes (SHA-1 of a blob object), where the source tells that instead. */
  readonly gitBlob?: string;
  /** Name that DVC gives its bytes, where the source tells that instead. */
  readonly md5?: { readonly hash: DvcHash; readonly digest: string };
}

/** Options of reads. */
export interface SourceReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A model somewhere else, as it is at one moment: what it holds does not change any more, or the change is found. */
export interface Snapshot {
  /** The reference with the exact revision, where the source has revisions; fit to be printed and read again. */
  readonly reference: string;
  /** What a record keeps so that a later look can tell what has changed. */
  readonly facts: JsonObject;
  /** Whether the reference names the same bytes for ever. */
  readonly isFixed: boolean;
  /** Whether it is a file by itself, and no directory that holds one. */
  readonly isFile?: boolean;
  readonly files: readonly SourceFile[];
  /** Links and empty directories, where the source has such. */
  readonly others?: readonly (LinkEntry | DirectoryEntry)[];
  /**
   * Reads a file from a byte on, to its end. What comes is not verified beyond its length.
   * @throws MstoreError `remote-unreachable`, `remote-refused`, `not-found`, `source-changed`, `corrupt-source`
   */
  read(file: SourceFile, start: number, options: SourceReadOptions): AsyncIterable<Uint8Array>;
  /** An absolute path at which this machine may have the file; its bytes have to be verified. */
  localCopy?(file: SourceFile): string | undefined;
  /**
   * Makes sure that nothing was changed since the listing, where the source does not keep what was there.
   * @throws MstoreError `source-changed`
   */
  confirm?(options: SourceReadOptions): Promise<void>;
  /** Is told what the files are once they are in the store, so that they are known another time. */
  stored?(entries: readonly TreeEntry[]): void;
}

/** Builds the error of a source that sent what it should not. */
export function corruptSource(where: string, what: string, cause?: unknown): MstoreError {
  return new MstoreError(
    'corrupt-source',
    `What ${printable(where)} holds cannot be taken: ${what}`,
    {
      hint: 'Nothing was registered; look at it there, or choose another revision of it',
      cause,
      details: { source: where },
    },
  );
}

/** Builds the error of a source that was changed between the listing and the read. */
export function sourceChanged(where: string, path: string, what: string): MstoreError {
  return new MstoreError(
    'source-changed',
    `${printable(path)} of ${printable(where)} was changed while it was read: ${what}`,
    {
      hint: 'Run the same command again when nobody writes there',
      details: { source: where, path },
    },
  );
}

/**
 * Holds a listing against a later one of a source that does not keep what was there.
 * @throws MstoreError `source-changed`
 */
export function checkUnchanged(
  where: string,
  files: readonly SourceFile[],
  later: readonly SourceFile[],
): void {
  const now = new Map(later.map((file) => [file.path, file]));
  for (const { path, size, time } of files) {
    const again = now.get(path);
    if (again?.size === size && again.time === time) continue;
    throw sourceChanged(where, path, again === undefined ? 'it is gone' : 'it is another');
  }
}

/**
 * Holds a listing against the rules for the files of a version, before anything is read: names, places outside,
 * collisions, links that leave.
 * @throws MstoreError `corrupt-source`
 */
export function checkListing({ reference, files, others = [] }: Snapshot): void {
  if (files.length === 0) throw corruptSource(reference, 'it holds no file');
  if (files.length + others.length > limits.treeEntriesMax) {
    throw corruptSource(reference, `it holds more than ${limits.treeEntriesMax} files`);
  }
  const entries: TreeEntry[] = files.map(({ path, size, executable }) => ({
    path,
    size,
    sha256: anyDigest,
    ...(executable ? { executable } : {}),
  }));
  try {
    checkEntries(sortEntries([...entries, ...others]));
  } catch (error) {
    if (error instanceof TreeProblem) throw corruptSource(reference, error.problem, error);
    throw error;
  }
}

/** Stands where digests are not known yet. */
const anyDigest = '0'.repeat(64) as Digest;
