import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Breather } from '../../base/abort.ts';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, MstoreError, systemCode } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { type Progress, silentProgress } from '../../base/progress.ts';
import {
  checkEntries,
  isFileEntry,
  isLinkEntry,
  sortEntries,
  type TreeEntry,
  TreeProblem,
  treeDigest,
} from '../../base/tree.ts';
import type { WorkOptions } from '../add.ts';

const blockBytes = 4 * 1024 * 1024;

/** What {@link checkTree} found. */
export type TreeCheck =
  | { readonly entries: readonly TreeEntry[] }
  /** What is wrong, as a clause. */
  | { readonly problem: string };

/** How {@link checkTree} checks. */
export interface TreeCheckOptions extends WorkOptions {
  /** The entries that the digest is of, where they are known: they tell what is wrong. */
  readonly list?: readonly TreeEntry[] | undefined;
  /** Systems that have no mark for programs take it from the list. */
  readonly platform: NodeJS.Platform;
}

/**
 * Compares a directory with a tree: each name, each link, each byte of each file. Whatever is there besides
 * is a difference too. No link is followed.
 * @throws MstoreError what keeps it from being read
 */
export async function checkTree(
  directory: string,
  tree: Digest,
  options: TreeCheckOptions,
): Promise<TreeCheck> {
  const { list, platform, progress = silentProgress } = options;
  const known = list && new Map(list.map((entry) => [entry.path, entry]));
  try {
    const found = sortEntries(listFolder(directory));
    const early = list && shapeProblem(list, found);
    if (early !== undefined) return { problem: early };
    const bytesTotal = found.reduce((sum, { size = 0 }) => sum + size, 0);
    progress.start('check', { bytesTotal, filesTotal: found.length });
    const entries = await readAll(directory, found, { ...options, progress });
    progress.finish();
    if (platform === 'win32' && known !== undefined) marksFrom(entries, known);
    checkEntries(entries);
    if (treeDigest(entries) === tree) return { entries };
    return { problem: (list && firstDifference(list, entries)) ?? 'its content is another' };
  } catch (error) {
    if (error instanceof TreeProblem) return { problem: error.problem };
    if (error instanceof Changing) return { problem: error.message };
    // Another process has put the directory aside, or removes something of it.
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) {
      return { problem: 'it was changed meanwhile' };
    }
    throw fromSystemError(error, `reading ${printable(directory)}`);
  }
}

class Changing extends Error {}

interface Found {
  readonly path: string;
  readonly kind: 'file' | 'link' | 'directory';
  readonly size?: number;
}

function listFolder(directory: string): Found[] {
  const found: Found[] = [];
  const walk = (prefix: string, depth: number): void => {
    const names = fs.readdirSync(path.join(directory, prefix), { withFileTypes: true });
    if (names.length === 0 && prefix !== '') found.push({ path: prefix, kind: 'directory' });
    for (const dirent of names) {
      const full = prefix === '' ? dirent.name : `${prefix}/${dirent.name}`;
      if (found.length > limits.treeEntriesMax || depth > limits.treeDepthMax) {
        throw new Changing('it holds more than any version does');
      }
      if (dirent.isDirectory()) walk(full, depth + 1);
      else if (dirent.isSymbolicLink()) found.push({ path: full, kind: 'link' });
      else if (dirent.isFile()) {
        const { size } = fs.lstatSync(path.join(directory, full));
        found.push({ path: full, kind: 'file', size });
      } else throw new Changing(`${printable(full)} is no file`);
    }
  };
  walk('', 0);
  return found;
}

/** What differs by names and sizes alone. */
function shapeProblem(list: readonly TreeEntry[], found: readonly Found[]): string | undefined {
  const there = new Map(found.map((one) => [one.path, one]));
  for (const entry of list) {
    const one = there.get(entry.path);
    if (one === undefined) return `${printable(entry.path)} is missing`;
    const kind = isFileEntry(entry) ? 'file' : isLinkEntry(entry) ? 'link' : 'directory';
    if (one.kind !== kind) return `${printable(entry.path)} is no ${kind}`;
    if (isFileEntry(entry) && one.size !== entry.size) {
      return `${printable(entry.path)} has ${one.size} bytes, not ${entry.size}`;
    }
    there.delete(entry.path);
  }
  const [extra] = there.keys();
  return extra === undefined ? undefined : `${printable(extra)} does not belong there`;
}

