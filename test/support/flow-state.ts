import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { vi } from 'vitest';

/** Entries that belong to Git or to mstore itself. */
const leftOut = new Set(['.git', '.modelstore', '.gitignore', '.gitattributes']);

/**
 * Describes all that a folder holds, by path: files by digest and executable bit, links by their
 * target, directories where they are empty. Two equal descriptions are two equal folders.
 */
export function stateOf(folder: string): Record<string, string> {
  const state: Record<string, string> = {};
  describeInto(state, folder, '');
  return state;
}

function describeInto(state: Record<string, string>, folder: string, prefix: string): void {
  for (const name of fs.readdirSync(path.join(folder, prefix)).sort()) {
    if (leftOut.has(name) || name.endsWith('.mstore')) continue;
    const relative = prefix === '' ? name : `${prefix}/${name}`;
    const full = path.join(folder, relative);
    const stat = fs.lstatSync(full);
    if (stat.isSymbolicLink()) state[relative] = `link ${fs.readlinkSync(full)}`;
    else if (stat.isFile()) state[relative] = describeFile(full, stat);
    else if (fs.readdirSync(full).length === 0) state[relative] = 'directory';
    else describeInto(state, folder, relative);
  }
}

function describeFile(file: string, stat: fs.Stats): string {
  const digest = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
  return `${(stat.mode & 0o100) === 0 ? 'file' : 'executable'} ${stat.size} ${digest}`;
}

/** Lists all files below a folder, relative to it; none when it does not exist. */
export function filesBelow(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((dirent) => !dirent.isDirectory())
    .map((dirent) => path.relative(folder, path.join(dirent.parentPath, dirent.name)))
    .sort();
}

/** Bytes of all files below a folder. */
export function bytesBelow(folder: string): number {
  return filesBelow(folder).reduce(
    (sum, file) => sum + fs.lstatSync(path.join(folder, file)).size,
    0,
  );
}

/**
 * Runs `work` and returns the files below `folder`, relative to it, that were opened meanwhile, those
 * under construction left out.
 */
export async function openedBelow(folder: string, work: () => Promise<unknown>): Promise<string[]> {
  const opened: string[] = [];
  const open = fs.openSync;
  const spy = vi.spyOn(fs, 'openSync').mockImplementation((file, ...rest) => {
    const relative = path.relative(folder, path.resolve(String(file)));
    const fd = open(file, ...rest);
    if (!relative.startsWith('..') && !relative.endsWith('.tmp')) opened.push(relative);
    return fd;
  });
  // Modules that import single functions see the change of a built-in module only after this.
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    spy.mockRestore();
    syncBuiltinESMExports();
  }
  return opened;
}
