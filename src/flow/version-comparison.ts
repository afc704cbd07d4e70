import type { Digest } from '../base/digest.ts';
import type { TreeEntry } from '../base/tree.ts';
import type { VersionState } from '../registry/entry.ts';
import { type FoundVersion, findVersion } from '../registry/find.ts';
import type { VersionContent } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { compareEntries, type FileChange } from './compare.ts';
import { type FieldChange, type MetricChange, recordChanges } from './diff-versions.ts';
import { FarBlobs } from './far-blobs.ts';
import type { ChosenRemote } from './remotes.ts';
import { contentOf } from './version-content.ts';
import { sharesOn } from './version-sharing.ts';
import type { Workspace } from './workspace.ts';

/** One of two versions that are compared. */
export interface ComparedVersion {
  readonly version: string;
  /** Digest of its record. */
  readonly sha256: Digest;
  readonly state: VersionState;
  /** When it was registered, as ISO 8601 in UTC. */
  readonly created: string;
  /** Bytes of its files. */
  readonly size: number;
  /** Bytes of its chunks as the remote stores them, each once. */
  readonly stored: number;
  /** Bytes of those that the other version does not have. */
  readonly own: number;
  /** Blobs of it that are not on the remote, or not all of them. */
  readonly absent: number;
}

/** How two versions of a model differ. */
export interface VersionComparison {
  readonly model: string;
  readonly from: ComparedVersion;
  readonly to: ComparedVersion;
  /** Bytes of the chunks that both have, as they are stored. */
  readonly shared: number;
  /** How many files, links and empty directories were added, and so on. */
  readonly files: Readonly<Record<'added' | 'removed' | 'modified' | 'mode' | 'same', number>>;
  /** Those that differ, sorted by path; some of them where there are more than were asked for. */
  readonly changes: readonly FileChange[];
  /** Metrics that differ. */
  readonly metrics: readonly MetricChange[];
  /** Descriptions, labels and metadata that differ. */
  readonly fields: readonly FieldChange[];
}

/** What {@link compareTwoVersions} is asked for. */
export interface ComparisonQuestion {
  readonly model: string;
  /** Each a version, an environment whose version is meant, or `latest`. */
  readonly from: string;
  readonly to: string;
  readonly chosen: ChosenRemote;
  /** Changes that are left out, and those that are told behind them. */
  readonly offset: number;
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compares two versions of a model by what a remote has of them: their lists of files, recipes and indexes. Files are
 * not read.
 * @throws MstoreError `unknown-model`, `unknown-version`, `objects-missing` where a list of files is nowhere to be had
 */
export async function compareTwoVersions(
  workspace: Workspace,
  registry: Registry,
  { model, from, to, chosen, offset, limit, signal }: ComparisonQuestion,
): Promise<VersionComparison> {
  const [before, after] = [
    await findVersion(registry, model, from),
    await findVersion(registry, model, to),
  ];
  const contents = [before, after].map(({ record }) => record.value.content);
  const [old = [], now = []] = await entriesOf(workspace, chosen, contents, signal);
  const changes = compareEntries(old, now);
  const count = (kind: FileChange['change']): number =>
    changes.filter(({ change }) => change === kind).length;
  const shares = await sharesOn(workspace, chosen, contents, signal);
  const compared = ({ record, state }: FoundVersion, group: number): ComparedVersion => {
    const { stored, own, absent } = shares.of(group);
    const { version, created, content } = record.value;
    const facts = { version, sha256: record.sha256, state, created, size: content.size };
    return { ...facts, stored, own, absent };
  };
  const [a, b] = [compared(before, 0), compared(after, 1)];
  const [added, removed] = [count('added'), count('removed')];
  const [modified, mode] = [count('modified'), count('mode')];
  return {
    model,
    from: a,
    to: b,
    shared: a.stored - a.own,
    files: { added, removed, modified, mode, same: now.length - added - modified - mode },
    changes: changes.slice(offset, offset + limit),
    ...recordChanges(before.record.value, after.record.value),
  };
}

/** Lists the files of both versions. A single file is the same one, whatever it was called. */
async function entriesOf(
  workspace: Workspace,
  chosen: ChosenRemote,
  contents: readonly VersionContent[],
  signal: AbortSignal | undefined,
): Promise<Array<readonly TreeEntry[]>> {
  const far = new FarBlobs(workspace, { remotes: async () => [chosen], signal });
  try {
    const lists: Array<readonly TreeEntry[]> = [];
    for (const content of contents) {
      const { entries } = await far.filesOf(contentOf(workspace.store, { content }, {}));
      lists.push(entries);
    }
    const areFiles = contents.every(({ kind }) => kind === 'file');
    const name = lists[1]?.[0]?.path;
    if (!areFiles || name === undefined) return lists;
    return lists.map((entries) => entries.map((entry) => ({ ...entry, path: name })));
  } finally {
    far.close();
  }
}
