import { clearDeadTemps } from '../../base/dead-temps.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { ensureFolder } from '../../base/files.ts';
import type { RemotePruner } from '../../remote/remote.ts';
import { packOfIndexKey, packOfKey, quarantinePrefix } from '../../store/keys.ts';
import type { WorkOptions } from '../add.ts';
import { ActLog } from '../audit/act-log.ts';
import { clearLeftovers } from '../leftovers.ts';
import { registryFolder } from '../registry.ts';
import type { OwnedRemote } from '../remotes.ts';
import { clearQuarantine, repairLocal } from '../repair/local.ts';
import type { NearLog } from '../repair/near.ts';
import { repairRegistry } from '../repair/registry.ts';
import { clearRemoteQuarantine, repairRemote } from '../repair/remote.ts';
import type { RemoteChoice } from '../several-remotes.ts';
import type { Tracked } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';
import { type Finding, type FindingNote, Findings } from './findings.ts';
import { type Looked, type LookParts, lookAt } from './look.ts';
import type { VerifyScope } from './packs.ts';
import { localPlace, remotePlace, type VerifiedPlace } from './place.ts';
import { Proofs } from './proofs.ts';
import { verifyRegistry } from './registry.ts';
import { marksOf } from './roots.ts';
import type { Subset } from './subset.ts';
import { targetScope } from './targets.ts';

/** Options of {@link verify}. */
export interface VerifyOptions extends WorkOptions {
  /** Checks these alone, and demands that they are there. */
  readonly targets?: readonly Tracked[] | undefined;
  /** Checks a share of all objects. */
  readonly subset?: Subset | undefined;
  /** Heals what can be healed, from these remotes beside the local store and the files. */
  readonly repairFrom?: readonly RemoteChoice[] | undefined;
}

/** What {@link verify} found. */
export interface VerifyReport {
  readonly place: 'local' | 'remote';
  /** The name of the remote. */
  readonly remote?: string;
  readonly location: string;
  /** The slice of `--subset`. */
  readonly slice?: string;
  readonly packs: number;
  readonly packBytes: number;
  readonly chunks: number;
  readonly recipes: number;
  /** Blobs that were put together and hashed, and their bytes. */
  readonly blobsHashed: number;
  readonly bytesHashed: number;
  /** Blobs that an earlier run proved right. */
  readonly blobsKnown: number;
  /** Records and entries of the registry. */
  readonly registryObjects: number;
  /** Contents by the names that people know, of which it was asked whether they can be had. */
  readonly contents: number;
  readonly seconds: number;
  readonly findings: readonly Finding[];
  /** Findings beyond those. */
  readonly findingsMore: number;
  /** Findings of damage that are left. */
  readonly damage: number;
  /** What is not here, which is no damage: it was never fetched. */
  readonly absent: {
    readonly contents: number;
    readonly blobs: number;
    readonly bytes: number;
    readonly names: readonly string[];
  };
  /** Where a repair had data from: remotes, and files of the workspace. Bounded. */
  readonly repairedFrom?: readonly string[];
  /** What could not be asked for data, and why. Bounded. */
  readonly notAsked?: readonly string[];
  /** The error code that the command ends with; null when all is well. */
  readonly code: ErrorCode | null;
}

/**
 * Checks that every byte of a place is what it should be, and that what is named there can be had; heals what is
 * damaged where that is asked for, and looks again.
 * @param chosen a remote; undefined for the local store
 * @throws MstoreError when the place cannot be read at all; damage is part of the result and not thrown
 */
export async function verify(
  workspace: Workspace,
  chosen: OwnedRemote | undefined,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { clock } = workspace.surroundings;
  const started = clock.monotonic();
  const proofs = new Proofs(workspace.cacheFolder);
  const open = (): Promise<VerifiedPlace> =>
    chosen === undefined ? localPlace(workspace, options) : remotePlace(workspace, chosen, options);
  try {
    const place = await open();
    const { targets, subset, repairFrom } = options;
    const scope =
      targets === undefined
        ? { packs: subset?.has ?? all, recipes: subset?.has ?? all }
        : await targetScope(place, targets);
    const parts = { workspace, place, scope, proofs, targets, options };
    const looked = await lookAt(parts);
    if (repairFrom !== undefined) await makeReady(workspace, place);
    const sources = new Sources();
    const acts = chosen === undefined ? undefined : new ActLog(workspace, chosen.remote);
    const isRepair = repairFrom !== undefined && needsRepair(looked);
    if (isRepair) await acts?.demand();
    const last = isRepair
      ? await repairAndLook(parts, looked, { open, remotes: repairFrom, log: sources })
      : undefined;
    if (isRepair) await logRepair(acts, looked, sources);
    const seconds = (clock.monotonic() - started) / 1000;
    return report({ place, options, looked, last, sources, seconds });
  } finally {
    proofs.save();
  }
}

