import type { Digest } from '../../src/base/digest.ts';
import { ChunkIndex } from '../../src/index/chunk-index.ts';
import type { TableFile } from '../../src/index/chunk-table.ts';
import type { TableStore } from '../../src/index/table-set.ts';
import { type PackFooter, rowBytes } from '../../src/pack/format.ts';

/** Tables in memory, to be damaged at will. */
export class MemoryTables implements TableStore {
  readonly files = new Map<string, Buffer>();
  writable = true;

  open(): TableFile[] {
    return [...this.files.keys()].map((name) => this.#file(name));
  }

  #file(name: string): TableFile {
    const { files } = this;
    return {
      name,
      size: files.get(name)?.length ?? 0,
      read: (target, position) => files.get(name)?.copy(target, 0, position) ?? 0,
      close: () => {},
    };
  }

  write(fill: (write: (bytes: Uint8Array) => void) => Digest): TableFile {
    if (!this.writable) throw new Error('read-only');
    const parts: Buffer[] = [];
    const name = fill((bytes) => parts.push(Buffer.from(bytes)));
    this.files.set(name, Buffer.concat(parts));
    return this.#file(name);
  }

  remove(file: TableFile): void {
    if (this.writable) this.files.delete(file.name);
  }
}

/** Packs that are nothing but footers and times, and indexes over them with small thresholds. */
export class MadePacks {
  readonly tables = new MemoryTables();
  readonly packs = new Map<Digest, { footer: PackFooter; time: number }>();
  /** Packs that are listed but cannot be read. */
  readonly damaged = new Set<Digest>();

  add(footer: PackFooter, time: number): void {
    if (!this.packs.has(footer.id)) this.packs.set(footer.id, { footer, time });
  }

  /** Opens the index as a process does. */
  open(options: { tables?: boolean } = {}): ChunkIndex {
    const source = {
      load: (pack: Digest) => (this.damaged.has(pack) ? undefined : this.packs.get(pack)?.footer),
      readRow: (pack: Digest, row: number) => {
        const footer = this.packs.get(pack)?.footer;
        const at = footer?.idOffset(row) ?? 0;
        return footer?.bytes.subarray(at, at + rowBytes);
      },
    };
    const small = { freshRowsMax: 20, freshPacksMax: 4, footerBytesMax: 2_000 };
    const index = new ChunkIndex(source, options.tables === false ? undefined : this.tables, small);
    const listed = [...this.packs].map(([pack, { footer, time }]) => ({
      pack,
      size: footer.packBytes,
      time,
    }));
    for (const { pack, time } of index.attach(listed)) {
      const footer = source.load(pack);
      if (footer !== undefined) index.addPack(footer, time);
    }
    index.settle();
    return index;
  }
}
