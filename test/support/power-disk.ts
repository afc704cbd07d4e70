import * as path from 'node:path';
import type { Call } from './crash-calls.ts';
import {
  bytesOf,
  type Content,
  type Wanted,
  type WantedFile,
  type WantedFolder,
  type WantedLink,
} from './crash-folders.ts';

interface FileNode {
  readonly kind: 'file';
  mode: number;
  /** What is on the disk for certain. */
  flushed: Content;
  /** What programs see. */
  seen: Content;
}

type Node = FileNode | WantedLink | FolderNode;

/** A change of the names in a folder; those of one step reach the disk together. */
type Step = ReadonlyMap<string, Node | undefined>;

interface FolderNode {
  readonly kind: 'folder';
  /** Names that are on the disk for certain. */
  flushed: Map<string, Node>;
  /** Names that programs see. */
  readonly seen: Map<string, Node>;
  /** What led from the one to the other, in order. */
  steps: Step[];
}

/**
 * What a power cut leaves of what was not flushed. Of the names in each folder a part may have reached the
 * disk, in order; of the bytes of each file none, the first half, or zeros of the right number.
 */
export interface Loss {
  /** How many of `count` steps of a folder are kept. */
  readonly names: (count: number) => number;
  readonly bytes: () => 'none' | 'half' | 'zeros' | 'all';
}

/**
 * A disk that forgets in a power cut what was not flushed. It is told the calls of a process. A file is
 * flushed by `fsync` of it, a name by `fsync` of its folder, and by nothing else: file systems keep
 * more, and none less.
 */
export class PowerDisk {
  readonly #folder: string;
  readonly #root: FolderNode;
  readonly #open = new Map<number, Node>();

  /**
   * @param image what is on the disk at the start
   * @param folder the folder that calls name
   */
  constructor(image: WantedFolder, folder: string) {
    this.#folder = folder;
    this.#root = folderOf(image, new Map());
  }

  /** Forgets open files, as the end of a process does. */
  endProcess(): void {
    this.#open.clear();
  }

  /**
   * Does what a call did.
   * @param data bytes that the process wrote
   */
  apply(call: Call, data: Buffer): void {
    if (call.result < 0) return;
    const apply = this.#calls[call.name];
    if (apply === undefined) throw new Error(`The disk knows no ${call.name}`);
    apply(call, data);
  }

  readonly #calls: Readonly<Record<string, (call: Call, data: Buffer) => void>> = {
    open: (call) => this.#opened(call),
    'open-write': (call) => this.#opened(call),
    create: (call) => {
      const empty = Buffer.alloc(0);
      this.#setName(call.path, {
        kind: 'file',
        mode: call.length,
        flushed: empty,
        seen: empty,
      });
      this.#opened(call);
    },
    close: ({ fd }) => void this.#open.delete(fd),
    read: () => {},
    opendir: () => {},
    write: (call, data) => this.#write(call, data),
    pwrite: (call, data) => this.#write(call, data),
    writev: (call, data) => this.#write(call, data),
    pwritev: (call, data) => this.#write(call, data),
    copy_file_range: (call, data) => this.#write(call, data),
    sendfile: (call, data) => this.#write(call, data),
    ftruncate: ({ fd, length }) => {
      const file = this.#file(fd);
      const bytes = Buffer.alloc(length);
      bytesOf(file.seen).copy(bytes);
      file.seen = bytes;
    },
    fsync: ({ fd }) => this.#flush(fd),
    fdatasync: ({ fd }) => this.#flush(fd),
    mkdir: ({ path: name }) => this.#setName(name, newFolder()),
    link: ({ path: from, second }) => this.#setName(second, this.#find(from)),
    symlink: ({ path: name, second }) => this.#setName(name, { kind: 'link', target: second }),
    unlink: ({ path: name }) => this.#setName(name, undefined),
    rmdir: ({ path: name }) => this.#setName(name, undefined),
    remove: ({ path: name }) => this.#setName(name, undefined),
    rename: ({ path: from, second }) => this.#rename(from, second),
    chmod: ({ path: name, length }) => changeMode(this.#find(name), length),
    fchmod: ({ fd, length }) => changeMode(this.#file(fd), length),
  };

  #opened({ path: name, fd, offset }: Call): void {
    const node = this.#find(name);
    if (offset === 1 && node.kind === 'file') node.seen = Buffer.alloc(0);
    this.#open.set(fd, node);
  }

  #write({ fd, offset, length, data: at }: Call, data: Buffer): void {
    const file = this.#file(fd);
    const before = bytesOf(file.seen);
    const bytes = Buffer.alloc(Math.max(before.length, offset + length));
    before.copy(bytes);
    data.copy(bytes, offset, at, at + length);
    file.seen = bytes;
  }

  #flush(fd: number): void {
    const node = this.#open.get(fd);
    if (node?.kind === 'folder') {
      node.flushed = new Map(node.seen);
      node.steps = [];
    } else if (node?.kind === 'file') node.flushed = node.seen;
  }

  #rename(from: string, to: string): void {
    const node = this.#find(from);
    if (node === this.#lookUp(to)) return;
    const [source, target] = [this.#parent(from), this.#parent(to)];
    if (source === target) {
      step(source, [
        [path.basename(from), undefined],
        [path.basename(to), node],
      ]);
      return;
    }
    this.#setName(to, node);
    this.#setName(from, undefined);
  }

  #setName(name: string, node: Node | undefined): void {
    step(this.#parent(name), [[path.basename(name), node]]);
  }

  #parent(name: string): FolderNode {
    const node = this.#find(path.dirname(name));
    if (node.kind !== 'folder') throw new Error(`${name} is in no folder`);
    return node;
  }

  #file(fd: number): FileNode {
    const node = this.#open.get(fd);
    if (node?.kind !== 'file') throw new Error(`The descriptor ${fd} is none of a file`);
    return node;
  }

  #find(name: string): Node {
    const node = this.#lookUp(name);
    if (node === undefined) throw new Error(`${name} is not on the disk`);
    return node;
  }

  #lookUp(name: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.relative(this.#folder, name).split('/')) {
      if (part === '') continue;
      node = node?.kind === 'folder' ? node.seen.get(part) : undefined;
    }
    return node;
  }

  /**
   * Tells what a power cut leaves.
   * @param rename gives a file another name, as seen from its folder
   */
  left(loss: Loss, rename: (name: string) => string = (name) => name): WantedFolder {
    return leftOf(this.#root, loss, rename, new Map());
  }
}

