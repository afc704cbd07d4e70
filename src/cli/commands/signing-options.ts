import type { Argv } from 'yargs';
import type { KeyPlace } from '../../flow/trust/signing-key.ts';
import { type Args, textOf } from '../command.ts';

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
