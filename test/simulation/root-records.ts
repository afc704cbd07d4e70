import { parseMark } from '../../src/store/clean-up.ts';
import { cleanUpPrefix, rootsPrefix } from '../../src/store/keys.ts';
import { repositoryOfRoot } from '../../src/store/roots.ts';

/** What a root record lists. */
interface Listed {
  readonly repository: string;
  /** The digests in its pointers. */
  readonly contents: ReadonlySet<string>;
  /** Who wrote it, and when. */
  readonly command: string;
  readonly at: number;
}

/** A command that was told that something is there. */
export interface Promisee {
  readonly name: string;
  readonly repository: string;
  readonly began: number;
}

/**
 * The root records of a place, and which of them were given up: named in the mark of a clean-up that was told to
 * give up what their repository has pushed. It is told of each change at the moment when it takes effect.
 */
export class RootRecords {
  readonly #now: () => number;
  /** Every record that ever was. */
  readonly #listed = new Map<string, Listed>();
  readonly #there = new Set<string>();
  /** The marks by which a record is given up. */
  readonly #marksOf = new Map<string, Set<string>>();
  readonly #marksThere = new Set<string>();
  /** Records that a mark gives up. */
  readonly #namedIn = new Map<string, readonly string[]>();
  /** When records of a repository were last given up. */
  readonly #lastTime = new Map<string, number>();
  /** Repositories that each clean-up was told to give up. */
  readonly #told = new Map<string, ReadonlySet<string>>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A clean-up is told to give up what repositories have pushed. */
  tell(command: string, repositories: readonly string[]): void {
    this.#told.set(command, new Set(repositories));
  }

  /**
   * An object appeared.
   * @returns whether records are given up by it
   */
  created(key: string, bytes: Uint8Array, command: string): boolean {
    const repository = repositoryOfRoot(key);
    if (repository !== undefined) {
      // One for versions keeps them only until the registry does.
      const isForVersions = JSON.parse(Buffer.from(bytes).toString()).purpose === 'versions';
      const contents = isForVersions ? [] : digestsOfRoot(bytes);
      this.#listed.set(key, {
        ...{ repository, contents: new Set(contents) },
        ...{ command, at: this.#now() },
      });
      this.#there.add(key);
      // Where a clock jumps back, a record may have the name of one that was given up and is gone, mark and all.
      for (const mark of this.#marksOf.get(key) ?? []) {
        if (!this.#marksThere.has(mark)) this.#marksOf.get(key)?.delete(mark);
      }
      return false;
    }
    if (!isMark(key)) return false;
    const told = this.#told.get(command);
    const names = parseMark(bytes, key).roots.filter((name) => {
      return told?.has(repositoryOfRoot(name) ?? '') ?? false;
    });
    this.#namedIn.set(key, names);
    this.#marksThere.add(key);
    for (const name of names) {
      this.#marksOf.set(name, (this.#marksOf.get(name) ?? new Set()).add(key));
      this.#lastTime.set(repositoryOfRoot(name) ?? '', this.#now());
    }
    return names.length > 0;
  }

  /** An object is gone: of a mark that was taken back, the records that are still there keep again what they list. */
  deleted(key: string): void {
    if (key.startsWith(rootsPrefix)) this.#there.delete(key);
    this.#marksThere.delete(key);
    for (const name of this.#namedIn.get(key) ?? []) {
      if (this.#there.has(name)) this.#marksOf.get(name)?.delete(key);
    }
  }

  /** Whether a record keeps nothing any more, as somebody wanted. */
  isGivenUp(key: string): boolean {
    return (this.#marksOf.get(key)?.size ?? 0) > 0;
  }

  /**
   * Records of a repository that keep a content which a command was told to be there. Where what it relied on was given
   * up while it worked, one that another command wrote since then is not yet a promise: that one may still look again.
   */
  keeping(content: string, by: Promisee): string[] {
    const { repository, name, began } = by;
    const givenUp = this.wereGivenUpSince(repository, began)
      ? this.#lastTime.get(repository)
      : undefined;
    return [...this.#there].filter((key) => {
      const record = this.#listed.get(key);
      if (record?.repository !== repository || !record.contents.has(content)) return false;
      const isOthers = record.command !== name && record.at > (givenUp ?? Number.POSITIVE_INFINITY);
      return !isOthers && !this.isGivenUp(key);
    });
  }

  /** Whether records of a repository were given up at a moment or later. */
  wereGivenUpSince(repository: string, at: number): boolean {
    return (this.#lastTime.get(repository) ?? Number.NaN) >= at;
  }
}

function isMark(key: string): boolean {
  return key.startsWith(cleanUpPrefix) && key.endsWith('/mark.json');
}

/** The digests in the pointers that a root record lists. */
export function digestsOfRoot(bytes: Uint8Array): string[] {
  const { paths } = JSON.parse(Buffer.from(bytes).toString());
  return paths.map((item: { sha256: string }) => item.sha256);
}
