import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { remoteUrlOf } from '../../git/lineage.ts';
import type { GitRepository } from '../../git/repository.ts';
import type { Snapshot, SourceFile } from '../../source/snapshot.ts';
import type { WorkOptions } from '../add.ts';
import { FarBlobs } from '../far-blobs.ts';
import type { Workspace } from '../workspace.ts';
import { type CommittedFile, commitOf, committedFiles, refuseExtensions } from './committed.ts';
import { type LfsStorage, lfsStorageOf } from './storage.ts';

/** Files that Git has itself are held in memory: what is larger belongs to Git LFS. */
const plainBytesMax = 64 * 1024 * 1024;

/** What is taken of the repository. */
export interface LfsSelection {
  /** File or directory from the top of the workspace; empty for all of it. */
  readonly path: string;
  /** Branch, tag or commit; undefined for HEAD. */
  readonly rev?: string | undefined;
  /** Says which of the files, by their paths below `path`, are wanted; all by default. */
  readonly wanted?: ((file: { readonly path: string }) => boolean) | undefined;
}

/**
 * Opens a commit of the repository as something to be imported: what Git LFS keeps by its objects, which are here or on a remote of
 * mstore, and all else from Git.
 * @throws MstoreError `not-found` where Git LFS keeps nothing of it, `unknown-ref`, `unsupported-file-type`, `no-git`
 */
export async function openLfsSnapshot(
  workspace: Workspace,
  { path: given, rev, wanted = () => true }: LfsSelection,
  options: WorkOptions,
): Promise<Snapshot> {
  const { storage, program, git } = await lfsStorageOf(workspace);
  const place = { git, program, rev };
  const commit = await commitOf(place);
  const top = (workspace.gitPrefix + given).replace(/\/$/, '');
  const all = (await committedFiles(place, commit, top)).map((file) => ({
    file,
    path: pathBelow(top, file.path),
  }));
  if (!all.some(({ file }) => file.pointer !== undefined)) throw nothingThere(given, commit);
  refuseExtensions(all.filter(wanted).map(({ file }) => file));
  const byPath = new Map(all.map(({ file, path: name }) => [name, file]));
  const remoteUrl = remoteUrlOf([...(await program.settings('remote\\..*\\.url', 'local'))]);
  const reference = `lfs:${given === '' ? '.' : given}@${commit}`;
  return {
    reference,
    facts: {
      kind: 'lfs',
      commit,
      path: given,
      ...(remoteUrl === undefined ? {} : { repository: remoteUrl }),
    },
    isFixed: true,
    files: all.filter(({ file }) => file.kind !== 'link').map((one) => sourceFile(one)),
    others: all.flatMap(({ file: { target }, path: name }) =>
      target === undefined ? [] : [{ path: name, link: target }],
    ),
    localCopy({ path: name }) {
      const pointer = byPath.get(name)?.pointer;
      return pointer && storage.find(pointer.oid, pointer.size);
    },
    read(file, start) {
      const { pointer, oid } = byPath.get(file.path) as CommittedFile;
      if (pointer === undefined) return readPlain(git, oid, start);
      return readFar({ workspace, storage, options }, file, start);
    },
  };
}

/** Objects of Git LFS as something that can be stored. */
export function objectSnapshot(
  parts: FarParts,
  reference: string,
  objects: readonly { readonly path: string; readonly oid: Digest; readonly size: number }[],
  copyOf: (path: string) => string | undefined,
): Snapshot {
  return {
    reference,
    facts: {},
    isFixed: true,
    files: objects.map(({ path: name, oid, size }) => ({ path: name, size, sha256: oid })),
    localCopy: ({ path: name, sha256, size }) =>
      (sha256 && parts.storage.find(sha256, size)) ?? copyOf(name),
    read: (file, start) => readFar(parts, file, start),
  };
}

function pathBelow(top: string, full: string): string {
  if (full === top) return path.posix.basename(full);
  return top === '' ? full : full.slice(top.length + 1);
}

function sourceFile({ file, path: name }: { file: CommittedFile; path: string }): SourceFile {
  const { pointer, oid, size, kind } = file;
  return {
    path: name,
    ...(kind === 'executable' ? { executable: true as const } : {}),
    ...(pointer === undefined
      ? // Git can name bytes by SHA-256, too, and not as we do.
        { size, ...(oid.length === 40 ? { gitBlob: oid } : {}) }
      : { size: pointer.size, sha256: pointer.oid }),
  };
}

async function* readPlain(
  git: GitRepository,
  oid: string,
  start: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = Buffer.alloc(0);
  await git.readFiles([oid], plainBytesMax, (_, content) => {
    bytes = Buffer.from(content);
  });
  if (start < bytes.length) yield bytes.subarray(start);
}

/** What objects are read with. */
interface FarParts {
  readonly workspace: Workspace;
  readonly storage: LfsStorage;
  readonly options: WorkOptions;
}

/** Reads an object that is not here, or not whole, from where the agent has put it. */
async function* readFar(
  parts: FarParts,
  { path: name, sha256, size }: SourceFile,
  start: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { workspace, storage, options } = parts;
  if (sha256 === undefined) return;
  const far = new FarBlobs(workspace, options);
  try {
    const blob = await far.open(sha256, size, name);
    for await (const block of blob.blocks(start, size)) yield block;
  } catch (error) {
    if (!isMstoreError(error, 'objects-missing')) throw error;
    const isHere = storage.find(sha256, size) !== undefined;
    throw new MstoreError(
      isHere ? 'corrupt-source' : 'objects-missing',
      isHere
        ? `The object ${sha256} of Git LFS, for ${printable(name)}, is damaged in ${printable(storage.folder)}`
        : `The object ${sha256} of Git LFS, for ${printable(name)}, is neither in ${printable(storage.folder)} nor on a remote`,
      {
        hint: isHere
          ? 'Run "git lfs fsck", which moves it away, then "git lfs fetch --all" and this command again'
          : 'Run "git lfs fetch --all", then this command again',
        cause: error,
        details: { path: name, sha256 },
      },
    );
  } finally {
    far.close();
  }
}

/** Builds the error of a path of which Git LFS has nothing. */
export function nothingThere(given: string, commit: string): MstoreError {
  const what = given === '' ? 'the workspace' : printable(given);
  return new MstoreError(
    'not-found',
    `Git LFS keeps nothing of ${what} at ${commit.slice(0, 12)}`,
    {
      hint: '"git lfs ls-files" lists what it keeps; --rev names another commit',
      details: { path: given },
    },
  );
}
