import type { Digest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { TreeEntry } from '../../base/tree.ts';
import type { FoundVersion } from '../../registry/find.ts';

/** How a {@link Brought} is written. */
export interface WriteOptions {
  /** Replaces a directory that is there. */
  readonly force: boolean;
  /** Makes files that nobody may write to. */
  readonly readOnly: boolean;
}

/** A model that is at hand, wholly and verified, to be written into directories. */
export interface Brought {
  readonly tree: Digest;
  readonly entries: readonly TreeEntry[];
  /** Writes an absolute directory whole or not at all. */
  write(directory: string, options: WriteOptions): Promise<void>;
  /** Says that it is not needed any more. */
  done(): void;
}

/** What a reference names now. */
export interface Located {
  /** The digest of its tree, where that is known before its bytes are here. */
  readonly tree: Digest | undefined;
  readonly version?: FoundVersion | undefined;
  /** The reference that names these bytes for ever; of what has no revisions it tells the tree. */
  readonly exact: string | ((tree: Digest) => string);
  /** Has its bytes here. */
  bring(): Promise<Brought>;
  /** Ends what was opened for it. */
  close?(): void;
}

/** Builds the error of what is not what it was pinned to. */
export function drifted(reference: string, pinned: string, now: string, hint: string): MstoreError {
  return new MstoreError(
    'drift',
    `${printable(reference)} is not what it was pinned to: that is ${printable(pinned)}, and now it is ${printable(now)}`,
    { hint, details: { ref: reference, pinned, now } },
  );
}
