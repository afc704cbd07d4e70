import { type Digest, isDigest, sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { pathProblem, printable } from '../base/names.ts';
import { type RemoteCallOptions, type RemoteReader, readObject } from '../remote/remote.ts';
import { rootsPrefix } from './keys.ts';

/** The format number of root records that this version reads and writes. */
const rootFormat = 1;

/** One thing that a repository needs kept: what a pointer says of a file or a directory. */
export interface RootItem {
  /** Path from the top of the workspace. */
  readonly path: string;
  readonly kind: 'file' | 'tree';
  readonly sha256: Digest;
  /** Bytes of all files together. */
  readonly size: number;
}

/** A list of what one push needs kept. */
export interface RootRecord {
  readonly key: string;
  readonly repository: string;
  /** When it was written, as an ISO date by the clock of its author. */
  readonly created: string;
  /**
   * Whether it keeps the data of versions only until they are in the registry, which keeps it from then on:
   * written by pushes of versions, before their records.
   */
  readonly forVersions: boolean;
  readonly items: readonly RootItem[];
  /** When it was written by the clock of the place, where that tells. */
  readonly time?: number | undefined;
}

/** What a record says, before it has a key. */
export type NewRootRecord = Omit<RootRecord, 'key' | 'time'>;

/** Names the list of a record; the same list has the same name. */
export function rootListName({ items, forVersions }: NewRootRecord): string {
  const list = items.map(({ path, kind, sha256: digest, size }) => ({
    ...{ path, kind, sha256: digest },
    size,
  }));
  return listName(list, forVersions);
}

function listName(paths: readonly unknown[], forVersions: boolean): string {
  return sha256(JSON.stringify(paths) + (forVersions ? ' for versions' : '')).slice(0, 16);
}

/** The folder of the records of a repository. */
export function rootsOf(repository: string): string {
  return `${rootsPrefix}${repository}/`;
}

/** Makes the key of a record. */
export function rootKey(record: NewRootRecord): string {
  const time = record.created.replace(/[-:.]/g, '');
  return `${rootsOf(record.repository)}${time}-${rootListName(record)}.json`;
}

/** Returns the repository that a key of a record names; undefined for other objects below `roots/`. */
export function repositoryOfRoot(key: string): string | undefined {
  return /^roots\/([0-9a-f]{32})\/\d{8}T\d{9}Z-[0-9a-f]{16}\.json$/.exec(key)?.[1];
}

/** The bytes of a record. */
export function formatRoot({ repository, created, forVersions, items }: NewRootRecord): Buffer {
  const paths = items.map(({ path, kind, sha256: digest, size }) => ({
    ...{ path, kind, sha256: digest },
    size,
  }));
  const purpose = forVersions ? { purpose: 'versions' } : {};
  const record = { mstore: rootFormat, repository, created, ...purpose, paths };
  return Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
}

/**
 * Reads a record.
 * @throws MstoreError `corrupt-remote`, `newer-format`, `not-found`
 */
export async function readRoot(
  remote: RemoteReader,
  key: string,
  options: RemoteCallOptions = {},
): Promise<RootRecord> {
  const bytes = await readObject(remote, key, limits.rootBytesMax, options);
  return parseRoot(bytes, key, `${remote.location}/${key}`);
}

/**
 * Parses a record.
 * @param where names it in errors
 * @throws MstoreError `corrupt-remote`, `newer-format`
 */
function parseRoot(bytes: Uint8Array, key: string, where: string): RootRecord {
  const problem = (what: string, cause?: unknown) =>
    new MstoreError('corrupt-remote', `The record ${printable(where)} cannot be used: ${what}`, {
      hint: 'Nothing can be cleaned up as long as it is unknown what it keeps: restore it; or remove it, then push again with --all-versions from its repository',
      details: { key },
      cause,
    });
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch (error) {
    throw problem('it is not UTF-8 JSON', error);
  }
  if (!isJsonObject(value)) throw problem('it is not a JSON object');
  const { mstore: format, repository, created, purpose, paths } = value;
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) {
    throw problem('it has no format number');
  }
  if (format > rootFormat) {
    throw new MstoreError(
      'newer-format',
      `${printable(where)} has format ${format}; this mstore reads ${rootFormat}`,
      { hint: 'Install a newer mstore', details: { key, format } },
    );
  }
  if (typeof repository !== 'string' || repositoryOfRoot(key) !== repository) {
    throw problem('it is that of another repository');
  }
  if (typeof created !== 'string' || Number.isNaN(Date.parse(created))) {
    throw problem('its created is no time');
  }
  if (purpose !== undefined && purpose !== 'versions') {
    throw problem('its purpose is not known');
  }
  if (!Array.isArray(paths)) throw problem('its paths are no list');
  const items = paths.map((item) => {
    if (!isItem(item)) throw problem('its paths hold something else than files and directories');
    const { path, kind, sha256: digest, size } = item;
    return { path, kind, sha256: digest, size };
  });
  const forVersions = purpose === 'versions';
  if (!key.endsWith(`-${listName(paths, forVersions)}.json`)) {
    throw problem('its list is not the one that it is named by');
  }
  return { key, repository, created, forVersions, items };
}

function isItem(value: unknown): value is RootItem {
  if (!isJsonObject(value)) return false;
  const { path, kind, sha256: digest, size } = value;
  return (
    typeof path === 'string' &&
    pathProblem(path) === undefined &&
    (kind === 'file' || kind === 'tree') &&
    isDigest(digest) &&
    typeof size === 'number' &&
    Number.isSafeInteger(size) &&
    size >= 0
  );
}
