import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, systemCode } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { type Isomorphic, peel } from './isomorphic-objects.ts';
import { gitDirectories } from './layout.ts';
import { allReferences, readHead } from './refs.ts';

/** A reflog has a line of some 150 bytes for each change of a reference. */
const reflogBytesMax = 256 * 1024 * 1024;
const folderDepthMax = 64;

/** Lists what references, HEADs and reflogs of all working trees lead to. */
export async function keptCommits(git: Isomorphic): Promise<string[]> {
  const { layout } = git;
  const named = new Set(allReferences(layout).map(({ oid }) => oid));
  for (const gitDir of gitDirectories(layout)) {
    const { oid } = readHead({ ...layout, gitDir });
    if (oid !== undefined) named.add(oid);
    for (const file of filesBelow(path.join(gitDir, 'logs'), 0)) addReflog(file, named);
  }
  const commits = new Set<string>();
  for (const oid of named) {
    const commit = await peel(git, oid);
    if (commit !== undefined) commits.add(commit);
  }
  return [...commits];
}

/** Reads `OLD NEW WHO TIME ZONE TAB MESSAGE`; ids of zeros stand for nothing. */
function addReflog(file: string, named: Set<string>): void {
  const text = readBounded(file, reflogBytesMax)?.toString('latin1') ?? '';
  for (const [, before, after] of text.matchAll(/^([0-9a-f]{40}) ([0-9a-f]{40}) /gm)) {
    for (const oid of [before, after]) if (oid !== undefined && !/^0+$/.test(oid)) named.add(oid);
  }
}

function filesBelow(folder: string, depth: number): string[] {
  if (depth > folderDepthMax) return [];
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return [];
    throw fromSystemError(error, `reading ${printable(folder)}`);
  }
  return entries.flatMap((entry) => {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(full, depth + 1);
    return entry.isFile() ? [full] : [];
  });
}
