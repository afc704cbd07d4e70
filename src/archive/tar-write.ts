import type { Header, Pack } from 'tar-stream';

/** One entry of an archive. */
export type TarEntry =
  | {
      readonly type: 'file';
      readonly name: string;
      readonly size: number;
      readonly executable: boolean;
      /** Blocks of which each is valid until the next step; of `size` bytes together. */
      readonly blocks: Iterable<Uint8Array>;
    }
  | { readonly type: 'symlink'; readonly name: string; readonly target: string }
  | { readonly type: 'directory'; readonly name: string };

/** What tells when and by whom an entry was made, the same of all. */
const nobody = { mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' } as const;

/**
 * Writes an archive in the form of POSIX 2001: ustar, and a pax header for names that it cannot say. It depends on
 * the entries and their order alone. Memory: a few blocks.
 * @throws whatever the entries throw
 */
export async function* tarBytes(
  entries: AsyncIterable<TarEntry>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { pack } = await import('./tar-stream.ts');
  const out = pack();
  // The reader sees the failure; it comes by there.
  const filled = fill(out, entries).catch((error: Error) => out.destroy(error));
  try {
    for await (const block of out as AsyncIterable<Uint8Array>) yield block;
  } finally {
    out.destroy();
    await filled;
  }
}

type Sink = ReturnType<Pack['entry']>;

async function fill(out: Pack, entries: AsyncIterable<TarEntry>): Promise<void> {
  for await (const entry of entries) await writeEntry(out, entry);
  out.finalize();
}

async function writeEntry(out: Pack, entry: TarEntry): Promise<void> {
  let wake = (): void => {};
  const ended = new Promise<void>((resolve, reject) => {
    const sink = out.entry(headerOf(entry), (error) => (error ? reject(error) : resolve()));
    sink.on('drain', () => wake());
    sink.on('close', () => wake());
    sink.on('error', reject);
    if (entry.type === 'file') feed(sink, entry.blocks).catch(reject);
  });
  await ended;

  async function feed(sink: Sink, blocks: Iterable<Uint8Array>): Promise<void> {
    for (const block of blocks) {
      const drained = new Promise<void>((resolve) => {
        wake = resolve;
      });
      // The block is another one at the next step, and the archive may be read later.
      if (!sink.write(Buffer.from(block))) await drained;
      if (sink.destroyed) return;
    }
    sink.end(null);
  }
}

function headerOf(entry: TarEntry): Partial<Header> & Pick<Header, 'name'> {
  const { name } = entry;
  if (entry.type === 'symlink') {
    return { ...nobody, name, type: 'symlink', linkname: entry.target, mode: 0o777, size: 0 };
  }
  if (entry.type === 'directory') {
    return { ...nobody, name, type: 'directory', mode: 0o755, size: 0 };
  }
  const mode = entry.executable ? 0o755 : 0o644;
  return { ...nobody, name, type: 'file', mode, size: entry.size };
}
