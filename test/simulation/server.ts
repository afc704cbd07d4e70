import { packsPrefix } from '../../src/store/keys.ts';

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
  /** @param program that asked for it */
  created(key: string, bytes: Buffer, program: string): void;
  /** @param program that asked for it */
  deleted(key: string, program: string): void;
}

/** How long a listing does not show that a key was created or deleted, milliseconds. */
export type ListingLag = (key: string, what: 'created' | 'deleted') => number;

/** The one truth of a simulated remote: every change takes effect at one moment, for all hosts. */
export class Server {
  readonly objects = new Map<string, StoredObject>();
  readonly #now: () => number;
  readonly #lag: ListingLag;
  readonly #watcher: Watcher;
  readonly #gone: GoneObject[] = [];
  /** Those that listings show for a while. */
  readonly #lingering: GoneObject[] = [];

  constructor(now: () => number, lag: ListingLag, watcher: Watcher) {
    this.#now = now;
    this.#lag = lag;
    this.#watcher = watcher;
  }

  create(
    key: string,
    bytes: Buffer,
    { write, program }: { readonly write: string; readonly program: string },
  ): 'created' | 'exists' {
    const there = this.objects.get(key);
    if (there !== undefined) return there.write === write ? 'created' : 'exists';
    this.objects.set(key, { bytes, write, created: this.#now() });
    this.#watcher.created(key, bytes, program);
    return 'created';
  }

  delete(key: string, program: string): boolean {
    const there = this.objects.get(key);
    if (there === undefined) return false;
    const gone = { key, size: there.bytes.length, created: there.created, deleted: this.#now() };
    this.objects.delete(key);
    this.#gone.push(gone);
    if (this.#lag(key, 'deleted') > 0) this.#lingering.push(gone);
    this.#watcher.deleted(key, program);
    return true;
  }

  /** Tells whether packs were deleted at a moment or later. */
  lostPacksSince(at: number): boolean {
    return this.#gone.some(({ key, deleted }) => deleted >= at && key.startsWith(packsPrefix));
  }

  /** Tells whether anything was created or deleted at a moment or later. */
  changedSince(at: number): boolean {
    if (this.#gone.some(({ deleted }) => deleted >= at)) return true;
    return [...this.objects.values()].some(({ created }) => created >= at);
  }

  /** One page of a listing: as the service shows it, which may be behind. */
  list(prefix: string, after: string, count: number): ListedObject[] {
    const now = this.#now();
    const fits = (key: string): boolean => key > after && key.startsWith(prefix);
    const rows = new Map<string, ListedObject>();
    for (const gone of this.#lingering) {
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
