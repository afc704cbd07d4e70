import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { ensureCacheFolder } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import type { Workspace } from '../../flow/workspace.ts';
import {
  type ConfigEntry,
  configName,
  keyRule,
  localConfigName,
  parseValue,
  unknownKey,
  withoutPassword,
} from '../../worktree/config.ts';
import { writeConfigKey } from '../../worktree/config-file.ts';
import { configKeys } from '../../worktree/config-keys.ts';
import type { Args, Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { table } from '../text.ts';

export const configCommand: Command = {
  positionals: '<action> [key] [value]',
  options: (parser) =>
    parser
      .positional('action', {
        choices: ['list', 'get', 'set', 'unset', 'keys'] as const,
        describe: 'What to do',
      })
      .positional('key', { type: 'string', describe: 'SECTION.KEY' })
      .positional('value', { type: 'string', describe: 'New value' })
      .option('local', { type: 'boolean', describe: 'Use config.local.toml, which Git ignores' }),
  examples: [
    ['mstore config list', 'Show all values and where they come from'],
    ['mstore config set core.remote backup', 'Choose the default remote'],
    ['mstore config set store.path /data/mstore --local', 'Share one store on this machine'],
  ],
  async run(context, args) {
    const action = textOf(args, 'action');
    if (action === 'keys') keys(context);
    else if (action === 'list') await list(context);
    else if (action === 'get') return get(context, requiredKey(args));
    else await change(context, args, action === 'set');
    return undefined;
  },
};

function requiredKey(args: Args): string {
  const key = textOf(args, 'key');
  if (key === undefined)
    throw new MstoreError('usage', 'The key is missing', { hint: 'Run "mstore config keys"' });
  if (keyRule(key) === undefined) throw unknownKey(key);
  return key;
}

function keys(context: Context): void {
  const rows = Object.entries(configKeys).map(([key, rule]) => [key, rule.type, rule.about]);
  context.result({ keys: rows.map(([key, type, about]) => ({ key, type, about })) }, table(rows));
}

async function list(context: Context): Promise<void> {
  const entries = (await context.workspace()).config.entries().map(shownEntry);
  const rows = entries.map(({ key, value, source }) => [key, printable(String(value)), source]);
  context.result({ entries }, table(rows));
}

/** An entry as it may be printed: somebody may have put a password into the URL of a remote. */
function shownEntry(entry: ConfigEntry): ConfigEntry {
  return typeof entry.value === 'string'
    ? { ...entry, value: withoutPassword(entry.value) }
    : entry;
}

async function get(context: Context, key: string): Promise<number | undefined> {
  const entry = (await context.workspace()).config.get(key);
  if (entry === undefined) {
    throw new MstoreError('not-found', `${key} is not set`, {
      hint: `Set it with "mstore config set ${key} VALUE"`,
    });
  }
  const shown = shownEntry(entry);
  context.result(shown, [printable(String(shown.value))]);
  return undefined;
}

/** What every clone would refuse is not written down. */
async function refuseOutside({ root }: Workspace, folder: string): Promise<void> {
  const { isOutside } = await import('../../flow/workspace-trust.ts');
  if (!isOutside(root, folder)) return;
  throw new MstoreError('usage', 'A store outside of the workspace is not for all who clone it', {
    hint: 'Name it for this machine: mstore config set store.path DIR --local',
  });
}

async function change(context: Context, args: Args, set: boolean): Promise<void> {
  const key = requiredKey(args);
  const text = textOf(args, 'value');
  if (keyRule(key)?.readOnly) {
    throw new MstoreError('usage', `${key} is written by "mstore init" and stays as it is`);
  }
  if (set && text === undefined)
    throw new MstoreError('usage', 'The value is missing', {
      hint: `Write mstore config set ${key} VALUE`,
    });
  const value = set ? parseValue(key, text ?? '', 'config set') : undefined;
  const workspace = await context.workspace();
  if (set && key === 'store.path' && !flagOf(args, 'local'))
    await refuseOutside(workspace, String(value));
  const isRemote = workspace.config.remotes().some(({ name }) => name === value);
  if (key === 'core.remote' && value !== undefined && !isRemote) {
    throw new MstoreError('unknown-remote', `There is no remote ${printable(String(value))}`, {
      hint: 'Add it first: mstore remote add NAME DIR',
    });
  }
  const file = path.join(workspace.folder, flagOf(args, 'local') ? localConfigName : configName);
  ensureCacheFolder(workspace.cacheFolder);
  await writeConfigKey(file, key, value, workspace.cacheFolder);
  context.note(
    value === undefined ? `Removed ${key}` : `Set ${key} to ${printable(String(value))}`,
  );
  context.result({ key, value: value ?? null }, []);
}
