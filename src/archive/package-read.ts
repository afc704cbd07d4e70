import { createHash } from 'node:crypto';
import type { Header } from 'tar-stream';
import type { Digest } from '../base/digest.ts';
import { limits } from '../base/limits.ts';
import { pathProblem, printable } from '../base/names.ts';
import {
  type DirectoryEntry,
  type FileEntry,
  isFileEntry,
  isLinkEntry,
  type LinkEntry,
} from '../base/tree.ts';
import { corruptPackage } from './corrupt.ts';
import { gunzipped } from './gunzip.ts';
import {
  manifestName,
  type PackagedObject,
  type PackageManifest,
  parseManifest,
} from './manifest.ts';
import { filesFolderName, registryFolderName } from './package-write.ts';
import { type ReadEntry, tarEntries } from './tar-read.ts';

/**
 * Takes what is in a package, in its order. Whatever it was handed counts only when the whole package was read: it
 * keeps it where nobody sees it until then.
 */
export interface PackageTaker {
  /** Called first. Names in the manifest are checked, files are not yet. */
  manifest(manifest: PackageManifest): void | Promise<void>;
  /** @param bytes what the manifest says */
  object(object: PackagedObject, bytes: Buffer): void | Promise<void>;
  /** @param blocks end with an error unless they are what the manifest says; to be read to their end */
  file(entry: FileEntry, blocks: AsyncIterable<Uint8Array>): Promise<void>;
  link(entry: LinkEntry): void | Promise<void>;
  directory(entry: DirectoryEntry): void | Promise<void>;
}

/** An entry that has to come next, and what becomes of it. */
interface Expected {
  readonly name: string;
  readonly type: 'file' | 'symlink' | 'directory';
  readonly size: number;
  readonly target?: string;
  readonly take: (blocks: AsyncIterable<Uint8Array>) => void | Promise<void>;
}

/**
 * Reads a package and checks every byte of it. Its manifest comes first and says which entries follow, in which order,
 * of which type and size, and with which digests; an archive that has anything else is refused at the first entry
 * that differs. So no name, link or size in the archive is ever acted on.
 * @param source the bytes of the package
 * @param where the package, for errors
 * @throws MstoreError `corrupt-package`, `newer-format`, and whatever the source or the taker throws
 */
export async function readPackage(
  source: AsyncIterable<Uint8Array>,
  where: string,
  taker: PackageTaker,
): Promise<PackageManifest> {
  const entries = tarEntries(gunzipped(source, where), where);
  try {
    const first = await entries.next();
    if (first.done) throw corruptPackage(where, 'it is empty');
    const manifest = await readManifest(first.value, where);
    await taker.manifest(manifest);
    for (const expected of expectedOf(manifest, where, taker)) {
      const next = await entries.next();
      if (next.done) throw corruptPackage(where, `it ends before ${printable(expected.name)}`);
      compare(next.value.header, expected, where);
      await expected.take(next.value.blocks);
    }
    const next = await entries.next();
    if (!next.done) throw unexpected(next.value.header, undefined, where);
    return manifest;
  } finally {
    await entries.return();
  }
}

async function readManifest(
  { header, blocks }: ReadEntry,
  where: string,
): Promise<PackageManifest> {
  const name = header.name;
  const size = header.size ?? 0;
  const top = name.slice(0, -manifestName.length - 1);
  if (header.type !== 'file' || name !== `${top}/${manifestName}`) {
    throw corruptPackage(
      where,
      `it does not begin with ${manifestName}; it is no package of mstore`,
    );
  }
  if (!(size >= 0 && size <= limits.packageManifestBytesMax))
    throw corruptPackage(where, 'its manifest is too large');
  const manifest = parseManifest(await gather(blocks, size), where);
  if (manifest.name === top) return manifest;
  throw corruptPackage(
    where,
    `its manifest stands in the folder ${printable(top)}, and names ${manifest.name}`,
  );
}

