import * as fs from 'node:fs';
import * as path from 'node:path';
import type { PackagedObject, PackagedVersion, PackageManifest } from '../archive/manifest.ts';
import { type PackageTaker, readPackage } from '../archive/package-read.ts';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { ensureCacheFolder, tempName } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { silentProgress } from '../base/progress.ts';
import { type FileEntry, formatTree, isFileEntry } from '../base/tree.ts';
import { independentOf } from '../registry/dependents.ts';
import { Registry } from '../registry/registry.ts';
import { compareRegistries, copyRegistry, type RegistryConflict } from '../registry/sync.ts';
import { BlobWriter } from '../store/blob-writer.ts';
import type { WorkOptions } from './add.ts';
import { checkPresent } from './checkout.ts';
import { externalData } from './external-data.ts';
import type { PackageInput } from './package-source.ts';
import { TakerBase, type TakerParts } from './package-taker.ts';
import { localRegistry } from './registry.ts';
import { storing } from './store-watch.ts';
import { trackedInWorkspace } from './tracked.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** Objects of a registry that are read or written at once. */
const registryJobs = 16;

/** What {@link unpackage} did. */
export interface UnpackageResult {
  readonly manifest: PackageManifest;
  readonly version: PackagedVersion;
  readonly files: number;
  /** Bytes of the files. */
  readonly bytes: number;
  /** Bytes that the store did not have. */
  readonly bytesNew: number;
  /** Records, states and entries of histories that are new here. */
  readonly records: number;
  /** Histories that differ here; nothing of them was taken. */
  readonly conflicts: readonly RegistryConflict[];
}

/**
 * Takes a package into the local store and the registry: its files, and all that it says of the version, so that it is
 * checked out and pushed from here as if it had been fetched. Every byte is checked before the first one is taken;
 * until then it lies below `.modelstore/tmp`. A package that was taken before changes nothing.
 * @throws MstoreError `corrupt-package`, `newer-format`; `version-exists` and `name-taken` before anything is taken;
 * `usage` for a package of no registered version
 */
