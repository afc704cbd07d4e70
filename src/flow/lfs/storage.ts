import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, MstoreError, systemCode } from '../../base/errors.ts';
import { ensureFolder, readBounded, syncFolder, tempName } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { type GitProgram, openGitProgram } from '../../git/program.ts';
import type { GitRepository } from '../../git/repository.ts';
import type { Workspace } from '../workspace.ts';

/** A list of alternates is short. */
const alternatesBytesMax = 64 * 1024;

/** Where Git LFS keeps the objects of a repository on this machine. */
export class LfsStorage {
  /** Absolute. */
  readonly folder: string;
  /** Folders of objects that are borrowed from other repositories. */
  readonly #alternates: readonly string[];
  /** Bits that are set beside those that the umask leaves. */
  readonly #shared: number;

  private constructor(folder: string, alternates: readonly string[], shared: number) {
    this.folder = folder;
    this.#alternates = alternates;
    this.#shared = shared;
  }

  /** Asks Git where the storage is: `lfs.storage`, else in the Git directory that all working trees share. */
  static async open(
    { commonDir }: Pick<GitRepository, 'commonDir'>,
    program: GitProgram,
    env: NodeJS.ProcessEnv,
  ): Promise<LfsStorage> {
    const settings = await program.settings('lfs\\.storage|core\\.sharedrepository');
    const folder = path.resolve(commonDir, settings.get('lfs.storage') ?? 'lfs');
    const shared = sharedBits(settings.get('core.sharedrepository') ?? '');
    return new LfsStorage(folder, alternatesOf(commonDir, env), shared);
  }

  /** The place of an object. */
  file(oid: Digest): string {
    return objectFile(path.join(this.folder, 'objects'), oid);
  }

  /** Finds an object of a size, as Git LFS does: that it holds what it is named by is not said. */
  find(oid: Digest, size: number): string | undefined {
    const places = [this.file(oid), ...this.#alternates.map((folder) => objectFile(folder, oid))];
    return places.find((file) => {
      const stat = fs.statSync(file, { throwIfNoEntry: false });
      return stat?.isFile() === true && stat.size === size;
    });
  }

  /**
   * Makes a file under construction, which Git LFS moves to its place; where it is left behind, Git LFS removes it.
   * @throws MstoreError as {@link fromSystemError}
   */
  async createTemp(oid: Digest): Promise<{ file: string; handle: fs.promises.FileHandle }> {
    const folder = path.join(this.folder, 'tmp');
    const file = path.join(folder, `${oid}-${tempName()}`);
    try {
      fs.mkdirSync(folder, { recursive: true });
      const handle = await fs.promises.open(file, 'wx', 0o666);
      if (this.#shared !== 0)
        await handle.chmod(((await handle.stat()).mode & 0o777) | this.#shared);
      return { file, handle };
    } catch (error) {
      throw fromSystemError(error, `making ${printable(file)}`);
    }
  }

  /**
   * Takes a file that holds an object, whose bytes were verified, to its place; flushed, before it has its name.
   * @throws MstoreError as {@link fromSystemError}
   */
  async take(oid: Digest, file: string): Promise<void> {
    const target = this.file(oid);
    try {
      ensureFolder(path.dirname(target));
      const temp = await this.#nearby(oid, file);
      fs.renameSync(temp, target);
      syncFolder(path.dirname(target));
    } catch (error) {
      throw fromSystemError(error, `writing ${printable(target)}`);
    }
  }

  /** Brings a file to the file system of the storage, where it is on another, and flushes it. */
  async #nearby(oid: Digest, file: string): Promise<string> {
    const { file: temp, handle } = await this.createTemp(oid);
    const { mode } = await handle.stat();
    await handle.close();
    try {
      fs.renameSync(file, temp);
    } catch (error) {
      if (systemCode(error) !== 'EXDEV') throw error;
      await fs.promises.copyFile(file, temp);
      fs.rmSync(file);
    }
    const moved = await fs.promises.open(temp, 'r');
    try {
      await moved.chmod(mode & 0o777);
      await moved.datasync();
    } finally {
      await moved.close();
    }
    return temp;
  }
}

/**
 * Opens the storage of the repository that a workspace lies in.
 * @throws MstoreError `no-git`, `git-failed`
 */
export async function lfsStorageOf(
  workspace: Workspace,
): Promise<{ storage: LfsStorage; program: GitProgram; git: GitRepository }> {
  const { git, root, surroundings } = workspace;
  const program = git && openGitProgram(root, surroundings.env);
  if (git === undefined || program === undefined) throw noRepository(root);
  return { storage: await LfsStorage.open(git, program, surroundings.env), program, git };
}

/** Builds the error of a folder without a repository. */
export function noRepository(folder: string): MstoreError {
  return new MstoreError('no-git', `${printable(folder)} lies in no Git repository`, {
    hint: 'Git LFS works in a Git repository: run "git init", or go to one',
    details: { path: folder },
  });
}

function objectFile(objects: string, oid: Digest): string {
  return path.join(objects, oid.slice(0, 2), oid.slice(2, 4), oid);
}

function alternatesOf(commonDir: string, env: NodeJS.ProcessEnv): string[] {
  const objects = path.join(commonDir, 'objects');
  const list = readBounded(path.join(objects, 'info', 'alternates'), alternatesBytesMax);
  const lines = list?.toString('utf8').split(/\r?\n/) ?? [];
  const given = (env['GIT_ALTERNATE_OBJECT_DIRECTORIES'] ?? '').split(path.delimiter);
  return [...lines, ...given]
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => path.join(path.dirname(path.resolve(objects, line)), 'lfs', 'objects'));
}

/** What `core.sharedRepository` adds to the mode of a file. */
function sharedBits(value: string): number {
  if (['group', 'true', '1'].includes(value)) return 0o060;
  if (['all', 'world', 'everybody', '2'].includes(value)) return 0o064;
  return /^0[0-7]{3}$/.test(value) ? Number.parseInt(value, 8) & 0o666 : 0;
}
