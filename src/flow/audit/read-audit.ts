import { throwIfAborted } from '../../base/abort.ts';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import { type AuditLine, AuditLog, auditKey, corruptAudit } from '../../registry/audit.ts';
import { modelPrefix } from '../../registry/keys.ts';
import type { Sealed } from '../../registry/sealed.ts';
import type { RemoteCallOptions, RemoteWriter } from '../../remote/remote.ts';
import type { Workspace } from '../workspace.ts';
import { LastSeen } from './seen-line.ts';

/** Lines read before the first of them is handed on, and requests at once. */
const batchLines = 256;
const readsAtOnce = 16;

/** A line as it is stored, with its digest. */
export interface ReadLine extends AuditLine {
  readonly sha256: Digest;
}

/** Which lines are read. */
export interface AuditQuestion extends RemoteCallOptions {
  /** Those about this model alone. */
  readonly model?: string | undefined;
  /** Those written at this time or later, in milliseconds since 1970-01-01 UTC. */
  readonly since?: number | undefined;
  /** Told of what is damaged, was replaced or is gone; reading goes on. */
  readonly onProblem: (error: MstoreError) => void;
}

/** What {@link readAudit} found. */
export interface AuditReading {
  readonly location: string;
  /** The newest one first. */
  readonly lines: readonly ReadLine[];
  /** Lines that the log has. */
  readonly total: number;
  /** Whether there are older ones that were asked for, beyond the limit. */
  readonly more: boolean;
}

/**
 * Reads the newest lines of the audit log of a remote. As clocks differ, the search for those of a time ends with
 * 256 lines in a row that are older.
 * @param limit most lines that are returned
 */
export async function readAudit(
  workspace: Workspace,
  remote: RemoteWriter,
  { limit, ...question }: AuditQuestion & { readonly limit: number },
): Promise<AuditReading> {
  const log = new AuditLog(remote, { signal: question.signal });
  const { total, saw } = await endOf(workspace, log, question);
  const lines: ReadLine[] = [];
  let olderInRow = 0;
  let more = false;
  for await (const line of readLines(log, countDown(total), question)) {
    saw(line);
    olderInRow = isYoung(line, question) ? 0 : olderInRow + 1;
    if (olderInRow === batchLines) break;
    if (!isAsked(line, question)) continue;
    more = lines.length === limit;
    if (more) break;
    lines.push(flat(line));
  }
  return { location: remote.location, lines, total, more };
}

/** Reads the lines that are asked for, the oldest one first, however many there are. */
export async function* exportAudit(
  workspace: Workspace,
  remote: RemoteWriter,
  question: AuditQuestion,
): AsyncGenerator<ReadLine, void, void> {
  const log = new AuditLog(remote, { signal: question.signal });
  const { total, saw } = await endOf(workspace, log, question);
  for await (const line of readLines(log, countUp(total), question)) {
    saw(line);
    if (isAsked(line, question)) yield flat(line);
  }
}

/** Finds the number of the last line, and tells of a log that is not the one that was seen. */
export async function endOf(
  workspace: Workspace,
  log: AuditLog,
  { onProblem }: Pick<AuditQuestion, 'onProblem'>,
): Promise<{ readonly total: number; readonly saw: (line: Sealed<AuditLine>) => void }> {
  const seen = await LastSeen.of(workspace, log.place);
  const { number: total, problem } = await seen.look(log);
  if (problem !== undefined) onProblem(problem);
  const saw = (line: Sealed<AuditLine>): void => {
    if (line.value.number === total && problem === undefined) seen.keep(line);
  };
  return { total, saw };
}

function isYoung({ value }: Sealed<AuditLine>, { since }: AuditQuestion): boolean {
  return since === undefined || Date.parse(value.at) >= since;
}

function isAsked(line: Sealed<AuditLine>, question: AuditQuestion): boolean {
  const { model } = question;
  if (!isYoung(line, question)) return false;
  if (model === undefined || line.value.model === model) return true;
  const prefix = modelPrefix(model);
  return line.value.objects?.some(({ key }) => key.startsWith(prefix)) ?? false;
}

function flat({ value, sha256 }: Sealed<AuditLine>): ReadLine {
  return { ...value, sha256 };
}

function* countDown(from: number): Generator<number, void, void> {
  for (let number = from; number > 0; number--) yield number;
}

function* countUp(to: number): Generator<number, void, void> {
  for (let number = 1; number <= to; number++) yield number;
}

/**
 * Reads lines in the order of the numbers given, and compares neighbours: each holds the digest of the one before it.
 * A line that cannot be used is told of and left out.
 */
export async function* readLines(
  log: AuditLog,
  numbers: Iterable<number>,
  { onProblem, signal }: Pick<AuditQuestion, 'onProblem' | 'signal'>,
): AsyncGenerator<Sealed<AuditLine>, void, void> {
  let neighbour: Sealed<AuditLine> | undefined;
  for (const batch of batches(numbers)) {
    throwIfAborted(signal);
    const found = new Map<number, Sealed<AuditLine> | MstoreError>();
    await mapConcurrently(batch, readsAtOnce, async (number) => {
      found.set(number, await lineOrProblem(log, number));
    });
    for (const number of batch) {
      const line = found.get(number);
      if (line === undefined || isMstoreError(line)) {
        if (line !== undefined) onProblem(line);
        neighbour = undefined;
        continue;
      }
      if (neighbour !== undefined) checkLink(log, neighbour, line, onProblem);
      neighbour = line;
      yield line;
    }
  }
}

async function lineOrProblem(
  log: AuditLog,
  number: number,
): Promise<Sealed<AuditLine> | MstoreError> {
  try {
    return await log.line(number);
  } catch (error) {
    if (isMstoreError(error, 'corrupt-audit')) return error;
    throw error;
  }
}

function checkLink(
  { place: { location } }: AuditLog,
  a: Sealed<AuditLine>,
  b: Sealed<AuditLine>,
  onProblem: (error: MstoreError) => void,
): void {
  const [before, after] = a.value.number < b.value.number ? [a, b] : [b, a];
  const { number, previous } = after.value;
  if (number !== before.value.number + 1 || previous === before.sha256) return;
  const path = `${location}/${auditKey(number)}`;
  const what = `${path} does not follow the line before it, which was replaced or changed`;
  onProblem(corruptAudit(what, { path, line: number }));
}

function* batches(numbers: Iterable<number>): Generator<number[], void, void> {
  let batch: number[] = [];
  for (const number of numbers) {
    batch.push(number);
    if (batch.length < batchLines) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
