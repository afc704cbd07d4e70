import * as fs from 'node:fs';
import * as path from 'node:path';
import { Breather } from '../base/abort.ts';
import type { Digest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import { formatTree, type TreeEntry } from '../base/tree.ts';
import { BlobWriter } from '../store/blob-writer.ts';
import { ignoreFileRules, mstoreIgnoreName } from '../worktree/ignore-rules.ts';
import { type Pointer, treePointer } from '../worktree/pointer.ts';
import { isExecutable, type Scan, type ScannedFile, throwScanProblems } from '../worktree/scan.ts';
import type { StatCache } from '../worktree/stat-cache.ts';
import { checkGit, checkPlaces } from './add-checks.ts';
import { wholeContent } from './compare.ts';
import { diskState } from './disk.ts';
import { externalData, filesBeside, type NamedFile } from './external-data.ts';
import { keepTree } from './known-trees.ts';
import { clearLeftovers } from './leftovers.ts';
import { storing } from './store-watch.ts';
import { trackedInWorkspace } from './tracked.ts';
import { type IncomingFile, judgeIncoming } from './validate-policy.ts';
import type { Workspace } from './workspace.ts';
import { previousPointer, track } from './write-pointer.ts';

/** Options of long work. */
export interface WorkOptions {
  readonly signal?: AbortSignal | undefined;
  readonly progress?: Progress | undefined;
  /** Threads, or requests to a remote, at once; 1 works on one thread. */
  readonly jobs?: number | undefined;
}

/** One path that was added. */
export interface AddedPath {
  readonly path: string;
  readonly pointer: Pointer;
  readonly files: number;
  /** Whether the pointer was new or differs from the one before. */
  readonly changed: boolean;
}

/** What {@link add} did. */
export interface AddResult {
  readonly paths: readonly AddedPath[];
  /** Bytes read from files; unchanged files are not read. */
  readonly bytesRead: number;
  readonly chunks: number;
  readonly chunksNew: number;
  /** Bytes that the store did not have. */
  readonly bytesNew: number;
  /** Bytes that these take in the store, less where compression is on. */
  readonly bytesStored: number;
  /** What was found in new files by `validate.policy`. */
  readonly warnings: readonly string[];
}

/** A path that has been looked at and may be added. */
interface Candidate {
  readonly path: string;
  readonly scan: Scan;
  readonly isFolder: boolean;
  readonly cache: StatCache;
  /** Digests of the files that are stored already, as the stat cache and the store tell. */
  readonly known: ReadonlyMap<string, Digest>;
}

/**
 * Stores files and directories and writes their pointers. All paths are checked before the first byte
 * is stored; pointers are written only when everything they need is durable. A path that is tracked
 * already is brought up to date.
 * @param paths from the top of the workspace
 */
export async function add(
  workspace: Workspace,
  paths: readonly string[],
  options: WorkOptions = {},
): Promise<AddResult> {
  return storing(workspace, options, {
    work: () => addOnce(workspace, paths, options),
    needed: () => trackedInWorkspace(workspace).tracked,
    merge: (first, again) => ({
      paths: first.paths,
      bytesRead: first.bytesRead + again.bytesRead,
      chunks: first.chunks,
      chunksNew: first.chunksNew + again.chunksNew,
      bytesNew: first.bytesNew + again.bytesNew,
      bytesStored: first.bytesStored + again.bytesStored,
      warnings: first.warnings,
    }),
  });
}

async function addOnce(
  workspace: Workspace,
  paths: readonly string[],
  options: WorkOptions,
): Promise<AddResult> {
  const progress = options.progress ?? silentProgress;
  progress.start('scan');
  const candidates: Candidate[] = [];
  checkPlaces(workspace, paths);
  for (const given of new Set(paths))
    candidates.push(await inspect(workspace, given, options.signal));
  progress.finish();
  const warnings = await judgeIncoming(workspace.config, incomingFiles(candidates), options);
  const tempFolders = candidates.flatMap(({ path: tracked, scan }) =>
    scan.tempFolders.map((folder) => path.posix.join(tracked, folder)),
  );
  clearLeftovers(workspace, paths, tempFolders);
  const files = candidates.flatMap(({ scan }) =>
    scan.entries.filter((entry) => entry.kind === 'file'),
  );
  const bytesTotal = files.reduce((sum, { stat }) => sum + Number(stat.size), 0);
  progress.start('add', { bytesTotal, filesTotal: files.length });
  const writer = new BlobWriter(workspace.store, {
    signal: options.signal,
    bytesExpected: bytesTotal,
    threads: options.jobs,
    compress: workspace.config.string('store.compression') === 'auto',
    onBytes: (bytes) => progress.advance({ bytes }),
  });
  try {
    const breather = new Breather(options.signal);
    const pointers: Pointer[] = [];
    for (const candidate of candidates) {
      pointers.push(await store(workspace, candidate, { writer, breather, progress }));
    }
    const stats = await writer.finish();
    progress.finish();
    const added: AddedPath[] = [];
    for (const [i, candidate] of candidates.entries()) {
      added.push(await publish(workspace, candidate, pointers[i] as Pointer));
    }
    return { paths: added, ...stats, warnings };
  } finally {
    writer.close();
  }
}

/** Looks at a path and refuses what cannot be tracked. */
async function inspect(
  workspace: Workspace,
  given: string,
  signal: AbortSignal | undefined,
): Promise<Candidate> {
  const full = workspace.absolute(given);
  const stat = fs.lstatSync(full, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) {
    throw new MstoreError('not-found', `${printable(given)} does not exist`, {
      hint: 'Check the spelling; paths are relative to the current folder',
      details: { path: given },
    });
  }
  const rules = ignoreFileRules(workspace.root, mstoreIgnoreName);
  if (rules.ignoresWithParents(given, stat.isDirectory())) {
    throw new MstoreError(
      'ignored',
      `${printable(given)} is left out by a pattern in ${mstoreIgnoreName}`,
      {
        hint: `Change the pattern, or put "!/${printable(path.posix.basename(given))}" below it, in the ${mstoreIgnoreName} of its folder`,
        details: { path: given },
      },
    );
  }
  const state = diskState(workspace, given);
  const isFolder = state?.isFolder ?? false;
  const scan = isFolder ? (state as Scan) : soleFile(given, state);
  throwScanProblems(scan, isFolder ? `${given}/` : '');
  await checkGit(workspace, given);
  const cache = workspace.statCache(given);
  const known = await knownFiles(workspace, scan, cache, new Breather(signal));
  return { path: given, scan, isFolder, cache, known };
}

async function knownFiles(
  { store }: Workspace,
  { entries }: Scan,
  cache: StatCache,
  breather: Breather,
): Promise<Map<string, Digest>> {
  const known = new Map<string, Digest>();
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    const sha256 = cache.find(entry.path, entry.stat);
    if (sha256 !== undefined && store.has(sha256)) known.set(entry.path, sha256);
    if (breather.due()) await breather.turn();
  }
  return known;
}

