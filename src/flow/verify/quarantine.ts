import type { Digest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { type PackFooter, parseFooter } from '../../pack/format.ts';
import { readObject } from '../../remote/remote.ts';
import {
  blobOfRecipeKey,
  indexKey,
  packKey,
  packOfIndexKey,
  packOfKey,
  quarantinePrefix,
  recipeKey,
} from '../../store/keys.ts';
import { indexObjectBytesMax } from '../../store/pack-files.ts';
import type { ChunkStates } from './chunks.ts';
import type { Findings } from './findings.ts';
import type { HarmCheck } from './harm.ts';
import { foreign, idsOf, isObjectFault, repairHint } from './packs.ts';
import type { VerifiedPlace } from './place.ts';
import type { RecipesResult } from './recipes.ts';

/** What earlier repairs took out of the way. */
export interface Quarantine {
  /** Packs of which nothing is known any more that is not had elsewhere; their keys, without the prefix. */
  readonly spare: string[];
  /** Blobs whose recipe was taken away. */
  readonly recipes: Set<Digest>;
}

/**
 * Looks at what earlier repairs could not heal: it stays known which chunks are lost, until they are had again from
 * somewhere. Packs are not read again.
 */
export async function verifyQuarantine(
  place: VerifiedPlace,
  chunks: ChunkStates,
  findings: Findings,
): Promise<Quarantine> {
  const packs = new Set<Digest>();
  const indexes = new Set<Digest>();
  const recipes = new Set<Digest>();
  for await (const { key } of place.objects.list(quarantinePrefix, place.requests)) {
    const own = key.slice(quarantinePrefix.length);
    const pack = packOfKey(own);
    const index = packOfIndexKey(own);
    const blob = blobOfRecipeKey(own);
    if (pack !== undefined) packs.add(pack);
    else if (index !== undefined) indexes.add(index);
    else if (blob !== undefined) recipes.add(blob);
    else findings.add(foreign(key));
  }
  const spare: string[] = [];
  for (const pack of new Set([...packs, ...indexes])) {
    const footer = indexes.has(pack) ? await readFooter(place, pack) : undefined;
    const name = quarantinePrefix + (packs.has(pack) ? packKey(pack) : indexKey(pack));
    const note = findings.add({
      kind: 'pack-quarantined',
      severity: 'notice',
      code: 'corrupt-pack',
      key: name,
      message: '',
      hint: repairHint,
    });
    const lost = footer === undefined ? 0 : chunks.noteLost(idsOf(footer), note);
    if (footer !== undefined && lost === 0) spare.push(packKey(pack), indexKey(pack));
    note.message =
      footer === undefined
        ? 'An earlier repair moved this pack here; its list of chunks is lost as well'
        : lost === 0
          ? 'An earlier repair moved this here, and all of it is had again; it can be removed'
          : `An earlier repair moved this here; ${lost} of its ${footer.count} chunks are nowhere else`;
  }
  return { spare, recipes };
}

/** Notes the recipes in quarantine whose blobs are still not whole; returns the keys of the others. */
export function quarantinedRecipes(
  { recipes: taken }: Quarantine,
  harm: HarmCheck,
  recipes: RecipesResult,
  findings: Findings,
): string[] {
  const spare: string[] = [];
  for (const blob of taken) {
    if (harm.blame(blob)?.length === 0) {
      spare.push(recipeKey(blob));
      continue;
    }
    const note = findings.add({
      kind: 'recipe-quarantined',
      severity: 'notice',
      code: 'corrupt-recipe',
      key: quarantinePrefix + recipeKey(blob),
      message: 'An earlier repair moved this recipe here, and its blob is nowhere else',
      hint: repairHint,
    });
    recipes.bad.set(blob, [...(recipes.bad.get(blob) ?? []), note]);
    recipes.unusable.push(blob);
  }
  return spare;
}

async function readFooter(place: VerifiedPlace, pack: Digest): Promise<PackFooter | undefined> {
  const key = quarantinePrefix + indexKey(pack);
  try {
    return parseFooter(
      await readObject(place.objects, key, indexObjectBytesMax, place.requests),
      pack,
    );
  } catch (error) {
    if (isObjectFault(error) || isMstoreError(error, 'not-found')) return place.keptFooter(pack);
    throw error;
  }
}
