import * as path from 'node:path';
import { readCacheDocument, writeCacheFile } from '../../base/cache-file.ts';
import { type Digest, isDigest } from '../../base/digest.ts';
import { isJsonObject } from '../../base/json.ts';
import type { DvcHash } from '../../dvc/object-key.ts';
import type { SourceFile } from '../../source/snapshot.ts';
import type { Workspace } from '../workspace.ts';

const format = 1;
/** Some 600,000 files. */
const bytesMax = 64 * 1024 * 1024;

type Md5 = NonNullable<SourceFile['md5']>;

/** What is known of a file. */
interface KnownFile {
  readonly sha256: Digest;
  /** Bytes. */
  readonly size: number;
}

/**
 * The digests of files that DVC names by their MD5, as earlier imports found them: what the store has under one is not
 * read again. Losing them costs time alone.
 */
export class DvcDigests {
  readonly #file: string;
  readonly #digests = new Map<string, KnownFile>();

  private constructor(file: string) {
    this.#file = file;
  }

  /** Reads those of a workspace. */
  static open({ cacheFolder }: Workspace): DvcDigests {
    const found = new DvcDigests(path.join(cacheFolder, 'dvc.json'));
    const kept = readCacheDocument(found.#file, format, bytesMax)?.['digests'];
    for (const [name, value] of isJsonObject(kept) ? Object.entries(kept) : []) {
      const { sha256, size } = isJsonObject(value) ? value : {};
      if (!isDigest(sha256) || typeof size !== 'number') continue;
      found.#digests.set(name, { sha256, size });
    }
    return found;
  }

  /** What is known of a file; undefined for one that was not imported before. */
  find(md5: Md5): KnownFile | undefined {
    return this.#digests.get(nameOf(md5));
  }

  /** Keeps what was found. */
  keep(found: Iterable<readonly [Md5, KnownFile]>): void {
    const before = this.#digests.size;
    for (const [md5, { sha256, size }] of found) this.#digests.set(nameOf(md5), { sha256, size });
    if (this.#digests.size === before) return;
    const document = { format, digests: Object.fromEntries(this.#digests) };
    const text = JSON.stringify(document);
    if (text.length <= bytesMax) writeCacheFile(this.#file, text);
  }
}

/** The two kinds of names are no names of each other's bytes. */
function nameOf({ hash, digest }: { readonly hash: DvcHash; readonly digest: string }): string {
  return `${hash}:${digest}`;
}
