import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { type Command, textOf } from '../command.ts';

const types = ['p256', 'p384', 'p521'] as const;

export const keygenCommand: Command = {
  positionals: '<file>',
  options: (parser) =>
    parser
      .positional('file', {
        type: 'string',
        describe: 'File for the private key; the public one gets .pub behind its name',
      })
      .option('type', {
        type: 'string',
        choices: types,
        default: 'p256',
        describe: 'Curve of a signing key',
      })
      .option('passphrase-env', {
        type: 'string',
        requiresArg: true,
        describe: 'Variable of the environment with a passphrase that encrypts the private key',
      }),
  examples: [
    ['mstore keygen ~/keys/release', 'Make a key to sign with, and release.pub for all others'],
    [
      'mstore keygen release --type p384 --passphrase-env PASSPHRASE',
      'Make one that is encrypted with what the variable PASSPHRASE holds',
    ],
  ],
  async run(context, args) {
    const given = textOf(args, 'file') ?? '';
    if (given === '') {
      throw new MstoreError('usage', 'keygen writes a file, and none is named', {
        hint: 'Write mstore keygen FILE',
      });
    }
    const { generateKeyFiles } = await import('../../flow/trust/keygen.ts');
    const { passphraseOf } = await import('../../flow/trust/signing-key.ts');
    const variable = textOf(args, 'passphrase-env');
    const { env } = context.surroundings;
    const passphrase =
      variable === undefined ? undefined : passphraseOf({ passphraseVariable: variable }, env);
    const type = types.find((one) => one === textOf(args, 'type')) ?? 'p256';
    const made = generateKeyFiles(path.resolve(context.cwd, given), type, passphrase);
    context.note(
      `Made ${printable(made.privateKey)}: keep it to yourself${made.encrypted ? ', and its passphrase' : ''}`,
    );
    if (!made.encrypted) {
      context.note('It is not encrypted: whoever reads the file can sign (--passphrase-env VAR)');
    }
    context.note(`Made ${printable(made.publicKey)}: hand it to those who verify`);
    context.result(made, [made.fingerprint]);
    return undefined;
  },
};