const all = (): boolean => true;

/**
 * Clears away what a repair that was killed has left, and makes sure that what it made is on the disk: what is damaged
 * may be all that there is besides, and goes.
 */
async function makeReady(
  workspace: Workspace,
  { objects, requests }: VerifiedPlace,
): Promise<void> {
  const { store, surroundings } = workspace;
  clearLeftovers(workspace, [], []);
  clearDeadTemps(store.tempsFolder, '', surroundings.clock);
  await objects.settle?.(requests);
}

/** Writes down what a repair changed on a remote. */
async function logRepair(
  acts: ActLog | undefined,
  { findings }: Looked,
  log: NearLog,
): Promise<void> {
  const repaired = findings.notes.filter(({ repair }) => repair !== undefined).length;
  if (acts === undefined || repaired === 0) return;
  const problems = await acts.log({ act: 'repair', objects: [], counts: { repaired } });
  for (const { message } of problems) log.failed('the audit log', message);
}

/** Notes where a repair had its data from. */
class Sources implements NearLog {
  readonly used: string[] = [];
  readonly failures: string[] = [];

  healed(from: string): void {
    if (!this.used.includes(from) && this.used.length < sourcesMax) this.used.push(from);
  }

  failed(from: string, reason: string): void {
    if (this.failures.length < sourcesMax) this.failures.push(`${from}: ${reason}`);
  }
}

/** Sources of a repair that are named. */
const sourcesMax = 100;

/** Whether there is anything to heal or to clear. */
function needsRepair({ findings, packs, spare }: Looked): boolean {
  const work = packs.indexes.length + packs.left.length + spare.length;
  return work > 0 || findings.notes.some(({ severity }) => severity === 'damage');
}

async function repairAndLook(
  parts: LookParts,
  looked: Looked,
  {
    open,
    remotes,
    log,
  }: {
    readonly open: () => Promise<VerifiedPlace>;
    readonly remotes: readonly RemoteChoice[];
    readonly log: NearLog;
  },
): Promise<Looked> {
  const { workspace, place, proofs } = parts;
  const options = { ...parts.options, log };
  for (const { packs } of await marksOf(place.objects, place.requests))
    looked.chunks.distrust(packs);
  if (place.store !== undefined) {
    await repairLocal(workspace, { ...place, store: place.store }, looked, remotes, options);
  } else await repairRemote(workspace, { place, found: looked, remotes, proofs, options });
  await repairRegistryOf(parts, looked, remotes, log);
  const again = await open();
  const last = await lookAt({ ...parts, place: again, scope: scopeOf(looked) });
  if (again.store !== undefined) clearQuarantine(again.store, last.spare);
  else await clearRemoteQuarantine(again, last.spare);
  return last;
}

/** Heals the registry of a place from the other ones: the local one first, then those of remotes. */
async function repairRegistryOf(
  { workspace, place }: LookParts,
  { findings, registry }: Looked,
  remotes: readonly RemoteChoice[],
  log: NearLog,
): Promise<void> {
  const notes = findings.notes.filter(({ kind }) => kind === 'registry-damaged');
  if (notes.length === 0 || registry.registry === undefined) return;
  const { requests, kind, objects } = place;
  const here = await openLocalRegistry(workspace);
  const near = kind === 'remote' ? [{ name: 'the local store', objects: here }] : [];
  const far = remotes.flatMap((choice) =>
    'remote' in choice ? [{ name: choice.name, objects: choice.remote }] : [],
  );
  const own = kind === 'remote' ? objects : here;
  const options = { signal: requests.signal, log };
  let left: readonly FindingNote[] = notes;
  for (let round = 0; left.length > 0 && round < registryRoundsMax; round++) {
    await repairRegistry(registry.registry, own, [...near, ...far], left, options);
    if (left.every(({ repair }) => repair === undefined)) return;
    // An entry that is whole again may name a record that is missing.
    const again = new Findings();
    await verifyRegistry(registry.registry, place, again);
    left = again.notes
      .filter((note) => note.kind === 'registry-damaged')
      .map((note) => findings.add(note));
  }
}