function newFolder(): FolderNode {
  return { kind: 'folder', flushed: new Map(), seen: new Map(), steps: [] };
}

function folderOf(image: WantedFolder, files: Map<WantedFile, FileNode>): FolderNode {
  const node = newFolder();
  for (const [name, child] of image.names) {
    if (child.kind === 'folder') node.seen.set(name, folderOf(child, files));
    else if (child.kind === 'link') node.seen.set(name, child);
    else {
      const { mode, content } = child;
      const file = files.get(child) ?? { kind: 'file', mode, flushed: content, seen: content };
      files.set(child, file);
      node.seen.set(name, file);
    }
  }
  node.flushed = new Map(node.seen);
  return node;
}

function step(folder: FolderNode, changes: ReadonlyArray<[string, Node | undefined]>): void {
  const made = new Map(changes);
  take(folder.seen, made);
  folder.steps.push(made);
}

function take(names: Map<string, Node>, changes: Step): void {
  for (const [name, node] of changes) {
    if (node === undefined) names.delete(name);
    else names.set(name, node);
  }
}

function changeMode(node: Node, mode: number): void {
  if (node.kind === 'file') node.mode = mode & 0o777;
}

function leftOf(
  node: FolderNode,
  loss: Loss,
  rename: (name: string) => string,
  files: Map<FileNode, WantedFile>,
): WantedFolder {
  const kept = new Map(node.flushed);
  for (const each of node.steps.slice(0, loss.names(node.steps.length))) take(kept, each);
  const names = new Map<string, Wanted>();
  for (const [name, child] of kept) {
    if (child.kind === 'folder') names.set(rename(name), leftOf(child, loss, rename, files));
    else if (child.kind === 'link') names.set(rename(name), child);
    else {
      const file = files.get(child) ?? fileLeft(child, loss);
      files.set(child, file);
      names.set(rename(name), file);
    }
  }
  return { kind: 'folder', names };
}

function fileLeft(node: FileNode, loss: Loss): WantedFile {
  const content = node.seen === node.flushed ? node.flushed : lose(node, loss.bytes());
  return { kind: 'file', mode: node.mode, content };
}

function lose({ flushed, seen }: FileNode, what: ReturnType<Loss['bytes']>): Content {
  if (what === 'none') return flushed;
  if (what === 'all') return seen;
  const bytes = bytesOf(seen);
  return what === 'half' ? bytes.subarray(0, bytes.length >> 1) : Buffer.alloc(bytes.length);
}
