import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** Keys of a section and their values, as texts. */
export type IniSection = ReadonlyMap<string, string>;

/** How {@link parseIni} reads values. */
export interface IniRules {
  /** `plain`: a value is the rest of its line. `quoted`: it may stand in quotes, and ends where a comment begins. */
  readonly values: 'plain' | 'quoted';
}

/**
 * Reads sections of lines `key = value`: configuration of DVC, by the rules of ConfigObj, and of the tools of Amazon. Names of
 * sections and keys are put in lower case where values may be quoted, as DVC does.
 * @param where names the file in errors, which never show a value: it may be a secret
 * @throws MstoreError `config-invalid`
 */
export function parseIni(
  text: string,
  where: string,
  { values }: IniRules,
): Map<string, IniSection> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  for (const [i, raw] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || (values === 'plain' && line.startsWith(';')))
      continue;
    const fail = (what: string) => badConfig(where, `line ${i + 1} ${what}`);
    const named = /^\[([^\]]*)\]\s*(?:#.*)?$/.exec(line)?.[1];
    if (named !== undefined) {
      const name = values === 'plain' ? named.trim() : lower(named);
      section = sections.get(name) ?? new Map();
      sections.set(name, section);
      continue;
    }
    const equals = line.indexOf('=');
    if (line.startsWith('[') || equals < 1) throw fail('is neither a section nor KEY = VALUE');
    // The tools of Amazon nest settings of services by indenting them; none of these is wanted.
    if (values === 'plain' && /^\s/.test(raw)) continue;
    if (section === undefined) throw fail('stands in front of the first section');
    const key = line.slice(0, equals).trim();
    const rest = line.slice(equals + 1).trim();
    const value = values === 'plain' ? rest : quoted(rest, fail);
    section.set(values === 'plain' ? key : lower(key), value);
  }
  return sections;
}

function quoted(rest: string, fail: (what: string) => MstoreError): string {
  const sign = rest[0];
  if (sign !== '"' && sign !== "'") {
    const value = rest.replace(/\s*#.*$/, '');
    // DVC takes it for a list, which no setting that is read here is.
    if (value.includes(',')) throw fail('has a comma in a value without quotes');
    return value;
  }
  const end = rest.indexOf(sign, 1);
  if (rest.startsWith(sign.repeat(3)) || end < 0 || !/^\s*(?:#.*)?$/.test(rest.slice(end + 1))) {
    throw fail('has quotes that do not end with its value');
  }
  return rest.slice(1, end);
}

/** A name without the quotes that may be around it. */
function lower(name: string): string {
  return name
    .trim()
    .replace(/^(['"])(.*)\1$/, '$2')
    .toLowerCase();
}

/** Builds the error of a configuration of DVC that cannot be used. */
export function badConfig(where: string, what: string): MstoreError {
  return new MstoreError('config-invalid', `${printable(where)} cannot be used: ${what}`, {
    hint: 'Correct it, or look what DVC says ("dvc config --list")',
    details: { path: where },
  });
}
