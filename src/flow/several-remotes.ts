import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type ChooseOptions, type ChosenRemote, chooseRemote, defaultRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** A remote that was chosen and cannot be opened: it is passed over, with that reason. */
export interface UnopenedRemote {
  readonly name: string;
  readonly error: MstoreError;
}

/** One of several remotes of a command. */
export type RemoteChoice = ChosenRemote | UnopenedRemote;

/**
 * Opens the remotes that a push goes to: those given, else those of `push.remotes`, else the default one.
 * @param chosen as {@link chooseRemote} takes them
 * @throws MstoreError `unknown-remote`, `usage`, before any of them is touched
 */
export async function choosePushRemotes(
  workspace: Workspace,
  chosen: readonly string[],
  cwd: string,
  options: ChooseOptions = {},
): Promise<RemoteChoice[]> {
  const names = chosen.length > 0 ? chosen : listedRemotes(workspace, 'push.remotes');
  return chooseAll(workspace, names ?? [undefined], { cwd, ...options });
}

/**
 * Opens the remotes that a fetch asks, in the order in which it asks them: those given, else those of
 * `fetch.remotes`, else the default one and then all others by name.
 * @param chosen as {@link chooseRemote} takes them
 * @throws MstoreError `unknown-remote`, `usage`
 */
export async function chooseFetchRemotes(
  workspace: Workspace,
  chosen: readonly string[],
  cwd: string,
  options: ChooseOptions = {},
): Promise<RemoteChoice[]> {
  const names = chosen.length > 0 ? chosen : listedRemotes(workspace, 'fetch.remotes');
  const how = { cwd, ...options };
  if (names !== undefined) return chooseAll(workspace, names, how);
  const first = defaultRemote(workspace);
  const all = workspace.config.remotes().map(({ name }) => name);
  const others = all.filter((name) => name !== first);
  // Nobody named these: one of a kind that cannot be opened here is no reason to end.
  const rest = await chooseAll(workspace, others, how, () => true);
  if (first === undefined && rest.length > 0) return rest;
  return [...(await chooseAll(workspace, [undefined], how)), ...rest];
}

async function chooseAll(
  workspace: Workspace,
  names: ReadonlyArray<string | undefined>,
  { cwd, ...options }: ChooseOptions & { readonly cwd: string },
  passOver = (error: MstoreError): boolean => error.code === 'offline',
): Promise<RemoteChoice[]> {
  const choices: RemoteChoice[] = [];
  for (const given of new Set(names)) {
    try {
      choices.push(await chooseRemote(workspace, given, cwd, options));
    } catch (error) {
      if (!isMstoreError(error) || !passOver(error)) throw error;
      choices.push({ name: printable(given ?? defaultRemote(workspace) ?? ''), error });
    }
  }
  return choices;
}

/** Reads a list of remotes from the configuration. */
function listedRemotes(workspace: Workspace, key: string): string[] | undefined {
  const names = workspace.config.string(key)?.split(',');
  const known = workspace.config.remotes().map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  throw new MstoreError('unknown-remote', `${key} names ${unknown}, and there is no such remote`, {
    hint: `Run "mstore config set ${key} NAME,NAME" with some of: ${known.join(', ')}`,
    details: { name: unknown, key },
  });
}
