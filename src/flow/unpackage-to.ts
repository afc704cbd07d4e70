import * as fs from 'node:fs';
import * as path from 'node:path';
import type { PackageManifest } from '../archive/manifest.ts';
import { type PackageTaker, readPackage } from '../archive/package-read.ts';
import { tempName } from '../base/files.ts';
import { checkWritableOn } from '../base/names.ts';
import { silentProgress } from '../base/progress.ts';
import { type DirectoryEntry, type FileEntry, isFileEntry, type LinkEntry } from '../base/tree.ts';
import { Placer } from '../worktree/place.ts';
import type { WorkOptions } from './add.ts';
import type { CheckoutToResult } from './checkout-to.ts';
import type { PackageInput } from './package-source.ts';
import { TakerBase, type TakerParts } from './package-taker.ts';
import type { Surroundings } from './surroundings.ts';
import { checkDestination, refuseProtected, writeWhole } from './whole-directory.ts';

/** Options of {@link unpackageTo}. */
export interface UnpackageToOptions extends WorkOptions {
  /** Replaces a directory that is not empty, as a whole. */
  readonly force?: boolean;
  /** Absolute folders that are never replaced, besides the home folder. */
  readonly keep?: readonly string[];
}

/** What {@link unpackageTo} did. */
export interface UnpackageToResult extends CheckoutToResult {
  readonly manifest: PackageManifest;
}

/**
 * Writes the files of a package into a directory of its own, whole or not at all. It needs no workspace. Every byte of
 * the package is checked first, those of the registry too: the directory gets its name when all was right.
 * @param directory absolute path; must not exist, or be an empty directory, unless `force`
 * @throws MstoreError `corrupt-package`, `newer-format`, `destination-exists`, `usage`
 */
export async function unpackageTo(
  input: PackageInput,
  directory: string,
  surroundings: Surroundings,
  options: UnpackageToOptions = {},
): Promise<UnpackageToResult> {
  const { force = false, keep = [], progress = silentProgress, signal } = options;
  const { clock } = surroundings;
  refuseProtected(directory, { held: keep, own: [] });
  checkDestination(directory, force);
  const manifest = await writeWhole(directory, { force, clock }, async (temp) => {
    const parts = { where: input.name, progress, signal };
    const writer = new FolderWriter(parts, temp, surroundings);
    const result = await readPackage(input.blocks, input.name, writer);
    writer.finish();
    return { files: result.files.filter(isFileEntry).map((entry) => entry.path), result };
  });
  progress.finish();
  const files = manifest.files.filter(isFileEntry).length;
  return { directory, files, bytes: manifest.content.size, manifest };
}

/** Writes the files of a package into a new folder. */
class FolderWriter extends TakerBase implements PackageTaker {
  readonly #building: string;
  readonly #placer: Placer;
  readonly #surroundings: Surroundings;

  constructor(parts: TakerParts, folder: string, surroundings: Surroundings) {
    super(parts);
    // A name that no package can have a file of.
    this.#building = path.join(folder, `.${tempName()}`);
    this.#placer = new Placer(folder, this.#building, { clock: surroundings.clock });
    this.#surroundings = surroundings;
  }

  override manifest(manifest: PackageManifest): void {
    for (const entry of manifest.files) checkWritableOn(entry.path, this.#surroundings.platform);
    super.manifest(manifest);
  }

  async file(
    { path: name, executable }: FileEntry,
    blocks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    this.#placer.ensureParents(name);
    await this.write(this.#placer.absolute(name), name, blocks, executable ? 0o777 : 0o666);
  }

  link({ path: name, link }: LinkEntry): void {
    this.#placer.writeLink(name, link);
  }

  directory({ path: name }: DirectoryEntry): void {
    this.#placer.ensureFolder(name);
  }

  override finish(): void {
    super.finish();
    fs.rmdirSync(this.#building);
  }
}
