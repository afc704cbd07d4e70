import type { Digest } from '../base/digest.ts';
import type { Progress } from '../base/progress.ts';
import type { VersionRecord } from '../registry/record.ts';
import type { Sealed } from '../registry/sealed.ts';
import type { ByteReader } from '../weights/byte-reader.ts';

/** A file of a version that is to be published. */
export interface EditionFile {
  /** `/`-separated path below the top of the model. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Digest;
  /** Opens its bytes; what is read is verified, and valid until the next read. */
  open(): ByteReader;
  /** Yields its bytes in order, the whole verified before the end; a block is valid until the next step. */
  read(): Iterable<Uint8Array>;
}

/** A version on its way to another service. */
export interface Edition {
  readonly record: Sealed<VersionRecord>;
  readonly files: readonly EditionFile[];
}

/** What is done there. */
export type PublishAct =
  | 'create'
  | 'upload'
  | 'write'
  | 'delete'
  | 'tag'
  | 'register'
  | 'alias'
  | 'stage';

/** One thing that a publication does. */
export interface PublishStep {
  readonly act: PublishAct;
  /** What is made, sent or named: a path, a repository, a tag. */
  readonly what: string;
  /** Bytes of a file. */
  readonly bytes?: number;
}

/** How {@link Publication.run} does its work. */
export interface PublishOptions {
  readonly signal?: AbortSignal | undefined;
  readonly progress: Progress;
}

/** What was published. */
export interface Published {
  /** What names it there from now on, by its exact revision. */
  readonly reference: string;
  /** An address that people open, where there is one. */
  readonly url?: string;
  /** Bytes of files that were sent; what the service had is not among them. */
  readonly bytesSent: number;
}

/** What publishing a version somewhere comes to, compared with what is there already; nothing was changed yet. */
export interface Publication {
  /** In the order in which they are done; none when all is there. */
  readonly steps: readonly PublishStep[];
  /** What a reader of the plan should know beside its steps. */
  readonly notes: readonly string[];
  /**
   * Does the steps. What was done before a failure stays, and is found when the same version is published again.
   * @throws MstoreError `remote-unreachable`, `remote-refused`, `lost-race`, `corrupt-remote`
   */
  run(options: PublishOptions): Promise<Published>;
}