/** The files of candidates as the policy of validation sees them. */
function incomingFiles(candidates: readonly Candidate[]): IncomingFile[] {
  return candidates.flatMap(({ path: tracked, scan, isFolder, known }) =>
    scan.entries.flatMap((entry): IncomingFile[] => {
      if (entry.kind !== 'file') return [];
      const shown = isFolder ? `${tracked}/${entry.path}` : tracked;
      const size = Number(entry.stat.size);
      return [{ path: shown, source: entry.source, size, known: known.has(entry.path) }];
    }),
  );
}

/** A file has one entry, under its own name; a link is no model. */
function soleFile(given: string, state: Scan | undefined): Scan {
  const [entry] = state?.entries ?? [];
  if (entry?.kind === 'link') {
    throw new MstoreError(
      'unsupported-file-type',
      `${printable(given)} is a symbolic link, not a file or directory`,
      {
        hint: 'Add what the link stands for',
        details: { path: given },
      },
    );
  }
  const entries = entry === undefined ? [] : [{ ...entry, path: path.posix.basename(given) }];
  const problems = (state?.problems ?? []).map((problem) => ({
    ...problem,
    path: given,
    message: `${printable(given)} ${problem.message}`,
  }));
  return { entries, problems, entryProblems: problems, tempFolders: [] };
}

