import { readBounded } from '../base/files.ts';

/** Configuration grows with every branch; a hundred thousand of them stay below this. */
const gitConfigBytesMax = 16 * 1024 * 1024;

/** A line that is longer says nothing that is asked here; a pattern could not look at all of it. */
const lineLengthMax = 1024 * 1024;

/** Settings of one Git configuration file by `section.key` or `section.subsection.key`; the last one wins. */
export type GitConfig = ReadonlyMap<string, string>;

/** Reads a Git configuration file as text; empty when there is none. */
export function readGitConfigFile(file: string): string {
  return readBounded(file, gitConfigBytesMax)?.toString('utf8') ?? '';
}

/** Parses the text of a Git configuration file as {@link gitSettings} does. */
export function parseGitConfig(text: string): GitConfig {
  return new Map(gitSettings(text));
}

/**
 * Lists the settings of a Git configuration file in their order, keys that are set several times as
 * often. Section and key are in lower case, the subsection is as written. Included files are not read,
 * and a line that has no known form is skipped: only Git itself may judge its configuration.
 */
export function* gitSettings(text: string): Generator<[key: string, value: string]> {
  let section = '';
  for (const line of logicalLines(text)) {
    if (line.length > lineLengthMax) {
      // What follows the header of a section must not be taken for that of the one before.
      if (/^\s*\[/.test(line)) section = '';
      continue;
    }
    const header = /^\s*\[\s*([-.\w]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]/.exec(line);
    if (header !== null) {
      const name = (header[1] ?? '').toLowerCase();
      const sub = header[2]?.replace(/\\(.)/g, '$1');
      section = sub === undefined ? name : `${name}.${sub}`;
    }
    // A setting may stand on the line of its section's header.
    const rest = header === null ? line : line.slice(header[0].length);
    const setting = /^\s*([A-Za-z][-A-Za-z0-9]*)\s*(?:=(.*))?$/s.exec(rest);
    if (setting === null || section === '') continue;
    const value = setting[2] === undefined ? 'true' : unquote(setting[2]);
    yield [`${section}.${(setting[1] ?? '').toLowerCase()}`, value];
  }
}

/** Tells whether a setting is there and true, in any of the ways that Git writes it. */
export function isTrue(config: GitConfig, key: string): boolean {
  return /^(?:true|yes|on|[1-9]\d*)$/i.test(config.get(key) ?? '');
}

/** Lines without comments-only lines, those ending in a backslash joined with the next. */
function* logicalLines(text: string): Generator<string> {
  let held = '';
  for (const line of text.split(/\r?\n/)) {
    const continued = /(?:^|[^\\])(?:\\\\)*\\$/.test(line);
    held += continued ? line.slice(0, -1) : line;
    if (continued) continue;
    if (!/^\s*[#;]/.test(held)) yield held;
    held = '';
  }
  if (held !== '') yield held;
}

/** Removes quotes, escapes, a comment at the end and the white space around a value. */
function unquote(raw: string): string {
  let value = '';
  let kept = 0;
  let quoted = false;
  for (let i = 0; i < raw.length; i++) {
    const c = raw[i] ?? '';
    if (c === '"') {
      quoted = !quoted;
      kept = value.length;
      continue;
    }
    if (!quoted && (c === '#' || c === ';')) break;
    if (!quoted && value === '' && /\s/.test(c)) continue;
    if (c === '\\') {
      const next = raw[++i] ?? '';
      value += next === 'n' ? '\n' : next === 't' ? '\t' : next;
    } else {
      value += c;
    }
    if (quoted || !/\s/.test(c)) kept = value.length;
  }
  return value.slice(0, kept);
}
