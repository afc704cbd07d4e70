import * as fs from 'node:fs';
import * as path from 'node:path';
import { type ErrorCode, fromSystemError, MstoreError } from '../base/errors.ts';
import { isTempName } from '../base/files.ts';
import type { IgnoreRules } from '../base/ignore-rules.ts';
import { limits } from '../base/limits.ts';
import { TreeLinks } from '../base/links.ts';
import {
  collisionKey,
  type NamePlatform,
  nameFromFolder,
  nameProblem,
  printable,
} from '../base/names.ts';
import { sortEntries } from '../base/tree.ts';
import { pointerSuffix } from './pointer.ts';
import type { FileStat } from './stat-cache.ts';

/** A regular file found on disk. */
export interface ScannedFile {
  readonly kind: 'file';
  /** Path from the scanned folder, as it is stored. */
  readonly path: string;
  /** Absolute path to read the bytes from. */
  readonly source: string;
  readonly stat: FileStat;
  readonly executable: boolean;
}

/** A symbolic link found on disk, kept as one. */
export interface ScannedLink {
  readonly kind: 'link';
  readonly path: string;
  readonly link: string;
}

/** A directory without entries. */
export interface ScannedDirectory {
  readonly kind: 'directory';
  readonly path: string;
}

export type ScannedEntry = ScannedFile | ScannedLink | ScannedDirectory;

