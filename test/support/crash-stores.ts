import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Digest, isDigest, sha256 } from '../../src/base/digest.ts';
import { isMstoreError } from '../../src/base/errors.ts';
import { type PackFooter, parseFooter, parseTrailer, trailerBytes } from '../../src/pack/format.ts';
import { localRemote } from '../../src/remote/local.ts';
import { parseRecipe, type Recipe } from '../../src/store/recipe.ts';
import { checkRemote } from './flow-remote-check.ts';
import { filesBelow } from './flow-state.ts';
import { naiveDecode } from './naive-decoder.ts';

/** What a store or a remote holds that is whole and that no mark of a clean-up names, by names. */
export interface StoreContents {
  readonly chunks: readonly string[];
  readonly recipes: readonly string[];
  /** What root records name. */
  readonly roots: readonly string[];
}

/** Packs of which it is remembered which chunks they hold. */
const packsMax = 2_000;

/**
 * Reads stores and directory remotes by the formats alone. What was read before is known by size and time of
 * its files, which copies of a world keep and nothing that is written has.
 */
export class StoreReader {
  readonly #whole = new Set<string>();
  readonly #chunks = new Map<string, readonly string[]>();

  /** Checks that a store is whole and names only what is there. */
  async check(folder: string, options: { readonly cleansUp?: boolean }): Promise<void> {
    const name = `${options.cleansUp ?? false} ${stampsBelow(folder)}`;
    if (this.#whole.has(name)) return;
    await checkRemote(localRemote(folder), options);
    this.#whole.add(name);
  }

  /** Reads what a store holds. */
  contents(folder: string): StoreContents {
    const marked = markedIn(folder);
    const roots = new Set<string>();
    for (const name of filesBelow(path.join(folder, 'roots'))) {
      if (marked.has(`roots/${name}`)) continue;
      const text = fs.readFileSync(path.join(folder, 'roots', name), 'utf8');
      for (const item of (JSON.parse(text) as { paths: Array<{ sha256: string }> }).paths)
        roots.add(item.sha256);
    }
    const recipes = recipesIn(folder).filter(({ blob }) => !marked.has(blob));
    return {
      chunks: this.#chunksIn(folder, marked),
      recipes: recipes.map(({ blob }) => blob),
      roots: [...roots].sort(),
    };
  }

  /** Checks that nothing is lost that a store held before, whole, though it may be in quarantine now. */
  checkNothingLost(folder: string, before: Pick<StoreContents, 'chunks' | 'recipes'>): void {
    const held = [folder, path.join(folder, 'quarantine')];
    const chunks = new Set(held.flatMap((each) => this.#chunksIn(each, new Set())));
    const recipes = new Set(held.flatMap(recipesIn).map(({ blob }) => blob as string));
    const lost = [
      ...before.chunks.filter((chunk) => !chunks.has(chunk)),
      ...before.recipes.filter((recipe) => !recipes.has(recipe)),
    ];
    if (lost.length > 0) throw new Error(`${folder} has lost what was whole: ${lost}`);
  }

  /** Checks that a store holds blobs. */
  checkKept(folder: string, blobs: Iterable<string>): void {
    const chunks = new Set(this.#chunksIn(folder, new Set()));
    const recipes = new Map(recipesIn(folder).map((recipe) => [recipe.blob as string, recipe]));
    for (const blob of blobs) {
      if (chunks.has(shortOf(blob))) continue;
      const recipe = recipes.get(blob);
      if (recipe === undefined) throw new Error(`${folder} has no recipe of ${blob}`);
      for (let row = 0; row < recipe.count; row++) {
        if (!chunks.has(shortOf(recipe.chunk(row))))
          throw new Error(`${folder} has not all chunks of ${blob}`);
      }
    }
  }

  /** The chunks that are whole in packs that are not marked, sorted. */
  #chunksIn(folder: string, marked: ReadonlySet<string>): string[] {
    const chunks = new Set<string>();
    for (const name of filesBelow(path.join(folder, 'packs'))) {
      const pack = path.basename(name, '.pack');
      if (!isDigest(pack) || marked.has(pack)) continue;
      for (const chunk of this.#chunksOf(folder, pack)) chunks.add(chunk);
    }
    return [...chunks].sort();
  }

  #chunksOf(folder: string, pack: Digest): readonly string[] {
    const [file, index] = filesOf(folder, pack);
    const name = `${pack} ${stampOf(file)} ${stampOf(index)}`;
    const known = this.#chunks.get(name);
    if (known !== undefined) return known;
    const chunks = readChunks(file, index, pack);
    if (this.#chunks.size === packsMax) this.#chunks.clear();
    this.#chunks.set(name, chunks);
    return chunks;
  }
}

function filesOf(folder: string, pack: Digest): [pack: string, index: string] {
  const shard = pack.slice(0, 2);
  return [
    path.join(folder, 'packs', shard, `${pack}.pack`),
    path.join(folder, 'index', shard, `${pack}.idx`),
  ];
}

/** Enough of a digest to tell it from others, and to be read in a message. */
function shortOf(digest: string): string {
  return digest.slice(0, 16);
}

function stampOf(file: string): string {
  const stat = fs.lstatSync(file, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? 'none' : `${stat.size} ${stat.mtimeNs}`;
}

/** Names the state of all files of a store, those under construction left out. */
function stampsBelow(folder: string): string {
  const hash = createHash('sha256');
  for (const name of filesBelow(folder)) {
    if (/^(?:tmp|tables|remotes)\//.test(name)) continue;
    hash.update(`${name} ${stampOf(path.join(folder, name))}\n`);
  }
  return hash.digest('hex');
}

/** Names of packs and recipes, and keys of root records, that marks of clean-ups name. */
function markedIn(folder: string): Set<string> {
  const marks = filesBelow(path.join(folder, 'gc')).filter((name) => name.endsWith('/mark.json'));
  return new Set(
    marks.flatMap((name) => {
      const text = fs.readFileSync(path.join(folder, 'gc', name), 'utf8');
      const mark = JSON.parse(text) as Record<'packs' | 'recipes' | 'roots', string[]>;
      return [...mark.packs, ...mark.recipes, ...mark.roots];
    }),
  );
}

/** The recipes that are well-formed. */
function recipesIn(folder: string): Recipe[] {
  return filesBelow(path.join(folder, 'recipes')).flatMap((name) => {
    const blob = path.basename(name);
    if (!isDigest(blob)) return [];
    const bytes = fs.readFileSync(path.join(folder, 'recipes', name));
    return wellFormed(() => parseRecipe(bytes, blob)) ?? [];
  });
}

function wellFormed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isMstoreError(error)) return undefined;
    throw error;
  }
}

/** The chunks of a pack whose bytes are theirs; its list of them is that of the index object, or its own. */
function readChunks(file: string, index: string, pack: Digest): string[] {
  const bytes = fs.readFileSync(file);
  const footer =
    (fs.existsSync(index) && wellFormed(() => parseFooter(fs.readFileSync(index), pack))) ||
    wellFormed(() => ownFooter(bytes, pack));
  if (!footer) return [];
  const chunks: string[] = [];
  for (let row = 0; row < footer.count; row++) {
    const { offset, storedLength, encoding, rawLength } = footer.row(row);
    const stored = bytes.subarray(offset, offset + storedLength);
    if (isChunk(stored, encoding, rawLength, footer.chunk(row)))
      chunks.push(shortOf(footer.chunk(row)));
  }
  return chunks;
}

function isChunk(stored: Buffer, encoding: number, rawLength: number, id: Digest): boolean {
  try {
    return sha256(naiveDecode(stored, encoding, rawLength)) === id;
  } catch {
    return false;
  }
}

function ownFooter(bytes: Buffer, pack: Digest): PackFooter {
  const trailer = bytes.subarray(Math.max(0, bytes.length - trailerBytes));
  const { footerStart, footerLength } = parseTrailer(trailer, bytes.length);
  return parseFooter(bytes.subarray(footerStart, footerStart + footerLength), pack);
}
