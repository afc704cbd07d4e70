import * as path from 'node:path';
import { readCacheDocument, writeCacheFile } from '../../base/cache-file.ts';
import { isDigest, sha256 } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { removeFile } from '../../base/files.ts';
import type { AuditLine, AuditLog, SeenLine } from '../../registry/audit.ts';
import type { Sealed } from '../../registry/sealed.ts';
import type { RemoteWriter } from '../../remote/remote.ts';
import type { Workspace } from '../workspace.ts';

const format = 1;
const bytesMax = 4096;

/** Where the log of a place ends, and whether it still goes on from what was seen. */
export interface LogEnd {
  /** Number of the last line, 0 for none. */
  readonly number: number;
  /** Why the log is not the one that was seen here before. */
  readonly problem: MstoreError | undefined;
  /** The last line, where it is the one that was seen. */
  readonly line?: Sealed<AuditLine>;
}

/**
 * The line of an audit log that this host saw last, kept in the cache of the workspace: a log whose end was cut off
 * looks whole to everybody else. Kept by the address of the place, as what is there may be another one meanwhile.
 */
export class LastSeen {
  readonly #file: string;
  readonly #location: string;

  private constructor(file: string, location: string) {
    this.#file = file;
    this.#location = location;
  }

  static async of({ cacheFolder }: Workspace, remote: RemoteWriter): Promise<LastSeen> {
    const place = `${(await remote.probe?.endpoint()) ?? ''}\n${remote.location}`;
    const file = path.join(cacheFolder, 'audit', sha256(place).slice(0, 32));
    return new LastSeen(file, remote.location);
  }

  /** The line that was seen last; undefined for none. */
  read(): SeenLine | undefined {
    const { number, sha256: digest } = readCacheDocument(this.#file, format, bytesMax) ?? {};
    const isLine = Number.isSafeInteger(number) && Number(number) > 0 && isDigest(digest);
    return isLine ? { number: Number(number), sha256: digest } : undefined;
  }

  /** Remembers a line in place of an earlier one. */
  keep({ value: { number }, sha256: digest }: Sealed<AuditLine>): void {
    const known = this.read();
    if (known?.number === number && known.sha256 === digest) return;
    const document = { format, location: this.#location, number, sha256: digest };
    writeCacheFile(this.#file, `${JSON.stringify(document)}\n`);
  }

  /** Forgets what was seen. */
  forget(): void {
    removeFile(this.#file);
  }

  /** Finds the end of a log, from what was seen on. What was seen stays remembered where the log does not go on from it. */
  async look(log: AuditLog): Promise<LogEnd> {
    const seen = this.read();
    if (seen === undefined) return { number: await log.lastNumber(0), problem: undefined };
    const there = await log.find(seen.number).catch(unusable);
    if (there?.sha256 === seen.sha256) {
      const number = await log.lastNumber(seen.number);
      return { number, problem: undefined, ...(number === seen.number ? { line: there } : {}) };
    }
    const number = await log.lastNumber(0);
    return { number, problem: otherLog(log, seen, there !== undefined, number) };
  }

  /**
   * Finds the last line of a log, and remembers it where the log goes on from what was seen.
   * @throws MstoreError `corrupt-audit` where it cannot be read
   */
  async findEnd(log: AuditLog): Promise<LogEnd & { readonly last: Sealed<AuditLine> | undefined }> {
    const { number, problem, line } = await this.look(log);
    const last = line ?? (number === 0 ? undefined : await log.line(number));
    if (last !== undefined && problem === undefined) this.keep(last);
    return { number, problem, last };
  }
}

/** What cannot be read is not what was seen. */
function unusable(error: unknown): undefined {
  if (!isMstoreError(error, 'corrupt-audit')) throw error;
}

function otherLog(
  { place: { location } }: AuditLog,
  { number }: SeenLine,
  isThere: boolean,
  last: number,
): MstoreError {
  const what =
    isThere || last >= number
      ? `has another line ${number} than the one that was seen here`
      : `ends with line ${last}, and line ${number} was seen here`;
  return new MstoreError('corrupt-audit', `The audit log of ${location} ${what}`, {
    hint: 'It was changed, or the remote was put back to an earlier time. When you know why, "mstore audit --forget" has this host follow it as it is',
    details: { line: number, last },
  });
}
