import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { GitProgram, SizedFile } from '../../git/program.ts';
import type { GitRepository } from '../../git/repository.ts';
import { type LfsPointer, lfsPointerBytesMax, parseLfsPointer } from '../../lfs/pointer.ts';
import { workspaceFolderName } from '../workspace.ts';

/** A file of a commit; `pointer` where Git LFS has its bytes. */
export interface CommittedFile extends SizedFile {
  readonly pointer: LfsPointer | undefined;
  /** Where a link leads; undefined for all else. */
  readonly target: string | undefined;
}

/** Where files are looked for. */
export interface CommitPlace {
  readonly git: GitRepository;
  readonly program: GitProgram;
  /** Branch, tag or commit; undefined for HEAD. */
  readonly rev: string | undefined;
}

/**
 * Finds the commit that is meant.
 * @throws MstoreError `unknown-ref`
 */
export async function commitOf({ git, rev }: CommitPlace): Promise<string> {
  const commit = rev === undefined ? (await git.head()).commit : await git.resolve(rev);
  if (commit !== undefined) return commit;
  throw new MstoreError(
    'unknown-ref',
    rev === undefined ? 'The repository has no commit' : `Git knows no ${printable(rev)}`,
    { hint: 'Commit the pointers of Git LFS first, or name a branch, a tag or a commit' },
  );
}

/**
 * Lists the files of a commit that are a path or lie below it, those of mstore itself left out. What Git LFS keeps is told
 * by what is committed, and not by attributes: they may have changed since.
 * @param path from the top of the repository; empty for all
 */
export async function committedFiles(
  { git, program }: CommitPlace,
  commit: string,
  path: string,
): Promise<CommittedFile[]> {
  const all = await program.filesOf(commit, path);
  const files = all.filter(({ path: name }) => !name.split('/').includes(workspaceFolderName));
  const contents = new Map<string, Buffer>();
  const short = files.filter(({ size }) => size > 0 && size < lfsPointerBytesMax);
  const links = files.filter(({ kind }) => kind === 'link');
  const wanted = [...new Set([...short, ...links].map(({ oid }) => oid))];
  await git.readFiles(wanted, linkBytesMax, (oid, content) => {
    contents.set(oid, Buffer.from(content));
  });
  return files.map((file) => {
    const content = contents.get(file.oid);
    const isLink = file.kind === 'link';
    return {
      ...file,
      pointer: isLink || content === undefined ? undefined : parseLfsPointer(content),
      target: isLink ? content?.toString('utf8') : undefined,
    };
  });
}

/** A link has a path of Linux at most. */
const linkBytesMax = 4096;

/** Refuses what went through other programs before Git LFS stored it: its stored bytes are not those of the file. */
export function refuseExtensions(files: readonly CommittedFile[]): void {
  const extended = files.find(({ pointer }) => (pointer?.extensions.length ?? 0) > 0);
  if (extended?.pointer === undefined) return;
  const names = extended.pointer.extensions.map(printable).join(', ');
  throw new MstoreError(
    'unsupported-file-type',
    `${printable(extended.path)} went through extensions of Git LFS (${names}) before it was stored`,
    {
      hint: 'Only the extension can give its bytes back: check it out with Git LFS, then "mstore add" or "mstore import local:DIR"; --exclude leaves it out',
      details: { path: extended.path },
    },
  );
}
