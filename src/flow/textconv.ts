import { readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../base/tree.ts';
import { parsePointer } from '../worktree/pointer.ts';

/**
 * Writes a pointer as lines that compare well: one a file, with size and digest. Git hands over
 * temporary copies, so that the name of the file says nothing.
 * @param file absolute path
 * @returns undefined when there is no such file
 */
export function describePointer(file: string): string[] | undefined {
  const bytes = readBounded(file, limits.pointerBytesMax);
  if (bytes === undefined) return undefined;
  const pointer = parsePointer(bytes, file);
  const head = `${pointer.kind} ${printable(pointer.path)}, ${pointer.size} bytes, ${pointer.sha256}`;
  const entries = pointer.kind === 'tree' ? (pointer.files ?? []) : [];
  return [head, ...entries.map(describeEntry)];
}

function describeEntry(entry: TreeEntry): string {
  const name = printable(entry.path);
  if (isLinkEntry(entry)) return `${name} -> ${printable(entry.link)}`;
  if (!isFileEntry(entry)) return `${name}/`;
  return `${name}${entry.executable ? ' *' : ''}, ${entry.size} bytes, ${entry.sha256}`;
}
