import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { limits } from '../../base/limits.ts';
import { pathProblem } from '../../base/names.ts';
import {
  checkEntries,
  type FileEntry,
  sortEntries,
  type TreeEntry,
  TreeProblem,
  treeDigest,
} from '../../base/tree.ts';
import { type HubPlace, hubPlace, hubSnapshotFolder } from '../../source/hub-place.ts';
import { hubRevision } from '../import/open-source.ts';
import type { Asked } from './asked.ts';
import { fromDirectory } from './copied.ts';
import type { Brought } from './located.ts';
import type { Session } from './session.ts';
import { digestOfFile } from './tree-check.ts';

/** Files that are read at once. */
const filesAtOnce = 4;

/**
 * Takes a model of the Hub from the cache of the Hub's own clients, without asking the Hub. Nothing there tells whether all
 * files of a commit are there: it is taken if what lies there is the tree that is wanted, byte for byte.
 * @returns undefined when it is not
 */
export async function fromHubCache(
  session: Session,
  { reference }: Asked,
  tree: Digest,
): Promise<Brought | undefined> {
  const { surroundings, work, looked } = session;
  if (reference.kind !== 'hf' || reference.revision === undefined) return undefined;
  const { env } = surroundings;
  const place: HubPlace = hubPlace(env, env['HOME'] ?? homedir());
  const folder = hubSnapshotFolder(place, reference.repository, reference.revision);
  const names = namesBelow(folder);
  if (names === undefined) {
    looked.push(`the cache of the Hub's clients, ${folder} (not there)`);
    return undefined;
  }
  const entries = sortEntries(
    await mapConcurrently(names, filesAtOnce, async (name): Promise<FileEntry> => {
      const full = path.join(folder, name);
      const { size } = fs.statSync(full);
      return { path: name, size, sha256: await digestOfFile(fs.realpathSync(full), work.signal) };
    }),
  );
  if (!isTree(entries, tree)) {
    looked.push(
      `the cache of the Hub's clients, ${folder} (it has other files, or not all of them)`,
    );
    return undefined;
  }
  return fromDirectory(session, folder, tree, entries);
}

/**
 * Notes that the cache of the Hub's clients was looked at for a model of which nothing here tells what it has to be: a branch may
 * have moved, and of a commit the cache does not say which files it has.
 */
export function noteHubCache({ surroundings, looked }: Session, { reference }: Asked): void {
  if (reference.kind !== 'hf') return;
  const { env } = surroundings;
  const { repository, revision = hubRevision } = reference;
  const snapshot = hubSnapshotFolder(hubPlace(env, env['HOME'] ?? homedir()), repository, revision);
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  const folder = isCommit ? snapshot : path.dirname(path.dirname(snapshot));
  const unknown = isCommit ? 'which files that commit has' : `which commit ${revision} is`;
  const said = fs.existsSync(folder)
    ? `there, but ${unknown} is told by the Hub or a lock file alone`
    : 'not there';
  looked.push(`the cache of the Hub's clients, ${folder} (${said})`);
}

/** The files of a snapshot, which are links into a folder beside it; undefined where there are none that a version could have. */
function namesBelow(folder: string): string[] | undefined {
  const names: string[] = [];
  try {
    const walk = (prefix: string): void => {
      for (const name of fs.readdirSync(path.join(folder, prefix))) {
        const full = prefix === '' ? name : `${prefix}/${name}`;
        const stat = fs.statSync(path.join(folder, full));
        if (pathProblem(full) !== undefined || names.length > limits.treeEntriesMax)
          throw new RangeError();
        if (fs.lstatSync(path.join(folder, full)).isDirectory()) walk(full);
        else if (stat.isFile()) names.push(full);
        else throw new RangeError();
      }
    };
    walk('');
  } catch {
    return undefined;
  }
  return names.length === 0 ? undefined : names;
}

function isTree(entries: TreeEntry[], tree: Digest): boolean {
  try {
    checkEntries(entries);
  } catch (error) {
    if (error instanceof TreeProblem) return false;
    throw error;
  }
  return treeDigest(entries) === tree;
}
