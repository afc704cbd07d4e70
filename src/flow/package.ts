import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  formatManifest,
  type PackagedObject,
  type PackagedVersion,
  type PackageManifest,
} from '../archive/manifest.ts';
import { packageBytes } from '../archive/package-write.ts';
import { throwIfAborted } from '../base/abort.ts';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { type Digest, sha256, shortDigest } from '../base/digest.ts';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import {
  publishIfAbsent,
  publishReplacing,
  removeFile,
  settleFolder,
  syncFolder,
  tempName,
} from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import { SequentialFile } from '../base/sequential-file.ts';
import { type FileEntry, isFileEntry } from '../base/tree.ts';
import { bytesMaxOf } from '../registry/keys.ts';
import type { Registry } from '../registry/registry.ts';
import { missingInRegistry } from '../registry/sealed.ts';
import { readObject } from '../remote/remote.ts';
import { BlobReader } from '../store/blob-reader.ts';
import type { WorkOptions } from './add.ts';
import { checkPresent } from './checkout.ts';
import { objectsOfVersion } from './package-registry.ts';
import { contentOf } from './register.ts';
import { localRegistry } from './registry.ts';
import type { Targets } from './targets.ts';
import { type Tracked, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Takes some bytes of a package, and says when more may come: they are others in the same memory then. */
export type TakeBytes = (bytes: Uint8Array) => Promise<void>;

/** Options of {@link packageVersion}. */
export interface PackageOptions extends WorkOptions {
  /** Replaces a file that has the name already. */
  readonly force?: boolean;
}

/** What {@link packageVersion} made. */
export interface PackageResult {
  /** Absolute path of the package; undefined where the bytes were handed out. */
  readonly file?: string;
  /** The folder that all of it is in. */
  readonly name: string;
  /** Digest of the file that it is of, or of the tree that lists the directory. */
  readonly content: Digest;
  readonly files: number;
  /** Bytes of the files. */
  readonly bytes: number;
  /** Objects of the registry in it. */
  readonly records: number;
  /** Bytes of the package. */
  readonly size: number;
  /** Digest of the package. */
  readonly sha256: Digest;
}

/** The suffix of the names of packages. */
const packageSuffix = '.tar.gz';

/** Characters of a name that is not shortened. */
const nameLengthMax = 200;

/**
 * Describes what a package of a version, or of a tracked path as it is in Git or here, holds.
 * @throws MstoreError `usage` for more than one tracked path, `objects-missing`, `too-large`, `corrupt-registry`
 */
export async function planPackage(
  workspace: Workspace,
  { tracked, version: found }: Targets,
  registry: Registry | undefined,
): Promise<PackageManifest> {
  const item = soleOf(tracked);
  checkPresent(workspace.store, [item]);
  const { entries } = trackedFiles(workspace.store, item);
  const content = contentOf(item);
  const record = found?.record;
  const version: PackagedVersion | undefined = record && {
    model: record.value.model,
    version: record.value.version,
    record: record.sha256,
  };
  const isHeld = record !== undefined && registry !== undefined;
  return {
    name: nameOf(item, version),
    version,
    content,
    registry: isHeld ? await objectsOfVersion(registry, record.value) : [],
    files: entries,
  };
}

/**
 * Makes a package of a version: one file with its bytes and all that the registry says of it, the same bytes on every
 * machine. Memory: the list of its files, and some blocks.
 * @param output absolute path of the file, which appears when it is complete; a folder, or what ends with a separator,
 * gets a file of the usual name; or what takes the bytes
 * @throws MstoreError as {@link planPackage}; `destination-exists`
 */
export async function packageVersion(
  workspace: Workspace,
  targets: Targets,
  output: string | TakeBytes,
  options: PackageOptions = {},
): Promise<PackageResult> {
  const { signal } = options;
  const registry =
    targets.version === undefined ? undefined : await localRegistry(workspace, { signal });
  const manifest = await planPackage(workspace, targets, registry);
  if (formatManifest(manifest).length > limits.packageManifestBytesMax)
    throw tooManyFiles(manifest);
  const work = new Packing(workspace, manifest, registry, options);
  if (typeof output !== 'string') return work.writeTo(output);
  const isFolder = output.endsWith(path.sep) || isDirectory(output);
  const file = isFolder ? path.join(output, manifest.name + packageSuffix) : output;
  return { file, ...(await writeBeside(workspace, file, options, (take) => work.writeTo(take))) };
}

function isDirectory(place: string): boolean {
  return fs.statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function soleOf(tracked: readonly Tracked[]): Tracked {
  const [item, second] = tracked;
  if (item !== undefined && second === undefined) return item;
  const names = tracked.map((one) => printable(one.path));
  throw new MstoreError(
    'usage',
    item === undefined
      ? 'Nothing is tracked that could be packaged'
      : `A package is of one tracked path; these are ${names.length}: ${names.slice(0, 5).join(', ')}`,
    {
      hint:
        item === undefined
          ? 'Run "mstore add PATH" first'
          : 'Name one of them behind the reference, or package a registered version',
    },
  );
}

/** The name of a version, or of a path with the beginning of its digest: of letters that every system takes. */
function nameOf({ path: full, pointer }: Tracked, version: PackagedVersion | undefined): string {
  const base = path.posix
    .basename(full)
    .replace(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^[.-]/, '_');
  const digest = shortDigest(version?.record ?? pointer.sha256);
  const name = version === undefined ? `${base}_${digest}` : `${version.model}_${version.version}`;
  return name.length <= nameLengthMax ? name : `${name.slice(0, nameLengthMax - 13)}_${digest}`;
}

function tooManyFiles({ name, files }: PackageManifest): MstoreError {
  return new MstoreError(
    'too-large',
    `A package cannot list the ${files.length} files of ${name}: its manifest may have ${limits.packageManifestBytesMax} bytes`,
    { hint: 'Take the version along in a directory remote: mstore push REF --remote DIR' },
  );
}

class Packing {
  readonly #workspace: Workspace;
  readonly #manifest: PackageManifest;
  readonly #registry: Registry | undefined;
  readonly #progress: Progress;
  readonly #signal: AbortSignal | undefined;

  constructor(
    workspace: Workspace,
    manifest: PackageManifest,
    registry: Registry | undefined,
    { progress = silentProgress, signal }: PackageOptions,
  ) {
    this.#workspace = workspace;
    this.#manifest = manifest;
    this.#registry = registry;
    this.#progress = progress;
    this.#signal = signal;
  }

  async writeTo(take: TakeBytes): Promise<PackageResult> {
    const { name, content, registry, files: entries } = this.#manifest;
    const files = entries.filter(isFileEntry).length;
    this.#progress.start('package', { bytesTotal: content.size, filesTotal: files });
    const reader = new BlobReader(this.#workspace.store);
    const hash = createHash('sha256');
    let size = 0;
    try {
      const source = {
        object: (object: PackagedObject) => this.#object(object),
        file: (entry: FileEntry) => this.#counted(reader, entry),
      };
      for await (const block of packageBytes(this.#manifest, source)) {
        throwIfAborted(this.#signal);
        hash.update(block);
        size += block.length;
        await take(block);
      }
    } finally {
      reader.close();
    }
    this.#progress.finish();
    return {
      name,
      content: content.sha256,
      files,
      bytes: content.size,
      records: registry.length,
      size,
      sha256: hash.digest('hex') as Digest,
    };
  }

  /** Reads an object again: objects never change, but they can be damaged. */
  async #object({ key, sha256: digest }: PackagedObject): Promise<Uint8Array> {
    const { place } = this.#registry as Registry;
    const bytes = await readObject(place, key, bytesMaxOf(key));
    if (sha256(bytes) === digest) return bytes;
    throw missingInRegistry(`${place.location}/${key}`);
  }

  *#counted(reader: BlobReader, entry: FileEntry): Generator<Uint8Array, void, undefined> {
    for (const block of reader.read(entry.sha256)) {
      yield block;
      this.#progress.advance({ bytes: block.length });
    }
    this.#progress.advance({ files: 1, name: entry.path });
  }
}

/** Writes a file beside its place, flushes it, and gives it its name when it is complete. */
async function writeBeside<T>(
  { surroundings }: Workspace,
  file: string,
  { force = false }: PackageOptions,
  write: (take: TakeBytes) => Promise<T>,
): Promise<T> {
  const folder = path.dirname(file);
  const prefix = `.${path.basename(file).slice(0, 64)}.`;
  const temp = path.join(folder, prefix + tempName());
  // Also where the package is there: it may have come to its name, and the process not to its end.
  clearDeadTemps(folder, prefix, surroundings.clock);
  settleFolder(folder, surroundings.clock);
  checkFree(file, force);
  try {
    const out = new SequentialFile(temp);
    let result: T;
    try {
      result = await write(async (bytes) => out.write(bytes));
      out.end();
      out.sync();
    } finally {
      out.close();
    }
    if (force) publishReplacing(temp, file);
    else if (!publishIfAbsent(temp, file)) throw taken(file, true);
    syncFolder(folder);
    return result;
  } catch (error) {
    throw fromSystemError(error, `writing ${printable(file)}`);
  } finally {
    removeFile(temp);
  }
}

/** Ends with an error where something stands in the place of a package. */
function checkFree(file: string, force: boolean): void {
  const stat = fs.lstatSync(file, { throwIfNoEntry: false });
  if (stat !== undefined && !(force && stat.isFile())) throw taken(file, stat.isFile());
}

function taken(file: string, isFile: boolean): MstoreError {
  const more = isFile ? ', or replace it with --force' : '';
  return new MstoreError('destination-exists', `${printable(file)} exists already`, {
    hint: `Choose another name with --output${more}`,
    details: { path: file },
  });
}
