import * as path from 'node:path';
import type { JsonObject } from '../base/json.ts';
import type { FoundVersion } from '../registry/find.ts';
import { latestName } from '../registry/names.ts';
import type { VersionRecord } from '../registry/record.ts';
import type { Store } from '../store/local-store.ts';
import { treePointer } from '../worktree/pointer.ts';
import { type Tracked, trackedFiles } from './tracked.ts';

/** A version that a reference chose, for documents and texts. */
export interface ChosenVersion {
  readonly model: string;
  readonly version: string;
  /** Digest of its record. */
  readonly sha256: string;
  /** The environment in which it was found to be live, where the reference names one. */
  readonly environment?: string;
}

/** Says which version was found. */
export function chosenVersion({ record, by }: FoundVersion): ChosenVersion {
  const { model, version } = record.value;
  const chosen = { model, version, sha256: record.sha256 };
  return by === undefined || by === latestName ? chosen : { ...chosen, environment: by };
}

/**
 * Makes the tracked path of a version: the one it was registered with, and the pointer that `add` wrote
 * for it.
 * @param extra keys that the pointer at that path has beside those known, to be kept as `add` keeps them
 */
export function contentOf(
  store: Store,
  { content }: Pick<VersionRecord, 'content'>,
  extra: JsonObject,
): Tracked {
  const { kind, sha256, size, executable } = content;
  const base = { path: path.posix.basename(content.path), sha256, size, extra } as const;
  if (kind === 'tree')
    return withFileLists(store, { path: content.path, pointer: { ...base, kind } });
  const pointer = executable ? ({ ...base, kind, executable } as const) : { ...base, kind };
  return { path: content.path, pointer };
}

/**
 * Completes the pointer of a directory: up to 1,000 entries it lists the files. As long as the tree is not in
 * the store it is left without.
 * @throws MstoreError `corrupt-pointer` when the size is not that of the files
 */
export function withFileLists(store: Store, item: Tracked): Tracked {
  const { path: tracked, pointer } = item;
  if (pointer.kind === 'file' || pointer.files !== undefined || !store.has(pointer.sha256)) {
    return item;
  }
  const { entries } = trackedFiles(store, item);
  return { path: tracked, pointer: treePointer(pointer.path, entries, pointer.extra) };
}
