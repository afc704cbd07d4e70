import { type Digest, isDigest } from '../base/digest.ts';

/*
 * Names of the objects of a store, the same in the local store (as paths below its folder) and in a
 * remote (as keys). Two hexadecimal digits spread the files over 256 folders.
 */

/** The header: format version, id, chunking parameters. */
export const headerKey = 'mstore.json';
export const packsPrefix = 'packs/';
export const indexPrefix = 'index/';
export const recipesPrefix = 'recipes/';
export const rootsPrefix = 'roots/';
/** What clean-ups and writers tell each other. */
export const cleanUpPrefix = 'gc/';
/** Wrapped keys of an encrypted remote, in clear. */
export const keysPrefix = 'keys/';
/** Small objects with which remotes are tried out; no data is ever below it. */
export const probesPrefix = 'probes/';

/** What a repair took out of the way and could not heal: objects under their own keys. */
export const quarantinePrefix = 'quarantine/';

export function packKey(pack: Digest): string {
  return `${packsPrefix}${pack.slice(0, 2)}/${pack}.pack`;
}

export function indexKey(pack: Digest): string {
  return `${indexPrefix}${pack.slice(0, 2)}/${pack}.idx`;
}

export function recipeKey(blob: Digest): string {
  return `${recipesPrefix}${blob.slice(0, 2)}/${blob}`;
}

/** Returns the digest in the last component of a key, its suffix taken off; undefined for other names. */
export function digestInKey(key: string, suffix: string): Digest | undefined {
  if (!key.endsWith(suffix)) return undefined;
  const name = key.slice(key.lastIndexOf('/') + 1, key.length - suffix.length);
  return isDigest(name) ? name : undefined;
}

/** Returns the pack whose object a key is; undefined for a key that no pack has. */
export function packOfKey(key: string): Digest | undefined {
  const pack = digestInKey(key, '.pack');
  return pack !== undefined && packKey(pack) === key ? pack : undefined;
}

/** Returns the pack whose index object a key is; undefined for a key that no index object has. */
export function packOfIndexKey(key: string): Digest | undefined {
  const pack = digestInKey(key, '.idx');
  return pack !== undefined && indexKey(pack) === key ? pack : undefined;
}

/** Returns the blob whose recipe a key is; undefined for a key that no recipe has. */
export function blobOfRecipeKey(key: string): Digest | undefined {
  const blob = digestInKey(key, '');
  return blob !== undefined && recipeKey(blob) === key ? blob : undefined;
}
