import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { mayBeModel } from '../validate/detect.ts';
import type { Neighbours, Source } from '../validate/source.ts';
import type { FileValidation } from '../validate/validate.ts';
import type { Config } from '../worktree/config.ts';
import type { WorkOptions } from './add.ts';
import type { Tracked } from './tracked.ts';
import { validateAll } from './validate-files.ts';
import { openOnDisk, type PlacedSource, StoredSources } from './validate-sources.ts';
import type { Workspace } from './workspace.ts';

/** What is done about invalid and dangerous files. */
type ValidatePolicy = 'allow' | 'warn' | 'deny';

/**
 * Bytes that are read of a file on the way of another command: enough for headers, never for weights. What
 * would need more counts as not read to its end.
 */
const passingBytesMax = 16 * 1024 * 1024;
const filesShown = 5;

/** The policy of a workspace: `validate.policy`, which warns by default. */
function validatePolicy(config: Config): ValidatePolicy {
  return (config.string('validate.policy') as ValidatePolicy | undefined) ?? 'warn';
}

/** A file on the disk that is about to be stored. */
export interface IncomingFile {
  /** From the top of the workspace. */
  readonly path: string;
  readonly source: string;
  readonly size: number;
  /** Whether the same bytes are stored already. */
  readonly known: boolean;
}

/**
 * Applies the policy to files that are about to be stored. With `allow` nothing is read, with `warn` only
 * files that are new and whose names are none of texts, pictures and the like.
 * @returns warnings
 * @throws MstoreError `validation-refused` with `deny`
 */
export async function judgeIncoming(
  config: Config,
  files: readonly IncomingFile[],
  options: WorkOptions,
): Promise<string[]> {
  const policy = validatePolicy(config);
  if (policy === 'allow') return [];
  const judged =
    policy === 'deny'
      ? files
      : files.filter(({ known, path: shown }) => !known && mayBeModel(path.posix.basename(shown)));
  const byPath = new Map(files.map((file) => [file.path, file]));
  const sources = judged.map((file) => ({ source: incoming(file), around: beside(file, byPath) }));
  return judge(policy, sources, { signal: options.signal });
}

function incoming({ path: shown, source, size }: IncomingFile): Source {
  return {
    path: shown,
    size,
    open: () => openOnDisk(source, shown),
  };
}

/** The files that are stored with one, in its folder and below. */
function beside(
  { path: shown }: IncomingFile,
  files: ReadonlyMap<string, IncomingFile>,
): Neighbours {
  const folder = path.posix.dirname(shown);
  return {
    find: (name) => {
      const found = files.get(path.posix.join(folder, name));
      return found === undefined ? undefined : incoming(found);
    },
  };
}

/**
 * Applies the policy to what a version holds, read from the local store. With `warn`, what is not here is
 * passed over.
 * @returns warnings
 * @throws MstoreError `validation-refused` with `deny`, and `objects-missing` when files are not here
 */
export async function judgeStored(
  workspace: Workspace,
  item: Tracked,
  options: WorkOptions,
): Promise<string[]> {
  const policy = validatePolicy(workspace.config);
  if (policy === 'allow') return [];
  const { store } = workspace;
  if (policy === 'warn' && !store.has(item.pointer.sha256)) return [];
  const stored = new StoredSources(workspace);
  try {
    return await judge(policy, stored.list(item), { signal: options.signal });
  } catch (error) {
    if (policy === 'warn' && error instanceof MstoreError && error.code === 'objects-missing')
      return [];
    throw error;
  } finally {
    stored.close();
  }
}

async function judge(
  policy: 'warn' | 'deny',
  sources: readonly PlacedSource[],
  options: WorkOptions,
): Promise<string[]> {
  const passingBytes = policy === 'deny' ? undefined : passingBytesMax;
  const { files } = await validateAll(sources, options, passingBytes);
  return verdictOf(policy, files);
}

/**
 * Applies the policy to files that were validated.
 * @returns warnings
 * @throws MstoreError `validation-refused` with `deny`
 */
export function judgeValidated(config: Config, files: readonly FileValidation[]): string[] {
  const policy = validatePolicy(config);
  return policy === 'allow' ? [] : verdictOf(policy, files);
}

function verdictOf(policy: 'warn' | 'deny', files: readonly FileValidation[]): string[] {
  const bad = files.filter((file) => isBad(file, policy));
  if (bad.length === 0) return [];
  const lines = bad.slice(0, filesShown).map(tellFile);
  const more = bad.length - filesShown;
  if (more > 0) lines.push(`${more} more files are invalid or dangerous`);
  if (policy === 'warn') return lines;
  throw new MstoreError('validation-refused', `${lines[0]}; validate.policy denies that`, {
    hint: `Run "mstore validate ${printable(bad[0]?.path ?? '')}" to see all that was found`,
    details: { paths: bad.map(({ path: shown }) => shown) },
  });
}

/**
 * Gives a refusal of files that come from elsewhere a hint that can be followed: they are at no path here.
 * @param other what else could be done, as a half sentence that ends with a comma; empty for nothing
 * @returns other errors as they are
 */
export function refusedElsewhere(error: unknown, other: string): unknown {
  if (!(error instanceof MstoreError) || error.code !== 'validation-refused') return error;
  return new MstoreError(error.code, error.message, {
    hint: `Nothing was taken. Ask whoever made it,${other} or see all that was found: run "mstore validate" on a copy where nobody loads it`,
    details: error.details,
    cause: error,
  });
}

/** What is not seen whole may hold anything: it is refused as well, and not worth a warning. */
function isBad({ verdict, findings }: FileValidation, policy: ValidatePolicy): boolean {
  if (verdict === 'invalid' || verdict === 'dangerous') return true;
  return policy === 'deny' && findings.some(({ rule }) => rule === 'not-read-to-end');
}

/** Says in one line what is worst about a file. */
function tellFile({ path: shown, verdict, findings }: FileValidation): string {
  const worst =
    verdict === 'warning'
      ? findings.find(({ rule }) => rule === 'not-read-to-end')
      : findings.find(({ severity }) => severity === verdict);
  const where = worst?.where === undefined ? '' : ` (${worst.where})`;
  return `${printable(shown)} is ${verdict === 'warning' ? 'not seen whole' : verdict}: ${printable(worst?.message ?? '')}${printable(where)} [${worst?.rule ?? ''}]`;
}
