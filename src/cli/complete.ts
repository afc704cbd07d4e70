import * as path from 'node:path';
import { systemSurroundings } from '../flow/surroundings.ts';
import { trackedInWorkspace } from '../flow/tracked.ts';
import { openWorkspace, type Workspace } from '../flow/workspace.ts';
import type { Command } from './command.ts';
import { commandTable } from './commands.ts';
import type { RegistryArgument } from './complete-registry.ts';

/** Commands whose arguments are tracked paths, and whether revisions come first. */
const pathCommands: Readonly<Record<string, { revisions: boolean }>> = {
  status: { revisions: false },
  untrack: { revisions: false },
  cat: { revisions: false },
  diff: { revisions: true },
  push: { revisions: true },
  fetch: { revisions: true },
  pull: { revisions: true },
  checkout: { revisions: true },
  ls: { revisions: true },
};

/** Commands whose first argument is a name of the registry. */
const registryCommands: Readonly<Record<string, RegistryArgument>> = {
  models: 'none',
  versions: 'model',
  history: 'model',
  promote: 'model',
  rollback: 'model',
  show: 'reference',
  deploy: 'reference',
  archive: 'version',
  deprecate: 'version',
  restore: 'version',
  delete: 'version',
};

/** What the parser knows about options; not part of its published types. */
interface ParserWithOptions {
  getOptions(): { key: Record<string, unknown>; choices: Record<string, readonly string[]> };
}

/**
 * Words that a shell takes as they are, or in quotes where they hold a space. Scripts of completion put what
 * is proposed on the command line without making it harmless, so that a branch called `$(reboot)` would be
 * run by the next press of Enter.
 */
const harmlessWord = /^[\p{L}\p{M}\p{N}_./@+:,%][\p{L}\p{M}\p{N}_./@+:,%= -]*$/u;

/**
 * Proposes what may stand at the end of a command line: commands, options, tracked paths, Git references
 * and names of the local registry. A workspace that cannot be opened proposes nothing; the shell adds file
 * names itself. Names that mean something to a shell are left out: they have to be typed, and quoted.
 * @param given the command line from the program's name on; the last word is being typed
 * @param parserOf makes a parser with the options of a command, or with those of all commands
 */
export async function proposals(
  given: readonly string[],
  parserOf: (command: Command | undefined) => unknown,
): Promise<string[]> {
  const words = joinReferences(given);
  const current = words.at(-1) ?? '';
  const typed = current.length - (given.at(-1) ?? '').length;
  const matching = (all: readonly string[]): string[] =>
    all.filter((word) => word.startsWith(current)).map((word) => word.slice(typed));
  const harmless = (all: readonly string[]): string[] =>
    matching(all.filter((word) => harmlessWord.test(word)));
  const entry = commandTable.find(({ name }) => words.slice(1, -1).includes(name));
  const command = await entry?.load();
  const { key, choices } = (parserOf(command) as ParserWithOptions).getOptions();
  if (current.startsWith('-')) {
    return matching(
      Object.keys(key)
        .filter((name) => name.length > 1)
        .map((name) => `--${name}`),
    );
  }
  if (entry === undefined) return matching([...commandTable.map(({ name }) => name), 'completion']);
  const actions = choices['action'];
  if (actions !== undefined) return matching(actions);
  const takesPaths = pathCommands[entry.name];
  const argument = registryCommands[entry.name];
  try {
    if (argument !== undefined) {
      const { registryNames } = await import('./complete-registry.ts');
      return harmless(await registryNames(await workspaceOf(words), argument, words));
    }
    if (takesPaths === undefined) return [];
    return harmless(await targets(words, takesPaths.revisions));
  } catch {
    return [];
  }
}

/** Joins references that bash took apart: there `model@v1` is three words. */
function joinReferences(given: readonly string[]): string[] {
  const words: string[] = [];
  for (const [i, word] of given.entries()) {
    const isJoined = word === '@' || given[i - 1] === '@';
    const before = isJoined ? words.pop() : undefined;
    words.push(`${before ?? ''}${word}`);
  }
  return words;
}

function folderOf(words: readonly string[]): string {
  const at = words.indexOf('-C');
  return path.resolve(at === -1 ? '.' : (words[at + 1] ?? '.'));
}

function workspaceOf(words: readonly string[]): Promise<Workspace> {
  return openWorkspace(folderOf(words), systemSurroundings(process.env, true));
}

async function targets(words: readonly string[], revisions: boolean): Promise<string[]> {
  const cwd = folderOf(words);
  const workspace = await workspaceOf(words);
  const paths = trackedInWorkspace(workspace).tracked.map((item) =>
    path.relative(cwd, workspace.absolute(item.path)).split(path.sep).join('/'),
  );
  const references = revisions ? ((await workspace.git?.references()) ?? []) : [];
  return [...paths, ...references.map(({ name }) => name)];
}
