import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, MstoreError } from '../../base/errors.ts';
import { ensureCacheFolder, readBounded } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { lfsPointerBytesMax, parseLfsPointer } from '../../lfs/pointer.ts';
import type { Snapshot } from '../../source/snapshot.ts';
import { addIgnoreLine, ensureAttributes, removeAttributeLines } from '../../worktree/git-files.ts';
import { type Pointer, writePointer } from '../../worktree/pointer.ts';
import type { WorkOptions } from '../add.ts';
import { checkPlaces, checkPointersKept } from '../add-checks.ts';
import { checkout } from '../checkout.ts';
import { holdsBytes, Staging } from '../import/staging.ts';
import { SnapshotStorer } from '../import/storing-snapshot.ts';
import { storing } from '../store-watch.ts';
import { pointerPath, type Tracked, trackedInWorkspace } from '../tracked.ts';
import { judgeStored } from '../validate-policy.ts';
import type { Workspace } from '../workspace.ts';
import { attributeLines, type KeptLine } from './attribute-lines.ts';
import { type CommittedFile, commitOf, committedFiles, refuseExtensions } from './committed.ts';
import { nothingThere, objectSnapshot } from './snapshot.ts';
import { lfsStorageOf } from './storage.ts';

/** What {@link adoptLfs} did. */
export interface LfsAdopted {
  /** Paths from the top of the workspace that have a pointer of mstore now, sorted. */
  readonly paths: readonly string[];
  /** Bytes of all of them. */
  readonly bytes: number;
  readonly bytesReceived: number;
  readonly bytesNew: number;
  /** What was found in the files by `validate.policy`. */
  readonly warnings: readonly string[];
  /** Lines that were taken out of files of attributes, as they tracked nothing else. */
  readonly attributesRemoved: readonly KeptLine[];
  /** Lines that fit nothing of Git LFS any more; they may be meant for files to come. */
  readonly attributesLeft: readonly KeptLine[];
}

/** A file that Git LFS keeps and mstore is to keep. */
interface Adopted {
  /** From the top of the workspace. */
  readonly path: string;
  readonly file: CommittedFile;
  readonly oid: Digest;
  readonly size: number;
  /** Whether the working tree has the content; else its pointer, or nothing. */
  readonly isHere: boolean;
}

/**
 * Takes files over that Git LFS keeps at HEAD: stores their contents, writes a pointer of mstore beside each, and leaves the files as
 * they are, with their content. What is committed is left to the user. All is checked before anything is changed.
 * @param paths files and directories from the top of the workspace; an empty one means all
 * @throws MstoreError `would-overwrite` for files that were changed and not committed, `not-found`, `objects-missing`,
 * `unsupported-file-type`, `validation-refused`
 */
export async function adoptLfs(
  workspace: Workspace,
  paths: readonly string[],
  options: WorkOptions = {},
): Promise<LfsAdopted> {
  const { storage, program, git } = await lfsStorageOf(workspace);
  const place = { git, program, rev: undefined };
  const commit = await commitOf(place);
  const files = new Map<string, CommittedFile>();
  for (const given of paths) {
    const below = (workspace.gitPrefix + given).replace(/\/$/, '');
    const found = (await committedFiles(place, commit, below)).filter(isKept);
    if (found.length === 0) throw nothingThere(given, commit);
    for (const file of found) files.set(file.path, file);
  }
  const adopted = await lookAt(workspace, [...files.values()], options);
  const taken = adopted.map(({ path: name }) => name);
  checkPlaces(workspace, taken);
  await refuseTrackedPointers(workspace, program, taken);
  await checkPointersKept(workspace, taken);
  const here = new Set(adopted.filter(({ isHere }) => isHere).map(({ path: name }) => name));
  const copyOf = (name: string) => (here.has(name) ? workspace.absolute(name) : undefined);
  const parts = { workspace, storage, options };
  const snapshot = objectSnapshot(parts, `lfs:.@${commit}`, adopted, copyOf);
  const stored = await storeAll(workspace, snapshot, adopted, options);
  // Somebody may have put something there meanwhile.
  const absent = adopted
    .filter(
      ({ isHere, path: name, oid }) => !isHere && isReplaceable(workspace.absolute(name), oid),
    )
    .map(trackedOf);
  if (absent.length > 0) await checkout(workspace, absent, { ...options, force: true });
  const remaining = (await program.filesOf(commit, ''))
    .map(({ path: full }) => full)
    .filter((full) => !files.has(full));
  const lines = attributeLines(git.root, [...files.keys()], remaining);
  for (const line of lines.literal) {
    await removeAttributeLines(path.join(git.root, line.file), line.text, workspace.cacheFolder);
  }
  return {
    paths: taken,
    bytes: adopted.reduce((sum, { size }) => sum + size, 0),
    ...stored,
    attributesRemoved: lines.literal,
    attributesLeft: lines.patterns,
  };
}

function isKept({ pointer }: CommittedFile): boolean {
  return pointer !== undefined;
}

