import * as fs from 'node:fs';
import * as path from 'node:path';
import { Breather } from '../base/abort.ts';
import { fromSystemError, systemCode } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { printable } from '../base/names.ts';
import type { IndexEntry } from './index-file.ts';
import { findLayout, type GitLayout } from './layout.ts';
import { gitObjectId } from './object-id.ts';
import { readHead } from './refs.ts';

/** Bytes of files that are read for one answer, and of one file; what lies beyond is taken for changed. */
const bytesReadMax = 1024 * 1024 * 1024;
const fileBytesMax = 64 * 1024 * 1024;
const nsPerSecond = 1_000_000_000n;

/**
 * Tells whether any tracked file differs from the index, up to the first that does. A file is read only
 * where its size and times are not those in the index. Unlike Git, it takes a file for unchanged that
 * differs in the ends of its lines alone, and knows no filters: a file behind one counts as changed once
 * its times are not those in the index. In a submodule only its HEAD is looked at.
 */
export async function trackedFilesDiffer(
  layout: GitLayout,
  entries: readonly IndexEntry[],
): Promise<boolean> {
  if (entries.length === 0) return false;
  const breather = new Breather();
  // A file as young as the index may have changed after it was looked at, within one tick of the clock.
  const written = fs.statSync(path.join(layout.gitDir, 'index'), { bigint: true }).mtimeNs;
  let bytesLeft = bytesReadMax;
  for (const entry of entries) {
    if (breather.due()) await breather.turn();
    if (entry.unwatched) continue;
    const file = path.join(layout.root, entry.path);
    const stat = statOf(file);
    if (entry.mode === '160000') {
      if (stat !== undefined && submoduleMoved(file, entry.oid)) return true;
      continue;
    }
    if (stat === undefined || modeDiffers(layout, entry, stat)) return true;
    if (entry.mtimeNs < written && isAsIndexed(entry, stat)) continue;
    // No size in the index means that Git asks for a closer look; any other must be right, as for Git.
    if (entry.size !== 0 && !hasIndexedSize(entry, stat)) return true;
    bytesLeft -= Number(stat.size);
    if (bytesLeft < 0 || stat.size > fileBytesMax) return true;
    if (contentDiffers(file, stat, entry.oid)) return true;
  }
  return false;
}

function statOf(file: string): fs.BigIntStats | undefined {
  try {
    return fs.lstatSync(file, { bigint: true });
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw fromSystemError(error, `looking at ${printable(file)}`);
  }
}

/** Files of systems without links or executable bits are taken for what the index says. */
function modeDiffers(layout: GitLayout, entry: IndexEntry, stat: fs.BigIntStats): boolean {
  if (stat.isSymbolicLink()) return entry.mode !== '120000';
  if (!stat.isFile()) return true;
  if (entry.mode === '120000') return layout.symlinks;
  return layout.fileMode && (entry.mode === '100755') !== ((stat.mode & 0o100n) !== 0n);
}

function isAsIndexed(entry: IndexEntry, stat: fs.BigIntStats): boolean {
  if (!hasIndexedSize(entry, stat)) return false;
  if (!sameTime(entry.mtimeNs, stat.mtimeNs)) return false;
  // Windows has no such time, and Git writes another one there.
  return process.platform === 'win32' || sameTime(entry.ctimeNs, stat.ctimeNs);
}

function hasIndexedSize(entry: IndexEntry, stat: fs.BigIntStats): boolean {
  return Number(stat.size & 0xffffffffn) === entry.size;
}

/** Some Gits write whole seconds; the index has 32 bits for them. */
function sameTime(indexed: bigint, onDisk: bigint): boolean {
  const seconds = (onDisk / nsPerSecond) & 0xffffffffn;
  if (indexed / nsPerSecond !== seconds) return false;
  return indexed % nsPerSecond === 0n || indexed % nsPerSecond === onDisk % nsPerSecond;
}

function contentDiffers(file: string, stat: fs.BigIntStats, oid: string): boolean {
  const bytes = stat.isSymbolicLink()
    ? fs.readlinkSync(file, { encoding: 'buffer' })
    : readBounded(file, fileBytesMax);
  if (bytes === undefined) return true;
  if (gitObjectId('blob', bytes) === oid) return false;
  if (!bytes.includes('\r\n')) return true;
  const withoutReturns = Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
  return gitObjectId('blob', withoutReturns) !== oid;
}

/** A submodule that is not checked out has not moved. */
function submoduleMoved(folder: string, oid: string): boolean {
  const layout = findLayout(folder);
  return (
    layout !== undefined && layout.root === fs.realpathSync(folder) && readHead(layout).oid !== oid
  );
}
