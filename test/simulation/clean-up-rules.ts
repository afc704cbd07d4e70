import { parseMark } from '../../src/store/clean-up.ts';
import {
  cleanUpPrefix,
  indexKey,
  indexPrefix,
  packKey,
  packsPrefix,
  recipeKey,
  recipesPrefix,
  rootsPrefix,
} from '../../src/store/keys.ts';
import type { Watcher } from './server.ts';

const cleanUpKey = /^gc\/([^/]+)\/(?:mark\.json|([0-9a-f]{8})\.(sweep|swept))$/;
const swept = [packsPrefix, indexPrefix, recipesPrefix, rootsPrefix];

interface Marked {
  readonly at: number;
  readonly graceMs: number;
  /** Keys of what it names. */
  readonly names: ReadonlySet<string>;
}

interface Open {
  readonly id: string;
  readonly at: number;
  readonly command: string;
  /** Objects that it has deleted. */
  deleted: number;
}

/**
 * What `docs/format.md` says of clean-ups, held against each deletion: a mark names the object, its grace period
 * had passed when the sweep began, and no other sweep that is under way deletes as well.
 */
export class CleanUpRules implements Watcher {
  readonly #now: () => number;
  readonly #fail: (what: string) => void;
  readonly #marks = new Map<string, Marked>();
  readonly #open = new Map<string, Open>();

  constructor(now: () => number, fail: (what: string) => void) {
    this.#now = now;
    this.#fail = fail;
  }

  created(key: string, bytes: Buffer, command: string): void {
    const [, id, number, what] = cleanUpKey.exec(key) ?? [];
    if (id === undefined) return;
    const at = this.#now();
    if (what === undefined) {
      const { graceMs, packs, indexes, recipes, roots } = parseMark(bytes, key);
      const names = [
        ...[...packs.map(packKey), ...packs.map(indexKey), ...indexes.map(indexKey)],
        ...[...recipes.map(recipeKey), ...roots],
      ];
      this.#marks.set(id, { at, graceMs, names: new Set(names) });
    } else if (what === 'sweep') this.#open.set(`${id}/${number}`, { id, at, command, deleted: 0 });
    else this.#open.delete(`${id}/${number}`);
  }

  deleted(key: string, command: string): void {
    if (key.startsWith(cleanUpPrefix) || !swept.some((prefix) => key.startsWith(prefix))) return;
    const open = [...this.#open.values()];
    const own = open.find(({ id, command: whose }) => {
      return whose === command && this.#marks.get(id)?.names.has(key) === true;
    });
    if (own === undefined) {
      this.#fail(`${command} deletes ${key}, and sweeps no mark that names it`);
      return;
    }
    own.deleted++;
    const { at, graceMs } = this.#marks.get(own.id) as Marked;
    if (own.at - at < graceMs) {
      this.#fail(`${command} deletes ${key} ${graceMs - (own.at - at)} ms before its time`);
    }
    const other = open.find((one) => one !== own && one.deleted > 0);
    if (other !== undefined) {
      this.#fail(`${command} deletes ${key} while the sweep of ${other.command} is under way`);
    }
  }
}
