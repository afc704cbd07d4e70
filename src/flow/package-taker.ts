import * as fs from 'node:fs';
import type { PackagedObject, PackageManifest } from '../archive/manifest.ts';
import { throwIfAborted } from '../base/abort.ts';
import { writeOn } from '../base/files.ts';
import type { Progress } from '../base/progress.ts';
import { isFileEntry } from '../base/tree.ts';
import { PackagedRegistryCheck } from './package-registry.ts';

/** What takes what is in packages works with. */
export interface TakerParts {
  /** The package, for errors. */
  readonly where: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** What all share that take what is in packages: the registry is checked, and files are written as they come. */
export class TakerBase {
  readonly parts: TakerParts;
  #check: PackagedRegistryCheck | undefined;

  constructor(parts: TakerParts) {
    this.parts = parts;
  }

  /**
   * Takes the manifest.
   * @throws MstoreError `corrupt-package`
   */
  manifest(manifest: PackageManifest): void {
    this.#check = new PackagedRegistryCheck(manifest, this.parts.where);
    const filesTotal = manifest.files.filter(isFileEntry).length;
    this.parts.progress.start('unpackage', { bytesTotal: manifest.content.size, filesTotal });
  }

  /**
   * Checks an object of the registry.
   * @throws MstoreError `corrupt-package`, `newer-format`
   */
  object({ key }: PackagedObject, bytes: Buffer): void {
    this.#check?.add(key, bytes);
  }

  /**
   * Ends the check of the registry; files may follow.
   * @throws MstoreError `corrupt-package`
   */
  finish(): void {
    this.#check?.finish();
  }

  /** Writes a new file as its bytes come, or reads them to their end where nothing is to be written. */
  protected async write(
    file: string | undefined,
    name: string,
    blocks: AsyncIterable<Uint8Array>,
    mode = 0o666,
  ): Promise<void> {
    const { progress, signal } = this.parts;
    const handle = file === undefined ? undefined : await fs.promises.open(file, 'wx', mode);
    try {
      for await (const block of blocks) {
        throwIfAborted(signal);
        if (handle !== undefined) await writeOn(handle, block);
        progress.advance({ bytes: block.length });
      }
    } finally {
      await handle?.close();
    }
    progress.advance({ files: 1, name });
  }
}