/** Rounds of looking at a registry and healing it. */
const registryRoundsMax = 20;

async function openLocalRegistry(workspace: Workspace): Promise<RemotePruner> {
  const folder = registryFolder(workspace);
  ensureFolder(folder);
  return workspace.surroundings.openRemote(folder, { base: workspace.root });
}

/** What was found is looked at again, and nothing else. */
function scopeOf({ packs, recipes, missing }: Looked): VerifyScope {
  const touched = new Set([
    ...packs.damaged.keys(),
    ...packs.indexes.map(({ pack }) => pack),
    ...packs.left.map(({ pack }) => pack),
  ]);
  return {
    packs: (pack) => touched.has(pack),
    recipes: (blob) => recipes.bad.has(blob) || missing.has(blob),
  };
}

interface ReportParts {
  readonly place: VerifiedPlace;
  readonly options: VerifyOptions;
  readonly looked: Looked;
  readonly last: Looked | undefined;
  readonly sources: Sources;
  readonly seconds: number;
}

function report({ place, options, looked, last, sources, seconds }: ReportParts): VerifyReport {
  const notes = last === undefined ? looked.findings.notes : merged(looked, last);
  const left = notes.filter(({ severity, healed }) => severity === 'damage' && !healed).length;
  const damage = left + (last ?? looked).findings.moreDamage;
  const { absent, contents } = (last ?? looked).harm;
  const { packs, recipes, registry } = looked;
  const isLacking = options.targets !== undefined && absent.blobs > 0;
  const damageCode = place.kind === 'local' ? 'corrupt-store' : 'corrupt-remote';
  return {
    place: place.kind,
    ...(place.kind === 'remote' ? { remote: place.name } : {}),
    location: place.objects.location,
    ...(options.subset === undefined ? {} : { slice: options.subset.slice }),
    packs: packs.packs,
    packBytes: packs.bytes,
    chunks: packs.chunks,
    recipes: recipes.recipes,
    blobsHashed: recipes.hashed,
    bytesHashed: recipes.hashedBytes,
    blobsKnown: recipes.known,
    registryObjects: registry.objects,
    contents,
    seconds,
    findings: notes.map((note) => note.tell()),
    findingsMore: looked.findings.more,
    damage,
    absent: { ...absent },
    ...(last === undefined ? {} : { repairedFrom: sources.used, notAsked: sources.failures }),
    code: damage > 0 ? damageCode : isLacking ? 'objects-missing' : null,
  };
}

/** Joins what was found first, and what is left of it after a repair. */
function merged(first: Looked, last: Looked): FindingNote[] {
  const isSpare = ({ key = '' }: FindingNote): boolean =>
    key.startsWith(quarantinePrefix) && last.spare.includes(key.slice(quarantinePrefix.length));
  const now = last.findings.notes.filter((note) => !isSpare(note));
  const left = new Map(now.map((note) => [nameOf(note), note]));
  const notes = first.findings.notes.map((note) => {
    const same = left.get(nameOf(note));
    left.delete(nameOf(note));
    if (same === undefined) {
      note.healed = true;
      const isCleared = last.spare.includes(note.key ?? '');
      if (isCleared)
        note.repair = 'All of it is whole elsewhere now, and the damaged one was removed';
      return note;
    }
    if (note.repair !== undefined) same.repair = note.repair;
    // What was lost just now is told even where nobody is known to need it.
    if (note.severity === 'damage') same.severity = 'damage';
    return same;
  });
  return [...notes, ...left.values()];
}

/** Names what a finding is about: what is in quarantine now is what was found in its place before. */
function nameOf({ kind, key = '' }: FindingNote): string {
  const object = key.slice(key.startsWith(quarantinePrefix) ? quarantinePrefix.length : 0);
  const pack = packOfKey(object) ?? (kind.startsWith('pack-') ? packOfIndexKey(object) : undefined);
  if (pack !== undefined) return `pack ${pack}`;
  return kind.startsWith('recipe-') ? `recipe ${object}` : `${kind} ${key}`;
}
