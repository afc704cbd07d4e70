import * as fs from 'node:fs';
import { sleep, throwIfAborted } from './abort.ts';
import { type Clock, systemClock } from './clock.ts';
import { fromSystemError, MstoreError, systemCode } from './errors.ts';
import { readBounded, removeFile, tempName, writeAtomically } from './files.ts';
import { endedByStart, hostToken, parseOwner, processRuns, thisOwner } from './host.ts';
import { printable } from './names.ts';

/** How often a holder shows that it lives. */
const beatMs = 2_000;
/** A holder of which nothing is seen for so long has ended: a container that is gone cannot be asked. */
const silentMs = 15_000;
const lockBytesMax = 4096;

/** Options of {@link LongLock.take}. */
export interface LongLockOptions {
  /** Milliseconds to wait for a holder that lives. */
  readonly waitMsMax?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal | undefined;
  /** What the lock is of, for the error. */
  readonly of: string;
}

/**
 * A lock that is held for as long as a program runs. Its holder touches the file all the time. One of this host that
 * has ended is told by its process, one of another host or container by its silence, which is measured by our own
 * clock: so neither a container that was started anew nor clocks that differ keep anybody out for long.
 */
export class LongLock {
  readonly #file: string;
  readonly #mine: string;
  readonly #of: string;
  readonly #timer: NodeJS.Timeout;

  private constructor(file: string, mine: string, { of, clock = systemClock }: LongLockOptions) {
    this.#file = file;
    this.#mine = mine;
    this.#of = of;
    this.#timer = setInterval(() => touch(file, clock), beatMs).unref();
  }

  /**
   * Takes the lock.
   * @throws MstoreError `locked` when a holder that lives keeps it
   */
  static async take(file: string, options: LongLockOptions): Promise<LongLock> {
    const { clock = systemClock, waitMsMax = 0, signal } = options;
    const mine = `${JSON.stringify({ ...thisOwner(), nonce: tempName() })}\n`;
    const begun = clock.monotonic();
    let seen: { readonly sign: string; readonly since: number } | undefined;
    let moved = false;
    for (;;) {
      if (writeAtomically(file, mine, { ifAbsent: true, unsynced: true })) {
        return new LongLock(file, mine, options);
      }
      const held = look(file);
      if (held === undefined) continue;
      const now = clock.monotonic();
      moved ||= seen !== undefined && seen.sign !== held.sign;
      if (seen?.sign !== held.sign) seen = { sign: held.sign, since: now };
      const state = stateOf(held, clock);
      const isSilent = state === 'unknown' && now - seen.since > silentMs;
      if (state === 'ended' || isSilent) moveAway(file, held.text);
      else if (now - begun > waitMsMax && (state === 'lives' || moved)) {
        throw lockedBy(file, options.of);
      } else await sleep(100, signal);
      throwIfAborted(signal);
    }
  }

  get #isHeld(): boolean {
    return readBounded(this.#file, lockBytesMax)?.toString() === this.#mine;
  }

  /**
   * Makes sure that the lock is still ours: a holder that stood still for long may have lost it.
   * @throws MstoreError `locked`
   */
  check(): void {
    if (!this.#isHeld) throw lockedBy(this.#file, this.#of);
  }

  /** Lets others have it. */
  release(): void {
    clearInterval(this.#timer);
    if (this.#isHeld) removeFile(this.#file);
  }
}

/** Shows that the holder lives. */
function touch(file: string, clock: Clock): void {
  try {
    const now = clock.now() / 1000;
    fs.utimesSync(file, now, now);
  } catch {
    // Whoever took it away is found out by check().
  }
}

interface Held {
  readonly text: string;
  readonly mtimeMs: number;
  /** Differs as soon as the holder shows that it lives, or is another. */
  readonly sign: string;
}

function look(file: string): Held | undefined {
  try {
    const { mtimeMs } = fs.statSync(file);
    const text = readBounded(file, lockBytesMax)?.toString();
    return text === undefined ? undefined : { text, mtimeMs, sign: `${mtimeMs} ${text}` };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fromSystemError(error, `reading ${printable(file)}`);
  }
}

/** `unknown` is whoever cannot be asked: it is watched. */
function stateOf({ text, mtimeMs }: Held, clock: Clock): 'lives' | 'ended' | 'unknown' {
  const owner = parseOwner(text);
  if (owner === undefined) return 'unknown';
  if (owner.host === hostToken()) return processRuns(owner.pid) ? 'lives' : 'ended';
  return endedByStart(owner, clock.now() - mtimeMs) ? 'ended' : 'unknown';
}

/** Of several that see the same dead holder one moves its file; one that lives gets it back. */
function moveAway(file: string, text: string): void {
  const aside = `${file}.${tempName()}`;
  try {
    fs.renameSync(file, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw fromSystemError(error, `taking over ${printable(file)}`);
  }
  try {
    if (readBounded(aside, lockBytesMax)?.toString() !== text) fs.linkSync(aside, file);
  } catch {
    // A third one holds the lock by now; the one that was moved finds its file changed.
  } finally {
    removeFile(aside);
  }
}

function lockedBy(file: string, of: string): MstoreError {
  const owner = parseOwner(readBounded(file, lockBytesMax)?.toString() ?? '');
  const who = owner?.host === hostToken() ? `process ${owner.pid}` : 'another host or container';
  return new MstoreError('locked', `Another mstore keeps ${of}: ${who}`, {
    hint: 'One is enough: end the other, or give this one a directory of its own',
    details: { path: file },
  });
}
