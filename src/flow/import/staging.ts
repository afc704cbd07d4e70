import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { throwIfAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { clearDeadTemps, deadTemps } from '../../base/dead-temps.ts';
import { sha256 } from '../../base/digest.ts';
import { fromSystemError } from '../../base/errors.ts';
import { ensureCacheFolder, tempName, writeOn } from '../../base/files.ts';
import { canonicalJson } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import { type ContentHash, contentHash } from '../../dvc/content-hash.ts';
import { gitObjectHash } from '../../git/object-id.ts';
import { corruptSource, type Snapshot, type SourceFile } from '../../source/snapshot.ts';

/** What was received and is not asked for any more is given up after this time. */
const keptMsMax = 7 * 24 * 60 * 60 * 1000;
const readBytes = 1024 * 1024;
/** What an import that failed leaves for the next one. */
const keptName = 'kept';

/** Receives files of a source into a folder of its own, where an import that was interrupted goes on. */
export class Staging {
  readonly #folder: string;
  readonly #kept: string;

  private constructor(folder: string, kept: string) {
    this.#folder = folder;
    this.#kept = kept;
  }

  /**
   * Makes the folder for a snapshot, with what an earlier import of the same snapshot received.
   * @param tempFolder of the workspace
   */
  static open(tempFolder: string, { reference, facts }: Snapshot, clock: Clock): Staging {
    const all = path.join(tempFolder, 'imports');
    const folder = path.join(all, sha256(canonicalJson({ reference, facts })).slice(0, 32));
    const own = path.join(folder, tempName());
    const kept = path.join(folder, keptName);
    try {
      clearOld(all, clock);
      ensureCacheFolder(folder);
      for (const place of [kept, ...deadTemps(folder, '', clock)]) if (renamed(place, own)) break;
      clearDeadTemps(folder, '', clock);
      ensureCacheFolder(own);
      // A folder that was taken over may be old.
      fs.utimesSync(own, clock.now() / 1000, clock.now() / 1000);
    } catch (error) {
      throw fromSystemError(error, `making ${printable(folder)}`);
    }
    return new Staging(own, kept);
  }

  /** Returns the absolute path at which a file is received. */
  placeOf({ path: name }: SourceFile): string {
    return path.join(this.#folder, sha256(name));
  }

  /**
   * Receives a file, behind what is there of it already.
   * @param onBytes called with the bytes that came, or were there
   * @returns its place; its bytes are those that the source tells the digest of
   * @throws MstoreError `corrupt-source` when they are not, and whatever the source throws
   */
  async receive(
    snapshot: Snapshot,
    file: SourceFile,
    { signal, onBytes }: { signal: AbortSignal | undefined; onBytes: (bytes: number) => void },
  ): Promise<string> {
    const target = this.placeOf(file);
    for (;;) {
      const check = new ContentCheck(file);
      const before = await check.readFile(target, signal);
      // Something else of that name, or more than there is: it is of no use.
      if (before > file.size) fs.rmSync(target);
      else {
        onBytes(before);
        await append(target, snapshot.read(file, before, { signal }), signal, (block) => {
          check.add(block);
          onBytes(block.length);
        });
        if (check.isRight()) return target;
        fs.rmSync(target);
        onBytes(-check.size);
        if (before === 0) {
          const what = `${printable(file.path)} has other bytes than its listing says`;
          throw corruptSource(snapshot.reference, what);
        }
      }
    }
  }

  /** Removes a file that is not needed any more. */
  drop(file: SourceFile): void {
    fs.rmSync(this.placeOf(file), { force: true });
  }

  /** Ends: all is removed where the import is done, else kept for the next one. */
  close(isDone: boolean): void {
    if (isDone || !renamed(this.#folder, this.#kept)) {
      fs.rmSync(this.#folder, { recursive: true, force: true });
    }
    for (const folder of [path.dirname(this.#folder), path.dirname(path.dirname(this.#folder))]) {
      try {
        fs.rmdirSync(folder);
      } catch {
        // Another import has something there.
        break;
      }
    }
  }
}

/**
 * Tells whether a file on this machine has the bytes of a file of a source, as far as that tells them.
 * @throws what reading throws
 */
export async function holdsBytes(
  place: string,
  file: SourceFile,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if ((file.sha256 ?? file.gitBlob ?? file.md5) === undefined) {
    return fs.statSync(place, { throwIfNoEntry: false })?.size === file.size;
  }
  const check = new ContentCheck(file);
  await check.readFile(place, signal);
  return check.isRight();
}

/** Holds bytes against what a source tells of a file: its size, and its SHA-256 or the name that Git or DVC gives it. */
class ContentCheck {
  readonly #file: SourceFile;
  readonly #hash: Hash | undefined;
  readonly #byDvc: ContentHash | undefined;
  size = 0;

  constructor(file: SourceFile) {
    this.#file = file;
    if (file.sha256 !== undefined) this.#hash = createHash('sha256');
    else if (file.gitBlob !== undefined) {
      this.#hash = gitObjectHash('blob', file.size);
    } else if (file.md5 !== undefined) this.#byDvc = contentHash(file.md5.hash);
  }

  add(block: Uint8Array): void {
    this.size += block.length;
    this.#hash?.update(block);
    this.#byDvc?.update(block);
  }

  /** Adds the bytes of a file, if there is one. */
  async readFile(place: string, signal: AbortSignal | undefined): Promise<number> {
    let handle: fs.promises.FileHandle;
    try {
      handle = await fs.promises.open(place, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw error;
    }
    try {
      const block = Buffer.allocUnsafe(readBytes);
      for (;;) {
        throwIfAborted(signal);
        const { bytesRead } = await handle.read(block, 0, block.length, null);
        if (bytesRead === 0) return this.size;
        this.add(block.subarray(0, bytesRead));
      }
    } finally {
      await handle.close();
    }
  }

  isRight(): boolean {
    const { size, sha256: whole, gitBlob, md5 } = this.#file;
    if (this.size !== size) return false;
    if (md5 !== undefined && this.#byDvc !== undefined) return this.#byDvc.is(md5.digest);
    return this.#hash === undefined || this.#hash.digest('hex') === (whole ?? gitBlob);
  }
}

async function append(
  target: string,
  blocks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  take: (block: Uint8Array) => void,
): Promise<void> {
  const handle = await fs.promises.open(target, 'a');
  try {
    for await (const block of blocks) {
      throwIfAborted(signal);
      await writeOn(handle, block);
      take(block);
    }
  } finally {
    await handle.close();
  }
}

/** Removes what nobody asked for in a long time. */
function clearOld(all: string, clock: Clock): void {
  for (const name of namesIn(all)) {
    const folder = path.join(all, name);
    const isOld = namesIn(folder).every(
      (inner) => idleOf(path.join(folder, inner), clock) > keptMsMax,
    );
    if (isOld) fs.rmSync(folder, { recursive: true, force: true });
  }
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

function idleOf(place: string, clock: Clock): number {
  try {
    return clock.now() - fs.statSync(place).mtimeMs;
  } catch {
    return 0;
  }
}

function renamed(from: string, to: string): boolean {
  try {
    fs.renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}
