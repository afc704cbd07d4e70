import { type FileEntry, isFileEntry, isLinkEntry } from '../base/tree.ts';
import {
  formatManifest,
  manifestName,
  type PackagedObject,
  type PackageManifest,
} from './manifest.ts';
import { storedGzip } from './stored-gzip.ts';
import { type TarEntry, tarBytes } from './tar-write.ts';

/** Where the bytes of a package come from. */
export interface PackageSource {
  /** Reads an object of the registry; it is what the manifest says. */
  object(object: PackagedObject): Promise<Uint8Array>;
  /** Yields the bytes of a file in blocks, each valid until the next step. */
  file(entry: FileEntry): Iterable<Uint8Array>;
}

/** Folder of the objects of the registry in a package, which keep their keys below it. */
export const registryFolderName = 'registry';
/** Folder of the files. */
export const filesFolderName = 'files';

/**
 * Writes a package: the manifest, objects of the registry, files, all below one folder. The bytes depend on the
 * manifest and what it names alone.
 * @returns blocks, each valid until the next step
 * @throws whatever the source throws
 */
export function packageBytes(
  manifest: PackageManifest,
  source: PackageSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  return storedGzip(tarBytes(entriesOf(manifest, source)));
}

async function* entriesOf(
  manifest: PackageManifest,
  source: PackageSource,
): AsyncGenerator<TarEntry, void, undefined> {
  const { name, registry, files } = manifest;
  yield inMemory(`${name}/${manifestName}`, formatManifest(manifest));
  for (const object of registry) {
    yield inMemory(`${name}/${registryFolderName}/${object.key}`, await source.object(object));
  }
  for (const entry of files) {
    const full = `${name}/${filesFolderName}/${entry.path}`;
    if (isLinkEntry(entry)) yield { type: 'symlink', name: full, target: entry.link };
    else if (!isFileEntry(entry)) yield { type: 'directory', name: full };
    else {
      const { size, executable = false } = entry;
      yield { type: 'file', name: full, size, executable, blocks: source.file(entry) };
    }
  }
}

function inMemory(name: string, bytes: Uint8Array): TarEntry {
  return { type: 'file', name, size: bytes.length, executable: false, blocks: [bytes] };
}