/** Something on disk that cannot be stored. */
export interface ScanProblem {
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** What a folder holds. */
export interface Scan {
  /** Sorted by the UTF-8 bytes of the paths. */
  readonly entries: ScannedEntry[];
  /** What is wrong with an entry by itself. */
  readonly entryProblems: readonly ScanProblem[];
  /** The same, and what is wrong between entries, which is looked for when it is asked for. */
  readonly problems: readonly ScanProblem[];
  /** Folders that hold temporary files of ours, alive or dead; they are no part of the content. */
  readonly tempFolders: string[];
}

/** Options of {@link scanFolder}. */
export interface ScanOptions {
  /** Patterns to leave out, relative to `rulesRoot`. */
  readonly rules: IgnoreRules;
  /** Path of the scanned folder from the folder of the rules; empty when it is that folder. */
  readonly rulesPrefix: string;
  /** Absolute folder of whole files in the store: links into it stand for the files themselves. */
  readonly linkedFiles: string;
  readonly platform: NamePlatform;
}

/** Folders that never belong to a model: Git's own (a clone of a Hub repository has one) and ours. */
const leftOut = new Set(['.git', '.modelstore']);

/**
 * Lists everything in a folder without following links out of it. Costs one stat a file and no read.
 * Nothing is thrown for what cannot be stored: it is listed as a problem.
 */
export function scanFolder(folder: string, options: ScanOptions): Scan {
  const walk: Walk = {
    folder,
    options,
    depth: 0,
    entries: [],
    problems: [],
    tempFolders: [],
  };
  scanInto(walk, '');
  const { problems: entryProblems, tempFolders } = walk;
  const entries = sortEntries(walk.entries);
  let problems: readonly ScanProblem[] | undefined;
  return {
    entries,
    entryProblems,
    tempFolders,
    get problems() {
      problems ??= [...entryProblems, ...collisions(entries), ...badLinks(entries)];
      return problems;
    },
  };
}

interface Walk {
  readonly folder: string;
  readonly options: ScanOptions;
  depth: number;
  readonly entries: ScannedEntry[];
  readonly problems: ScanProblem[];
  readonly tempFolders: string[];
}

function scanInto(walk: Walk, prefix: string): void {
  const absolute = prefix === '' ? walk.folder : path.join(walk.folder, prefix);
  if (walk.depth > limits.treeDepthMax) {
    addProblem(
      walk,
      prefix,
      'too-large',
      `is more than ${limits.treeDepthMax} folders deep`,
      'Flatten the directory',
    );
    return;
  }
  let names: fs.Dirent[];
  try {
    names = fs.readdirSync(absolute, { withFileTypes: true });
  } catch (error) {
    throw fromSystemError(error, `listing ${printable(absolute)}`);
  }
  let kept = 0;
  for (const dirent of names) {
    if (leftOut.has(dirent.name)) continue;
    if (isTempName(dirent.name)) {
      if (walk.tempFolders.at(-1) !== prefix) walk.tempFolders.push(prefix);
      continue;
    }
    const name = nameFromFolder(dirent.name, walk.options.platform);
    const relative = prefix === '' ? name : `${prefix}/${name}`;
    if (isIgnored(walk.options, relative, dirent.isDirectory())) continue;
    kept++;
    scanEntry(walk, dirent, relative, absolute + path.sep + dirent.name);
  }
  if (kept === 0 && prefix !== '') walk.entries.push({ kind: 'directory', path: prefix });
}

function isIgnored(options: ScanOptions, relative: string, isFolder: boolean): boolean {
  const { rules, rulesPrefix } = options;
  return rules.ignores(rulesPrefix === '' ? relative : `${rulesPrefix}/${relative}`, isFolder);
}

function scanEntry(walk: Walk, dirent: fs.Dirent, relative: string, absolute: string): void {
  const badName = nameProblem(relative.slice(relative.lastIndexOf('/') + 1));
  if (badName !== undefined) {
    addProblem(
      walk,
      relative,
      'bad-name',
      `has ${badName} in its name`,
      'Rename it, or list it in .mstoreignore',
    );
    return;
  }
  if (dirent.isDirectory()) {
    walk.depth++;
    scanInto(walk, relative);
    walk.depth--;
  } else if (dirent.isSymbolicLink()) {
    scanLink(walk, relative, absolute);
  } else if (!dirent.isFile()) {
    addProblem(
      walk,
      relative,
      'unsupported-file-type',
      `is ${fileTypeName(dirent)}, which has no bytes to store`,
      'Remove it, or list it in .mstoreignore',
    );
  } else if (relative.endsWith(pointerSuffix)) {
    addProblem(
      walk,
      relative,
      'contains-pointer',
      'is a pointer, and a tracked directory cannot hold one',
      'Run "mstore untrack" for it first, or add the directories one by one',
    );
  } else {
    addFile(walk, relative, absolute);
  }
}

function addFile(walk: Walk, relative: string, source: string): void {
  const stat = fs.lstatSync(source, { bigint: true, throwIfNoEntry: false });
  if (!stat?.isFile()) return;
  const { size, mtimeNs, ctimeNs, ino, mode, nlink } = stat;
  walk.entries.push({
    kind: 'file',
    path: relative,
    source,
    // A part of it: whole stats of a large directory take ten times the memory.
    stat: { size, mtimeNs, ctimeNs, ino, mode, nlink },
    executable: isExecutable(stat),
  });
}

/** Tells whether the owner may execute a file; Windows has no such bit. */
export function isExecutable(stat: FileStat): boolean {
  return (stat.mode & 0o100n) !== 0n;
}

function scanLink(walk: Walk, relative: string, absolute: string): void {
  const link = fs.readlinkSync(absolute);
  if (link.startsWith(walk.options.linkedFiles + path.sep)) {
    const stat = fs.statSync(absolute, { bigint: true, throwIfNoEntry: false });
    if (stat?.isFile()) {
      walk.entries.push({
        kind: 'file',
        path: relative,
        source: link,
        stat,
        executable: isExecutable(stat),
      });
      return;
    }
  }
  walk.entries.push({ kind: 'link', path: relative, link });
}

/** Says what a special file is, with its article. */
export function fileTypeName(stat: fs.Dirent | fs.BigIntStats): string {
  if (stat.isSocket()) return 'a socket';
  if (stat.isFIFO()) return 'a FIFO';
  if (stat.isBlockDevice() || stat.isCharacterDevice()) return 'a device';
  return 'a special file';
}

function addProblem(
  { problems }: Pick<Walk, 'problems'>,
  at: string,
  code: ErrorCode,
  what: string,
  hint: string,
): void {
  problems.push({ path: at, code, message: `${printable(at)} ${what}`, hint });
}

function collisions(entries: readonly ScannedEntry[]): ScanProblem[] {
  const problems: ScanProblem[] = [];
  const seen = new Map<string, string>();
  for (const { path: full } of entries) {
    for (let cut = full.length; cut > 0; cut = full.lastIndexOf('/', cut - 1)) {
      const part = full.slice(0, cut);
      const key = collisionKey(part);
      const other = seen.get(key);
      if (other === part) break;
      if (other === undefined) {
        seen.set(key, part);
        continue;
      }
      addProblem(
        { problems },
        part,
        'name-collision',
        `and ${printable(other)} differ only by case or Unicode form: they would be one file on Windows or macOS`,
        'Rename one of them, or list it in .mstoreignore',
      );
      break;
    }
  }
  return problems;
}

function badLinks(entries: readonly ScannedEntry[]): ScanProblem[] {
  const problems: ScanProblem[] = [];
  const links = new Map<string, string>();
  for (const entry of entries) if (entry.kind === 'link') links.set(entry.path, entry.link);
  const tree = new TreeLinks(links);
  for (const [at, target] of links) {
    const problem = tree.problem(at);
    if (problem === undefined) continue;
    const code = problem.kind === 'loops' ? 'link-loop' : 'link-leaves';
    addProblem(
      { problems },
      at,
      code,
      `is a link to ${printable(target)} that ${problem.what}`,
      'Replace the link by the file it stands for, or list it in .mstoreignore',
    );
  }
  return problems;
}

/**
 * Throws the first problem of a scan and counts the others.
 * @param prefix written before the paths of the messages
 */
export function throwScanProblems(scan: Pick<Scan, 'problems'>, prefix: string): void {
  const [first] = scan.problems;
  if (first === undefined) return;
  const others = scan.problems.length - 1;
  const more = others === 0 ? '' : ` (and ${others} more like it)`;
  throw new MstoreError(first.code, `${printable(prefix)}${first.message}${more}`, {
    hint: first.hint,
    details: {
      path: prefix + first.path,
      problems: scan.problems.map(({ message }) => prefix + message),
    },
  });
}
