import * as fs from 'node:fs';
import { throwIfAborted } from '../base/abort.ts';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** Bytes read at once. */
const blockBytes = 256 * 1024;

/** The bytes of a package, and what people call it. */
export interface PackageInput {
  readonly name: string;
  readonly blocks: AsyncIterable<Uint8Array>;
}

/**
 * Reads a package from a file. A FIFO or a device is none: whoever has a stream hands that in.
 * @param file absolute path
 */
export function packageFile(file: string, signal?: AbortSignal): PackageInput {
  return { name: file, blocks: blocksOf(file, signal) };
}

async function* blocksOf(
  file: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { O_RDONLY, O_NONBLOCK = 0 } = fs.constants;
  let handle: fs.promises.FileHandle | undefined;
  try {
    handle = await fs.promises.open(file, O_RDONLY | O_NONBLOCK);
    if (!(await handle.stat()).isFile()) throw noFile(file);
    for (;;) {
      throwIfAborted(signal);
      const { bytesRead, buffer } = await handle.read(
        Buffer.allocUnsafe(blockBytes),
        0,
        blockBytes,
      );
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw fromSystemError(error, `reading ${printable(file)}`);
  } finally {
    await handle?.close();
  }
}

function noFile(file: string): MstoreError {
  return new MstoreError('io', `Failed reading ${printable(file)}: not a regular file`, {
    hint: 'Name a package, or write - to read one from standard input',
    details: { path: file },
  });
}
