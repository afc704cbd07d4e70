import * as path from 'node:path';
import type { Problem } from './source-checks.ts';

/** A page of the documentation. */
export interface Page {
  /** Path from the top of the repository. */
  readonly path: string;
  readonly text: string;
}

/** A page without its fenced blocks, whose lines are left empty. */
function prose(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ''));
}

/** The anchor that a heading gets. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}

function anchors(text: string): Set<string> {
  const found = new Set<string>();
  for (const [, heading] of prose(text).matchAll(/^#{1,6} +(.+)$/gm))
    found.add(anchorOf(heading ?? ''));
  return found;
}

/**
 * Finds links that lead nowhere: to a path that `exists` denies, or to a heading that the page lacks.
 * Links to other sites are not followed.
 */
export function brokenLinks(pages: readonly Page[], exists: (path: string) => boolean): Problem[] {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  return pages.flatMap((page) =>
    [...prose(page.text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]): Problem[] => {
      if (link === undefined || /^[a-z]+:/.test(link)) return [];
      const [file = '', anchor] = link.split('#');
      const target =
        file === '' ? page.path : path.posix.normalize(`${path.posix.dirname(page.path)}/${file}`);
      if (!exists(target)) return [`${page.path} links to ${link}, which is not there`];
      const other = byPath.get(target);
      const missing =
        anchor !== undefined && other !== undefined && !anchors(other.text).has(anchor);
      return missing ? [`${page.path} links to ${link}, a heading that is not there`] : [];
    }),
  );
}

/** The sections of the page of errors: each code with the exit code it stands under. */
function errorSections(text: string): Map<string, number> {
  const found = new Map<string, number>();
  let exit = Number.NaN;
  for (const line of text.split('\n')) {
    const chapter = /^## Exit code (\d+)$/.exec(line)?.[1];
    if (chapter !== undefined) exit = Number(chapter);
    const code = /^### `([a-z-]+)`$/.exec(line)?.[1];
    if (code !== undefined) found.set(code, exit);
  }
  return found;
}

/** Compares the sections of the page of errors with the codes of the program. */
export function errorSectionProblems(text: string, codes: ReadonlyMap<string, number>): Problem[] {
  const sections = errorSections(text);
  const problems: Problem[] = [];
  for (const [code, exit] of codes) {
    const under = sections.get(code);
    if (under === undefined) problems.push(`the code ${code} has no section`);
    else if (under !== exit) problems.push(`the code ${code} stands under ${under}, not ${exit}`);
  }
  for (const code of sections.keys()) {
    if (!codes.has(code)) problems.push(`the section ${code} is no code of the program`);
  }
  return problems;
}

/** A command with the options of its own, as its help names them. */
export interface CommandOptions {
  readonly name: string;
  readonly options: readonly string[];
}

/** Reads the options out of a help text: `--all-versions`, and `-C`, which has no long form. */
export function helpOptions(help: string): string[] {
  const list = /^Options:\n((?: .*\n?)*)/m.exec(help)?.[1] ?? '';
  return [...list.matchAll(/^ {2}(?:-\w, | {4})--([a-z][a-z-]*)|^ {2}-(C)\b/gm)].map(
    ([, long, short]) => (long === undefined ? `-${short}` : `--${long}`),
  );
}

/** Tells whether text names an option, in its plain or its negated form, and not only a longer one. */
export function namesOption(text: string, option: string): boolean {
  const name = option.replace(/^--?/, '');
  const forms = option.startsWith('--') ? [option, `--no-${name}`] : [option];
  return forms.some((form) => new RegExp(`(?<![\\w-])${form}(?![\\w-])`).test(text));
}

/** Finds commands that no page names, and options that no page of their command names. */
export function undocumentedCommands(
  pages: readonly Page[],
  commands: readonly CommandOptions[],
): Problem[] {
  return commands.flatMap(({ name, options }) => {
    const named = new RegExp(`\\bmstore ${name}\\b|\`${name}\``);
    const own = pages.filter(({ text }) => named.test(text));
    if (own.length === 0) return [`no page names the command ${name}`];
    return options
      .filter((option) => !own.some(({ text }) => namesOption(text, option)))
      .map((option) => `no page that names ${name} names its option ${option}`);
  });
}

/** Command lines of mstore in code: `mstore …` in spans, and in lines of shell blocks. */
export function commandLines(text: string): string[] {
  const spans = [...prose(text).matchAll(/`(mstore [^`]+)`/g)].map(([, span]) => span ?? '');
  const blocks = [...text.matchAll(/^```(?:sh|text)[^\n]*\n([\s\S]*?)^```$/gm)];
  const lines = blocks
    .flatMap(([, block]) => (block ?? '').split('\n'))
    .flatMap((line) =>
      [...line.matchAll(/(?:^|[\s;&|(])(mstore [^|;&]*)/g)].map(([, l]) => l ?? ''),
    );
  return [...spans, ...lines];
}

/** Finds command lines that name a command or an option that does not exist. */
export function unknownCommandLines(
  page: Page,
  commands: readonly CommandOptions[],
  common: readonly string[],
): Problem[] {
  const every = new Set(commands.flatMap(({ options }) => options).concat(common));
  return commandLines(page.text).flatMap((line): Problem[] => {
    const words = line
      .replace(/"[^"]*"/g, '')
      .split(/\s+/)
      .slice(1);
    const name = words.find((word, i) => /^[a-z]/.test(word) && words[i - 1] !== '-C');
    const command = commands.find((each) => each.name === name);
    const problems: Problem[] = [];
    if (name !== undefined && command === undefined)
      problems.push(`${page.path}: "${line}" names no command`);
    const known = command === undefined ? every : new Set([...command.options, ...common]);
    for (const word of words) {
      const option = /^--[a-z][a-z-]*/.exec(word)?.[0];
      if (option === undefined || known.has(option)) continue;
      if (!known.has(option.replace(/^--no-/, '--')))
        problems.push(`${page.path}: "${line}" names no option ${option}`);
    }
    return problems;
  });
}

/** The rows of the first table of a page whose head starts with these cells, each a list of cells. */
export function tableRows(text: string, head: readonly string[]): string[][] {
  const lines = text.split('\n');
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const start = lines.findIndex((line) => {
    const found = cells(line);
    return found.length >= head.length && head.every((cell, i) => found[i] === cell);
  });
  if (start === -1) return [];
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('|'));
  return lines.slice(start + 2, end === -1 ? undefined : end).map(cells);
}

/** The names in code spans of a text, fenced blocks left out. */
export function codeSpans(text: string): string[] {
  return [...prose(text).matchAll(/`([^`\n]+)`/g)].map(([, span]) => span ?? '');
}

/** Says what is wrong with a fragment of the list of changes. */
export function fragmentProblems({ path: name, text }: Page): Problem[] {
  const [first = '', second, ...rest] = text.split('\n');
  const problems: Problem[] = [];
  if (!/\/[a-z0-9]+(?:-[a-z0-9]+)*\.md$/.test(name)) problems.push(`${name} is not kebab-case`);
  if (!/^(?:Added|Changed|Fixed|Removed|Security): \S.*[^.]$/.test(first))
    problems.push(`${name} does not start with "Added: …" or its like, without a final stop`);
  if (second !== '' || rest.join('').trim() === '')
    problems.push(`${name} lacks an empty line and a text below its first line`);
  return problems;
}
