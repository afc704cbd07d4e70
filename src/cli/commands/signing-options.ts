import type { Argv } from 'yargs';
import type { KeyPlace } from '../../flow/trust/signing-key.ts';
import type { TrustOptions } from '../../flow/trust/trusted-keys.ts';
import { type Args, listOf, textOf } from '../command.ts';

/** Adds the options that say which key signs. */
export function signingKeyOptions(parser: Argv, about: string): Argv {
  return parser
    .option('key', { type: 'string', requiresArg: true, describe: `${about}: a file in PEM` })
    .option('key-env', {
      type: 'string',
      requiresArg: true,
      describe: 'The same in a variable of the environment, by its name',
    })
    .option('key-command', {
      type: 'string',
      requiresArg: true,
      describe: 'A command that signs what it reads, for keys in services and tokens',
    })
    .option('public-key', {
      type: 'string',
      requiresArg: true,
      describe: 'The public key that goes with --key-command',
    })
    .option('passphrase-env', {
      type: 'string',
      requiresArg: true,
      describe: 'Variable of the environment with the passphrase of the key',
    });
}

/** Reads them. */
export function keyPlaceOf(args: Args): KeyPlace {
  return {
    file: textOf(args, 'key'),
    variable: textOf(args, 'key-env'),
    command: textOf(args, 'key-command'),
    publicKey: textOf(args, 'public-key'),
    passphraseVariable: textOf(args, 'passphrase-env'),
  };
}

/** Adds the options that say whose signatures count. */
export function trustOptions(parser: Argv, about: string): Argv {
  const option = { type: 'string', requiresArg: true } as const;
  return parser
    .option('key', {
      ...option,
      describe: `${about}: public key of somebody who is trusted; may be repeated`,
    })
    .option('certificate-chain', {
      ...option,
      describe: `${about}: certificates of a root whose signers are trusted; may be repeated`,
    })
    .option('identity', { ...option, describe: `${about}: account of somebody who is trusted` })
    .option('issuer', { ...option, describe: 'With --identity: URL of who vouches for it' })
    .option('trust-root', {
      ...option,
      describe: 'With --identity: trusted_root.json of the services of Sigstore',
    });
}

/** Reads them. */
export function trustOptionsOf(args: Args): TrustOptions {
  return {
    keys: listOf(args, 'key'),
    certificates: listOf(args, 'certificate-chain'),
    identity: textOf(args, 'identity'),
    issuer: textOf(args, 'issuer'),
    trustRoot: textOf(args, 'trust-root'),
  };
}
