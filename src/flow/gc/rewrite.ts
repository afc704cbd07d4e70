import { isMstoreError } from '../../base/errors.ts';
import { removeFile } from '../../base/files.ts';
import { newWriteMemory } from '../../base/sequential-file.ts';
import type { IndexedPack } from '../../index/indexed-pack.ts';
import type { PackFooter } from '../../pack/format.ts';
import { PackWriter } from '../../pack/writer.ts';
import { sendPack } from '../../store/pack-transfer.ts';
import { readRemoteRows } from '../../store/remote-rows.ts';
import type { RemoteStore, TransferOptions } from '../../store/remote-store.ts';
import type { Workspace } from '../workspace.ts';
import type { GcPlace } from './place.ts';
import { neededRows, type Reach } from './reach.ts';

/** What {@link rewritePacks} did. */
export interface Rewritten {
  /** Packs all of whose needed chunks are in new packs now. */
  readonly replaced: readonly IndexedPack[];
  readonly packs: number;
  /** Bytes of the new packs. */
  readonly bytes: number;
  /** What was found damaged; such packs are left as they are. */
  readonly warnings: readonly string[];
}

/**
 * Writes the needed chunks of packs to new packs, each verified on the way. Nothing is taken away: the old
 * packs are to be marked when this has returned. Memory: that of {@link readRemoteRows} and of one pack that is written.
 */
export async function rewritePacks(
  workspace: Workspace,
  place: GcPlace,
  packs: readonly IndexedPack[],
  { there, reach }: { readonly there: RemoteStore; readonly reach: Reach },
  options: TransferOptions,
): Promise<Rewritten> {
  const { store } = workspace;
  const out = new Rewriter(workspace, place, options);
  const replaced: IndexedPack[] = [];
  const warnings: string[] = [];
  store.prepareWriting();
  try {
    for (const pack of packs) {
      try {
        const damage = await rewriteOne(place, pack, { there, reach, out }, options);
        if (damage.length === 0) replaced.push(pack);
        warnings.push(...damage);
      } catch (error) {
        // Another clean-up has taken it away since it was looked at: nothing of it is left to be written anew.
        if (!isMstoreError(error, 'not-found')) throw error;
      }
    }
    await out.publish();
  } finally {
    out.close();
  }
  return { replaced, packs: out.packs, bytes: out.bytes, warnings };
}

/** @returns what was found damaged */
async function rewriteOne(
  place: GcPlace,
  pack: IndexedPack,
  { there, reach, out }: { there: RemoteStore; reach: Reach; out: Rewriter },
  options: TransferOptions,
): Promise<string[]> {
  const footer = await there.footerOf(pack, options);
  const rows = neededRows(reach, pack);
  const found: string[] = [];
  for await (const { row, stored, damage } of readRemoteRows(place.remote, footer, rows, options)) {
    if (damage !== undefined) found.push(damage.message);
    else out.append(footer, row, stored);
    if (out.full) await out.publish();
  }
  return found;
}

/** Gathers chunks in new packs of a place. */
class Rewriter {
  readonly #workspace: Workspace;
  readonly #place: GcPlace;
  readonly #options: TransferOptions;
  readonly #memory = newWriteMemory();
  #writer: PackWriter | undefined;
  packs = 0;
  bytes = 0;

  constructor(workspace: Workspace, place: GcPlace, options: TransferOptions) {
    this.#workspace = workspace;
    this.#place = place;
    this.#options = options;
  }

  get full(): boolean {
    return this.#writer?.full === true;
  }

  append(footer: PackFooter, row: number, stored: Uint8Array): void {
    this.#writer ??= new PackWriter(this.#workspace.store.tempFile(), this.#memory);
    const at = footer.idOffset(row);
    this.#writer.append(footer.bytes.subarray(at, at + 32), stored, footer.row(row));
  }

  /** Completes the pack that is being written. */
  async publish(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    const footer = writer.finish();
    await sendPack(this.#place.remote, writer.file, footer, this.#options);
    this.packs++;
    this.bytes += footer.packBytes;
    this.close();
  }

  /** Drops a pack that was not published. */
  close(): void {
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer === undefined) return;
    writer.close();
    removeFile(writer.file);
  }
}
