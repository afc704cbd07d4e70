import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { readBounded } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import type { FileEntry } from '../../base/tree.ts';
import { openGit } from '../../git/open.ts';
import { openGitProgram } from '../../git/program.ts';
import { formatLfsPointer } from '../../lfs/pointer.ts';
import type { Workspace } from '../workspace.ts';
import { fitter } from './attribute-lines.ts';
import { LfsStorage, noRepository } from './storage.ts';

const attributesName = '.gitattributes';

/** What Git LFS was given. */
export interface LfsExported {
  /** Files that have a pointer. */
  readonly objects: number;
  readonly bytes: number;
  /** Absolute folder in which Git LFS keeps objects there. */
  readonly storage: string;
}

/** Makes files of a directory that is built in a Git repository objects and pointers of Git LFS. */
export class LfsExporter {
  readonly #storage: LfsStorage;
  readonly #patterns: readonly string[];
  done: LfsExported;

  private constructor(storage: LfsStorage, patterns: readonly string[]) {
    this.#storage = storage;
    this.#patterns = patterns;
    this.done = { objects: 0, bytes: 0, storage: storage.folder };
  }

  /**
   * Finds the repository that a directory will lie in.
   * @param directory absolute; need not exist
   * @param patterns those of `git lfs track`, below the directory
   * @throws MstoreError `no-git`, `usage`
   */
  static async open(
    { surroundings: { env } }: Workspace,
    directory: string,
    patterns: readonly string[],
  ): Promise<LfsExporter> {
    const bad = patterns.find((one) => one.trim() === '' || /^["#!]|[\r\n]|\/$/.test(one));
    if (bad !== undefined) {
      throw new MstoreError('usage', `--lfs cannot be ${printable(bad)}`, {
        hint: 'Write a pattern as "git lfs track" takes it: *.safetensors, onnx/**',
      });
    }
    const folder = existingAbove(directory);
    const git = await openGit(folder, { env });
    const program = git && openGitProgram(folder, env);
    if (git === undefined || program === undefined) throw noRepository(directory);
    return new LfsExporter(await LfsStorage.open(git, program, env), patterns);
  }

  /**
   * Moves the files that are meant to the objects of Git LFS, and leaves pointers.
   * @param temp the directory as it is built
   * @returns files that were added
   * @throws MstoreError `not-found` where no file is meant
   */
  async change(temp: string, files: readonly FileEntry[]): Promise<readonly string[]> {
    const fits = this.#patterns.map((pattern) => fitter('', pattern));
    const meant = files.filter(
      ({ path: name, size }) => size > 0 && fits.some((fitsOne) => fitsOne(name)),
    );
    if (meant.length === 0) {
      throw new MstoreError('not-found', '--lfs fits no file of the version', {
        hint: 'Patterns are those of .gitattributes: "*.safetensors", "onnx/**"; "mstore ls" lists the files',
      });
    }
    for (const { path: name, sha256: oid, size, executable } of meant) {
      const file = path.join(temp, name);
      await this.#storage.take(oid, file);
      fs.writeFileSync(file, formatLfsPointer({ oid, size }), {
        flag: 'wx',
        mode: executable ? 0o777 : 0o666,
      });
    }
    const bytes = meant.reduce((sum, { size }) => sum + size, 0);
    this.done = { ...this.done, objects: meant.length, bytes };
    return this.#addAttributes(temp) ? [attributesName] : [];
  }

  /** Adds the lines to those that the version may have itself; tells whether the file is new. */
  #addAttributes(temp: string): boolean {
    const file = path.join(temp, attributesName);
    const before = readBounded(file, limits.ignoreBytesMax, { noFollow: true });
    const text = before?.toString('latin1') ?? '';
    const lines = this.#patterns
      .map(
        (pattern) =>
          `${pattern.replaceAll(' ', '[[:space:]]')} filter=lfs diff=lfs merge=lfs -text`,
      )
      .map((line) => Buffer.from(line).toString('latin1'))
      .filter((line) => !text.split(/\r?\n/).includes(line));
    const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`;
    fs.writeFileSync(
      file,
      Buffer.from([ended, ...lines.map((line) => `${line}\n`)].join(''), 'latin1'),
    );
    return before === undefined;
  }
}

/** The nearest folder above a place that exists. */
function existingAbove(place: string): string {
  let folder = path.dirname(place);
  while (!fs.existsSync(folder) && folder !== path.dirname(folder)) folder = path.dirname(folder);
  return folder;
}
