import type { Argv } from 'yargs';
import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { AskedRecipients } from '../../flow/encryption.ts';
import { type Args, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count, table } from '../text.ts';

/** Adds the options that say who can read an encrypted remote. */
export function keyOptions(parser: Argv): Argv {
  return parser
    .option('encrypt', {
      type: 'boolean',
      describe: 'Encrypt the new remote: to --recipient, or by --passphrase-env',
    })
    .option('recipient', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'Public key of age, age1…, of somebody who can read it; may be repeated',
    })
    .option('passphrase-env', {
      type: 'string',
      requiresArg: true,
      describe: 'Variable that holds a passphrase by which it can be read',
    })
    .option('add', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'With recipients: public key of age that can read the remote from now on',
    })
    .option('remove', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'With recipients: public key, or "passphrase", that is to open it no more',
    })
    .option('restart', {
      type: 'boolean',
      describe: 'With rekey: give up a new key that another run began to bring in',
    });
}

/** Whom a new remote is to be encrypted to, if it is. */
export function encryptOf(args: Args): AskedRecipients | undefined {
  const recipients = listOf(args, 'recipient');
  const passphraseEnv = textOf(args, 'passphrase-env');
  if (flagOf(args, 'encrypt')) return { recipients, passphraseEnv };
  if (recipients.length === 0 && passphraseEnv === undefined) return undefined;
  throw new MstoreError('usage', '--recipient and --passphrase-env belong to --encrypt', {
    hint: 'Write --encrypt as well',
  });
}

/** `mstore remote recipients`: lists who can read an encrypted remote, adds some, and removes some. */
export async function remoteRecipients(context: Context, args: Args): Promise<undefined> {
  const [{ changeRecipients }, { chooseAsItLies }] = await Promise.all([
    import('../../flow/recipients.ts'),
    import('../../flow/remotes.ts'),
  ]);
  const workspace = await context.workspace();
  const chosen = await chooseAsItLies(workspace, textOf(args, 'name'), context.cwd);
  const result = await changeRecipients(workspace, chosen, {
    add: { recipients: listOf(args, 'add'), passphraseEnv: textOf(args, 'passphrase-env') },
    remove: listOf(args, 'remove'),
    signal: context.signal,
  });
  const rows = result.recipients.map(({ recipient, added, state }) => [
    printable(recipient),
    added ?? '',
    state === 'good' ? '' : state,
  ]);
  context.result(result, table(rows));
  for (const warning of result.warnings) context.warn(printable(warning));
  const { added, removed, remote } = result;
  if (added.length > 0) context.note(`Added ${count(added.length, 'recipient')}`);
  if (removed.length > 0) {
    context.note(
      `Removed ${count(removed.length, 'recipient')}; who read ${remote} before may have kept its key: mstore remote rekey ${remote}`,
    );
  }
  return undefined;
}

/** `mstore remote rekey`: gives an encrypted remote a new key, and encrypts all of it anew. */
export async function remoteRekey(context: Context, args: Args): Promise<undefined> {
  const [{ rekeyRemote }, { chooseAsItLies, transferJobs }] = await Promise.all([
    import('../../flow/rekey.ts'),
    import('../../flow/remotes.ts'),
  ]);
  const workspace = await context.workspace();
  const chosen = await chooseAsItLies(workspace, textOf(args, 'name'), context.cwd);
  const result = await rekeyRemote(workspace, chosen, {
    recipients: {
      recipients: listOf(args, 'recipient'),
      passphraseEnv: textOf(args, 'passphrase-env'),
    },
    restart: flagOf(args, 'restart'),
    jobs: transferJobs(workspace, context.options.jobs),
    signal: context.signal,
    progress: context.progress,
  });
  const { objects, bytes, deleted, key, recipients } = result;
  for (const warning of result.warnings) context.warn(printable(warning));
  context.result(result, table(recipients.map((recipient) => [printable(recipient)])));
  context.note(
    `Encrypted ${count(objects, 'object')} anew (${formatBytes(bytes)}), and deleted ${count(deleted, 'older one')}`,
  );
  context.note(`The key of ${result.remote} is ${key} now; it can be read by those above`);
  context.note('Commit .modelstore/config.toml: others are refused until they have it');
  return undefined;
}
