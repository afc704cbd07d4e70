import { throwIfAborted } from '../../base/abort.ts';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { silentProgress } from '../../base/progress.ts';
import { formatTree, sortEntries, type TreeEntry } from '../../base/tree.ts';
import type { Snapshot, SourceFile } from '../../source/snapshot.ts';
import { BlobWriter } from '../../store/blob-writer.ts';
import type { WorkOptions } from '../add.ts';
import { externalData } from '../external-data.ts';
import type { Workspace } from '../workspace.ts';
import { holdsBytes, type Staging } from './staging.ts';

/** Files that are received at once. */
const filesAtOnce = 4;

/** Received bytes that may wait to be stored, beside those of one file: what an import takes of the disk for a while. */
const batchBytesMax = 1024 * 1024 * 1024;

/** What was done to have the files of a snapshot in the store. */
export interface StoredSnapshot {
  /** All files, links and empty directories, in the order of a tree. */
  readonly entries: readonly TreeEntry[];
  /** Bytes that came from the source. */
  readonly bytesReceived: number;
  /** Bytes that the store did not have. */
  readonly bytesNew: number;
}

/**
 * Finds files whose bytes are not in the store, each content once; models before the data that they speak of.
 * @param digestOf tells the digest of a path, where it is known
 */
export function lackingFiles(
  { store }: Workspace,
  files: readonly SourceFile[],
  digestOf: (path: string) => Digest | undefined,
): SourceFile[] {
  const seen = new Set<Digest>();
  const lacking = files.filter(({ path }) => {
    const sha256 = digestOf(path);
    if (sha256 === undefined) return true;
    if (seen.has(sha256) || store.has(sha256)) return false;
    seen.add(sha256);
    return true;
  });
  return [...lacking.filter(isModel), ...lacking.filter((file) => !isModel(file))];
}

/** Has the files of a snapshot in the store: those that are lacking are received, verified, and cut into chunks. */
export class SnapshotStorer {
  readonly #workspace: Workspace;
  readonly #snapshot: Snapshot;
  readonly #staging: Staging;
  readonly #options: WorkOptions;
  /** Digests by path, as far as they are known. */
  readonly #digests = new Map<string, Digest>();
  /** Models that were stored, and where they still are: they tell where tensors lie in other files. */
  readonly #models: { readonly path: string; readonly source: string }[] = [];
  #bytesReceived = 0;
  #bytesNew = 0;

  /** @param known digests of files, by path, of which the snapshot tells none */
  constructor(
    workspace: Workspace,
    snapshot: Snapshot,
    staging: Staging,
    options: WorkOptions,
    known: ReadonlyMap<string, Digest>,
  ) {
    this.#workspace = workspace;
    this.#snapshot = snapshot;
    this.#staging = staging;
    this.#options = options;
    for (const { path, sha256 = known.get(path) } of snapshot.files) {
      if (sha256 !== undefined) this.#digests.set(path, sha256);
    }
  }

  /**
   * Stores what is lacking, and the list of the files. Quick where it is done again.
   * @throws MstoreError as {@link Staging.receive}
   */
  async run(): Promise<StoredSnapshot> {
    const { files, others = [] } = this.#snapshot;
    const { progress = silentProgress } = this.#options;
    const lacking = lackingFiles(this.#workspace, files, (path) => this.#digests.get(path));
    const bytesTotal = sum(lacking);
    progress.start('import', { bytesTotal, filesTotal: lacking.length });
    for (const batch of batches(lacking)) {
      await this.#storeBatch(batch);
      throwIfAborted(this.#options.signal);
    }
    progress.finish();
    const entries: TreeEntry[] = files.map(({ path, size, executable }) => ({
      path,
      size,
      sha256: this.#digests.get(path) as Digest,
      ...(executable ? { executable } : {}),
    }));
    const tree = sortEntries([...entries, ...others]);
    await this.#write(async (writer) => void (await writer.addBytes(formatTree(tree))));
    return {
      entries: tree,
      bytesReceived: this.#bytesReceived,
      bytesNew: this.#bytesNew,
    };
  }

  async #storeBatch(batch: readonly SourceFile[]): Promise<void> {
    const { progress = silentProgress } = this.#options;
    const named = await mapConcurrently(batch, filesAtOnce, async (file) => {
      const source = await this.#placeFor(file);
      progress.advance({ files: 1, name: file.path });
      return { path: file.path, source };
    });
    const tensors = externalData(() => [...this.#models, ...named]);
    await this.#write(async (writer) => {
      await writer.addFiles(
        named.map(({ path, source }) => ({
          file: source,
          hardCuts: (size) => tensors.cutsOf(path, size),
        })),
        (index, { sha256, size }) => this.#take(batch[index] as SourceFile, sha256, size),
      );
    });
    for (const [index, file] of batch.entries()) {
      // What lies in other files is known by the models alone: they stay until the end.
      if (isModel(file)) this.#models.push(named[index] as (typeof named)[number]);
      else this.#staging.drop(file);
    }
  }

  #take({ path, size: expected, sha256: told }: SourceFile, sha256: Digest, size: number): void {
    if (size !== expected || (told !== undefined && told !== sha256)) {
      throw new MstoreError(
        'file-changed',
        `${printable(path)} was changed by somebody else after it had been received`,
        { hint: 'Run the same command again' },
      );
    }
    this.#digests.set(path, sha256);
  }

  /** Returns where the bytes of a file are on this machine; receives them where they are not. */
  async #placeFor(file: SourceFile): Promise<string> {
    const { signal, progress = silentProgress } = this.#options;
    const copy = this.#snapshot.localCopy?.(file);
    if (copy !== undefined && (await holdsBytes(copy, file, signal))) {
      progress.advance({ bytes: file.size });
      return copy;
    }
    const onBytes = (bytes: number): void => progress.advance({ bytes });
    const place = await this.#staging.receive(this.#snapshot, file, { signal, onBytes });
    this.#bytesReceived += file.size;
    return place;
  }

  async #write(work: (writer: BlobWriter) => Promise<void>): Promise<void> {
    const { store, config } = this.#workspace;
    const { signal, jobs } = this.#options;
    const writer = new BlobWriter(store, {
      signal,
      threads: jobs,
      compress: config.string('store.compression') === 'auto',
    });
    try {
      store.prepareWriting();
      await work(writer);
      const { bytesNew } = await writer.finish();
      this.#bytesNew += bytesNew;
    } finally {
      writer.close();
    }
  }
}

function isModel({ path }: SourceFile): boolean {
  return path.endsWith('.onnx');
}

function sum(files: readonly SourceFile[]): number {
  return files.reduce((bytes, { size }) => bytes + size, 0);
}

function* batches(files: readonly SourceFile[]): Generator<SourceFile[], void, undefined> {
  let batch: SourceFile[] = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length > 0 && bytes + file.size > batchBytesMax) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length > 0) yield batch;
}
