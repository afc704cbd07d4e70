import * as fs from 'node:fs';
import * as path from 'node:path';
import { Breather, throwIfAborted } from '../base/abort.ts';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { DirectReader, readForward } from '../base/direct-reader.ts';
import { systemCode } from '../base/errors.ts';
import { publishIfAbsent, removeFile, settleFolder, syncFolder, tempName } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { SequentialFile } from '../base/sequential-file.ts';
import { checkKey, checkPrefix, checkRange, noObject, reservedName, shortObject } from './keys.ts';
import { enterFolder, findObject, objectsBelow, onRemote, type Place } from './local-files.ts';
import { localProbe } from './local-probe.ts';
import type {
  ByteRange,
  RemoteObject,
  RemotePruner,
  RemoteReadOptions,
  RemoteSource,
} from './remote.ts';
import { readSource } from './source.ts';
import { fromRemoteSystemError } from './system-errors.ts';

/**
 * Makes a remote of a directory, which must exist: it is never made here, because the place of a
 * missing mount must not fill up. Nothing is touched before the first call.
 *
 * Nothing outside the directory is read or written: each folder below it that leads to an object is
 * looked at first, and a symbolic link there, or in the place of an object, is an error. (The directory
 * itself may be named through links.) This guards against links that lie there, not against someone who
 * swaps folders while we work; who can do that can change every object anyway.
 */
export function localRemote(folder: string): RemotePruner {
  const root = path.resolve(folder);
  const place: Place = { root, location: printable(root) };
  let cleared = false;
  /** Folders of what was found here, until they are settled. */
  const seen = new Set<string>();

  const clearOnce = (temps: string): void => {
    if (!cleared) clearDeadTemps(temps);
    cleared = true;
  };

  const enterTemps = (): string => {
    const temps = enterFolder(place, [reservedName], 'make-temps');
    clearOnce(temps);
    return temps;
  };

  return {
    location: place.location,
    probe: localProbe(place),

    async *get(key, range, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      const handle = await openObject(place, key);
      try {
        const { size } = await onRemote(place, `read ${key} from`, () => handle.stat());
        const wanted = checkRange(key, range, size, place.location);
        yield* readRange(place, key, handle, wanted, options);
      } finally {
        await handle.close();
      }
    },

    async stat(key, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      const found = await onRemote(place, `read ${key} from`, () => findObject(place, key));
      if (found !== undefined) seen.add(path.dirname(path.join(root, key)));
      return found?.size;
    },

    list: (prefix, options) => listObjects(place, seen, prefix, options?.signal),

    async settle(options) {
      throwIfAborted(options?.signal);
      await onRemote(place, 'flush', () => {
        // A process that ended between its last name and the end leaves nothing to be written.
        const temps = enterFolder(place, [reservedName]);
        if (temps !== undefined) clearOnce(temps);
        for (const folder of seen) settleFolder(folder);
        seen.clear();
      });
    },

    create: (key, source, options) => createObject(place, enterTemps, key, source, options?.signal),

    async delete(key, options) {
      checkKey(key);
      throwIfAborted(options?.signal);
      await onRemote(place, `delete ${key} from`, () => {
        if (findObject(place, key) === undefined) return;
        const target = path.join(root, key);
        removeFile(target);
        syncFolder(path.dirname(target));
      });
    },
  };
}

/** @param seen takes the folders of what is listed */
async function* listObjects(
  place: Place,
  seen: Set<string>,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<RemoteObject, void, void> {
  checkPrefix(prefix);
  throwIfAborted(signal);
  const breather = new Breather(signal);
  try {
    const start = enterFolder(place, prefix.split('/').slice(0, -1));
    if (start === undefined) return;
    for (const object of objectsBelow(start, prefix)) {
      seen.add(path.dirname(path.join(place.root, object.key)));
      yield object;
      throwIfAborted(signal);
      if (breather.due()) await breather.turn();
    }
  } catch (error) {
    throw fromRemoteSystemError(error, `list ${prefix || 'the objects'} of`, place.location);
  }
}

async function openObject(place: Place, key: string): Promise<fs.promises.FileHandle> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  return onRemote(place, `read ${key} from`, async () => {
    if (findObject(place, key) === undefined) throw noObject(key, place.location);
    try {
      // Windows knows neither flag; there the look before must do.
      const flags = O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0);
      return await fs.promises.open(path.join(place.root, key), flags);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') throw noObject(key, place.location);
      throw error;
    }
  });
}

/** Reads with two buffers in turn, one filled while the caller works on the other. */
async function* readRange(
  place: Place,
  key: string,
  handle: fs.promises.FileHandle,
  { start, end }: ByteRange,
  { signal, memory }: RemoteReadOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const reader = new DirectReader(handle.fd, path.join(place.root, key));
  const blocks = readForward(reader, { start, end }, memory);
  try {
    for (;;) {
      throwIfAborted(signal);
      const { done, value } = await onRemote(place, `read ${key} from`, () => blocks.next());
      if (done) {
        if (value < end) throw shortObject(key, end, value, place.location);
        return;
      }
      yield value;
    }
  } finally {
    await blocks.return(start);
    reader.close();
  }
}

async function createObject(
  place: Place,
  enterTemps: () => string,
  key: string,
  source: RemoteSource,
  signal: AbortSignal | undefined,
): Promise<'created' | 'exists'> {
  checkKey(key);
  throwIfAborted(signal);
  const attempt = `write ${key} to`;
  const target = path.join(place.root, key);
  const there = await onRemote(place, attempt, () => findObject(place, key));
  if (there !== undefined) {
    // Its creator may not have come to flush it yet, and our caller builds on it.
    await onRemote(place, attempt, () => syncFolder(path.dirname(target)));
    return 'exists';
  }
  const temp = await onRemote(place, attempt, () => path.join(enterTemps(), tempName()));
  try {
    await writeTemp(place, attempt, temp, source.size, readSource(key, source, signal));
    throwIfAborted(signal);
    return await onRemote(place, attempt, () => {
      const folder = enterFolder(place, key.split('/').slice(0, -1), 'make');
      const created = publishIfAbsent(temp, target);
      // What took the name must be an object.
      if (!created) findObject(place, key);
      syncFolder(folder);
      return created ? 'created' : 'exists';
    });
  } finally {
    dropTemp(temp);
  }
}

/** Writes and flushes a new temporary file, in blocks that are large even where the source's are not. */
async function writeTemp(
  place: Place,
  attempt: string,
  temp: string,
  size: number,
  blocks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = await onRemote(place, attempt, () => new SequentialFile(temp, { size, blocks: 2 }));
  try {
    // Writing is synchronous, and so may be the source: signals must come through all the same.
    const breather = new Breather();
    for await (const block of blocks) {
      await onRemote(place, attempt, () => file.append(block));
      if (breather.due()) await breather.turn();
    }
    await onRemote(place, attempt, async () => {
      await file.settled();
      file.end();
      file.sync();
    });
  } finally {
    // Network file systems report a failed write as late as here.
    await onRemote(place, attempt, () => file.close());
  }
}

function dropTemp(temp: string): void {
  try {
    removeFile(temp);
  } catch {
    // The object's own error counts; a later run clears the file.
  }
}
