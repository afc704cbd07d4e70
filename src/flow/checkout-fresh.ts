import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { tempName } from '../base/files.ts';
import { printable } from '../base/names.ts';
import type { LinkKind } from '../worktree/config-keys.ts';
import { Placer } from '../worktree/place.ts';
import type { PathPlan } from './checkout-plan.ts';
import type { Materializer } from './materialize.ts';
import type { Workspace } from './workspace.ts';

/** Of a larger directory, what was written before an interruption is worth keeping. */
const bytesMax = 256 * 1024 * 1024;

/** Tells whether a plan writes a directory that is not there at all, and is best built out of sight. */
export function isFresh({ fresh, write }: PathPlan, link: readonly LinkKind[]): boolean {
  if (!fresh || link[0] !== 'copy' || write.length === 0) return false;
  return write.reduce((sum, { size }) => sum + size, 0) <= bytesMax;
}

/**
 * Builds a directory out of sight and gives it its name when it is whole, so that its files need not be renamed one by
 * one, which takes about as long as to write them when they are small.
 * @param makerFor makes what writes the files of a placer
 * @returns false where it cannot be renamed to its place, which is on another file system; nothing is changed then
 * @throws MstoreError `would-overwrite` when something has come to be there meanwhile
 */
export async function buildFresh(
  workspace: Workspace,
  plan: PathPlan,
  makerFor: (placer: Placer) => Materializer,
): Promise<boolean> {
  const { target, prefix, cache } = plan;
  const { tempFolder, surroundings } = workspace;
  const full = workspace.absolute(target.path);
  if (fs.statSync(tempFolder).dev !== fs.statSync(path.dirname(full)).dev) return false;
  const building = path.join(tempFolder, tempName());
  const placer = new Placer(building, tempFolder, { clock: surroundings.clock });
  const maker = makerFor(placer);
  const nameOf = (name: string): string => name.slice(prefix.length);
  const written: Array<Parameters<typeof cache.rememberWritten>> = [];
  try {
    fs.mkdirSync(building);
    for (const directory of plan.directories) placer.ensureFolder(nameOf(directory));
    for (const entry of plan.write) {
      const name = nameOf(entry.path);
      const { stat } = await maker.file(name, entry, 'unseen');
      written.push([name, stat, entry.sha256]);
    }
    for (const { path: name, link } of plan.links) placer.writeLink(nameOf(name), link);
    fs.renameSync(building, full);
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EXDEV') return false;
    if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code)) throw cameMeanwhile(target.path);
    throw fromSystemError(error, `writing ${printable(full)}`);
  } finally {
    maker.close();
    fs.rmSync(building, { recursive: true, force: true });
  }
  for (const one of written) cache.rememberWritten(...one);
  for (const { path: name, link } of plan.links) cache.rememberLink(nameOf(name), link);
  cache.keepOnly(plan.names);
  return true;
}

function cameMeanwhile(tracked: string): MstoreError {
  return new MstoreError(
    'would-overwrite',
    `Something was written at ${printable(tracked)} while it was checked out`,
    {
      hint: 'Keep it with "mstore add", or move it away, then run the same command again',
      details: { paths: [tracked] },
    },
  );
}