function firstDifference(
  list: readonly TreeEntry[],
  entries: readonly TreeEntry[],
): string | undefined {
  const before = new Map(list.map((entry) => [entry.path, entry]));
  for (const entry of entries) {
    const old = before.get(entry.path);
    if (old === undefined) continue;
    const name = printable(entry.path);
    if (isLinkEntry(entry) && isLinkEntry(old) && entry.link !== old.link) {
      return `the link ${name} leads elsewhere`;
    }
    if (!isFileEntry(entry) || !isFileEntry(old)) continue;
    if (entry.sha256 !== old.sha256) return `${name} has other bytes`;
    if (entry.executable !== old.executable) return `${name} has another mode`;
  }
  return undefined;
}

async function readAll(
  directory: string,
  found: readonly Found[],
  { signal, progress }: WorkOptions & { readonly progress: Progress },
): Promise<TreeEntry[]> {
  const breather = new Breather(signal);
  const blocks = makeBlocks();
  const entries: TreeEntry[] = [];
  for (const { path: name, kind } of found) {
    const full = path.join(directory, name);
    if (kind === 'directory') entries.push({ path: name, directory: true });
    else if (kind === 'link') entries.push({ path: name, link: fs.readlinkSync(full) });
    else
      entries.push({ path: name, ...(await hashOf(full, name, { blocks, breather, progress })) });
    if (breather.due()) await breather.turn();
  }
  return entries;
}

type Blocks = readonly [Buffer, Buffer];

function makeBlocks(): Blocks {
  return [Buffer.allocUnsafe(blockBytes), Buffer.allocUnsafe(blockBytes)];
}

/** Reads one file; it is opened as what the listing said it is, and nothing else. */
async function hashOf(
  full: string,
  name: string,
  tools: { readonly blocks: Blocks; readonly breather: Breather; readonly progress: Progress },
): Promise<{ size: number; sha256: Digest; executable?: true }> {
  const { blocks, breather, progress } = tools;
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
  let handle: fs.promises.FileHandle;
  try {
    handle = await fs.promises.open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ELOOP'].includes(systemCode(error) ?? '')) {
      throw new Changing(`${printable(name)} was changed meanwhile`);
    }
    if (systemCode(error) === 'EACCES') {
      throw new MstoreError('permission-denied', `${printable(full)} may not be read`, {
        hint: 'Check its owner and its mode',
        details: { path: full },
      });
    }
    throw error;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Changing(`${printable(name)} was changed meanwhile`);
    const hash = createHash('sha256');
    let size = 0;
    let [now, next] = blocks;
    for (let { bytesRead } = await handle.read(now, 0, now.length, 0); bytesRead > 0; ) {
      size += bytesRead;
      // The next block is read while this one is hashed.
      const reading = handle.read(next, 0, next.length, size);
      hash.update(now.subarray(0, bytesRead));
      progress.advance({ bytes: bytesRead });
      ({ bytesRead } = await reading);
      [now, next] = [next, now];
      if (breather.due()) await breather.turn();
    }
    progress.advance({ files: 1, name });
    const sha256 = hash.digest('hex') as Digest;
    return { size, sha256, ...((stat.mode & 0o100) === 0 ? {} : { executable: true }) };
  } finally {
    await handle.close();
  }
}

/** Returns the digest of a file. */
export async function digestOfFile(file: string, signal: AbortSignal | undefined): Promise<Digest> {
  const tools = {
    blocks: makeBlocks(),
    breather: new Breather(signal),
    progress: silentProgress,
  };
  return (await hashOf(file, file, tools)).sha256;
}

function marksFrom(entries: TreeEntry[], known: ReadonlyMap<string, TreeEntry>): void {
  for (const [i, entry] of entries.entries()) {
    const old = known.get(entry.path);
    if (!isFileEntry(entry) || old === undefined || !isFileEntry(old)) continue;
    const { path: name, size, sha256 } = entry;
    entries[i] = { path: name, size, sha256, ...(old.executable ? { executable: true } : {}) };
  }
}