function* expectedOf(
  { name, registry, files }: PackageManifest,
  where: string,
  taker: PackageTaker,
): Generator<Expected, void, undefined> {
  for (const object of registry) {
    const full = `${name}/${registryFolderName}/${object.key}`;
    yield {
      name: full,
      type: 'file',
      size: object.size,
      take: async (blocks) =>
        taker.object(object, await gather(verified(blocks, object, full, where), object.size)),
    };
  }
  for (const entry of files) {
    const full = `${name}/${filesFolderName}/${entry.path}`;
    if (isFileEntry(entry)) {
      const take = (blocks: AsyncIterable<Uint8Array>) =>
        taker.file(entry, verified(blocks, entry, full, where));
      yield { name: full, type: 'file', size: entry.size, take };
    } else if (isLinkEntry(entry)) {
      const take = () => taker.link(entry);
      yield { name: full, type: 'symlink', size: 0, target: entry.link, take };
    } else yield { name: full, type: 'directory', size: 0, take: () => taker.directory(entry) };
  }
}

/** Ends with an error unless the next entry is the one that has to come. */
function compare(header: Header, expected: Expected, where: string): void {
  const { type, size, target } = expected;
  const name = type === 'directory' ? header.name.replace(/\/$/, '') : header.name;
  if (header.type !== type || name !== expected.name) throw unexpected(header, expected, where);
  const shown = printable(name);
  if (header.size !== size) {
    throw corruptPackage(where, `${shown} has ${header.size} bytes, and ${size} by the manifest`);
  }
  if (type === 'symlink' && header.linkname !== target) {
    const there = printable(header.linkname ?? '');
    throw corruptPackage(
      where,
      `${shown} links to ${there}, and to ${printable(target ?? '')} by the manifest`,
    );
  }
}

/** Says what is wrong with an entry that has no place where it stands. */
function unexpected(header: Header, expected: Expected | undefined, where: string): Error {
  const shown = printable(header.name);
  const strange = header.type == null ? 'an entry of an unknown type' : strangeTypes[header.type];
  if (strange !== undefined) return corruptPackage(where, `${shown} in it is ${strange}`);
  const wrong = pathProblem(header.name.replace(/\/$/, ''));
  if (wrong !== undefined) return corruptPackage(where, `an entry of it, ${shown}, has ${wrong}`);
  if (expected === undefined) return corruptPackage(where, `${shown} in it is not in its manifest`);
  const next = printable(expected.name);
  const what =
    header.name.replace(/\/$/, '') === expected.name
      ? `${next} in it is a ${header.type}, and a ${expected.type} by its manifest`
      : `${shown} stands where ${next} has to be by its manifest`;
  return corruptPackage(where, what);
}

const strangeTypes: Readonly<Record<string, string>> = {
  link: 'a hard link, which a package never has',
  'character-device': 'a device',
  'block-device': 'a device',
  fifo: 'a FIFO',
  'contiguous-file': 'a file of a type that a package never has',
};

/** Hands blocks on, and ends with an error unless they have the digest that they should have. */
async function* verified(
  blocks: AsyncIterable<Uint8Array>,
  { sha256, size }: { readonly sha256: Digest; readonly size: number },
  name: string,
  where: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256');
  let read = 0;
  for await (const block of blocks) {
    hash.update(block);
    read += block.length;
    yield block;
  }
  if (read === size && hash.digest('hex') === sha256) return;
  throw corruptPackage(where, `the bytes of ${printable(name)} are not those of its manifest`);
}

/** Gathers blocks of a size that is known and small. */
async function gather(blocks: AsyncIterable<Uint8Array>, size: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafe(size);
  let fill = 0;
  for await (const block of blocks) {
    if (fill + block.length <= size) whole.set(block, fill);
    fill += block.length;
  }
  return whole.subarray(0, Math.min(fill, size));
}