interface StoreTools {
  readonly writer: BlobWriter;
  readonly breather: Breather;
  readonly progress: Progress;
}

/** Stores the files of a candidate and returns its pointer, which may be written once all is durable. */
async function store(
  workspace: Workspace,
  candidate: Candidate,
  tools: StoreTools,
): Promise<Pointer> {
  const { files, steady } = await storeFiles(workspace, candidate, tools);
  const entries = candidate.scan.entries.map((entry): TreeEntry => {
    if (entry.kind === 'directory') return { path: entry.path, directory: true };
    if (entry.kind === 'link') {
      candidate.cache.rememberLink(entry.path, entry.link);
      return { path: entry.path, link: entry.link };
    }
    const file = { path: entry.path, ...(files.get(entry.path) as StoredFile) };
    return entry.executable ? { ...file, executable: true } : file;
  });
  candidate.cache.keepOnly(new Set(entries.map((entry) => entry.path)));
  const extra = previousPointer(workspace, candidate.path)?.extra ?? {};
  if (candidate.isFolder) {
    const tree = formatTree(entries);
    await tools.writer.addBytes(tree);
    const pointer = treePointer(path.posix.basename(candidate.path), entries, extra);
    if (pointer.kind === 'tree' && pointer.files === undefined)
      keepTree(workspace, candidate.path, tree);
    if (steady) candidate.cache.rememberWhole(wholeContent(pointer), entries.length);
    return pointer;
  }
  const [file] = entries;
  if (file === undefined || !('sha256' in file))
    throw new MstoreError('internal', 'A file has one entry');
  const pointer: Pointer = { kind: 'file', ...file, extra };
  if (steady) candidate.cache.rememberWhole(wholeContent(pointer), 1);
  return pointer;
}

/** What became of the files of a candidate. */
interface StoredFiles {
  readonly files: ReadonlyMap<string, StoredFile>;
  /** Whether each was as executable when it was read as when it was found. */
  readonly steady: boolean;
}

/** A file whose bytes are stored. */
interface StoredFile {
  readonly size: number;
  readonly sha256: Digest;
}

/** Stores the files of a candidate that the stat cache and the store do not know; returns all, by path. */
async function storeFiles(
  workspace: Workspace,
  candidate: Candidate,
  { writer, breather, progress }: StoreTools,
): Promise<StoredFiles> {
  const { cache, scan, known } = candidate;
  const stored = new Map<string, StoredFile>();
  const unknown: ScannedFile[] = [];
  for (const entry of scan.entries) {
    if (entry.kind !== 'file') continue;
    const size = Number(entry.stat.size);
    const sha256 = known.get(entry.path);
    if (sha256 === undefined) {
      unknown.push(entry);
    } else {
      stored.set(entry.path, { size, sha256 });
      progress.advance({ bytes: size, files: 1, name: entry.path });
    }
    if (breather.due()) await breather.turn();
  }
  const tensors = externalData(() => filesAround(workspace, candidate));
  const files = unknown.map((entry) => ({
    file: entry.source,
    hardCuts: (size: number) => tensors.cutsOf(entry.path, size),
  }));
  let steady = true;
  await writer.addFiles(files, (index, { size, sha256, stat }) => {
    const { path: name, executable } = unknown[index] as ScannedFile;
    steady &&= isExecutable(stat) === executable;
    cache.rememberRead(name, stat, sha256);
    stored.set(name, { size, sha256 });
    progress.advance({ files: 1, name });
  });
  return { files: stored, steady };
}

/** The files in which models may lie that name those of a candidate. */
function filesAround(
  workspace: Workspace,
  { path: tracked, scan, isFolder }: Candidate,
): NamedFile[] {
  if (!isFolder) return filesBeside(workspace.absolute(tracked));
  return scan.entries.filter((entry) => entry.kind === 'file');
}

async function publish(
  workspace: Workspace,
  candidate: Candidate,
  pointer: Pointer,
): Promise<AddedPath> {
  const { path: tracked, scan, cache } = candidate;
  const changed = await track(workspace, { path: tracked, pointer });
  cache.save(tracked);
  return {
    path: tracked,
    pointer,
    files: scan.entries.filter((e) => e.kind === 'file').length,
    changed,
  };
}
