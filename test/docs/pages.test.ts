import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { errorCodes, exitCodeOf, exitCodes } from '../../src/base/errors.ts';
import { commandTable } from '../../src/cli/commands.ts';
import { parseCommandLine } from '../../src/cli/parser.ts';
import { environmentName } from '../../src/worktree/config.ts';
import { configKeys } from '../../src/worktree/config-keys.ts';
import {
  anchorOf,
  brokenLinks,
  type CommandOptions,
  codeSpans,
  commandLines,
  errorSectionProblems,
  fragmentProblems,
  helpOptions,
  namesOption,
  type Page,
  tableRows,
  undocumentedCommands,
  unknownCommandLines,
} from '../support/page-checks.ts';

const top = fileURLToPath(new URL('../..', import.meta.url));

function read(name: string): Page {
  return { path: name, text: fs.readFileSync(path.join(top, name), 'utf8') };
}

function pagesBelow(folder: string): Page[] {
  return fs
    .readdirSync(path.join(top, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => read(path.posix.join(folder, name.split(path.sep).join('/'))));
}

const all = [read('README.md'), ...pagesBelow('docs')];
const guide = pagesBelow('docs/guide');

/** The commands of the program with the options that are theirs alone, and the options of all. */
async function commandsOfProgram(): Promise<{ commands: CommandOptions[]; common: string[] }> {
  const common = helpOptions(await helpOf([]));
  const commands: CommandOptions[] = [];
  for (const { name } of commandTable) {
    const options = helpOptions(await helpOf([name]));
    commands.push({ name, options: options.filter((option) => !common.includes(option)) });
  }
  return { commands: [...commands, { name: 'completion', options: [] }], common };
}

async function helpOf(words: string[]): Promise<string> {
  const parsed = await parseCommandLine([...words, '--help'], '0.0.0');
  if (parsed.kind !== 'text') throw new Error(`No help of ${words.join(' ')}`);
  return `${parsed.text}\n`;
}

describe('the pages', () => {
  it('have links that lead somewhere', () => {
    expect(brokenLinks(all, (target) => fs.existsSync(path.join(top, target)))).toEqual([]);
  });

  it('name only commands and options that exist', async () => {
    const { commands, common } = await commandsOfProgram();
    const pages = all.filter(({ path: name }) => !name.startsWith('docs/decisions/'));
    expect(pages.flatMap((page) => unknownCommandLines(page, commands, common))).toEqual([]);
  });

  it('describe every error code under its exit code, and no other', () => {
    const codes = new Map(errorCodes.map((code) => [code as string, exitCodeOf(code)]));
    expect(errorSectionProblems(read('docs/errors.md').text, codes)).toEqual([]);
  });

  it('describe every exit code', () => {
    const documented = tableRows(read('docs/errors.md').text, ['exit code']).map(([code]) => code);
    const inGuide = tableRows(read('docs/guide/scripts.md').text, ['code', 'meaning']);
    const expected = Object.values(exitCodes).map(String);
    expect(documented).toEqual(expected);
    expect(inGuide.map(([code]) => code)).toEqual(expected);
  });

  it('have the layers of the rules that enforce them', () => {
    const rules = createRequire(import.meta.url)('../tools/dependency-rules.cjs') as {
      forbidden: Array<{ name: string; to: { pathNot?: string } }>;
    };
    const enforced = rules.forbidden
      .filter(({ name }) => name.startsWith('layer-'))
      .map(({ name, to }) => {
        const allowed = /\((.*)\)/.exec(to.pathNot ?? '')?.[1]?.split('|') ?? [];
        const own = name.slice('layer-'.length);
        return [own, allowed.filter((folder) => folder !== own).sort()] as const;
      });
    const rows = tableRows(read('docs/architecture.md').text, ['folder', 'may import']);
    const documented = rows.map(
      ([folder = '', may = '']) => [codeSpans(folder)[0], codeSpans(may).sort()] as const,
    );
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(enforced));
    const folders = fs.readdirSync(path.join(top, 'src'), { withFileTypes: true });
    expect(documented.map(([folder]) => folder).sort()).toEqual(
      folders.filter((entry) => entry.isDirectory()).map(({ name }) => name),
    );
  });
});

describe('the guide', () => {
  it('names every command and every option of it', async () => {
    const { commands } = await commandsOfProgram();
    expect(undocumentedCommands(guide, commands)).toEqual([]);
  });

  it('names every option that all commands take', async () => {
    const { common } = await commandsOfProgram();
    const { text } = read('docs/guide/scripts.md');
    expect(common.length).toBeGreaterThan(8);
    expect(common.filter((option) => !namesOption(text, option))).toEqual([]);
  });

  it('describes every key of the configuration and its variable, and no other', () => {
    const rows = tableRows(read('docs/guide/configuration.md').text, ['key', 'environment']);
    expect(rows.map(([key = '']) => codeSpans(key)[0])).toEqual(Object.keys(configKeys));
    for (const [key = '', variable = ''] of rows) {
      const name = codeSpans(key)[0] ?? '';
      const expected = configKeys[name]?.readOnly ? [] : [environmentName(name)];
      expect(codeSpans(variable), name).toEqual(expected);
    }
  });
});

