import * as path from 'node:path';
import { deflateSync } from 'node:zlib';
import { MstoreError } from '../base/errors.ts';
import { ensureFolder, readBounded, writeAtomically } from '../base/files.ts';
import { printable } from '../base/names.ts';
import type { GitLayout } from './layout.ts';
import { gitObjectId } from './object-id.ts';
import { readOnlyFs } from './read-only-fs.ts';

/** A Git object, whole. */
interface GitObject {
  readonly type: string;
  readonly content: Buffer;
}

/** One line of a tree. */
export interface TreeLine {
  readonly name: string;
  readonly mode: string;
  readonly oid: string;
}

/** What of a commit leads to other objects. */
export interface CommitLinks {
  readonly tree: string;
  readonly parents: readonly string[];
  /** When it was made, by the clock of who made it: milliseconds since 1970-01-01 UTC. */
  readonly time: number;
}

/** Reads objects of one repository without the program `git`. */
export interface GitObjects {
  /** Returns an object, or undefined when the repository does not have it. */
  find(oid: string): Promise<GitObject | undefined>;
  /** Returns the ids of all objects that start with the digits. */
  expand(digits: string): Promise<readonly string[]>;
}

/** Commit ids, one a line, whose parents a shallow clone does not have. */
const shallowBytesMax = 64 * 1024 * 1024;

/**
 * Opens the objects through isomorphic-git, which is loaded at the first reading. Packs that are read
 * stay in memory, whole, as long as the result is in use.
 */
export function openObjects(layout: GitLayout): GitObjects {
  const cache = {};
  // Objects are in the common directory; isomorphic-git itself knows nothing of linked working trees.
  const files = readOnlyFs();
  const from = { fs: files, gitdir: layout.commonDir, cache };
  return {
    async find(oid) {
      const { readObject } = await import('isomorphic-git');
      try {
        const read = await readObject({ ...from, oid, format: 'content' });
        return { type: read.type, content: Buffer.from(read.object as Uint8Array) };
      } catch (error) {
        if (codeOf(error) === 'NotFoundError') return undefined;
        throw objectFailure(error, `reading the object ${oid}`);
      }
    },
    async expand(digits) {
      const { expandOid } = await import('isomorphic-git');
      try {
        return [await expandOid({ ...from, oid: digits })];
      } catch (error) {
        if (codeOf(error) === 'NotFoundError') return [];
        if (codeOf(error) === 'AmbiguousError') return matchesOf(error);
        throw objectFailure(error, `looking for objects ${digits}…`);
      }
    },
  };
}

/** Writes an object as a loose file, as Git does, and returns its id. One that is there stays as it is. */
export function writeObject(layout: GitLayout, type: string, content: Buffer): string {
  const oid = gitObjectId(type, content);
  const file = path.join(layout.commonDir, 'objects', oid.slice(0, 2), oid.slice(2));
  ensureFolder(path.dirname(file));
  const bytes = deflateSync(Buffer.concat([Buffer.from(`${type} ${content.length}\0`), content]));
  writeAtomically(file, bytes, { ifAbsent: true, mode: 0o444 });
  return oid;
}

/** Reads the ids of the commits at which the history of a shallow clone ends. */
export function readShallow(commonDir: string): Set<string> {
  const text = readBounded(path.join(commonDir, 'shallow'), shallowBytesMax)?.toString('latin1');
  return new Set(text?.split('\n').filter((line) => line !== ''));
}

/**
 * Parses the content of a tree object.
 * @throws MstoreError `git-failed`
 */
export function parseTree(oid: string, content: Buffer): TreeLine[] {
  const lines: TreeLine[] = [];
  for (let at = 0; at < content.length; ) {
    // MODE SP NAME NUL, and the id as 20 bytes.
    const space = content.indexOf(32, at);
    const end = content.indexOf(0, space);
    if (space < 0 || end < 0 || end + 21 > content.length) throw damaged('tree', oid);
    lines.push({
      mode: content.toString('latin1', at, space),
      name: content.toString('utf8', space + 1, end),
      oid: content.toString('hex', end + 1, end + 21),
    });
    at = end + 21;
  }
  return lines;
}

/**
 * Parses the head of a commit object.
 * @throws MstoreError `git-failed`
 */
export function parseCommit(oid: string, content: Buffer): CommitLinks {
  const text = content.toString('latin1');
  const tree = /^tree ([0-9a-f]{40})\n/.exec(text);
  if (tree === null) throw damaged('commit', oid);
  const parents: string[] = [];
  const line = /parent ([0-9a-f]{40})\n/y;
  line.lastIndex = tree[0].length;
  for (let found = line.exec(text); found !== null; found = line.exec(text)) {
    parents.push(found[1] ?? '');
  }
  const seconds = /^committer [^\n]*> (\d{1,12}) [-+]\d{4}$/m.exec(text)?.[1];
  return { tree: tree[1] ?? '', parents, time: Number(seconds ?? 0) * 1000 };
}

function damaged(kind: string, oid: string): MstoreError {
  return new MstoreError('git-failed', `The Git ${kind} ${oid} has no valid content`, {
    hint: 'Run git fsck to see what is damaged',
    details: { oid },
  });
}

function objectFailure(error: unknown, doing: string): MstoreError {
  const reason = error instanceof Error ? error.message : String(error);
  return new MstoreError('git-failed', `Failed ${doing}: ${printable(reason).slice(0, 600)}`, {
    hint: 'Install git: the built-in reader does not know all forms that a repository may have; if git fails too, run git fsck',
    cause: error,
  });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function matchesOf(error: unknown): readonly string[] {
  const data = error instanceof Error && 'data' in error ? error.data : undefined;
  const matches =
    typeof data === 'object' && data !== null && 'matches' in data ? data.matches : [];
  return Array.isArray(matches) ? matches.filter((oid) => typeof oid === 'string') : [];
}
