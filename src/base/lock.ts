import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, systemClock } from './clock.ts';
import { MstoreError, systemCode } from './errors.ts';
import { readBounded, removeFile, tempName, writeAtomically } from './files.ts';
import { ownerIsGone, parseOwner, thisOwner } from './host.ts';

/** Options of {@link withLock}. */
export interface LockOptions {
  /** Milliseconds to wait for another holder before giving up. */
  readonly waitMsMax?: number;
  readonly clock?: Clock;
}

/**
 * Runs `work` while this process alone holds the lock file. Meant for short read-modify-write steps on
 * small files, never for long work: stores and remotes are written without locks. A holder that ended
 * without releasing is found by its process id and its lock is taken over.
 * @throws MstoreError `locked` when another holder keeps it for longer than the wait
 */
export async function withLock<T>(
  file: string,
  work: () => T | Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const clock = options.clock ?? systemClock;
  const giveUpAt = clock.monotonic() + (options.waitMsMax ?? 10_000);
  const mine = `${JSON.stringify({ ...thisOwner(), nonce: tempName() })}\n`;
  for (let waitMs = 1; !take(file, mine); waitMs = Math.min(waitMs * 2, 50)) {
    removeIfStale(file, clock);
    if (clock.monotonic() > giveUpAt) {
      throw new MstoreError('locked', `Another process holds ${file}`, {
        hint: 'Wait for it to end; if no mstore runs on any host that shares this folder, remove the file',
        details: { path: file },
      });
    }
    await delay(waitMs);
  }
  try {
    return await work();
  } finally {
    if (readBounded(file, lockBytesMax)?.toString() === mine) removeFile(file);
  }
}

const lockBytesMax = 4096;
/** A lock whose owner cannot be read is left alone this long. */
const tornLockMs = 2_000;

function take(file: string, content: string): boolean {
  return writeAtomically(file, content, { ifAbsent: true, unsynced: true });
}

/**
 * Takes away a lock whose holder is gone. The file is first renamed, so that of several processes that
 * see the same stale lock one removes it; if the renamed file turns out to be a live lock that was
 * taken in between, it is put back.
 */
function removeIfStale(file: string, clock: Clock): void {
  const content = readBounded(file, lockBytesMax)?.toString();
  if (content === undefined || !isStale(file, content, clock)) return;
  const aside = `${file}.${tempName()}`;
  try {
    fs.renameSync(file, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  const moved = readBounded(aside, lockBytesMax)?.toString();
  if (moved !== content) {
    try {
      fs.linkSync(aside, file);
    } catch {
      // A third process holds the lock by now; the holder we moved finds its file changed and leaves it.
    }
  }
  removeFile(aside);
}

function isStale(file: string, content: string, clock: Clock): boolean {
  let idleMs: number;
  try {
    idleMs = clock.now() - fs.statSync(file).mtimeMs;
  } catch {
    return false;
  }
  const owner = parseOwner(content);
  return owner === undefined ? idleMs > tornLockMs : ownerIsGone(owner, idleMs);
}
