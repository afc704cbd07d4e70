import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { readBounded, removeFile } from '../base/files.ts';
import { printable } from '../base/names.ts';
import type { GitLayout } from './layout.ts';

/** A loose reference holds an id or a name; FETCH_HEAD has a line for each branch that was fetched. */
const referenceBytesMax = 1024 * 1024;
/** Some millions of packed references. */
const packedBytesMax = 512 * 1024 * 1024;
/** References that lead to references, as in Git. */
const symbolicDepthMax = 5;
const folderDepthMax = 64;

/** What a reference holds: the name of another, or an object id. */
interface Target {
  readonly name?: string;
  readonly oid?: string;
}

/** Where HEAD of a working tree leads: the full name of its branch, and the object id if that exists. */
export function readHead(layout: GitLayout): Target {
  const target = readLoose(layout, 'HEAD');
  if (target?.name === undefined) return target ?? {};
  const oid = readReference(layout, target.name);
  return oid === undefined ? { name: target.name } : { name: target.name, oid };
}

/**
 * Returns the object id that a full reference name (`refs/heads/main`, `HEAD`) leads to, tags not
 * peeled, or undefined. The name must have been found harmless. Only for references kept in files.
 */
export function readReference(layout: GitLayout, name: string): string | undefined {
  let packed: Map<string, string> | undefined;
  let current = name;
  for (let depth = 0; depth <= symbolicDepthMax; depth++) {
    const target = readLoose(layout, current);
    if (target?.oid !== undefined) return target.oid;
    if (target?.name === undefined) {
      // Loose first: Git writes the packed form before it removes the loose one.
      packed ??= readPacked(layout.commonDir);
      return packed.get(current);
    }
    current = target.name;
  }
  return undefined;
}

/** Lists the full names of all branches, tags and remote branches with the ids they hold, by name. */
export function listReferences(layout: GitLayout): Array<{ fullName: string; oid: string }> {
  return allReferences(layout).filter(({ fullName }) =>
    /^refs\/(?:heads|tags|remotes)\//.test(fullName),
  );
}

/** Lists the full names of the references of every kind with the ids they hold, by name. */
export function allReferences(layout: GitLayout): Array<{ fullName: string; oid: string }> {
  const found = new Map<string, string>();
  const names: string[] = [];
  collectLoose(layout.commonDir, 'refs', 0, names);
  for (const [name, oid] of readPacked(layout.commonDir)) found.set(name, oid);
  for (const name of names) {
    const oid = readReference(layout, name);
    if (oid !== undefined) found.set(name, oid);
  }
  return [...found].map(([fullName, oid]) => ({ fullName, oid }));
}

/**
 * Makes a reference that holds an id, unless the name is taken, as Git does: the lock file beside it
 * keeps other writers out, and becomes the reference.
 * @throws MstoreError `git-failed` when another reference is named like a folder of this one, or this
 * like a folder of others; `locked` while another writer has the lock
 */
export function createReference(layout: GitLayout, name: string, oid: string): boolean {
  const file = path.join(layout.commonDir, name);
  const lock = `${file}.lock`;
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(lock, `${oid}\n`, { flag: 'wx' });
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && isFile(lock)) throw locked(lock);
    if (['EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw inTheWay(name);
    throw fromSystemError(error, `writing ${file}`);
  }
  try {
    const packed = [...readPacked(layout.commonDir).keys()];
    if (readLoose(layout, name) !== undefined || packed.includes(name)) return false;
    const isInTheWay = (other: string) =>
      other.startsWith(`${name}/`) || name.startsWith(`${other}/`);
    if (packed.some(isInTheWay) || fs.existsSync(file)) throw inTheWay(name);
    fs.renameSync(lock, file);
    return true;
  } finally {
    removeFile(lock);
  }
}

/** A path through a file is no file either. */
function isFile(file: string): boolean {
  try {
    return fs.statSync(file).isFile();
  } catch (error) {
    // A name that is too long is the name of nothing.
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(systemCode(error) ?? '')) return false;
    throw fromSystemError(error, `looking at ${printable(file)}`);
  }
}

function locked(lock: string): MstoreError {
  return new MstoreError('locked', `Another process holds ${printable(lock)}`, {
    hint: 'Wait for it to end; if no Git runs in this repository, remove the file',
    details: { path: lock },
  });
}

function inTheWay(name: string): MstoreError {
  return new MstoreError(
    'git-failed',
    `Git cannot have ${printable(name)} beside another reference with which it shares a folder`,
    { hint: 'Look at "git tag" for a tag named like the beginning of this one', details: { name } },
  );
}

function readLoose(layout: GitLayout, name: string): Target | undefined {
  // HEAD and its like belong to one working tree; what is below refs belongs to all.
  const folder = name.startsWith('refs/') ? layout.commonDir : layout.gitDir;
  const file = path.join(folder, name);
  if (!isFile(file)) return undefined;
  const text = readBounded(file, referenceBytesMax)?.toString('utf8') ?? '';
  const symbolic = /^ref:\s*(\S+)\s*$/.exec(text)?.[1];
  if (symbolic !== undefined) return isInside(symbolic) ? { name: symbolic } : undefined;
  const oid = /^([0-9a-f]{40})(?:\s|$)/i.exec(text)?.[1];
  return oid === undefined ? undefined : { oid: oid.toLowerCase() };
}

/** A name read from a file must not lead out of the Git directory. */
function isInside(name: string): boolean {
  if (!/^refs\/|^[A-Z][A-Z_]*$/.test(name)) return false;
  return name.split(/[\\/]/).every((part) => part !== '' && part !== '.' && part !== '..');
}

function collectLoose(commonDir: string, prefix: string, depth: number, names: string[]): void {
  if (depth > folderDepthMax) return;
  for (const entry of readFolder(path.join(commonDir, prefix))) {
    const name = `${prefix}/${entry.name}`;
    if (entry.isDirectory()) collectLoose(commonDir, name, depth + 1, names);
    else if (!entry.name.endsWith('.lock')) names.push(name);
  }
}

function readFolder(folder: string): fs.Dirent[] {
  try {
    return fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return [];
    throw fromSystemError(error, `reading ${folder}`);
  }
}

function readPacked(commonDir: string): Map<string, string> {
  const bytes = readBounded(path.join(commonDir, 'packed-refs'), packedBytesMax);
  const packed = new Map<string, string>();
  for (const line of (bytes?.toString('utf8') ?? '').split('\n')) {
    // Comments start with #, peeled ids of the tag before with ^.
    const match = /^([0-9a-f]{40}) (refs\/.+?)\r?$/.exec(line);
    if (match !== null) packed.set(match[2] ?? '', match[1] ?? '');
  }
  return packed;
}
