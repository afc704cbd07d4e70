import type { Digest } from '../../base/digest.ts';
import type { ChunkStates } from './chunks.ts';
import type { FindingNote, Findings } from './findings.ts';
import type { PacksResult } from './packs.ts';
import type { RecipesResult } from './recipes.ts';

/** All that is known of a place after it was looked at, for its repair. */
export interface Found {
  readonly findings: Findings;
  readonly packs: PacksResult;
  readonly chunks: ChunkStates;
  readonly recipes: RecipesResult;
  /** Blobs that something needs and of which the place has nothing. */
  readonly missing: ReadonlyMap<Digest, FindingNote>;
  /** What lies in `quarantine/` and is not needed any more, by the keys that it had. */
  readonly spare: readonly string[];
}
