import { MstoreError } from './errors.ts';
import { limits } from './limits.ts';

/**
 * Shows a name from outside safely on a terminal: control characters, escape sequences, characters that
 * change the direction of text, and those that take no room are written as escapes.
 */
export function printable(name: string): string {
  const shown = name.length > shownLengthMax ? `${name.slice(0, shownLengthMax)}…` : name;
  return shown.replace(unprintable, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

/** No path is longer; what a damaged file calls a name may be. */
const shownLengthMax = limits.pathBytesMax;

/**
 * What must not reach a terminal in text from outside, for a class of a regular expression with the flag
 * `u`: controls of both sets, ends of lines and paragraphs, controls of direction (Unicode TR 9), signs
 * without width, and tags. The joiners U+200C and U+200D stay: whole scripts are written with them.
 */
export const unprintableClass =
  '\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}';
const unprintable = new RegExp(`[${unprintableClass}]`, 'gu');
const plainWord = /^[\p{L}\p{M}\p{N}_./@+:,%-]+$/u;

/**
 * Shows a name as one word of a command line that somebody may copy: in quotes where a shell would see more
 * in it.
 */
export function shellWord(name: string): string {
  const shown = printable(name);
  return plainWord.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const forbidden = /[\u0000-\u001f\u007f\\]/;
const loneSurrogate = /\p{Surrogate}/u;
/** Characters that HFS+ does not see in names. */
const unseen = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;
const keptFolder = /^(?:\.git|git~1|\.modelstore)[. ]*$/i;

/**
 * Tells whether some file system takes the name for the folder of Git or of mstore. A version from
 * elsewhere that could write there would run its author's hooks.
 */
function isKeptFolder(name: string): boolean {
  return keptFolder.test(name.replace(unseen, ''));
}

/** Names to which no rule applies; nearly all are, and looking closer takes ten times as long. */
const plainName = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
/** Paths of such names. */
const plainPath = /^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*\/)*[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/**
 * Says what makes one component of a path unfit to be stored, or undefined when it is fit. The rules
 * are the same on every system, so that what one can add, all can read.
 */
export function nameProblem(name: string): string | undefined {
  if (name.length <= limits.nameBytesMax && plainName.test(name)) return undefined;
  if (name === '') return 'an empty name';
  if (name === '.' || name === '..') return `the name ${name}`;
  // First of all that looks at each character: bringing marks in order takes the square of their number.
  if (Buffer.byteLength(name) > limits.nameBytesMax) {
    return `a name of more than ${limits.nameBytesMax} bytes`;
  }
  if (name.includes('/')) return 'a slash in a name';
  if (forbidden.test(name)) {
    return name.includes('\\') ? 'a backslash' : 'a control character such as a newline';
  }
  if (isKeptFolder(name)) return 'a name that belongs to Git or mstore itself';
  if (loneSurrogate.test(name) || name.includes('\ufffd')) return 'bytes that are not UTF-8';
  return name.normalize('NFC') === name
    ? undefined
    : 'letters in a decomposed Unicode form (not NFC)';
}

/** Says what makes a relative `/`-separated path unfit, or undefined. */
export function pathProblem(path: string): string | undefined {
  if (path.length <= limits.nameBytesMax && plainPath.test(path)) return undefined;
  if (path.startsWith('/')) return 'an absolute path';
  if (Buffer.byteLength(path) > limits.pathBytesMax) {
    return `a path of more than ${limits.pathBytesMax} bytes`;
  }
  for (const name of path.split('/')) {
    const problem = nameProblem(name);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Two paths with the same key would be one file on a system that ignores case or Unicode form
 * (Windows, macOS). Letters that share a capital are one (σ and ς), whatever stands beside them; only
 * the dotless i has its own key, as it is no form of i there.
 */
export function collisionKey(path: string): string {
  if (ascii.test(path)) return path.toLowerCase();
  let key = '';
  for (const c of path.normalize('NFC')) {
    key += c === 'ı' ? c : c.toLowerCase().toUpperCase().toLowerCase();
  }
  return key.normalize('NFC');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
const ascii = /^[\u0000-\u007f]*$/;

const windowsReserved =
  /^(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$)(?:\.|$)/i;

/** Says what keeps a component from existing on Windows, or undefined. */
export function windowsProblem(name: string): string | undefined {
  if (windowsReserved.test(name)) return 'a name that Windows reserves for a device';
  if (/[<>:"|?*]/.test(name)) return 'a character that Windows forbids in names';
  if (/[. ]$/.test(name)) return 'a final dot or space, which Windows drops';
  if (/^models~\d$/i.test(name)) return 'a name that Windows has for the folder .modelstore';
  return undefined;
}

/** Rules of the system that files are written on; an argument, so that each can be tested anywhere. */
export interface NamePlatform {
  readonly platform: NodeJS.Platform;
}

/**
 * Checks that a path of a tree can be written on a system.
 * @throws MstoreError `bad-name`
 */
export function checkWritableOn(path: string, on: NamePlatform): void {
  if (on.platform !== 'win32') return;
  for (const name of path.split('/')) {
    const problem = windowsProblem(name);
    if (problem === undefined) continue;
    throw new MstoreError(
      'bad-name',
      `Cannot write ${printable(path)} on Windows: it has ${problem}`,
      {
        hint: 'Rename the file where it was added, add it again and push; or check it out on another system',
        details: { path },
      },
    );
  }
}

/**
 * Brings a name read from a folder into the form that is stored. macOS hands out decomposed names for
 * files that were made with composed ones; there they are composed again, as Git does.
 */
export function nameFromFolder(name: string, on: NamePlatform): string {
  return on.platform === 'darwin' ? name.normalize('NFC') : name;
}
