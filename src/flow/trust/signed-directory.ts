import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { type Progress, silentProgress } from '../../base/progress.ts';
import { foreignListing } from '../../signing/foreign.ts';
import {
  isIgnored,
  type Serialization,
  type Statement,
  wholeName,
} from '../../signing/statement.ts';
import type { WorkOptions } from '../add.ts';

const blockBytes = 1024 * 1024;

/** The files that a signature has to list, with their digests; or why none can, as a clause. */
export type DirectoryListing =
  | { readonly files: ReadonlyArray<{ readonly name: string; readonly digest: string }> }
  | { readonly problem: string };

/**
 * Lists a directory, or a file, as model_signing does, and hashes each byte of it: all files at any depth, and what
 * links lead to where the signature allows them. Links to directories are not entered.
 * @param target absolute
 * @param signature absolute path of the signature, which does not sign itself
 */
export async function listSignedDirectory(
  target: string,
  signature: string,
  statement: Pick<Statement, 'serialization' | 'resources'>,
  options: WorkOptions = {},
): Promise<DirectoryListing> {
  const { signal, progress = silentProgress } = options;
  try {
    const found = new Listing(target, signature, statement.serialization);
    const problem = found.walk();
    if (problem !== undefined) return { problem };
    const bytesTotal = found.files.reduce((sum, { size }) => sum + size, 0);
    progress.start('check', { bytesTotal, filesTotal: found.files.length });
    const readable = found.files.map(({ name, full }) => ({
      name,
      read: () => blocksOf(name, full, progress),
    }));
    const files = await foreignListing(statement, signature, readable, signal);
    progress.finish();
    return { files };
  } catch (error) {
    throw fromSystemError(error, `reading ${printable(target)}`);
  }
}

async function* blocksOf(name: string, full: string, progress: Progress): AsyncGenerator<Buffer> {
  for await (const block of fs.createReadStream(full, { highWaterMark: blockBytes })) {
    yield block as Buffer;
    progress.advance({ bytes: (block as Buffer).length });
  }
  progress.advance({ files: 1, name });
}

class Listing {
  readonly files: Array<{ name: string; full: string; size: number }> = [];
  readonly #target: string;
  readonly #signature: string;
  readonly #how: Serialization;

  constructor(target: string, signature: string, how: Serialization) {
    this.#target = target;
    this.#signature = path.resolve(signature);
    this.#how = how;
  }

  /** Finds the files; returns what no signature of this kind can be of. */
  walk(): string | undefined {
    const stat = fs.statSync(this.#target);
    if (!stat.isDirectory()) {
      if (!stat.isFile()) return 'there is neither a file nor a directory';
      this.files.push({ name: wholeName, full: this.#target, size: stat.size });
      return undefined;
    }
    return this.#folder('', 0);
  }

  #folder(prefix: string, depth: number): string | undefined {
    if (depth > limits.treeDepthMax) return `it is more than ${limits.treeDepthMax} folders deep`;
    const names = fs.readdirSync(path.join(this.#target, prefix), { withFileTypes: true });
    for (const dirent of names) {
      const name = prefix === '' ? dirent.name : `${prefix}/${dirent.name}`;
      if (isIgnored(name, this.#how)) continue;
      const problem = this.#entry(dirent, name, depth);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #entry(dirent: fs.Dirent, name: string, depth: number): string | undefined {
    const full = path.join(this.#target, name);
    if (full === this.#signature) return undefined;
    if (dirent.isDirectory()) return this.#folder(name, depth + 1);
    if (dirent.isSymbolicLink() && !this.#how.allowSymlinks) {
      return `${printable(name)} is a link, and it was signed without any`;
    }
    const stat = fs.statSync(full, { throwIfNoEntry: false });
    if (dirent.isSymbolicLink() && stat?.isDirectory()) return undefined;
    if (!stat?.isFile()) return `${printable(name)} is no file`;
    if (this.files.length >= limits.treeEntriesMax) return 'it holds more files than any signature';
    this.files.push({ name, full, size: stat.size });
    return undefined;
  }
}
