import * as fs from 'node:fs';
import type { Digest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { isJsonObject, type JsonObject } from '../../base/json.ts';
import type { FileEntry } from '../../base/tree.ts';
import { findVersion } from '../../registry/find.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Snapshot, SourceFile } from '../../source/snapshot.ts';
import type { WorkOptions } from '../add.ts';
import { localRegistry } from '../registry.ts';
import type { Workspace } from '../workspace.ts';
import { chosenFiles, sourceOf } from './import.ts';
import { digestsByName, filesOf } from './known-files.ts';
import { openSource } from './open-source.ts';
import { holdsBytes } from './staging.ts';

/** A file that is not what it was when it was imported. */
export interface SourceChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Bytes there; absent for one that is removed. */
  readonly size?: number;
  /** Bytes in the version; absent for one that is added. */
  readonly sizeBefore?: number;
}

/** What {@link refreshImport} found. */
export interface RefreshResult {
  readonly model: string;
  readonly version: string;
  /** The reference that the version was imported from, with its revision. */
  readonly from: string;
  /** The reference as it is now. */
  readonly now: string;
  /** What to import to have that. */
  readonly asked: string;
  readonly changes: readonly SourceChange[];
}

/**
 * Looks what has changed where a version was imported from. Nothing is taken.
 * @param selector a version, an environment or `latest`
 * @throws MstoreError `usage` when it was not imported, and what its place throws
 */
export async function refreshImport(
  workspace: Workspace,
  { model: name, selector }: { readonly model: string; readonly selector: string },
  options: WorkOptions & { readonly cwd: string },
): Promise<RefreshResult> {
  const { signal } = options;
  const registry = await localRegistry(workspace, { signal });
  const record = (await findVersion(registry, name, selector)).record.value;
  const { model, version, source } = record;
  const origin = source?.['imported'];
  if (!isJsonObject(origin)) {
    throw new MstoreError('usage', `${model}@${version} was not imported from anywhere`, {
      hint: `Look at "mstore show ${model}@${version}" for where it comes from`,
      details: { model, version },
    });
  }
  if (origin['kind'] === 'lfs') {
    throw new MstoreError('usage', `${model}@${version} is from a commit of this repository`, {
      hint: 'A commit does not change; "git log" tells what came after it',
      details: { model, version },
    });
  }
  const asked = askedOf(origin);
  // Paths of DVC are kept from the top of the workspace.
  const cwd = origin['kind'] === 'dvc' ? workspace.root : options.cwd;
  const opened = await openSource(workspace, sourceOf(asked), { ...options, cwd });
  try {
    const snapshot = chosenFiles(opened.snapshot, patternsOf(origin));
    const from = textOf(origin, 'from');
    const isSame =
      (snapshot.isFixed && snapshot.reference === from) || isSameObject(origin, snapshot.facts);
    const changes = isSame ? [] : await compare(workspace, record, origin, { snapshot, signal });
    return { model, version, from, now: snapshot.reference, asked, changes };
  } finally {
    if (opened.scratch !== undefined) fs.rmSync(opened.scratch, { recursive: true, force: true });
  }
}

function textOf(origin: JsonObject, key: string): string {
  const value = origin[key];
  return typeof value === 'string' ? value : '';
}

/** The reference that was given, which may name something else now. */
function askedOf(origin: JsonObject): string {
  const from = textOf(origin, 'from');
  const revision = textOf(origin, 'revision');
  if (origin['kind'] === 'dvc') {
    const bare = from.replace(/#rev=.*$/s, '');
    return revision === '' ? bare : `${bare}#rev=${revision}`;
  }
  if (origin['kind'] !== 'hf') return from;
  return `hf:${textOf(origin, 'repository')}@${revision}`;
}

/** What DVC names alike is the same, wherever it lies. */
function isSameObject(origin: JsonObject, facts: JsonObject): boolean {
  const keys = ['kind', 'hash', 'md5', 'path'];
  return origin['kind'] === 'dvc' && keys.every((key) => origin[key] === facts[key]);
}

function patternsOf(origin: JsonObject): { include: string[]; exclude: string[] } {
  const listOf = (key: string): string[] => {
    const value = origin[key];
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
  };
  return { include: listOf('include'), exclude: listOf('exclude') };
}

async function compare(
  workspace: Workspace,
  record: VersionRecord,
  origin: JsonObject,
  { snapshot, signal }: { readonly snapshot: Snapshot; readonly signal: AbortSignal | undefined },
): Promise<SourceChange[]> {
  const before = filesOf(workspace, record);
  if (before.size === 0) {
    const name = `${record.model}@${record.version}`;
    throw new MstoreError('objects-missing', `The list of the files of ${name} is not here`, {
      hint: `Run "mstore fetch ${name}" first`,
    });
  }
  const byName = digestsByName(workspace, snapshot, before);
  const newest = Date.parse(textOf(origin, 'newest'));
  const changes: SourceChange[] = [];
  const there = new Set<string>();
  for (const file of snapshot.files) {
    there.add(file.path);
    const old = before.get(file.path);
    if (old === undefined) changes.push({ path: file.path, change: 'added', size: file.size });
    else if (!(await isSame(file, old, { byName, newest, snapshot, signal }))) {
      changes.push({ path: file.path, change: 'changed', size: file.size, sizeBefore: old.size });
    }
  }
  for (const [path, { size }] of before) {
    if (!there.has(path)) changes.push({ path, change: 'removed', sizeBefore: size });
  }
  return changes;
}

async function isSame(
  file: SourceFile,
  old: FileEntry,
  how: {
    readonly byName: ReadonlyMap<string, Digest>;
    readonly newest: number;
    readonly snapshot: Snapshot;
    readonly signal: AbortSignal | undefined;
  },
): Promise<boolean> {
  if (file.size !== old.size) return false;
  if (file.sha256 !== undefined) return file.sha256 === old.sha256;
  if ((file.gitBlob ?? file.md5) !== undefined) return how.byName.get(file.path) === old.sha256;
  const copy = how.snapshot.localCopy?.(file);
  if (copy !== undefined) return holdsBytes(copy, { ...file, sha256: old.sha256 }, how.signal);
  return !(file.time !== undefined && file.time > how.newest);
}
