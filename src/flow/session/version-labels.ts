import * as path from 'node:path';
import { sha256 } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { type FileEntry, isFileEntry } from '../../base/tree.ts';
import { recipeProblem } from '../../store/recipe.ts';
import { FarBlobs } from '../far-blobs.ts';
import { labelCandidates, parseLabels } from '../model-labels.ts';
import { localRegistry } from '../registry.ts';
import { parseAsked } from '../resolve/asked.ts';
import { type ResolveOptions, surroundingsOf } from '../resolve/resolve.ts';
import { chooseFetchRemotes } from '../several-remotes.ts';
import { contentOf } from '../version-content.ts';
import { openWorkspace } from '../workspace.ts';

/**
 * Reads the labels of a version whose record is in the workspace here, and nothing else of it: from the local store, or from
 * a remote where they are not there.
 * @returns undefined where that cannot be; whoever resolves the reference gets the labels, or learns why not
 * @throws MstoreError `interrupted`
 */
export async function versionLabels(
  text: string,
  options: ResolveOptions,
): Promise<{ readonly labels: readonly string[] | null } | undefined> {
  const { signal, remotes = [], choose } = options;
  const { reference, sha256: pinned } = parseAsked(text);
  if (reference.kind !== 'model') return undefined;
  try {
    const cwd = path.resolve(options.cwd ?? '.');
    const workspace = await openWorkspace(cwd, surroundingsOf(options));
    const registry = await localRegistry(workspace, { signal });
    const record = await registry.record(reference.model, reference.selector);
    if (record === undefined || (pinned ?? record.sha256) !== record.sha256) return undefined;
    const item = contentOf(workspace.store, record.value, {});
    const blobs = new FarBlobs(workspace, {
      signal,
      remotes: () => chooseFetchRemotes(workspace, remotes, cwd, choose),
    });
    try {
      const { entries } = await blobs.filesOf(item);
      return { labels: await labelsOf(blobs, entries.filter(isFileEntry)) };
    } finally {
      blobs.close();
    }
  } catch (error) {
    if (isMstoreError(error, 'interrupted') || !isMstoreError(error)) throw error;
    return undefined;
  }
}

async function labelsOf(
  blobs: FarBlobs,
  files: readonly FileEntry[],
): Promise<readonly string[] | null> {
  for (const { path: name, size, sha256: digest } of labelCandidates(files)) {
    const blob = await blobs.open(digest, size, name);
    // A copy: what is read may stand in memory that is used again.
    const bytes = await blob.reading((file) => Uint8Array.from(file.read(0, size)));
    if (sha256(bytes) !== digest) throw recipeProblem(digest, 'it yields other bytes');
    const labels = parseLabels(name, bytes);
    if (labels !== undefined) return labels;
  }
  return null;
}
