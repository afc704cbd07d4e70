import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import {
  AuditLog,
  auditKey,
  auditPrefix,
  corruptAudit,
  objectDigest,
  parseAuditKey,
} from '../../registry/audit.ts';
import { bytesMaxOf } from '../../registry/keys.ts';
import { type RemoteCallOptions, type RemoteReader, readObject } from '../../remote/remote.ts';
import type { Workspace } from '../workspace.ts';
import { endOf, readLines } from './read-audit.ts';

/** What registries and others that are logged have below them. */
const loggedPrefix = 'refs/';

/** Objects read at once. */
const readsAtOnce = 16;
/** Lines of one gap that are told one by one. */
const gapMax = 100;
/** Objects without a line that are named; the rest is counted. */
const unloggedMax = 1000;

/** An object that no line speaks of. */
export interface UnloggedObject {
  readonly key: string;
  /** Whether it is older than the log, by the clock of the place; absent where that does not tell. */
  readonly beforeLog?: boolean;
}

/** What {@link checkAudit} found, beside the problems. */
export interface AuditCheck {
  readonly location: string;
  readonly lines: number;
  /** Objects that lines speak of. */
  readonly objects: number;
  /** The first thousand. */
  readonly unlogged: readonly UnloggedObject[];
  readonly unloggedMore: number;
}

/** Options of {@link checkAudit}. */
export interface AuditCheckOptions extends RemoteCallOptions {
  /** Told of what is damaged, was replaced, is gone or differs; the check goes on. */
  readonly onProblem: (error: MstoreError) => void;
}

/**
 * Checks the audit log of a remote: that it goes on from what this host saw, each line against its digest and the line
 * before it, and each object that a line speaks of; looks for objects that no line speaks of.
 */
export async function checkAudit(
  workspace: Workspace,
  remote: RemoteReader & AuditLog['place'],
  options: AuditCheckOptions,
): Promise<AuditCheck> {
  const log = new AuditLog(remote, { signal: options.signal });
  const { total, saw } = await endOf(workspace, log, options);
  const logged = new Map<string, Digest>();
  const lines = await checkLines(log, options, (line) => {
    if (line.value.number >= total) saw(line);
    for (const { key, sha256 } of line.value.objects ?? []) {
      const known = logged.get(key) ?? sha256;
      logged.set(key, sha256);
      if (known === sha256) continue;
      const path = `${remote.location}/${auditKey(line.value.number)}`;
      options.onProblem(
        corruptAudit(`${path} says something else of ${printable(key)} than a line before it`, {
          path,
          line: line.value.number,
        }),
      );
    }
  });
  const begun = await beginOf(remote, options);
  const listed = new Map<string, number | undefined>();
  for await (const { key, time } of remote.list(loggedPrefix, options)) listed.set(key, time);
  // What was done meanwhile is logged by now, or soon.
  await checkObjects(remote, logged, options);
  const unlogged = [...listed].filter(([key]) => !logged.has(key));
  return {
    location: remote.location,
    lines,
    objects: logged.size,
    unlogged: unlogged.slice(0, unloggedMax).map(([key, time]) => ({
      key,
      ...(time === undefined || begun === undefined ? {} : { beforeLog: time < begun }),
    })),
    unloggedMore: Math.max(0, unlogged.length - unloggedMax),
  };
}

/**
 * Checks all lines that are there, by a listing: behind a gap too.
 * @returns how many there are
 */
export async function checkLines(
  log: AuditLog,
  { onProblem, signal }: AuditCheckOptions,
  onLine: (line: Awaited<ReturnType<AuditLog['line']>>) => void = () => {},
): Promise<number> {
  const { place } = log;
  const numbers: number[] = [];
  for await (const { key } of place.list(auditPrefix, { signal })) {
    const number = parseAuditKey(key);
    if (number !== undefined) numbers.push(number);
    else onProblem(corruptAudit(`${printable(`${place.location}/${key}`)} is no line of the log`));
  }
  let expected = 1;
  for (const number of numbers) {
    for (let gap = expected; gap < Math.min(number, expected + gapMax); gap++) {
      const path = `${place.location}/${auditKey(gap)}`;
      onProblem(
        corruptAudit(`${path} is gone: the log goes on with line ${number}`, { path, line: gap }),
      );
    }
    expected = number + 1;
  }
  for await (const line of readLines(log, numbers, { onProblem, signal })) onLine(line);
  return numbers.length;
}

/** When the log was begun, by the clock of the place. */
async function beginOf(
  remote: RemoteReader,
  { signal }: AuditCheckOptions,
): Promise<number | undefined> {
  for await (const { time } of remote.list(auditPrefix, { signal })) return time;
  return undefined;
}

/** Compares what lines say of objects with what is there. */
async function checkObjects(
  remote: RemoteReader,
  logged: ReadonlyMap<string, Digest>,
  { onProblem, signal }: AuditCheckOptions,
): Promise<void> {
  await mapConcurrently([...logged], readsAtOnce, async ([key, sha256]) => {
    const path = `${remote.location}/${printable(key)}`;
    try {
      const bytes = await readObject(remote, key, bytesMaxOf(key), { signal });
      if (objectDigest(bytes) === sha256) return;
      onProblem(
        corruptAudit(`${path} is not what was logged: it was replaced or changed`, { path }),
      );
    } catch (error) {
      if (!isMstoreError(error, 'not-found', 'corrupt-remote')) throw error;
      const what = error.code === 'not-found' ? 'is gone, and was logged' : 'cannot be read';
      onProblem(corruptAudit(`${path} ${what}`, { path }, error));
    }
  });
}
