import { Breather } from '../../base/abort.ts';
import { type Digest, digestToRaw, sha256 } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry, parseTree, type TreeEntry } from '../../base/tree.ts';
import { readObject } from '../../remote/remote.ts';
import { BlobReader } from '../../store/blob-reader.ts';
import { recipeKey } from '../../store/keys.ts';
import {
  emptyBlob,
  parseRecipe,
  type Recipe,
  recipeBytesMax,
  soleChunkRecipe,
} from '../../store/recipe.ts';
import type { NeededBlob, Tracked } from '../tracked.ts';
import type { ChunkStates } from './chunks.ts';
import { FindingNote, type Findings } from './findings.ts';
import { isObjectFault, readRowOf, repairHint } from './packs.ts';
import type { VerifiedPlace } from './place.ts';
import type { RecipesResult } from './recipes.ts';

/** Something that is kept, and what people call it. */
export interface NamedContent {
  /** `model@v1`, `models/a.bin in the working tree`, `models/a.bin at 3f2a91c`. */
  readonly name: string;
  readonly item: Tracked;
}

/** Files of one directory that are named. */
const filesNamed = 3;
/** Contents that are absent and named. */
const absentNamed = 5;
/** Missing blobs that are told apart. */
const missingMax = 100_000;

/** Contents that are not there, which is no damage by itself. */
export interface Absent {
  /** Names of some of them. */
  readonly names: string[];
  /** How many are not there, or not whole. */
  contents: number;
  blobs: number;
  bytes: number;
}

/** What is known of the contents that are kept. */
export interface HarmResult {
  contents: number;
  readonly absent: Absent;
  /** Blobs of which a remote has nothing, though something needs them. */
  readonly missing: Map<Digest, FindingNote>;
}

/** What harm is told by. */
export interface HarmParts {
  readonly place: VerifiedPlace;
  readonly chunks: ChunkStates;
  readonly recipes: RecipesResult;
  readonly findings: Findings;
  /** Whether what is not there is missing: of a remote, which must have all that it names. */
  readonly mustHave: boolean;
}

/** What is wrong with some content: files by finding, and what is absent. */
interface Verdict {
  readonly harm: ReadonlyMap<FindingNote, readonly string[]>;
  readonly absent: readonly NeededBlob[];
}

const sound: Verdict = { harm: new Map(), absent: [] };

/**
 * Finds out which contents cannot be had, by their names. Each tree is read once. Memory: some 100 bytes for each
 * tree, and what {@link HarmResult} holds.
 */
export class HarmCheck {
  readonly result: HarmResult = {
    contents: 0,
    absent: { names: [], contents: 0, blobs: 0, bytes: 0 },
    missing: new Map(),
  };
  readonly #parts: HarmParts;
  readonly #trees = new Map<Digest, Verdict>();
  readonly #absent = new Set<Digest>();
  readonly #breather: Breather;

  constructor(parts: HarmParts) {
    this.#parts = parts;
    this.#breather = new Breather(parts.place.requests.signal);
  }

  /** Judges one content. */
  async check({ name, item: { pointer } }: NamedContent): Promise<void> {
    if (this.#breather.due()) await this.#breather.turn();
    this.result.contents++;
    const verdict =
      pointer.kind === 'tree'
        ? await this.#tree(pointer.sha256, pointer.files)
        : await this.#file({ sha256: pointer.sha256, size: pointer.size });
    for (const [note, files] of verdict.harm) note.harm(name + filesOf(files));
    if (verdict.absent.length > 0) this.#noteAbsent(name, verdict.absent);
  }

  #noteAbsent(name: string, blobs: readonly NeededBlob[]): void {
    const { absent, missing } = this.result;
    for (const blob of blobs) {
      const { sha256: digest, size } = blob;
      if (!this.#absent.has(digest)) {
        this.#absent.add(digest);
        absent.blobs++;
        absent.bytes += size;
        if (this.#parts.mustHave && missing.size < missingMax) this.#noteMissing(blob);
      }
      missing.get(digest)?.harm(name);
    }
    absent.contents++;
    if (absent.names.length < absentNamed) absent.names.push(name);
  }

  #noteMissing({ sha256: digest, size }: NeededBlob): void {
    const note = new FindingNote({
      kind: 'content-missing',
      severity: 'damage',
      code: 'objects-missing',
      key: recipeKey(digest),
      message: `The content ${digest} (${formatBytes(size)}) is not there, neither as a chunk nor by a recipe`,
      hint: repairHint,
    });
    this.result.missing.set(digest, note);
  }

  /** Ends: what came since it was looked for is not missing, and all else is told. */
  async finish(): Promise<void> {
    const { missing } = this.result;
    const { place, chunks, findings } = this.#parts;
    if (missing.size === 0) return;
    chunks.refresh(await place.index());
    for (const [blob, note] of missing) {
      const isThere =
        chunks.isSole(blob) ||
        (await place.objects.stat(recipeKey(blob), place.requests)) !== undefined;
      if (isThere) missing.delete(blob);
      else findings.take(note);
    }
  }

