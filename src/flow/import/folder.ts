import * as fs from 'node:fs';
import { MstoreError } from '../../base/errors.ts';
import { IgnoreRules } from '../../base/ignore-rules.ts';
import { printable } from '../../base/names.ts';
import type { DirectoryEntry, LinkEntry } from '../../base/tree.ts';
import {
  checkUnchanged,
  type Snapshot,
  type SourceFile,
  sourceChanged,
} from '../../source/snapshot.ts';
import { scanFolder } from '../../worktree/scan.ts';
import type { Workspace } from '../workspace.ts';

/**
 * Opens a directory of this machine, whether mstore tracks it or not.
 * @param folder absolute
 * @throws MstoreError `not-found`, and what keeps its files from being stored
 */
export function openFolder(workspace: Workspace, folder: string): Snapshot {
  const stat = fs.statSync(folder, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isDirectory()) {
    const what = stat === undefined ? 'does not exist' : 'is no directory';
    throw new MstoreError('not-found', `${printable(folder)} ${what}`, {
      hint: 'Name a directory behind local:',
      details: { path: folder },
    });
  }
  const list = () => listFolder(workspace, folder);
  const { files, sources, others } = list();
  return {
    reference: `local:${folder}`,
    facts: { kind: 'local', folder },
    isFixed: false,
    files,
    others,
    // Files are read where they are; one that is not as it was listed is asked for here.
    read: ({ path }) => {
      throw sourceChanged(folder, path, 'it is gone, or another');
    },
    localCopy: ({ path }) => sources.get(path),
    async confirm() {
      checkUnchanged(folder, files, list().files);
    },
  };
}

interface ListedFolder {
  readonly files: readonly SourceFile[];
  /** Where the bytes are, by path. */
  readonly sources: ReadonlyMap<string, string>;
  readonly others: readonly (LinkEntry | DirectoryEntry)[];
}

function listFolder(workspace: Workspace, folder: string): ListedFolder {
  const { entries, problems } = scanFolder(folder, {
    rules: new IgnoreRules(() => undefined),
    rulesPrefix: '',
    linkedFiles: workspace.linkedFiles,
    platform: workspace.surroundings.platform,
  });
  const [problem] = problems;
  if (problem !== undefined) {
    throw new MstoreError(
      problem.code,
      `${printable(folder)}/${printable(problem.path)} ${problem.message}`,
      { hint: problem.hint, details: { path: problem.path } },
    );
  }
  const files: SourceFile[] = [];
  const sources = new Map<string, string>();
  const others: (LinkEntry | DirectoryEntry)[] = [];
  for (const entry of entries) {
    if (entry.kind === 'link') others.push({ path: entry.path, link: entry.link });
    else if (entry.kind === 'directory') others.push({ path: entry.path, directory: true });
    else {
      const { path, stat, executable, source } = entry;
      const time = Number(stat.mtimeNs / 1_000_000n);
      files.push({ path, size: Number(stat.size), time, ...(executable ? { executable } : {}) });
      sources.set(path, source);
    }
  }
  return { files, sources, others };
}
