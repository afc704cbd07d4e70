import * as fs from 'node:fs';
import * as path from 'node:path';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError } from '../../base/errors.ts';
import { ensureCacheFolder } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { type Progress, silentProgress } from '../../base/progress.ts';
import {
  isFileEntry,
  isLinkEntry,
  sortEntries,
  type TreeEntry,
  treeDigest,
} from '../../base/tree.ts';
import { checkListing, type Snapshot, type SourceFile } from '../../source/snapshot.ts';
import { openSource, type SourceReference } from '../import/open-source.ts';
import { holdsBytes, Staging } from '../import/staging.ts';
import { takeRight } from '../read-only.ts';
import { judgeIncoming, refusedElsewhere } from '../validate-policy.ts';
import { refuseProtected, writeWhole } from '../whole-directory.ts';
import type { Asked } from './asked.ts';
import type { Brought, Located } from './located.ts';
import type { Session } from './session.ts';
import { digestOfFile } from './tree-check.ts';

/** Files that are received at once. */
const filesAtOnce = 4;

/**
 * Finds what lies in a place that is no store of ours, as it is now. Nothing of it goes through the local store: files are
 * received beside the cache, where a resolution that was interrupted goes on, and get their place from there.
 * @throws MstoreError as `openSource`
 */
export async function locateSource(
  session: Session,
  asked: Asked & { readonly reference: SourceReference },
): Promise<Located> {
  const { workspace, work, cwd, cache, surroundings } = session;
  const isFar = !['local', 'dvc'].includes(asked.reference.kind) && surroundings.offline;
  const place = printable(asked.bare.replace(/\?.*(?=#)/s, ''));
  session.looked.push(
    `the place itself, ${place}${isFar ? ' (not asked: it needs the network)' : ''}`,
  );
  ensureFolderFor(workspace.tempFolder);
  const { snapshot, scratch } = await openSource(workspace, asked.reference, { ...work, cwd });
  checkListing(snapshot);
  const tree = snapshot.isFixed ? cache.known(snapshot.reference)?.tree : undefined;
  return {
    tree,
    exact: snapshot.isFixed ? snapshot.reference : (digest) => `${asked.bare}#sha256=${digest}`,
    bring: () => receive(session, snapshot),
    close() {
      if (scratch !== undefined) fs.rmSync(scratch, { recursive: true, force: true });
    },
  };
}

function ensureFolderFor(folder: string): void {
  try {
    ensureCacheFolder(folder);
  } catch (error) {
    throw fromSystemError(error, `making ${printable(folder)}`);
  }
}

/** Receives all files, each verified by what its source tells of it, and hashed. */
async function receive(session: Session, snapshot: Snapshot): Promise<Brought> {
  const { workspace, work, surroundings, warnings, cwd } = session;
  const { signal, progress = silentProgress } = work;
  const { files, others = [] } = snapshot;
  const staging = Staging.open(workspace.tempFolder, snapshot, surroundings.clock);
  let isKept = true;
  const end = (isDone: boolean): void => {
    if (isKept) staging.close(isDone);
    isKept = false;
  };
  try {
    const bytesTotal = files.reduce((sum, { size }) => sum + size, 0);
    progress.start('import', { bytesTotal, filesTotal: files.length });
    const digests = await mapConcurrently(files, filesAtOnce, async (file) => {
      const digest = await receiveFile(snapshot, staging, file, { signal, progress });
      progress.advance({ files: 1, name: file.path });
      return digest;
    });
    progress.finish();
    await snapshot.confirm?.({ signal });
    const placed = files.map((file) => ({ ...file, source: staging.placeOf(file), known: false }));
    warnings.push(...(await judgeIncoming(workspace.config, placed, work)));
    const entries = sortEntries<TreeEntry>([
      ...files.map(({ path: name, size, executable }, i) => ({
        path: name,
        size,
        sha256: digests[i] as Digest,
        ...(executable ? { executable } : {}),
      })),
      ...others,
    ]);
    const places = new Map(placed.map(({ path: name, source }) => [name, source]));
    return {
      tree: treeDigest(entries),
      entries,
      async write(directory, { force, readOnly }) {
        refuseProtected(directory, {
          held: [cwd, ...(session.hasWorkspace ? [workspace.root] : [])],
          own: [workspace.folder, workspace.store.folder],
        });
        await writeWhole(directory, { force, clock: surroundings.clock }, async (temp) => ({
          files: layDown(temp, entries, places, readOnly),
          result: undefined,
        }));
        // Nothing may be received behind what has its place now.
        for (const place of places.values()) fs.rmSync(place, { force: true });
      },
      done: () => end(true),
    };
  } catch (error) {
    end(false);
    throw refusedElsewhere(error, '');
  }
}

async function receiveFile(
  snapshot: Snapshot,
  staging: Staging,
  file: SourceFile,
  { signal, progress }: { readonly signal: AbortSignal | undefined; readonly progress: Progress },
): Promise<Digest> {
  const place = staging.placeOf(file);
  const copy = snapshot.localCopy?.(file);
  if (copy !== undefined && (await holdsBytes(copy, file, signal))) {
    // It may be changed by others: what counts is our copy.
    fs.rmSync(place, { force: true });
    await fs.promises.copyFile(copy, place, fs.constants.COPYFILE_FICLONE);
    fs.chmodSync(place, 0o600);
    if (await holdsBytes(place, file, signal)) {
      progress.advance({ bytes: file.size });
      return digestOfFile(place, signal);
    }
    fs.rmSync(place);
  }
  const onBytes = (bytes: number): void => progress.advance({ bytes });
  await staging.receive(snapshot, file, { signal, onBytes });
  return file.sha256 ?? digestOfFile(place, signal);
}

/** Gives received files their names in a new folder: as links to the same bytes, which are ours alone. */
function layDown(
  folder: string,
  entries: readonly TreeEntry[],
  places: ReadonlyMap<string, string>,
  readOnly: boolean,
): string[] {
  const names: string[] = [];
  for (const entry of entries) {
    const full = path.join(folder, entry.path);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    if (isLinkEntry(entry)) fs.symlinkSync(entry.link, full);
    else if (!isFileEntry(entry)) fs.mkdirSync(full, { recursive: true });
    else {
      linkOrCopy(places.get(entry.path) as string, full);
      fs.chmodSync(full, entry.executable ? 0o755 : 0o644);
      if (readOnly) takeRight(full);
      names.push(entry.path);
    }
  }
  return names;
}

function linkOrCopy(from: string, to: string): void {
  try {
    fs.linkSync(from, to);
  } catch {
    fs.copyFileSync(from, to, fs.constants.COPYFILE_FICLONE);
  }
}