  async #file(blob: NeededBlob): Promise<Verdict> {
    const notes = this.blame(blob.sha256);
    if (notes === undefined) return { harm: new Map(), absent: [blob] };
    if (notes.length === 0) return sound;
    return { harm: new Map(notes.map((note) => [note, []])), absent: [] };
  }

  /**
   * Returns the findings by which a blob cannot be had: none when it is whole, undefined when nothing is known of
   * it here.
   */
  blame(blob: Digest): readonly FindingNote[] | undefined {
    const { chunks, recipes } = this.#parts;
    if (blob === emptyBlob) return [];
    const bad = recipes.bad.get(blob);
    if (chunks.isSole(blob)) return [];
    if (bad !== undefined) return bad;
    const lost = chunks.lostBy(digestToRaw(blob));
    if (lost !== undefined) return [lost];
    return recipes.names.has(blob) && !recipes.partial.has(blob) ? [] : undefined;
  }

  async #tree(tree: Digest, listed: readonly TreeEntry[] | undefined): Promise<Verdict> {
    const known = this.#trees.get(tree);
    if (known !== undefined) return known;
    const verdict = await this.#judgeTree(tree, listed);
    this.#trees.set(tree, verdict);
    return verdict;
  }

  async #judgeTree(tree: Digest, listed: readonly TreeEntry[] | undefined): Promise<Verdict> {
    const harm = new Map<FindingNote, string[]>();
    const absent: NeededBlob[] = [];
    const take = (blob: NeededBlob, file: string): void => {
      const notes = this.blame(blob.sha256);
      if (notes === undefined) absent.push(blob);
      for (const note of notes ?? []) harm.set(note, [...(harm.get(note) ?? []), file]);
    };
    take({ sha256: tree, size: 0 }, 'its list of files');
    const entries = listed ?? (await this.#entries(tree));
    for (const entry of entries ?? []) {
      if (this.#breather.due()) await this.#breather.turn();
      if (isFileEntry(entry)) take({ sha256: entry.sha256, size: entry.size }, entry.path);
    }
    return harm.size === 0 && absent.length === 0 ? sound : { harm, absent };
  }

  /** Reads the list of a directory; undefined when that cannot be done. */
  async #entries(tree: Digest): Promise<readonly TreeEntry[] | undefined> {
    const { place, chunks } = this.#parts;
    try {
      const bytes = (await readBlobOf(place, chunks, tree)) ?? readNear(place, tree);
      return bytes === undefined ? undefined : parseTree(bytes);
    } catch (error) {
      // Its bytes are those of its digest: somebody made a tree that is none.
      if (isMstoreError(error, 'corrupt-tree', 'too-large')) return undefined;
      throw error;
    }
  }
}

/** Reads a blob from the local store, where a remote does not have it; undefined when it is not there, or damaged. */
function readNear({ near }: VerifiedPlace, blob: Digest): Buffer | undefined {
  if (near === undefined) return undefined;
  const reader = new BlobReader(near);
  try {
    return reader.readWhole(blob, limits.treeBytesMax);
  } catch (error) {
    if (isLocalDamage(error)) return undefined;
    throw error;
  } finally {
    reader.close();
  }
}

/** Tells whether an error says that the local store has no good copy of something. */
export function isLocalDamage(error: unknown): boolean {
  return isMstoreError(error, 'corrupt-chunk', 'corrupt-pack', 'corrupt-recipe', 'objects-missing');
}

/** Names some of the files of a directory; nothing for a file. */
function filesOf(files: readonly string[]): string {
  if (files.length === 0) return '';
  const named = files.slice(0, filesNamed).map(printable).join(', ');
  const more = files.length - filesNamed;
  return `: ${named}${more > 0 ? ` and ${more} more files` : ''}`;
}

/**
 * Reads a small blob of a place whole, verified; undefined when it is not there, damaged, or no tree by its size.
 */
export async function readBlobOf(
  place: VerifiedPlace,
  chunks: ChunkStates,
  blob: Digest,
): Promise<Buffer | undefined> {
  const recipe = await recipeOf(place, chunks, blob);
  if (recipe === undefined || recipe.size > limits.treeBytesMax) return undefined;
  const parts: Buffer[] = [];
  for (let row = 0; row < recipe.count; row++) {
    const found = chunks.find(recipe.rows, recipe.idOffset(row));
    const part = found && (await readRowOf(place, found));
    if (part === undefined) return undefined;
    parts.push(Buffer.from(part));
  }
  const bytes = Buffer.concat(parts);
  return sha256(bytes) === blob ? bytes : undefined;
}

/** Returns the recipe of a blob; undefined where the place has none that is good. */
export async function recipeOf(
  { objects, requests }: VerifiedPlace,
  chunks: ChunkStates,
  blob: Digest,
): Promise<Recipe | undefined> {
  if (blob === emptyBlob) return soleChunkRecipe(blob, 0);
  const sole = chunks.find(digestToRaw(blob));
  if (sole !== undefined) return soleChunkRecipe(blob, sole.rawLength);
  try {
    return parseRecipe(await readObject(objects, recipeKey(blob), recipeBytesMax, requests), blob);
  } catch (error) {
    if (isObjectFault(error) || isMstoreError(error, 'not-found', 'corrupt-recipe'))
      return undefined;
    throw error;
  }
}
