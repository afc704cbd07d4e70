import * as fs from 'node:fs';
import * as path from 'node:path';

/** The bytes of a file: in memory, or those of another file that stays as it is. */
export type Content = Buffer | { readonly source: string };

/** A file that is wanted; under several names it is one file with hard links. */
export interface WantedFile {
  readonly kind: 'file';
  readonly mode: number;
  readonly content: Content;
}

/** A symbolic link that is wanted. */
export interface WantedLink {
  readonly kind: 'link';
  readonly target: string;
}

/** A folder that is wanted, with all that it is to hold. */
export interface WantedFolder {
  readonly kind: 'folder';
  readonly names: ReadonlyMap<string, Wanted>;
  /** Its own time; otherwise what writing to it makes of that. */
  readonly mtimeMs?: number;
}

/** What a name is to be. */
export type Wanted = WantedFile | WantedLink | WantedFolder;

/** Describes what a folder holds, so that it can be wanted elsewhere. */
export function readFolder(folder: string, links = new Map<number, WantedFile>()): WantedFolder {
  const names = new Map<string, Wanted>();
  for (const name of fs.readdirSync(folder)) {
    const source = path.join(folder, name);
    const stat = fs.lstatSync(source);
    if (stat.isDirectory()) names.set(name, readFolder(source, links));
    else if (stat.isSymbolicLink())
      names.set(name, { kind: 'link', target: fs.readlinkSync(source) });
    else {
      const file = links.get(stat.ino) ?? {
        kind: 'file' as const,
        mode: stat.mode & 0o777,
        content: { source },
      };
      if (stat.nlink > 1) links.set(stat.ino, file);
      names.set(name, file);
    }
  }
  return { kind: 'folder', names, mtimeMs: fs.statSync(folder).mtimeMs };
}

/** The bytes of a file. */
export function bytesOf(content: Content): Buffer {
  return Buffer.isBuffer(content) ? content : fs.readFileSync(content.source);
}

/** What the system knows a file by; whoever writes to it, or gives it another name, changes it. */
export function stampOf(file: string): string | undefined {
  const stat = fs.lstatSync(file, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.ino}`;
}

/**
 * Makes a folder what is wanted, again and again. Files that it copied before, and that nobody has touched
 * since, are not copied again.
 */
export class FolderWriter {
  readonly #folder: string;
  /** Copies by their paths: what was copied, and what the copy is known by. */
  readonly #copies = new Map<string, { readonly of: string; readonly stamp: string | undefined }>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  write(wanted: WantedFolder): void {
    this.#writeFolder(this.#folder, wanted, new Map());
  }

  #writeFolder(folder: string, wanted: WantedFolder, written: Map<WantedFile, string>): void {
    if (!fs.lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      fs.rmSync(folder, { force: true });
      fs.mkdirSync(folder, { recursive: true });
    }
    for (const name of fs.readdirSync(folder)) {
      if (!wanted.names.has(name))
        fs.rmSync(path.join(folder, name), { recursive: true, force: true });
    }
    for (const [name, child] of wanted.names) {
      const full = path.join(folder, name);
      if (child.kind === 'folder') this.#writeFolder(full, child, written);
      else if (child.kind === 'file') this.#writeFile(full, child, written);
      else writeLink(full, child);
    }
    const { mtimeMs } = wanted;
    if (mtimeMs !== undefined && fs.statSync(folder).mtimeMs !== mtimeMs)
      fs.utimesSync(folder, mtimeMs / 1000, mtimeMs / 1000);
  }

  #writeFile(full: string, wanted: WantedFile, written: Map<WantedFile, string>): void {
    const { content, mode } = wanted;
    const of = Buffer.isBuffer(content) ? undefined : `${mode} ${content.source}`;
    const copy = this.#copies.get(full);
    const other = written.get(wanted);
    written.set(wanted, full);
    if (of !== undefined && copy?.of === of && copy.stamp === stampOf(full)) return;
    this.#copies.delete(full);
    fs.rmSync(full, { recursive: true, force: true });
    if (other !== undefined) {
      fs.linkSync(other, full);
      this.#copies.delete(other);
      return;
    }
    if (Buffer.isBuffer(content)) fs.writeFileSync(full, content);
    else copyFile(content.source, full);
    fs.chmodSync(full, mode);
    if (of !== undefined) this.#copies.set(full, { of, stamp: stampOf(full) });
  }
}

/** Copies a file with its times, by which it is known that it is a copy. */
function copyFile(source: string, full: string): void {
  fs.copyFileSync(source, full);
  const { atimeMs, mtimeMs } = fs.statSync(source);
  fs.utimesSync(full, atimeMs / 1000, mtimeMs / 1000);
}

function writeLink(full: string, { target }: WantedLink): void {
  const stat = fs.lstatSync(full, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink() && fs.readlinkSync(full) === target) return;
  fs.rmSync(full, { recursive: true, force: true });
  fs.symlinkSync(target, full);
}
