import { exitCodeOf, exitCodes, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { type RoleName, roleNames } from '../../flow/access/roles.ts';
import type { CheckResult } from '../../flow/check-list.ts';
import type { Args, Command } from '../command.ts';
import { flagOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { jsonText, table } from '../text.ts';
import { encryptOf, keyOptions, remoteRecipients, remoteRekey } from './remote-keys.ts';
import { remoteUploads } from './remote-uploads.ts';

export const remoteCommand: Command = {
  positionals: '<action> [name] [dir]',
  options: (parser) =>
    keyOptions(parser)
      .positional('action', {
        choices: [
          'add',
          'list',
          'remove',
          'check',
          'uploads',
          'policy',
          'recipients',
          'rekey',
        ] as const,
        describe: 'What to do',
      })
      .positional('name', {
        type: 'string',
        describe:
          'Name of the remote; for all but add and remove also a URL or directory, or nothing for the default',
      })
      .positional('dir', { type: 'string', describe: 'Directory of the remote' })
      .option('default', { type: 'boolean', describe: 'Make it the default remote' })
      .option('create', {
        type: 'boolean',
        default: true,
        describe: 'Make or check the place (--no-create: only write the name down)',
      })
      .option('read-only', { type: 'boolean', describe: 'Check reading alone, and write nothing' })
      .option('as', {
        choices: roleNames,
        requiresArg: true,
        describe: 'Check that the credentials may do what the role needs, and nothing beyond',
      })
      .option('role', {
        choices: roleNames,
        requiresArg: true,
        describe: 'Print the policy of least rights for this role',
      })
      .option('end-older-than', {
        type: 'string',
        requiresArg: true,
        describe: 'End uploads begun longer ago than this: 24h, 7d; at least 1h',
      })
      .option('dry-run', { type: 'boolean', describe: 'Say which uploads would be ended' }),
  examples: [
    [
      'mstore remote add origin /srv/models',
      'Add a directory; the first remote becomes the default',
    ],
    ['mstore remote list', 'List the remotes'],
    ['mstore remote check', 'Try out what mstore needs of the default remote'],
    [
      'mstore remote uploads origin --end-older-than 24h',
      'End uploads that killed pushes have left',
    ],
    ['mstore remote policy origin --role publisher', 'Print the least rights that pushing needs'],
    ['mstore remote check origin --as publisher', 'Prove that it has these rights, and no others'],
    [
      'mstore remote add vault s3://models/team --encrypt --recipient age1…',
      'Make a remote that only those can read who are named',
    ],
    ['mstore remote recipients vault', 'List who can read it; --add and --remove change that'],
    ['mstore remote rekey vault', 'Give it a new key, and encrypt all of it anew'],
    ['mstore remote remove origin', 'Forget a remote; what it holds stays'],
  ],
  async run(context, args) {
    const action = textOf(args, 'action');
    const unused = action === 'add' ? [] : action === 'list' ? ['name', 'dir'] : ['dir'];
    refuseExtra(args, unused);
    refuseElsewhere(args, action);
    if (action === 'policy') return policy(context, args);
    if (action === 'uploads') return remoteUploads(context, args);
    if (action === 'recipients') return remoteRecipients(context, args);
    if (action === 'rekey') return remoteRekey(context, args);
    if (action === 'check') return check(context, args);
    if (action === 'add') await add(context, args);
    else if (action === 'remove') await remove(context, args);
    else await list(context);
    return undefined;
  },
};

function refuseExtra(args: Args, names: readonly string[]): void {
  const extra = names.map((name) => textOf(args, name)).find((value) => value !== undefined);
  if (extra === undefined) return;
  throw new MstoreError('usage', `Unknown argument: ${printable(extra)}`, {
    hint: 'Run "mstore remote --help"',
  });
}

/** Options of one action mean nothing to another. */
function refuseElsewhere(args: Args, action: string | undefined): void {
  for (const [option, of] of [
    ['as', 'check'],
    ['role', 'policy'],
  ] as const) {
    if (textOf(args, option) === undefined || action === of) continue;
    throw new MstoreError('usage', `--${option} is for "mstore remote ${of}"`, {
      hint: 'Run "mstore remote --help"',
    });
  }
  if (textOf(args, 'as') === undefined || !flagOf(args, 'read-only')) return;
  throw new MstoreError('usage', '--as and --read-only do not go together', {
    hint: 'Write --as reader to try what reading needs',
  });
}

/** `mstore remote policy`: the document alone on standard output, to be put in a file. */
async function policy(context: Context, args: Args): Promise<undefined> {
  const role = textOf(args, 'role') as RoleName | undefined;
  if (role === undefined) {
    throw new MstoreError('usage', 'The role is missing', {
      hint: `Write --role with one of ${roleNames.join(', ')}`,
    });
  }
  const [{ rolePolicy }, { chooseRemote }] = await Promise.all([
    import('../../flow/access/policy.ts'),
    import('../../flow/remotes.ts'),
  ]);
  const workspace = await context.workspace();
  const chosen = await chooseRemote(workspace, textOf(args, 'name'), context.cwd);
  const result = await rolePolicy(chosen, role);
  context.result(result, jsonText(result.document, 2).split('\n'));
  for (const command of result.commands) context.note(`Put it in force: ${command}`);
  return undefined;
}

function required(args: Args, name: string, line: string): string {
  const value = textOf(args, name);
  if (value !== undefined) return value;
  throw new MstoreError(
    'usage',
    `The ${name === 'dir' ? 'directory' : name} of the remote is missing`,
    { hint: `Write ${line}` },
  );
}

async function add(context: Context, args: Args): Promise<void> {
  const line = 'mstore remote add NAME DIR';
  const name = required(args, 'name', line);
  const url = required(args, 'dir', line);
  const { addRemote, listRemotes } = await import('../../flow/remotes.ts');
  const { liesInWorkspace } = await import('../../flow/remote-url.ts');
  const options = {
    isDefault: flagOf(args, 'default'),
    create: flagOf(args, 'create'),
    encrypt: encryptOf(args),
  };
  const before = await context.workspace();
  const { state, encryption } = await addRemote(before, name, url, options, context.cwd);
  const workspace = await context.workspace();
  const kept = listRemotes(workspace).find((remote) => remote.name === name)?.url ?? url;
  if (workspace.git !== undefined && liesInWorkspace(workspace, kept)) {
    context.warn(
      'the remote lies in the repository; list it in .gitignore, or Git takes its packs',
    );
  }
  const done = { created: 'made it', exists: 'found it there', unchecked: 'not checked' }[state];
  context.note(`Added the remote ${name} (${done})`);
  if (encryption !== undefined) context.note(`It is encrypted by the key ${encryption}`);
  context.result({ name, url: kept, state, ...(encryption && { encryption }) }, []);
}

async function remove(context: Context, args: Args): Promise<void> {
  const name = required(args, 'name', 'mstore remote remove NAME');
  const { removeRemote } = await import('../../flow/remotes.ts');
  await removeRemote(await context.workspace(), name);
  context.note(`Removed the remote ${name}; what it holds is untouched`);
  context.result({ name }, []);
}

async function list(context: Context): Promise<void> {
  const { listRemotes } = await import('../../flow/remotes.ts');
  const { withoutPassword } = await import('../../worktree/config.ts');
  const remotes = listRemotes(await context.workspace()).map((remote) => ({
    ...remote,
    url: withoutPassword(remote.url),
  }));
  if (remotes.length === 0) context.note('No remotes; add one with: mstore remote add NAME DIR');
  const rows = remotes.map(({ name, url, isDefault }) => [
    name,
    printable(url),
    isDefault ? '(default)' : '',
  ]);
  context.result({ remotes }, table(rows));
}

async function check(context: Context, args: Args): Promise<number> {
  const [{ checkRemote }, { chooseToCheck }] = await Promise.all([
    import('../../flow/remote-check.ts'),
    import('../../flow/remotes.ts'),
  ]);
  const workspace = await context.workspace();
  const chosen = await chooseToCheck(workspace, textOf(args, 'name'), context.cwd);
  context.note(`Checking ${printable(chosen.name)}, ${chosen.remote.location}`);
  const { json, jsonEvents } = context.options;
  let written = Promise.resolve();
  const result = await checkRemote(workspace, chosen, {
    signal: context.signal,
    readOnly: flagOf(args, 'read-only'),
    role: textOf(args, 'as') as RoleName | undefined,
    onCheck(one) {
      if (json || jsonEvents) return;
      // Each line as it comes: one that waits for a time-out must not hold back the others.
      written = written.then(() => context.write(Buffer.from(`${checkLine(context, one)}\n`)));
      // Who stops reading does not stop the check; the wait below tells of it.
      written.catch(() => {});
    },
  });
  await written;
  context.result(result, []);
  const failed = result.checks.find(({ state }) => state === 'failed');
  const count = result.checks.filter(({ state }) => state === 'failed').length;
  context.note(count === 0 ? 'All is there that was needed' : `${count} of the checks failed`);
  return failed?.code === undefined ? exitCodes.done : exitCodeOf(failed.code);
}

/** Columns of the state, the name and the time of a check. */
const widths = [8, 17, 8] as const;

function checkLine(
  { paint }: Context,
  { name, state, ms, code, message, hint }: CheckResult,
): string {
  const colour = {
    ok: paint.good,
    warning: paint.changed,
    failed: paint.bad,
    skipped: paint.faint,
  };
  const time = state === 'skipped' ? '' : `${ms} ms`;
  const head = `${colour[state](state.padEnd(widths[0]))} ${name.padEnd(widths[1])}${time.padStart(widths[2])}`;
  const told = code === undefined ? message : `${message} [${code}]`;
  const lines = [`${head}${told === undefined ? '' : `  ${printable(told)}`}`.trimEnd()];
  if (hint !== undefined) lines.push(`         ${paint.strong('hint:')} ${printable(hint)}`);
  return lines.join('\n');
}
