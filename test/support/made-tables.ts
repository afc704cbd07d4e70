import * as path from 'node:path';
import type { PackEntry } from '../../src/index/indexed-pack.ts';
import { TableSet } from '../../src/index/table-set.ts';
import { Store } from '../../src/store/local-store.ts';
import { TableFolder } from '../../src/store/table-folder.ts';

/**
 * Writes a chunk table of the packs of a store, which small stores do without.
 * @param folder the tables of the store, or of a remote that has the same packs
 */
export function coverPacks(folder: string, store: string): void {
  const packs = [...new Store(store).index().packs()] as PackEntry[];
  new TableSet(new TableFolder(folder, path.join(store, 'tmp'))).cover(packs);
}
