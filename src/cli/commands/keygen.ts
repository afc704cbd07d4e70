import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { type Command, textOf } from '../command.ts';
import type { Context } from '../context.ts';

const curves = ['p256', 'p384', 'p521'] as const;
const types = [...curves, 'age'] as const;

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
        describe: 'Curve of a signing key; or age, for an identity that reads encrypted remotes',
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
    [
      'mstore keygen ~/.config/mstore/identity.txt --type age',
      'Make an identity that encrypted remotes can be read by',
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
    const file = path.resolve(context.cwd, given);
    if (textOf(args, 'type') === 'age') return makeIdentity(context, file, passphrase);
    const type = curves.find((one) => one === textOf(args, 'type')) ?? 'p256';
    const made = generateKeyFiles(file, type, passphrase);
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

/** An identity of age: what is printed is what others encrypt to. */
async function makeIdentity(
  context: Context,
  file: string,
  passphrase: string | undefined,
): Promise<undefined> {
  if (passphrase !== undefined) {
    throw new MstoreError('usage', 'An identity of age has no passphrase here', {
      hint: 'Leave --passphrase-env out; a remote can be encrypted by a passphrase itself',
    });
  }
  const { generateIdentity } = await import('../../flow/encryption.ts');
  const recipient = await generateIdentity(file, context.surroundings);
  context.note(`Made ${printable(file)}: keep it to yourself`);
  context.note('Others encrypt to what follows, which is no secret');
  context.result({ privateKey: file, type: 'age', recipient }, [recipient]);
  return undefined;
}
