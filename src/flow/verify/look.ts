import type { Digest } from '../../base/digest.ts';
import type { MstoreError } from '../../base/errors.ts';
import { isTempName } from '../../base/files.ts';
import { AuditLog, auditKey } from '../../registry/audit.ts';
import { Registry } from '../../registry/registry.ts';
import { indexKey } from '../../store/keys.ts';
import type { Store } from '../../store/local-store.ts';
import { listFolder } from '../../store/pack-files.ts';
import type { WorkOptions } from '../add.ts';
import { checkLines } from '../audit/check-audit.ts';
import { localRegistry } from '../registry.ts';
import type { Tracked } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';
import { ChunkStates } from './chunks.ts';
import { Findings } from './findings.ts';
import type { Found } from './found.ts';
import { HarmCheck, type HarmResult, type NamedContent } from './harm.ts';
import { idsOf, repairHint, type VerifyScope, verifyPacks } from './packs.ts';
import type { VerifiedPlace } from './place.ts';
import type { Proofs } from './proofs.ts';
import { quarantinedRecipes, verifyQuarantine } from './quarantine.ts';
import { verifyRecipes } from './recipes.ts';
import { type RegistryResult, verifyRegistry } from './registry.ts';
import { localContents, marksOf, recordedContents } from './roots.ts';

/** What one look is about. */
export interface LookParts {
  readonly workspace: Workspace;
  readonly place: VerifiedPlace;
  readonly scope: VerifyScope;
  readonly proofs: Proofs;
  /** Contents that are asked for; without them all that is named. */
  readonly targets: readonly Tracked[] | undefined;
  readonly options: WorkOptions;
}

/** What one look at a place found. */
export interface Looked extends Found {
  readonly harm: HarmResult;
  readonly registry: RegistryResult;
}

/**
 * Looks at a place once: packs, then recipes, then the registry, then whether what is named can be had. One damaged
 * object hides nothing of the others.
 */
export async function lookAt(parts: LookParts): Promise<Looked> {
  const { workspace, place, scope, proofs, targets, options } = parts;
  const { progress } = options;
  const findings = new Findings();
  const packs = await verifyPacks({ place, scope, findings, progress });
  const chunks = new ChunkStates(await place.index(), packs, findings);
  const leaving = await leavingOf(place);
  for (const { pack, footer } of packs.left) {
    const ids = footer === undefined || leaving.has(pack) ? undefined : idsOf(footer);
    noteLeft(pack, ids, chunks, findings);
  }
  const quarantine = await verifyQuarantine(place, chunks, findings);
  // Packs of the local store may be removed to make room, while recipes stay.
  const mustBeWhole = (blob: Digest): boolean => place.kind === 'remote' && !leaving.has(blob);
  const how = { place, scope, findings, progress };
  const recipes = await verifyRecipes({ ...how, chunks, proofs, mustBeWhole });
  const mustHave = place.kind === 'remote' && targets === undefined;
  const harm = new HarmCheck({ place, chunks, recipes, findings, mustHave });
  const spare = [...quarantine.spare, ...quarantinedRecipes(quarantine, harm, recipes, findings)];
  const registry =
    targets === undefined
      ? await checkRegistry(workspace, place, findings)
      : { registry: undefined, objects: 0, versions: [] };
  if (targets === undefined && place.kind === 'remote') await checkLog(place, findings);
  for await (const content of contentsOf(parts, registry, findings)) await harm.check(content);
  await harm.finish();
  if (place.store !== undefined) noteTemps(place.store, findings);
  const { missing } = harm.result;
  return { findings, packs, chunks, recipes, missing, spare, harm: harm.result, registry };
}

/** Lists the packs and recipes that a clean-up is about to remove, which it does one after another. */
async function leavingOf({ objects, requests }: VerifiedPlace): Promise<ReadonlySet<Digest>> {
  const marks = await marksOf(objects, requests);
  return new Set(marks.flatMap(({ packs, recipes }) => [...packs, ...recipes]));
}

async function checkRegistry(
  workspace: Workspace,
  place: VerifiedPlace,
  findings: Findings,
): Promise<RegistryResult> {
  const registry =
    place.kind === 'local'
      ? await localRegistry(workspace, place.requests)
      : new Registry(place.objects, place.requests);
  return verifyRegistry(registry, place, findings);
}

/** Checks the audit log; what it says of the registry is the business of `mstore audit --check`. */
async function checkLog(
  { objects, requests: { signal } }: VerifiedPlace,
  findings: Findings,
): Promise<void> {
  const onProblem = ({ code, message, hint, details: { line } }: MstoreError): void => {
    findings.add({
      kind: 'audit-damaged',
      severity: 'damage',
      code,
      message,
      ...(typeof line === 'number' ? { key: auditKey(line) } : {}),
      ...(hint === undefined ? {} : { hint }),
    });
  };
  await checkLines(new AuditLog(objects, { signal }), { signal, onProblem });
}

async function* contentsOf(
  { workspace, place, targets }: LookParts,
  registry: RegistryResult,
  findings: Findings,
): AsyncGenerator<NamedContent, void, void> {
  if (targets !== undefined) {
    for (const item of targets) yield { name: item.path, item };
    return;
  }
  yield* registry.versions;
  yield* recordedContents(place, findings);
  if (place.kind === 'local') yield* localContents(workspace, findings);
}

/** Notes an index object without its pack: what was in the pack may be lost. */
function noteLeft(
  pack: Digest,
  ids: Buffer | undefined,
  chunks: ChunkStates,
  findings: Findings,
): void {
  const key = indexKey(pack);
  const isNeeded = ids !== undefined && chunks.lacksAny(ids);
  const note = findings.add({
    kind: isNeeded ? 'pack-missing' : 'index-left',
    severity: isNeeded ? 'damage' : 'notice',
    code: 'corrupt-pack',
    key,
    message: isNeeded
      ? 'The pack of this index object is missing'
      : 'The pack of this index object is gone, and all of its chunks are in others',
    hint: repairHint,
  });
  if (ids !== undefined) chunks.noteLost(ids, note);
}

/** Notes files under construction: the next writer clears those of processes that ended. */
function noteTemps(store: Store, findings: Findings): void {
  const temps = listFolder(store.tempsFolder).filter(isTempName);
  if (temps.length === 0) return;
  findings.add({
    kind: 'temporary',
    severity: 'notice',
    code: 'corrupt-store',
    key: 'tmp/',
    message: `${temps.length} files under construction, by a process that runs or has ended; they do no harm`,
    hint: 'The next command that writes to the store removes those of processes that have ended',
  });
}
