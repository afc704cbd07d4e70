import { isMstoreError, MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import type { RemoteReader } from '../remote/remote.ts';
import {
  checkUnchanged,
  corruptSource,
  type Snapshot,
  type SourceFile,
  sourceChanged,
} from './snapshot.ts';

/**
 * Opens the plain files below a folder of a bucket. Buckets have no revisions: their facts are the time of the newest
 * object, by which a later look finds what came since.
 * @param remote the folder, opened for names of any kind
 * @param reference `s3://bucket/folder` or `gs://bucket/folder`
 * @throws MstoreError `not-found` when there is none, and what listings throw
 */
export async function openBucket(
  remote: RemoteReader,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  const files = await listFiles(remote, reference, signal);
  if (files.length === 0) {
    throw new MstoreError('not-found', `Nothing lies below ${printable(reference)}`, {
      hint: 'Check the bucket and the folder',
      details: { source: reference },
    });
  }
  const newest = files.reduce((latest, { time = 0 }) => Math.max(latest, time), 0);
  return {
    reference,
    facts: { kind: 'bucket', location: reference, newest: new Date(newest).toISOString() },
    isFixed: false,
    files,
    read: (file, start, options) =>
      readObject(remote, { reference, key: file.path, file }, start, options.signal),
    async confirm(options) {
      checkUnchanged(reference, files, await listFiles(remote, reference, options.signal));
    },
  };
}

async function listFiles(
  remote: RemoteReader,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for await (const { key, size, time } of remote.list('', { signal })) {
    // An empty object with a slash at its end stands for a folder.
    if (key.endsWith('/') && size === 0) continue;
    files.push({ path: key, size, time });
    if (files.length > limits.treeEntriesMax) {
      throw corruptSource(reference, `it holds more than ${limits.treeEntriesMax} files`);
    }
  }
  return files;
}

/** An object that a file of a source is. */
export interface ReadObject {
  /** The source, for errors. */
  readonly reference: string;
  readonly key: string;
  readonly file: SourceFile;
}

/**
 * Reads an object from a byte on, to its end.
 * @throws MstoreError `source-changed` where it is not as it was listed, and what reads throw
 */
export async function* readObject(
  remote: RemoteReader,
  { reference, key, file: { path, size } }: ReadObject,
  start: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (start >= size) return;
  let at = start;
  try {
    // The whole object where nothing is there yet: only then is the checksum of the service compared.
    const range = start === 0 ? undefined : { start, end: size };
    for await (const block of remote.get(key, range, { signal })) {
      at += block.length;
      if (at > size) break;
      yield block;
    }
  } catch (error) {
    if (isMstoreError(error, 'not-found')) throw sourceChanged(reference, path, 'it is gone');
    if (!isMstoreError(error, 'corrupt-remote')) throw error;
    throw sourceChanged(reference, path, 'it is shorter than by the listing');
  }
  if (at === size) return;
  throw sourceChanged(reference, printable(path), `it has other than ${size} bytes now`);
}
