/** An object as the service holds it. */
export interface StoredObject {
  readonly bytes: Buffer;
  /** Number of the write that made it; a later try of the same write finds its own. */
  readonly write: string;
  /** By the clock of the service, milliseconds. */
  readonly created: number;
}

/** A row of a listing. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly created: number;
}

interface GoneObject extends ListedObject {
  readonly deleted: number;
}

/** What learns of every change at the moment when it takes effect. */
export interface Watcher {
  created(key: string, bytes: Buffer): void;
  deleted(key: string): void;
}

/** How long a listing does not show that a key was created or deleted, milliseconds. */
export type ListingLag = (key: string, what: 'created' | 'deleted') => number;

/** The one truth of a simulated remote: every change takes effect at one moment, for all hosts. */
export class Server {
  readonly objects = new Map<string, StoredObject>();
  readonly #now: () => number;
  readonly #lag: ListingLag;
  readonly #watcher: Watcher;
  #gone: GoneObject[] = [];
  constructor(now: () => number, lag: ListingLag, watcher: Watcher) {
    this.#now = now;
    this.#lag = lag;
    this.#watcher = watcher;
  }

  create(key: string, bytes: Buffer, write: string): 'created' | 'exists' {
    const there = this.objects.get(key);
    if (there !== undefined) return there.write === write ? 'created' : 'exists';
    this.objects.set(key, { bytes, write, created: this.#now() });
    this.#watcher.created(key, bytes);
    return 'created';
  }

  delete(key: string): boolean {
    const there = this.objects.get(key);
    if (there === undefined) return false;
    const row = { key, size: there.bytes.length, created: there.created };
    this.objects.delete(key);
    this.#gone.push({ ...row, deleted: this.#now() });
    this.#watcher.deleted(key);
    return true;
  }

  /** Tells whether anything was created or deleted at a moment or later. */
  changedSince(at: number): boolean {
    if (this.#gone.some(({ deleted }) => deleted >= at)) return true;
    return [...this.objects.values()].some(({ created }) => created >= at);
  }

  /** One page of a listing: as the service shows it, which may be behind. */
  list(prefix: string, after: string, count: number): ListedObject[] {
    const now = this.#now();
    const rows = new Map<string, ListedObject>();
    const fits = (key: string): boolean => key.startsWith(prefix) && key > after;
    for (const gone of this.#gone) {
      if (!fits(gone.key)) continue;
      if (now < gone.deleted + this.#lag(gone.key, 'deleted')) rows.set(gone.key, gone);
    }
    for (const [key, { bytes, created }] of this.objects) {
      if (!fits(key) || now < created + this.#lag(key, 'created')) continue;
      rows.set(key, { key, size: bytes.length, created });
    }
    return [...rows.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, count);
  }
}
