import type { VersionSummary } from './wire.ts';

/** Entries of one page of a list. */
const pageLength = 50;

/** A part of a list that is shown at once. */
export interface PageOf<T> {
  readonly items: readonly T[];
  /** From 1. */
  readonly page: number;
  readonly pages: number;
  /** Number of the first and the last one that is shown, from 1; 0 where there is none. */
  readonly first: number;
  readonly last: number;
  readonly total: number;
}

/** Cuts a page out of a list; one that is not there becomes the nearest that is. */
export function pageOf<T>(all: readonly T[], wanted: number, length = pageLength): PageOf<T> {
  const pages = Math.max(1, Math.ceil(all.length / length));
  const page = Number.isInteger(wanted) ? Math.min(Math.max(1, wanted), pages) : 1;
  const start = (page - 1) * length;
  const items = all.slice(start, start + length);
  const first = items.length === 0 ? 0 : start + 1;
  return { items, page, pages, first, last: start + items.length, total: all.length };
}

/** What a list of versions is cut down to. */
export interface VersionFilter {
  /** Words that all have to be found somewhere. */
  readonly text: string;
  /** A state, `live`, or nothing for all. */
  readonly state: string;
}

/** Chooses versions by words in their names, authors, descriptions, labels and environments. */
export function filterVersions(
  versions: readonly VersionSummary[],
  { text, state }: VersionFilter,
): readonly VersionSummary[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return versions.filter((one) => {
    if (state === 'live' ? one.live.length === 0 : state !== '' && one.state !== state)
      return false;
    const { version, author, description = '', status = '', labels = {}, live } = one;
    const where = [version, author, description, status, ...Object.entries(labels).flat(), ...live]
      .join('\n')
      .toLowerCase();
    return words.every((word) => where.includes(word));
  });
}

/** A column that versions are sorted by, and which way. */
export interface Order {
  /** `version`, `created`, `size`, or `metric:` and a name. */
  readonly by: string;
  readonly isDescending: boolean;
}

/** Reads the order of an address, such as `size` or `-created`; by default the latest version comes first. */
export function parseOrder(text: string | null): Order {
  const [, minus, by] = /^(-?)(version|created|size|metric:.+)$/.exec(text ?? '') ?? [];
  return by === undefined
    ? { by: 'version', isDescending: true }
    : { by, isDescending: minus === '-' };
}

/** Writes an order for an address. */
export function formatOrder({ by, isDescending }: Order): string {
  return `${isDescending ? '-' : ''}${by}`;
}

/** Sorts versions, which come with the latest first; those without a value stay last. */
export function sortVersions(
  versions: readonly VersionSummary[],
  { by, isDescending }: Order,
): readonly VersionSummary[] {
  if (by === 'version') return isDescending ? versions : versions.toReversed();
  const metric = by.slice('metric:'.length);
  const keyOf = (one: VersionSummary): number | string | undefined => {
    if (by === 'created') return one.created;
    if (by === 'size') return one.size;
    return Object.hasOwn(one.metrics, metric) ? one.metrics[metric] : undefined;
  };
  const turned = isDescending ? -1 : 1;
  return versions.toSorted((a, b) => {
    const [x, y] = [keyOf(a), keyOf(b)];
    if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? 1 : -1;
    return x === y ? 0 : x < y ? -turned : turned;
  });
}