export async function unpackage(
  workspace: Workspace,
  input: PackageInput,
  options: WorkOptions = {},
): Promise<UnpackageResult> {
  const { progress = silentProgress, signal } = options;
  const { tempFolder, surroundings } = workspace;
  const folder = path.join(tempFolder, tempName());
  try {
    ensureCacheFolder(tempFolder);
    clearDeadTemps(tempFolder, '', surroundings.clock);
    ensureCacheFolder(path.join(folder, 'files'));
    const staging = new Staging({ where: input.name, progress, signal }, folder, workspace);
    const manifest = await readPackage(input.blocks, input.name, staging);
    staging.finish();
    progress.finish();
    return await new Taking(workspace, input.name, manifest, staging, options).run();
  } catch (error) {
    throw fromSystemError(error, `unpacking ${printable(input.name)}`);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Keeps what is in a package in a folder, each blob once and only those that the store lacks. */
class Staging extends TakerBase implements PackageTaker {
  readonly folder: string;
  readonly #workspace: Workspace;
  readonly #staged = new Set<string>();

  constructor(parts: TakerParts, folder: string, workspace: Workspace) {
    super(parts);
    this.folder = folder;
    this.#workspace = workspace;
  }

  override manifest(manifest: PackageManifest): void {
    if (manifest.version === undefined) throw noVersion(this.parts.where);
    super.manifest(manifest);
  }

  override object(object: PackagedObject, bytes: Buffer): void {
    super.object(object, bytes);
    const file = path.join(this.folder, object.key);
    ensureCacheFolder(path.dirname(file));
    fs.writeFileSync(file, bytes, { flag: 'wx' });
  }

  async file({ path: name, sha256 }: FileEntry, blocks: AsyncIterable<Uint8Array>): Promise<void> {
    const isHere = this.#staged.has(sha256) || this.#workspace.store.has(sha256);
    await this.write(isHere ? undefined : this.fileOf(sha256), name, blocks);
    if (!isHere) this.#staged.add(sha256);
  }

  link(): void {}

  directory(): void {}

  /** Tells whether the bytes of a blob were kept. */
  has(sha256: string): boolean {
    return this.#staged.has(sha256);
  }

  /** Returns the absolute path at which a blob is kept. */
  fileOf(sha256: string): string {
    return path.join(this.folder, 'files', sha256);
  }
}

function noVersion(where: string): MstoreError {
  return new MstoreError('usage', `${printable(where)} holds files and no registered version`, {
    hint: 'Write them with --to DIR, then "mstore add" what is to be kept',
    details: { path: where },
  });
}

/** Takes a package that was checked. */
class Taking {
  readonly #workspace: Workspace;
  readonly #where: string;
  readonly #manifest: PackageManifest;
  readonly #version: PackagedVersion;
  readonly #staging: Staging;
  readonly #options: WorkOptions;

  constructor(
    workspace: Workspace,
    where: string,
    manifest: PackageManifest,
    staging: Staging,
    options: WorkOptions,
  ) {
    this.#workspace = workspace;
    this.#where = where;
    this.#manifest = manifest;
    this.#version = manifest.version as PackagedVersion;
    this.#staging = staging;
    this.#options = options;
  }

  async run(): Promise<UnpackageResult> {
    const { files, content } = this.#manifest;
    // Before anything is stored: the version must be the same one here, or none.
    await this.#compare();
    const done = await storing(this.#workspace, this.#options, {
      work: async () => ({ bytesNew: await this.#store(), ...(await this.#register()) }),
      needed: () => trackedInWorkspace(this.#workspace).tracked,
      merge: (first, again) => ({
        bytesNew: first.bytesNew + again.bytesNew,
        records: first.records + again.records,
        conflicts: again.conflicts,
      }),
    });
    return {
      manifest: this.#manifest,
      version: this.#version,
      files: files.filter(isFileEntry).length,
      bytes: content.size,
      ...done,
    };
  }

  /** Stores the files that are lacking, and the list of a directory. */
  async #store(): Promise<number> {
    const { store, config } = this.#workspace;
    const { files: entries, content } = this.#manifest;
    const { signal, progress = silentProgress, jobs } = this.#options;
    const lacking = new Map(
      entries.filter(isFileEntry).map((entry) => [entry.sha256, entry] as const),
    );
    for (const sha256 of lacking.keys()) if (!this.#staging.has(sha256)) lacking.delete(sha256);
    const files = [...lacking.values()];
    const bytesTotal = files.reduce((sum, { size }) => sum + size, 0);
    progress.start('add', { bytesTotal, filesTotal: files.length });
    const writer = new BlobWriter(store, {
      signal,
      bytesExpected: bytesTotal,
      threads: jobs,
      compress: config.string('store.compression') === 'auto',
      onBytes: (bytes) => progress.advance({ bytes }),
    });
    const named = files.map(({ path: name, sha256 }) => ({
      path: name,
      source: this.#staging.fileOf(sha256),
    }));
    const tensors = externalData(() => named);
    try {
      store.prepareWriting();
      await writer.addFiles(
        named.map(({ path: name, source }) => ({
          file: source,
          hardCuts: (size) => tensors.cutsOf(name, size),
        })),
        (index, blob) => {
          if (blob.sha256 !== files[index]?.sha256) throw this.#changed();
          progress.advance({ files: 1 });
        },
      );
      if (content.kind === 'tree') await writer.addBytes(formatTree(entries));
      const { bytesNew } = await writer.finish();
      progress.finish();
      return bytesNew;
    } finally {
      writer.close();
    }
  }

  #changed(): MstoreError {
    return new MstoreError(
      'file-changed',
      `What was unpacked in ${printable(this.#staging.folder)} was changed by somebody else`,
      { hint: 'Run the same command again' },
    );
  }

  /** Holds what the package says of the version against what is known here. */
  async #compare() {
    const { surroundings, root } = this.#workspace;
    const { signal } = this.#options;
    const { model, version } = this.#version;
    const opened = await surroundings.openRemote(this.#staging.folder, { base: root });
    const there = new Registry({ ...opened, location: printable(this.#where) }, { signal });
    const here = await localRegistry(this.#workspace, { signal });
    const found = await compareRegistries(there, here, { model, jobs: registryJobs, signal });
    const own = found.conflicts.find(({ kind, name }) => kind !== 'history' && name === version);
    if (own !== undefined) throw otherVersion(own);
    const free = await independentOf(there, found.onlyFirst, found.conflicts, registryJobs);
    const conflicts = [...found.conflicts, ...free.conflicts];
    return { here, there, keys: free.keys, conflicts, gaps: found.gaps };
  }

  /** Takes what is not known here: records, states, histories. */
  async #register(): Promise<Pick<UnpackageResult, 'records' | 'conflicts'>> {
    const { here, there, keys, conflicts, gaps } = await this.#compare();
    const { signal } = this.#options;
    await copyRegistry(there, here, keys, { jobs: registryJobs, gaps, signal });
    await here.settle();
    const { model, version } = this.#version;
    const record = await here.record(model, version);
    if (record !== undefined) {
      checkPresent(this.#workspace.store, [contentOf(this.#workspace.store, record.value, {})]);
    }
    return { records: keys.length, conflicts };
  }
}

function otherVersion({ kind, model, name, text }: RegistryConflict): MstoreError {
  const code = kind === 'version' ? 'version-exists' : 'name-taken';
  return new MstoreError(code, text, {
    hint: 'Nothing was taken; write its files with --to DIR, or have it registered under another version and packaged anew',
    details: { model, name },
  });
}
