import * as fs from 'node:fs';
import * as path from 'node:path';

const urlLengthMax = 2_048;

/**
 * Tells whether one of the paths (from the top) is there and not tracked: a commit that was made before
 * it cannot be where it came from.
 */
export async function anyUntracked(
  root: string,
  paths: readonly string[],
  trackedAt: (path: string) => Promise<readonly string[]>,
): Promise<boolean> {
  for (const each of paths) {
    if (!fs.existsSync(path.join(root, each))) continue;
    if ((await trackedAt(each)).length === 0) return true;
  }
  return false;
}

/**
 * Chooses the remote that a repository comes from, `origin` or else the only one, and returns the first
 * of its URLs without credentials; undefined when there is none that may be told.
 * @param settings those of the repository, in their order
 */
export function remoteUrlOf(settings: Iterable<readonly [string, string]>): string | undefined {
  const urls = new Map<string, string>();
  for (const [key, value] of settings) {
    const name = /^remote\.(.+)\.url$/s.exec(key)?.[1];
    if (name !== undefined && !urls.has(name)) urls.set(name, value);
  }
  const [only] = urls.size === 1 ? urls.values() : [];
  const url = urls.get('origin') ?? only;
  return url === undefined ? undefined : withoutCredentials(url);
}

/**
 * Takes out of the URL of a Git remote what may be secret: user and password, of `ssh://` the password
 * alone, and query and fragment. Paths and the short form of ssh (`git@host:path`) stay. Returns
 * undefined for text of which it is not clear what is secret: a host that is none, a command
 * (`ext::…`), control characters.
 */
export function withoutCredentials(url: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (url === '' || url.length > urlLengthMax || /[\u0000-\u001f\u007f]/.test(url))
    return undefined;
  // HELPER::ADDRESS names the program that knows the address.
  const helper = /^([A-Za-z][A-Za-z0-9+.-]*::)(.*)$/.exec(url);
  if (helper !== null) {
    const address = helper[1] === 'ext::' ? undefined : withoutCredentials(helper[2] ?? '');
    return address === undefined ? undefined : `${helper[1]}${address}`;
  }
  const parts = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(\/[^?#]*)?/.exec(url);
  if (parts === null) return url.includes('://') ? undefined : url;
  const [, scheme = '', authority = '', rest = ''] = parts;
  if (scheme.toLowerCase() === 'file') return url;
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  if (!/^(?:[^\s:@[\]]+|\[[0-9A-Fa-f:.%]+\])(?::\d*)?$/.test(host)) return undefined;
  const isSsh = /^(?:ssh|git\+ssh|ssh\+git)$/i.test(scheme);
  const user = isSsh && at > 0 ? `${authority.slice(0, at).replace(/:.*$/, '')}@` : '';
  return `${scheme}://${user}${host}${rest}`;
}
