import * as path from 'node:path';
import { systemSurroundings } from '../flow/surroundings.ts';
import { trackedInWorkspace } from '../flow/tracked.ts';
import { openWorkspace } from '../flow/workspace.ts';
import type { Command } from './command.ts';
import { commandTable } from './commands.ts';

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

/** What the parser knows about options; not part of its published types. */
interface ParserWithOptions {
  getOptions(): { key: Record<string, unknown>; choices: Record<string, readonly string[]> };
}

/**
 * Proposes what may stand at the end of a command line: commands, options, tracked paths and Git
 * references. A workspace that cannot be opened proposes nothing; the shell adds file names itself.
 * @param words the command line from the program's name on; the last one is being typed
 * @param parserOf makes a parser with the options of a command, or with those of all commands
 */
export async function proposals(
  words: readonly string[],
  parserOf: (command: Command | undefined) => unknown,
): Promise<string[]> {
  const current = words.at(-1) ?? '';
  const matching = (all: readonly string[]): string[] =>
    all.filter((word) => word.startsWith(current));
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
  if (takesPaths === undefined) return [];
  try {
    return matching(await targets(words, takesPaths.revisions));
  } catch {
    return [];
  }
}

async function targets(words: readonly string[], revisions: boolean): Promise<string[]> {
  const at = words.indexOf('-C');
  const cwd = path.resolve(at === -1 ? '.' : (words[at + 1] ?? '.'));
  const workspace = await openWorkspace(cwd, systemSurroundings(process.env, true));
  const paths = trackedInWorkspace(workspace).tracked.map((item) =>
    path.relative(cwd, workspace.absolute(item.path)).split(path.sep).join('/'),
  );
  const references = revisions ? ((await workspace.git?.references()) ?? []) : [];
  return [...paths, ...references.map(({ name }) => name)];
}
