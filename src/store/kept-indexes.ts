import * as path from 'node:path';
import type { Digest } from '../base/digest.ts';
import { ChunkIndex } from '../index/chunk-index.ts';
import type { PackSource } from '../index/footer-cache.ts';
import type { PackFooter } from '../pack/format.ts';
import { indexKey, indexPrefix, packOfIndexKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { listFolder, readIndexObject, readIndexRow } from './pack-files.ts';
import { TableFolder } from './table-folder.ts';

/** What is kept here of a remote: index objects that were fetched, and chunk tables over them. */
export class KeptIndexes implements PackSource {
  readonly #store: Store;
  /** Folder of the remote below that of the store, with a slash. */
  readonly #prefix: string;
  /** Packs whose footers turned out not to be readable here, with their sizes at the remote. */
  readonly unreadable = new Map<Digest, number>();

  /** @param remoteId identity of the remote, whatever it is called here */
  constructor(store: Store, remoteId: string) {
    this.#store = store;
    this.#prefix = `remotes/${remoteId}/`;
  }

  /** Opens the tables; the index knows no pack yet. */
  openIndex(): ChunkIndex {
    const { folder, tempsFolder } = this.#store;
    return new ChunkIndex(
      this,
      new TableFolder(path.join(folder, this.#prefix, 'tables'), tempsFolder),
    );
  }

  /** The packs whose footers are here: kept, or of packs of the local store. */
  list(): Set<Digest> {
    const packs = new Set<Digest>();
    for (const { id } of this.#store.index().packs()) packs.add(id);
    const top = this.#store.file(this.#prefix + indexPrefix);
    for (const shard of listFolder(top)) {
      for (const name of listFolder(path.join(top, shard))) {
        const pack = packOfIndexKey(`${indexPrefix}${shard}/${name}`);
        if (pack !== undefined) packs.add(pack);
      }
    }
    return packs;
  }

  /** Reads a footer that is here; undefined when there is none, or it is damaged. */
  read(pack: Digest): PackFooter | undefined {
    return this.#store.footer(pack) ?? readIndexObject(this.#file(pack), pack);
  }

  /** Keeps a footer that was fetched. */
  keep(footer: PackFooter): void {
    this.#store.keep(this.#prefix + indexKey(footer.id), footer.bytes);
  }

  load(pack: Digest, packBytes: number): PackFooter | undefined {
    const footer = this.read(pack);
    if (footer?.packBytes === packBytes) return footer;
    this.unreadable.set(pack, packBytes);
    return undefined;
  }

  readRow(pack: Digest, row: number): Buffer | undefined {
    return (
      readIndexRow(this.#file(pack), row) ?? readIndexRow(this.#store.file(indexKey(pack)), row)
    );
  }

  #file(pack: Digest): string {
    return this.#store.file(this.#prefix + indexKey(pack));
  }
}
