import { gzipSync } from 'node:zlib';
import { formatManifest, type PackageManifest } from '../../src/archive/manifest.ts';
import { sha256 } from '../../src/base/digest.ts';
import { sortEntries, type TreeEntry, treeDigest, treeSize } from '../../src/base/tree.ts';

/** One entry of an archive that is made by hand, so that it can be anything. */
export interface RawEntry {
  readonly name: string;
  readonly bytes?: Uint8Array | string;
  /** The letter of its type; `0` by default. */
  readonly type?: string;
  readonly link?: string;
  /** What the header says of its size; by default that of the bytes. */
  readonly size?: number;
  /** Changes the header before its sum is made. */
  readonly change?: (header: Buffer) => void;
}

/** Makes the header of an entry, ustar, with a right sum. */
function headerOf({ name, bytes = '', type = '0', link = '', size, change }: RawEntry): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${(size ?? Buffer.byteLength(bytes)).toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\u000000', 257);
  change?.(header);
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** Makes an archive by hand. */
export function rawTar(entries: readonly RawEntry[], end = Buffer.alloc(1024)): Buffer {
  const parts = entries.flatMap((entry) => {
    const bytes = Buffer.from(entry.bytes ?? '');
    return [headerOf(entry), bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, end]);
}

/** Makes a record of a pax header. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (Buffer.byteLength(`${length}${rest}`) !== length) length++;
  return `${length}${rest}`;
}

/** Makes an archive with gzip around it. */
export function rawPackage(entries: readonly RawEntry[]): Buffer {
  return gzipSync(rawTar(entries));
}

/** Files by path; a text that begins with `->` is a link, undefined a directory. */
export type Contents = Readonly<Record<string, string | undefined>>;

/** Makes the entries of a tree. */
export function treeOf(contents: Contents): TreeEntry[] {
  return sortEntries(
    Object.entries(contents).map(([path, text]): TreeEntry => {
      if (text === undefined) return { path, directory: true };
      if (text.startsWith('->')) return { path, link: text.slice(2) };
      return { path, size: Buffer.byteLength(text), sha256: sha256(text) };
    }),
  );
}

/** Makes the manifest of a package of a directory that is no registered version. */
export function manifestOf(
  files: readonly TreeEntry[],
  change: Partial<PackageManifest> = {},
): PackageManifest {
  const content = {
    path: 'models/m',
    kind: 'tree',
    sha256: treeDigest(files),
    size: treeSize(files),
  } as const;
  return { name: 'm_1', content, registry: [], files, ...change };
}

/** The entries of a good package of a directory, to be changed. */
export function goodEntries(contents: Contents): RawEntry[] {
  const manifest = manifestOf(treeOf(contents));
  return [manifestEntry(manifest), ...fileEntries(manifest, contents)];
}

/** The entry of a manifest. */
export function manifestEntry(manifest: PackageManifest): RawEntry {
  return { name: `${manifest.name}/mstore-package.json`, bytes: formatManifest(manifest) };
}

/** The entries of the files of a manifest. */
export function fileEntries(
  { name, files }: Pick<PackageManifest, 'name' | 'files'>,
  contents: Contents,
): RawEntry[] {
  return files.map((entry): RawEntry => {
    const full = `${name}/files/${entry.path}`;
    if ('directory' in entry) return { name: `${full}/`, type: '5' };
    if ('link' in entry) return { name: full, type: '2', link: entry.link };
    return { name: full, bytes: contents[entry.path] ?? '' };
  });
}

/** Changes the manifest of a package after it was made, whatever it then says. */
export function withManifest(
  entries: readonly RawEntry[],
  change: (manifest: Record<string, unknown>) => unknown,
): RawEntry[] {
  const [first, ...rest] = entries as [RawEntry, ...RawEntry[]];
  const value = JSON.parse(Buffer.from(first.bytes ?? '').toString()) as Record<string, unknown>;
  const changed = change(value) ?? value;
  return [{ ...first, bytes: JSON.stringify(changed) }, ...rest];
}