describe('the list of changes', () => {
  it('has fragments in the form of the template', () => {
    const fragments = pagesBelow('docs/changes/unreleased');
    expect(fragments.length).toBeGreaterThan(0);
    expect(fragments.flatMap(fragmentProblems)).toEqual([]);
  });
});

describe('the decisions', () => {
  it('are numbered without gaps and have the three parts', () => {
    const decisions = pagesBelow('docs/decisions').sort((a, b) => (a.path < b.path ? -1 : 1));
    for (const [i, { path: name, text }] of decisions.entries()) {
      expect(path.basename(name)).toMatch(
        new RegExp(`^${String(i + 1).padStart(4, '0')}-[a-z0-9-]+\\.md$`),
      );
      expect(text, name).toMatch(new RegExp(`^# ${i + 1}\\. `));
      for (const part of ['Context', 'Decision', 'Consequences'])
        expect(text, name).toContain(`**${part}.**`);
    }
  });
});

describe('the checks of pages', () => {
  const page = (text: string, name = 'docs/a.md'): Page => ({ path: name, text });
  const commands = [{ name: 'push', options: ['--remote', '--create'] }];

  it('find links that lead nowhere', () => {
    const other = page('# Other\n\n## A `b` c\n', 'docs/b.md');
    const good = page('[x](b.md#a-b-c) [y](b.md) [z](#here) [w](https://example.com)\n\n## Here\n');
    const bad = page('[x](c.md) [y](b.md#gone) [z](#away)\n\n```text\n## Away\n[q](q.md)\n```\n');
    const exists = (target: string): boolean => ['docs/a.md', 'docs/b.md'].includes(target);
    expect(brokenLinks([good, other], exists)).toEqual([]);
    expect(brokenLinks([bad, other], exists)).toHaveLength(3);
  });

  it('make the anchors of headings', () => {
    expect(anchorOf('`would-overwrite`')).toBe('would-overwrite');
    expect(anchorOf('Scripts, CI and images')).toBe('scripts-ci-and-images');
    expect(anchorOf('--json')).toBe('--json');
  });

  it('find error codes that are missing, extra or under another exit code', () => {
    const codes = new Map([
      ['io', 1],
      ['usage', 2],
    ]);
    const good = '## Exit code 1\n### `io`\n## Exit code 2\n### `usage`\n';
    expect(errorSectionProblems(good, codes)).toEqual([]);
    expect(errorSectionProblems(good.replace('usage', 'misuse'), codes)).toHaveLength(2);
    expect(errorSectionProblems(good.replace('code 2', 'code 3'), codes)).toHaveLength(1);
  });

  it('read options out of a help text', () => {
    const help =
      'mstore x\n\nOptions:\n  -C                 In [string]\n      --json         One --other\n' +
      '  -q, --quiet        Nothing\n\nExamples:\n  mstore x --no\n';
    expect(helpOptions(help)).toEqual(['-C', '--json', '--quiet']);
  });

  it('tell an option from a longer one', () => {
    expect(namesOption('use `--json`', '--json')).toBe(true);
    expect(namesOption('use `--no-create`', '--create')).toBe(true);
    expect(namesOption('use `--json-events`', '--json')).toBe(false);
    expect(namesOption('use `-C DIR`', '-C')).toBe(true);
  });

  it('find commands and options that are not described', () => {
    expect(undocumentedCommands([page('`mstore push --remote x --no-create`')], commands)).toEqual(
      [],
    );
    expect(undocumentedCommands([page('`mstore push`')], commands)).toHaveLength(2);
    expect(undocumentedCommands([page('`mstore pushing`')], commands)).toHaveLength(1);
  });

  it('find command lines that cannot run', () => {
    const problems = (text: string) => unknownCommandLines(page(text), commands, ['--json', '-C']);
    expect(
      problems('`mstore -C dir push --json`\n\n```sh\nx | mstore push --remote=y\n```\n'),
    ).toEqual([]);
    expect(problems('`mstore pull`')).toHaveLength(1);
    expect(problems('```sh example\nA=1 mstore push --al\n```\n')).toHaveLength(1);
    expect(commandLines('`git mstore` and `mstore push`')).toEqual(['mstore push']);
  });

  it('find fragments of another form', () => {
    expect(fragmentProblems(page('Added: one thing\n\nText.\n', 'd/a-b.md'))).toEqual([]);
    expect(fragmentProblems(page('New: a thing.\nText.\n', 'd/A.md'))).toHaveLength(3);
  });
});
