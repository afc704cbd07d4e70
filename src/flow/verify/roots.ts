import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import type { RemoteCallOptions, RemoteReader } from '../../remote/remote.ts';
import { type Mark, readMarks } from '../../store/clean-up.ts';
import { rootsPrefix } from '../../store/keys.ts';
import { type RootRecord, readRoot, repositoryOfRoot } from '../../store/roots.ts';
import { pointerSuffix } from '../../worktree/pointer.ts';
import { recordRoots } from '../root-set.ts';
import {
  type BrokenPointer,
  contentName,
  pointerPath,
  readPointers,
  type Tracked,
  trackedInWorkspace,
} from '../tracked.ts';
import type { Workspace } from '../workspace.ts';
import type { Findings } from './findings.ts';
import type { NamedContent } from './harm.ts';
import { foreign, isObjectFault } from './packs.ts';
import type { VerifiedPlace } from './place.ts';

/**
 * Lists what the pointers of a workspace name: those of the working tree, those that are staged, and those of every
 * commit that Git keeps. A pointer of the working tree that cannot be read is a finding, and hides no other.
 */
export async function* localContents(
  workspace: Workspace,
  findings: Findings,
): AsyncGenerator<NamedContent, void, void> {
  const { tracked, broken } = trackedInWorkspace(workspace);
  for (const one of broken) noteBroken(one, findings);
  const told = new Set<string>();
  const isNew = (item: Tracked): boolean => {
    const name = contentName(item);
    return !told.has(name) && told.add(name) !== undefined;
  };
  for (const item of tracked) {
    if (isNew(item)) yield { name: `${item.path} in the working tree`, item };
  }
  try {
    yield* contentsInGit(workspace, isNew);
  } catch (error) {
    if (!isMstoreError(error, 'git-failed', 'too-large')) throw error;
    findings.add({
      kind: 'history-unread',
      severity: 'notice',
      code: error.code,
      message: `What earlier commits need is not known: ${error.message}`,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

async function* contentsInGit(
  workspace: Workspace,
  isNew: (item: Tracked) => boolean,
): AsyncGenerator<NamedContent, void, void> {
  const { git, gitPrefix } = workspace;
  if (git === undefined) return;
  const isOurs = ({ path }: { readonly path: string }): boolean => path.startsWith(gitPrefix);
  const past = (await git.history(await git.keptCommits(), pointerSuffix)).filter(isOurs);
  for (const item of (await readPointers(workspace, past)).tracked) {
    if (isNew(item)) yield { name: `${item.path} at ${item.file.commit.slice(0, 10)}`, item };
  }
  const staged = (await git.indexedFiles(pointerSuffix)).filter(isOurs);
  for (const item of (await readPointers(workspace, staged)).tracked) {
    if (isNew(item)) yield { name: `${item.path} as it is staged`, item };
  }
}

/** @throws MstoreError where it is the system that failed, which says nothing of the pointer */
function noteBroken({ path, error }: BrokenPointer, findings: Findings): void {
  if (error.details['system'] !== undefined && !isObjectFault(error)) throw error;
  findings
    .add({
      kind: 'pointer-damaged',
      severity: 'damage',
      code: error.code,
      key: pointerPath(path),
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
    .harm(`${path} in the working tree`);
}

/**
 * Lists what the pushes of all repositories need of a place. Records that a clean-up has given up count no more; one
 * that cannot be read is a finding, and hides no other.
 */
export async function* recordedContents(
  { objects, requests }: VerifiedPlace,
  findings: Findings,
): AsyncGenerator<NamedContent, void, void> {
  const givenUp = new Set((await marksOf(objects, requests)).flatMap(({ roots }) => roots));
  for await (const { key } of objects.list(rootsPrefix, requests)) {
    if (repositoryOfRoot(key) === undefined) {
      findings.add(foreign(key));
      continue;
    }
    if (givenUp.has(key)) continue;
    const record = await readRecord(objects, key, requests, (error) =>
      findings.add({
        kind: 'root-damaged',
        severity: 'damage',
        code: 'corrupt-remote',
        key,
        message: error.message,
        hint: 'Push again with --all-versions from the repository, then remove this object',
      }),
    );
    if (record !== undefined) yield* recordRoots(record);
  }
}

async function readRecord(
  objects: RemoteReader,
  key: string,
  options: RemoteCallOptions,
  onDamage: (error: MstoreError) => void,
): Promise<RootRecord | undefined> {
  try {
    return await readRoot(objects, key, options);
  } catch (error) {
    if (isObjectFault(error)) onDamage(error);
    else if (!isMstoreError(error, 'not-found')) throw error;
    return undefined;
  }
}

/** Reads the marks of clean-ups that are not over; one that cannot be read names nothing. */
export async function marksOf(
  objects: RemoteReader,
  options: RemoteCallOptions,
): Promise<readonly Mark[]> {
  const marks: Mark[] = [];
  for await (const { mark } of readMarks(objects, options, isObjectFault)) marks.push(mark);
  return marks;
}
