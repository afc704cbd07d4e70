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
/** Small objects with which remotes are tried out; no data is ever below it. */
export const probesPrefix = 'probes/';

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
  const name = key.slice(key.lastIndexOf('/') + 1);
  const digest = suffix !== '' && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  return isDigest(digest) ? digest : undefined;
}
