import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import { DirectReader, readForward } from '../base/direct-reader.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { removeFile } from '../base/files.ts';
import { SequentialFile } from '../base/sequential-file.ts';
import type { PackFooter } from '../pack/format.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteReader,
  type RemoteSource,
  type RemoteWriter,
} from '../remote/remote.ts';
import { missingPack, pushedAgain } from './hints.ts';
import { indexKey, packKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { LaneCheck, type OnPackDamage, PackCheck } from './pack-check.ts';
import type { PackLane } from './pack-threads.ts';
import { publishPack } from './publish.ts';

/** How packs are verified on their way. */
export interface VerifyOptions {
  /** Names the pack in errors. */
  readonly where?: string | undefined;
  /** Has threads hash the chunks; without it this thread does. */
  readonly lane?: PackLane | undefined;
  /** Told of damage, which then does not end the iteration; without it the first one is thrown. */
  readonly onDamage?: OnPackDamage | undefined;
}

const throwDamage: OnPackDamage = (error) => {
  throw error;
};

/**
 * Passes the bytes of a pack on and verifies them on the way: every chunk against its id, the end of
 * the pack against its footer. Bytes may be passed on before they are verified, but never the last of
 * them: the receiver makes the pack visible only after the iteration has ended.
 */
export async function* verifiedPack(
  blocks: AsyncIterable<Uint8Array>,
  footer: PackFooter,
  { where = `the pack ${footer.id}`, lane, onDamage = throwDamage }: VerifyOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  // Threads hash what is stored; what is encoded must be decoded first.
  if (lane !== undefined && isRaw(footer)) {
    yield* verifiedByThreads(blocks, new LaneCheck(footer, where, lane, onDamage));
    return;
  }
  const check = new PackCheck(footer, where, onDamage);
  for await (const block of blocks) {
    check.update(block);
    yield block;
  }
  check.end();
}

function isRaw(footer: PackFooter): boolean {
  for (let row = 0; row < footer.count; row++) {
    if (footer.row(row).encoding !== 0) return false;
  }
  return true;
}

async function* verifiedByThreads(
  blocks: AsyncIterable<Uint8Array>,
  check: LaneCheck,
): AsyncGenerator<Uint8Array, void, undefined> {
  let checked: Promise<void> | undefined;
  try {
    for await (const block of check.gather(blocks)) {
      checked = check.update(block);
      // It is awaited behind the next line, or in the end where the receiver stops.
      checked.catch(() => {});
      if (check.complete) await checked;
      yield block;
      await checked;
    }
  } finally {
    await checked?.catch(() => {});
  }
  check.end();
}

async function* fileBlocks(
  file: string,
  lane: PackLane | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let fd: number;
  try {
    fd = fs.openSync(file, 'r');
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  }
  const reader = new DirectReader(fd, file);
  try {
    yield* readForward(reader, { start: 0, end: fs.fstatSync(fd).size }, lane?.blocks);
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  } finally {
    reader.close();
    fs.closeSync(fd);
  }
}

/** A file as the source of a remote object, as it is. */
export function fileSource(file: string): RemoteSource {
  return { size: fs.statSync(file).size, open: () => fileBlocks(file, undefined) };
}

/**
 * A pack file as the source of a remote object, verified each time it is read. One that is gone ends the reading with
 * `objects-missing`.
 */
export function packSource(file: string, footer: PackFooter, lane?: PackLane): RemoteSource {
  const open = () => verifiedPack(packBlocks(file, footer, lane), footer, { where: file, lane });
  return { size: footer.packBytes, open };
}

async function* packBlocks(
  file: string,
  { id }: PackFooter,
  lane: PackLane | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* fileBlocks(file, lane);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) throw missingPack(id);
    throw error;
  }
}

/**
 * Creates a pack at a remote, verified on its way, and after it the index object that makes it known.
 * @returns whether the pack was there
 */
export async function sendPack(
  remote: RemoteWriter,
  file: string,
  footer: PackFooter,
  options: RemoteCallOptions,
): Promise<'created' | 'exists'> {
  const source = packSource(file, footer);
  const state = await remote.create(packKey(footer.id), source, { ...options, contentKey: true });
  await remote.create(indexKey(footer.id), bytesSource(footer.bytes), options);
  return state;
}

/**
 * Looks at a pack that was there before it could be sent: one of that name which is cut short would hide for ever that its
 * chunks are missing.
 * @throws MstoreError `corrupt-remote`
 */
export async function checkPackPresent(
  remote: RemoteReader,
  footer: PackFooter,
  options: RemoteCallOptions,
): Promise<void> {
  const key = packKey(footer.id);
  const size = await remote.stat(key, options);
  if (size === undefined || size === footer.packBytes) return;
  throw new MstoreError(
    'corrupt-remote',
    `${remote.location}/${key} is damaged: it has ${size} bytes instead of ${footer.packBytes}`,
    { hint: pushedAgain('that object'), details: { key, size, expected: footer.packBytes } },
  );
}

/** Options of {@link receivePack}. */
export interface ReceiveOptions extends RemoteCallOptions {
  /** Has threads verify the pack; without it this thread does. */
  readonly lane?: PackLane | undefined;
  /**
   * Called before a pack that broke off is dropped, with the file that holds its beginning as far as it
   * came; what lies in it has to be verified again.
   */
  readonly onBroken?: (file: string, error: unknown) => Promise<void>;
}

/**
 * Fetches a whole pack into the store: written beside, verified, flushed, then published.
 * @param onBytes called with the bytes received since the last call
 */
export async function receivePack(
  store: Store,
  remote: RemoteReader,
  footer: PackFooter,
  onBytes: (bytes: number) => void,
  { signal, requestsMax, lane, onBroken }: ReceiveOptions = {},
): Promise<void> {
  store.prepareWriting();
  const temp = store.tempFile();
  try {
    const breather = new Breather(signal);
    const out = new SequentialFile(temp, { size: footer.packBytes, blocks: 2 });
    try {
      const options = { signal, requestsMax, memory: lane?.blocks };
      const blocks = remote.get(packKey(footer.id), undefined, options);
      for await (const block of verifiedPack(blocks, footer, { lane })) {
        await out.append(block);
        onBytes(block.length);
        if (breather.due()) await breather.turn();
      }
      await out.settled();
      out.end();
      out.sync();
    } catch (error) {
      if (onBroken !== undefined) {
        await out.settled();
        out.end();
        await onBroken(temp, remoteDamage(error, remote));
      }
      throw error;
    } finally {
      out.close();
    }
    await publishPack(store, temp, footer);
  } catch (error) {
    throw remoteDamage(fromSystemError(error, `writing a pack to ${store.folder}`), remote);
  } finally {
    removeFile(temp);
  }
}

/** Says of damage found on arrival where the damaged bytes came from. */
export function remoteDamage(error: unknown, remote: RemoteReader): unknown {
  if (!isMstoreError(error, 'corrupt-chunk', 'corrupt-pack')) return error;
  return new MstoreError(
    'corrupt-remote',
    `${remote.location} sent damaged data. ${error.message}`,
    {
      hint: `Fetch from another remote. ${pushedAgain('that pack')}`,
      details: { ...error.details, location: remote.location },
      cause: error,
    },
  );
}
