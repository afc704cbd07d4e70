import * as fs from 'node:fs';
import { ignoreFileRules, mstoreIgnoreName } from '../worktree/ignore-rules.ts';
import {
  fileTypeName,
  isExecutable,
  type Scan,
  type ScannedEntry,
  type ScanProblem,
  scanFolder,
} from '../worktree/scan.ts';
import type { Workspace } from './workspace.ts';

/** What stands at a tracked path. */
export interface DiskState extends Scan {
  /** Whether it is a directory; then entries are relative to it, else there is one with an empty path. */
  readonly isFolder: boolean;
}

/**
 * Looks at a tracked path on disk: one stat a file, nothing read. Files left out by `.mstoreignore` are
 * passed over. A link to a whole file of the store counts as that file.
 * @returns undefined when nothing is there
 */
export function diskState(workspace: Workspace, tracked: string): DiskState | undefined {
  const source = workspace.absolute(tracked);
  const stat = fs.lstatSync(source, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (stat.isDirectory()) {
    const scan = scanFolder(source, {
      rules: ignoreFileRules(workspace.root, mstoreIgnoreName),
      rulesPrefix: tracked,
      linkedFiles: workspace.linkedFiles,
      platform: workspace.surroundings.platform,
    });
    return Object.assign(scan, { isFolder: true });
  }
  const only = (entry: ScannedEntry): DiskState => ({
    isFolder: false,
    entries: [entry],
    ...withProblems([]),
  });
  if (stat.isFile()) {
    return only({ kind: 'file', path: '', source, stat, executable: isExecutable(stat) });
  }
  if (stat.isSymbolicLink()) {
    const link = fs.readlinkSync(source);
    const followed = link.startsWith(workspace.linkedFiles)
      ? fs.statSync(source, { bigint: true, throwIfNoEntry: false })
      : undefined;
    if (!followed?.isFile()) return only({ kind: 'link', path: '', link });
    return only({
      kind: 'file',
      path: '',
      source: link,
      stat: followed,
      executable: isExecutable(followed),
    });
  }
  return {
    isFolder: false,
    entries: [],
    ...withProblems([
      {
        path: '',
        code: 'unsupported-file-type',
        message: `is ${fileTypeName(stat)}, not a file or directory`,
        hint: 'Add a file or a directory',
      },
    ]),
  };
}

function withProblems(problems: readonly ScanProblem[]): Omit<Scan, 'entries'> {
  return { problems, entryProblems: problems, tempFolders: [] };
}
