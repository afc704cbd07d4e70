import { limits } from './limits.ts';
import { collisionKey, printable } from './names.ts';

/** A directory on the way to the entry that was added last. */
interface Folder {
  readonly name: string;
  /** What lies in it so far: names by their collision keys. */
  readonly names: Map<string, string>;
}

/**
 * The places that the entries of a tree take up. Entries come in their order, so that a directory that was left
 * does not come again: what lay in it is forgotten. Memory: the names beside those on the way to the last
 * entry, however deep the tree is.
 */
export class TreePlaces {
  #folderPath = '';
  readonly #way: [Folder, ...Folder[]] = [{ name: '', names: new Map() }];

  /**
   * Takes the place of an entry.
   * @param path relative, of checked names, behind that of the entry before by its UTF-8 bytes
   * @returns what is wrong with it: it is too deep, lies below a file, or would be one with another path on
   * some systems
   */
  add(path: string): string | undefined {
    const slash = path.lastIndexOf('/');
    const folder = slash < 0 ? '' : path.slice(0, slash);
    if (folder !== this.#folderPath) {
      const problem = this.#enter(folder, path);
      if (problem !== undefined) return problem;
      this.#folderPath = folder;
    }
    return this.#take(path.slice(slash + 1));
  }

  #enter(folder: string, path: string): string | undefined {
    const names = folder === '' ? [] : folder.split('/');
    if (names.length > limits.treeDepthMax) {
      return `more than ${limits.treeDepthMax} directories above ${printable(path)}`;
    }
    let shared = 0;
    while (shared < names.length && this.#way[shared + 1]?.name === names[shared]) shared++;
    this.#way.length = shared + 1;
    for (const name of names.slice(shared)) {
      const problem = this.#take(name);
      if (problem !== undefined) return problem;
      this.#way.push({ name, names: new Map() });
    }
    return undefined;
  }

  /** Takes a name in the last directory of the way. */
  #take(name: string): string | undefined {
    const { names } = this.#way.at(-1) as Folder;
    const key = collisionKey(name);
    const other = names.get(key);
    if (other === undefined) {
      names.set(key, name);
      return undefined;
    }
    // No directory is entered twice: what has this very name is an entry.
    if (other === name)
      return `${printable(this.#pathOf(name))} is a file where a directory must be`;
    return `${printable(this.#pathOf(other))} and ${printable(this.#pathOf(name))} differ only by case or Unicode form`;
  }

  #pathOf(name: string): string {
    return [...this.#way.slice(1).map((folder) => folder.name), name].join('/');
  }
}
