import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../../base/tree.ts';
import { takeRight } from '../read-only.ts';
import { writeWhole } from '../whole-directory.ts';
import type { Brought } from './located.ts';
import type { Session } from './session.ts';
import { checkTree } from './tree-check.ts';

/**
 * Makes a directory of this machine that was found to be a tree ready to be written elsewhere. The copy is compared once more
 * before it has its name, as nobody keeps the directory from being changed.
 * @param from absolute
 */
export function fromDirectory(
  { surroundings, work }: Session,
  from: string,
  tree: Digest,
  entries: readonly TreeEntry[],
): Brought {
  return {
    tree,
    entries,
    async write(directory, { force, readOnly }) {
      const { clock, platform } = surroundings;
      await writeWhole(directory, { force, clock }, async (temp) => {
        const files = copyTree(from, temp, entries, readOnly);
        const how = { ...work, platform: platform.platform, list: entries };
        const checked = await checkTree(temp, tree, how);
        if ('entries' in checked) return { files, result: undefined };
        throw new MstoreError(
          'file-changed',
          `${printable(from)} was changed while it was copied: ${checked.problem}`,
          { hint: 'Run the same command again' },
        );
      });
    },
    done: () => {},
  };
}

function copyTree(
  from: string,
  to: string,
  entries: readonly TreeEntry[],
  readOnly: boolean,
): string[] {
  const files: string[] = [];
  for (const entry of entries) {
    const [source, target] = [path.join(from, entry.path), path.join(to, entry.path)];
    fs.mkdirSync(path.dirname(target), { recursive: true });
    if (isLinkEntry(entry)) fs.symlinkSync(entry.link, target);
    else if (!isFileEntry(entry)) fs.mkdirSync(target, { recursive: true });
    else {
      fs.copyFileSync(source, target, fs.constants.COPYFILE_FICLONE);
      fs.chmodSync(target, entry.executable ? 0o755 : 0o644);
      if (readOnly) takeRight(target);
      files.push(entry.path);
    }
  }
  return files;
}
