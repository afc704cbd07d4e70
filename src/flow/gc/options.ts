import type { KeepPolicy, Mark } from '../../store/clean-up.ts';
import type { WorkOptions } from '../add.ts';

/** Options of a clean-up. */
export interface GcOptions extends WorkOptions {
  /** Says what would be done, and changes nothing. */
  readonly dryRun?: boolean;
  /**
   * Milliseconds between finding that nothing needs an object and removing it. In the local store objects that
   * were written within this time are left instead.
   */
  readonly graceMs?: number | undefined;
  /** What of the history of this repository is kept; undefined keeps all. */
  readonly policy?: KeepPolicy | undefined;
  /** Repositories whose root records keep nothing any more. */
  readonly forget?: readonly string[] | undefined;
  /** A plan that was made before: nothing else is marked. */
  readonly plan?: Mark | undefined;
  /** Share of a pack, by bytes, that must be needless for it to be written anew; above 1 for never. */
  readonly rewriteShare?: number | undefined;
}

/** Something that is not kept any more. */
export interface GivenUp {
  readonly name: string;
  /** Bytes of its files; others may need some of them. */
  readonly size: number;
}
