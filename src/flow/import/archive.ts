import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipped } from '../../archive/gunzip.ts';
import { tarEntries } from '../../archive/tar-read.ts';
import { throwIfAborted } from '../../base/abort.ts';
import { ensureCacheFolder, writeOn } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { pathProblem, printable } from '../../base/names.ts';
import type { DirectoryEntry, LinkEntry } from '../../base/tree.ts';
import {
  corruptSource,
  type Snapshot,
  type SourceFile,
  sourceChanged,
} from '../../source/snapshot.ts';
import { type ArchiveEntry, zipEntries } from './zip-entries.ts';

/** Tells by its name whether a file is an archive that is unpacked. */
export function isArchive(name: string): boolean {
  return /\.(?:tar|tar\.gz|tgz|zip)$/i.test(name);
}

/**
 * Unpacks an archive that was verified, file by file under numbers, so that nothing in it says where anything is
 * written. What it holds besides files, links and directories is refused.
 * @param archive absolute path of the archive
 * @param folder absolute path of an empty folder
 * @throws MstoreError `corrupt-source`, `corrupt-package`
 */
export async function unpackArchive(
  whole: Snapshot,
  archive: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  const { reference, facts } = whole;
  const taken = new Unpacking(reference, folder, signal);
  const isZip = whole.files[0]?.path.toLowerCase().endsWith('.zip') ?? false;
  const entries = isZip ? zipEntries(archive, reference) : entriesOfTar(archive, reference);
  for await (const entry of entries) {
    throwIfAborted(signal);
    await taken.take(entry);
  }
  return {
    reference,
    facts,
    isFixed: true,
    ...taken.content(),
    read: ({ path: name }) => {
      throw sourceChanged(reference, name, 'what was unpacked of it is gone, or another');
    },
    localCopy: ({ path: name }) => taken.places.get(name),
  };
}

async function* entriesOfTar(
  archive: string,
  where: string,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  const bytes = fs.createReadStream(archive, { highWaterMark: 1024 * 1024 });
  try {
    const blocks = (await startsAsGzip(archive)) ? gunzipped(bytes, where) : bytes;
    yield* tarEntries(blocks, where);
  } finally {
    bytes.destroy();
  }
}

async function startsAsGzip(file: string): Promise<boolean> {
  const handle = await fs.promises.open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await handle.close();
  }
}

class Unpacking {
  readonly places = new Map<string, string>();
  readonly #where: string;
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  readonly #files: SourceFile[] = [];
  readonly #links: LinkEntry[] = [];
  readonly #folders = new Set<string>();
  #entries = 0;

  constructor(where: string, folder: string, signal: AbortSignal | undefined) {
    this.#where = where;
    this.#folder = folder;
    this.#signal = signal;
    ensureCacheFolder(folder);
  }

  async take({ header, blocks }: ArchiveEntry): Promise<void> {
    if (++this.#entries > limits.treeEntriesMax) {
      throw corruptSource(this.#where, `it holds more than ${limits.treeEntriesMax} entries`);
    }
    const name = header.name.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '');
    if (name === '' || name === '.') return;
    const wrong = pathProblem(name);
    if (wrong !== undefined) {
      throw corruptSource(this.#where, `an entry of it, ${printable(header.name)}, has ${wrong}`);
    }
    if (header.type === 'directory') this.#folders.add(name);
    else if (header.type === 'symlink') {
      this.#links.push({ path: name, link: header.linkname ?? '' });
    } else if (header.type === 'file') {
      await this.#file(name, ((header.mode ?? 0) & 0o100) !== 0, header.size ?? 0, blocks);
    } else {
      const type = header.type ?? 'of an unknown type';
      throw corruptSource(
        this.#where,
        `${printable(name)} in it is no file, link or directory (${type})`,
      );
    }
  }

  async #file(
    name: string,
    executable: boolean,
    size: number,
    blocks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const place = path.join(this.#folder, String(this.#files.length));
    const handle = await fs.promises.open(place, 'wx');
    try {
      for await (const block of blocks) {
        throwIfAborted(this.#signal);
        await writeOn(handle, block);
      }
    } finally {
      await handle.close();
    }
    this.places.set(name, place);
    this.#files.push({ path: name, size, ...(executable ? { executable } : {}) });
  }

  /** The files, and what is beside them; a directory counts where nothing is in it. */
  content(): Pick<Snapshot, 'files' | 'others'> {
    const filled = new Set<string>();
    for (const { path: name } of [...this.#files, ...this.#links]) addParents(name, filled);
    for (const name of this.#folders) addParents(name, filled);
    const empty = [...this.#folders].filter((name) => !filled.has(name));
    const directories = empty.map((name): DirectoryEntry => ({ path: name, directory: true }));
    return { files: this.#files, others: [...this.#links, ...directories] };
  }
}

function addParents(name: string, to: Set<string>): void {
  for (let cut = name.lastIndexOf('/'); cut > 0; cut = name.lastIndexOf('/', cut - 1)) {
    to.add(name.slice(0, cut));
  }
}
