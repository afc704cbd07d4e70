import { type Digest, isDigest, sha256 } from '../../src/base/digest.ts';
import { parseTree, type TreeEntry } from '../../src/base/tree.ts';
import { type PackFooter, parseFooter } from '../../src/pack/format.ts';
import type { RemotePruner, RemoteReader } from '../../src/remote/remote.ts';
import { packKey } from '../../src/store/keys.ts';
import { emptyBlob, parseRecipe, soleChunkRecipe } from '../../src/store/recipe.ts';
import { naiveDecode } from './naive-decoder.ts';
import { listKeys, readObject } from './remote-bytes.ts';

/** Chunks by id, each cut out of a pack of the remote, decoded and hashed. */
type Chunks = Map<string, Buffer>;

/**
 * Checks that a remote names nothing that it does not have: every index object has its pack and speaks
 * the truth about it, every chunk of a recipe is in an indexed pack and the recipe yields its blob, every
 * blob of a root can be read. Goes by the formats alone, not by the code that reads remotes.
 * @param options `cleansUp` passes over index objects without a pack, and recipes: a clean-up that was broken off
 * leaves some that lead to nothing
 * @returns the root records
 */
export async function checkRemote(
  remote: RemoteReader,
  { cleansUp = false }: { readonly cleansUp?: boolean } = {},
): Promise<number> {
  const keys = await listKeys(remote);
  const packs = new Set(keys.filter((name) => name.endsWith('.pack')).map(digestOf));
  const chunks: Chunks = new Map();
  for (const key of keys.filter((name) => name.startsWith('index/'))) {
    if (cleansUp && !packs.has(digestOf(key))) continue;
    await readPack(remote, key, chunks);
  }
  for (const key of keys.filter((name) => !cleansUp && name.startsWith('recipes/'))) {
    await readBlob(remote, key.slice(key.lastIndexOf('/') + 1), chunks);
  }
  const roots = keys.filter((name) => name.startsWith('roots/'));
  for (const key of roots) await checkRoot(remote, key, chunks);
  return roots.length;
}

function digestOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1, key.lastIndexOf('.'));
}

async function readPack(remote: RemoteReader, key: string, chunks: Chunks): Promise<void> {
  const id = key.slice(key.lastIndexOf('/') + 1, -'.idx'.length);
  if (!isDigest(id)) throw new Error(`${key} has no digest in its name`);
  const footer: PackFooter = parseFooter(await readObject(remote, key), id);
  const pack = await readObject(remote, packKey(id));
  if (pack.length !== footer.packBytes) throw new Error(`The pack of ${key} has another size`);
  for (let row = 0; row < footer.count; row++) {
    const { offset, storedLength, encoding, rawLength } = footer.row(row);
    const bytes = naiveDecode(pack.subarray(offset, offset + storedLength), encoding, rawLength);
    if (sha256(bytes) !== footer.chunk(row)) throw new Error(`Chunk ${row} of ${key} is damaged`);
    chunks.set(footer.chunk(row), bytes);
  }
}

async function readBlob(remote: RemoteReader, name: string, chunks: Chunks): Promise<Buffer> {
  if (!isDigest(name)) throw new Error(`${name} is no digest`);
  if (name === emptyBlob) return Buffer.alloc(0);
  const sole = chunks.get(name);
  const recipe = sole
    ? soleChunkRecipe(name, sole.length)
    : parseRecipe(await readObject(remote, `recipes/${name.slice(0, 2)}/${name}`), name);
  const parts: Buffer[] = [];
  for (let row = 0; row < recipe.count; row++) {
    const chunk = chunks.get(recipe.chunk(row));
    if (chunk === undefined) throw new Error(`The recipe ${name} names a chunk that is nowhere`);
    parts.push(chunk);
  }
  const bytes = Buffer.concat(parts);
  if (sha256(bytes) !== name) throw new Error(`The recipe ${name} yields other bytes`);
  return bytes;
}

async function checkRoot(remote: RemoteReader, key: string, chunks: Chunks): Promise<void> {
  const { paths } = JSON.parse(String(await readObject(remote, key))) as {
    paths: Array<{ kind: 'file' | 'tree'; sha256: Digest }>;
  };
  for (const { kind, sha256: blob } of paths) {
    const bytes = await readBlob(remote, blob, chunks);
    const entries: TreeEntry[] = kind === 'tree' ? parseTree(bytes) : [];
    for (const entry of entries) {
      if ('sha256' in entry) await readBlob(remote, entry.sha256, chunks);
    }
  }
}

/** Replaces an object by other bytes, which no mstore would ever do. */
export async function damage(
  remote: RemotePruner,
  key: string,
  change: (bytes: Buffer) => Buffer | undefined,
): Promise<void> {
  const bytes = change(await readObject(remote, key));
  await remote.delete(key);
  if (bytes === undefined) return;
  await remote.create(key, {
    size: bytes.length,
    open: async function* () {
      yield bytes;
    },
  });
}

/** Turns one bit. */
export function flipAt(at: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
}
