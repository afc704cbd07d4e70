import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { RemoteStore, type TransferOptions } from '../store/remote-store.ts';
import type { WorkOptions } from './add.ts';
import { markedOf, transferOf } from './gc/mark.ts';
import type { GcPlace } from './gc/place.ts';
import { placeRoots } from './gc/roots.ts';
import type { Root } from './root-set.ts';
import { sharesOf } from './shares.ts';
import { contentName } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What one tracked path takes in a place, or one version of it. */
export interface UsageEntry {
  /** The path, or what people call the version: `ocr@v1`, `models/a.bin at 3f2a91c`. */
  readonly name: string;
  readonly path: string;
  /** Different contents. */
  readonly versions: number;
  /** Bytes of the files of each of these. */
  readonly size: number;
  /** Bytes of their chunks as they are stored, each once. */
  readonly stored: number;
  /** Bytes of those chunks that nothing else needs. */
  readonly own: number;
  /** Blobs that are not here, or not all of them. */
  readonly absent: number;
}

/** Objects of one kind. */
export interface UsageKind {
  /** First part of their keys: `packs`, `recipes`. */
  readonly kind: string;
  readonly objects: number;
  readonly bytes: number;
}

/** What {@link usage} found. */
export interface Usage {
  readonly place: string;
  readonly location: string;
  /** Those with the most bytes of their own first. */
  readonly entries: readonly UsageEntry[];
  /** Bytes of the files of all versions. */
  readonly size: number;
  /** Bytes of the chunks that are needed, as they are stored. */
  readonly stored: number;
  /** Bytes in packs that nothing needs. */
  readonly needless: number;
  /** Bytes of marked packs, a part of these: a later clean-up removes them. */
  readonly marked: number;
  /** All objects, those with the most bytes first. */
  readonly kinds: readonly UsageKind[];
}

/** Options of {@link usage}. */
export interface UsageOptions extends WorkOptions {
  /** An entry for each version, in place of one for each path. */
  readonly byVersion?: boolean;
  /** Paths, of files or of folders above them, that are told; all by default. */
  readonly paths?: readonly string[];
}

/**
 * Says what takes how much in a place, by what its clean-up would keep. Memory: 4 bytes a chunk, some 200 a blob, and a bit
 * for each chunk of the packs that an entry uses.
 * @throws MstoreError `not-tracked` for a path of which nothing is kept; `corrupt-remote`, `corrupt-recipe` for what
 * cannot be followed
 */
export async function usage(
  workspace: Workspace,
  place: GcPlace,
  options: UsageOptions = {},
): Promise<Usage> {
  const { remote } = place;
  const transfer = transferOf(place, options);
  const marked = await markedOf(remote, transfer);
  const giveUp = { without: marked.roots, placeNow: undefined };
  const { kept } = await placeRoots(workspace, place, {}, giveUp, transfer);
  const there = await RemoteStore.open(remote, workspace.store, marked.packs);
  const index = await there.index(transfer);
  const groups = groupRoots(kept, options.byVersion === true);
  refuseUnknown(groups, options.paths ?? []);
  const contents = groups.map(({ versions }) =>
    [...versions.values()].map(({ item }) => item.pointer),
  );
  const shares = await sharesOf(contents, { there, near: workspace.store, transfer });
  const packs = [...index.packs()];
  const payload = packs.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
  return {
    place: place.name,
    location: remote.location,
    entries: groups
      .map(({ name, path, versions, size }, i) => {
        const { stored, own, absent } = shares.of(i);
        return { name, path, versions: versions.size, size, stored, own, absent };
      })
      .filter((entry) => isChosen(entry.path, options.paths ?? []))
      .sort((a, b) => b.own - a.own || b.stored - a.stored || (a.name < b.name ? -1 : 1)),
    size: groups.reduce((sum, { size }) => sum + size, 0),
    stored: shares.stored,
    needless: payload - shares.stored,
    marked: packs.reduce(
      (sum, { id, payloadBytes }) => (marked.packs.has(id) ? sum + payloadBytes : sum),
      0,
    ),
    kinds: await kindsOf(place, transfer),
  };
}

/** Contents that are told together. */
interface Group {
  readonly name: string;
  readonly path: string;
  /** Each content once, by its name. */
  readonly versions: Map<string, Root>;
  /** Bytes of the files of all of these. */
  size: number;
}

function groupRoots(roots: readonly Root[], byVersion: boolean): Group[] {
  const groups = new Map<string, Group>();
  for (const root of roots) {
    const { item } = root;
    const content = contentName(item);
    const key = byVersion ? content : item.path;
    const name = byVersion ? root.name : item.path;
    const group = groups.get(key) ?? { name, path: item.path, versions: new Map(), size: 0 };
    groups.set(key, group);
    if (group.versions.has(content)) continue;
    group.versions.set(content, root);
    group.size += item.pointer.size;
  }
  return [...groups.values()];
}

function refuseUnknown(groups: readonly Group[], paths: readonly string[]): void {
  const unknown = paths.find((path) => !groups.some((group) => isChosen(group.path, [path])));
  if (unknown === undefined) return;
  throw new MstoreError('not-tracked', `Nothing is kept of ${printable(unknown)}`, {
    hint: 'Run "mstore du" to see of which paths something is kept',
    details: { path: unknown },
  });
}

function isChosen(tracked: string, paths: readonly string[]): boolean {
  return (
    paths.length === 0 || paths.some((one) => tracked === one || tracked.startsWith(`${one}/`))
  );
}

async function kindsOf({ remote }: GcPlace, transfer: TransferOptions): Promise<UsageKind[]> {
  const kinds = new Map<string, { objects: number; bytes: number }>();
  for await (const { key, size } of remote.list('', transfer)) {
    const [kind = ''] = key.split('/', 1);
    const sum = kinds.get(kind) ?? { objects: 0, bytes: 0 };
    sum.objects++;
    sum.bytes += size;
    kinds.set(kind, sum);
  }
  return [...kinds]
    .map(([kind, sum]) => ({ kind, ...sum }))
    .sort((a, b) => b.bytes - a.bytes || (a.kind < b.kind ? -1 : 1));
}