/** Compares the working tree with what is committed: what differs is nobody's to replace. */
async function lookAt(
  workspace: Workspace,
  files: readonly CommittedFile[],
  { signal }: WorkOptions,
): Promise<Adopted[]> {
  refuseExtensions(files);
  const adopted: Adopted[] = [];
  const changed: string[] = [];
  for (const file of files) {
    const { oid, size } = file.pointer as NonNullable<CommittedFile['pointer']>;
    const name = file.path.slice(workspace.gitPrefix.length);
    const full = workspace.absolute(name);
    const stat = fs.lstatSync(full, { throwIfNoEntry: false });
    const isHere =
      stat?.isFile() === true &&
      stat.size === size &&
      (await holdsBytes(full, { path: name, size, sha256: oid }, signal));
    if (!isHere && !isReplaceable(full, oid)) changed.push(name);
    adopted.push({ path: name, file, oid, size, isHere });
  }
  if (changed.length === 0) return adopted.sort((a, b) => (a.path < b.path ? -1 : 1));
  const [first = ''] = changed;
  const more = changed.length === 1 ? '' : ` and ${changed.length - 1} more`;
  throw new MstoreError(
    'would-overwrite',
    `${printable(first)}${more} is not what is committed; Git LFS may not have it yet`,
    {
      hint: 'Commit the change, or take it back with "git restore", then run this command again',
      details: { paths: changed },
    },
  );
}

/** Tells whether nothing is at a place but the pointer itself: its content was not checked out. */
function isReplaceable(full: string, oid: Digest): boolean {
  const stat = fs.lstatSync(full, { throwIfNoEntry: false });
  if (stat === undefined) return true;
  if (!stat.isFile() || stat.size >= lfsPointerBytesMax) return false;
  const bytes = readBounded(full, lfsPointerBytesMax, { noFollow: true });
  return bytes !== undefined && bytes.length > 0 && parseLfsPointer(bytes)?.oid === oid;
}

/** A pointer of mstore that the filter of Git LFS would take away is none that Git shows. */
async function refuseTrackedPointers(
  { gitPrefix }: Workspace,
  program: Awaited<ReturnType<typeof lfsStorageOf>>['program'],
  paths: readonly string[],
): Promise<void> {
  const pointers = paths.map((name) => gitPrefix + pointerPath(name));
  const filters = await program.attribute('filter', pointers);
  const taken = pointers.find((name) => filters.get(name) === 'lfs');
  if (taken === undefined) return;
  throw new MstoreError(
    'usage',
    `Git LFS would take the pointer ${printable(taken)} too: a line of .gitattributes fits it`,
    {
      hint: 'Add the line "*.mstore !filter !diff !merge text eol=lf" at the end of .gitattributes, then run this command again',
      details: { path: taken },
    },
  );
}

/** Stores contents, then writes pointers; again where a clean-up ran meanwhile. */
function storeAll(
  workspace: Workspace,
  snapshot: Snapshot,
  adopted: readonly Adopted[],
  options: WorkOptions,
): Promise<Pick<LfsAdopted, 'bytesReceived' | 'bytesNew' | 'warnings'>> {
  ensureCacheFolder(workspace.tempFolder);
  const { clock } = workspace.surroundings;
  return storing(workspace, options, {
    work: async () => {
      const staging = Staging.open(workspace.tempFolder, snapshot, clock);
      let isDone = false;
      try {
        const storer = new SnapshotStorer(workspace, snapshot, staging, options, new Map());
        const { bytesReceived, bytesNew } = await storer.run();
        const tracked = adopted.map(trackedOf);
        const warnings: string[] = [];
        for (const one of tracked) warnings.push(...(await judgeStored(workspace, one, options)));
        for (const one of tracked) await publish(workspace, one);
        isDone = true;
        return { bytesReceived, bytesNew, warnings };
      } finally {
        staging.close(isDone);
      }
    },
    needed: () => trackedInWorkspace(workspace).tracked,
    merge: (first, again) => ({
      bytesReceived: first.bytesReceived + again.bytesReceived,
      bytesNew: first.bytesNew + again.bytesNew,
      warnings: first.warnings,
    }),
  });
}

function trackedOf({ path: name, oid, size, file }: Adopted): Tracked {
  const pointer: Pointer = {
    kind: 'file',
    path: path.posix.basename(name),
    size,
    sha256: oid,
    ...(file.kind === 'executable' ? { executable: true } : {}),
    extra: {},
  };
  return { path: name, pointer };
}

async function publish(workspace: Workspace, { path: name, pointer }: Tracked): Promise<void> {
  const { cacheFolder, root } = workspace;
  const full = workspace.absolute(name);
  try {
    ensureCacheFolder(cacheFolder);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    await addIgnoreLine(path.dirname(full), path.posix.basename(name), cacheFolder);
    await ensureAttributes(root, cacheFolder);
    writePointer(workspace.absolute(pointerPath(name)), pointer);
  } catch (error) {
    throw fromSystemError(error, `writing ${printable(pointerPath(name))}`);
  }
}
