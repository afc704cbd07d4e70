import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { readBounded } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { type PublicKey, readPrivateKey, readPublicKey, type Signer } from '../../signing/keys.ts';
import type { Surroundings } from '../surroundings.ts';
import { commandSigner } from './command-signer.ts';

/** Where a private key is. One of the first three is given, or none: then the environment says where. */
export interface KeyPlace {
  /** A file in PEM. */
  readonly file?: string | undefined;
  /** The name of a variable that holds the text of such a file. */
  readonly variable?: string | undefined;
  /** A command that signs what it reads, such as the client of a key service or of a smart card. */
  readonly command?: string | undefined;
  /** The public key that goes with the command: a file in PEM. */
  readonly publicKey?: string | undefined;
  /** The name of a variable that holds the passphrase of the key. */
  readonly passphraseVariable?: string | undefined;
}

/** Variables that say which key signs where no option does. */
const keyVariables = {
  file: 'MSTORE_SIGNING_KEY',
  command: 'MSTORE_SIGNING_COMMAND',
  publicKey: 'MSTORE_SIGNING_PUBLIC_KEY',
  passphrase: 'MSTORE_SIGNING_PASSPHRASE',
} as const;

/** What opening a key needs. */
export interface KeyContext {
  readonly surroundings: Surroundings;
  /** Absolute folder that files start from, and commands run in. */
  readonly cwd: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the key that signs.
 * @throws MstoreError `usage` where none is named, `bad-key`, `not-found`
 */
export function openSigner(place: KeyPlace, context: KeyContext): Signer {
  const signer = openSignerIfNamed(place, context);
  if (signer !== undefined) return signer;
  throw new MstoreError('usage', 'No key is named to sign with', {
    hint: `Write --key FILE, or set ${keyVariables.file}; "mstore keygen FILE" makes a key`,
  });
}

/** The same; undefined where neither options nor environment name a key. */
export function openSignerIfNamed(place: KeyPlace, context: KeyContext): Signer | undefined {
  const { env } = context.surroundings;
  const named = chosen(place, env);
  if (named === undefined) return undefined;
  const { file, variable, command, publicKey } = named;
  if (command !== undefined) {
    if (publicKey === undefined) {
      throw new MstoreError('usage', 'A command that signs needs the public key beside it', {
        hint: `Write --public-key FILE, or set ${keyVariables.publicKey}`,
      });
    }
    return commandSigner(command, readPublicKeyFile(publicKey, context.cwd), context);
  }
  const passphrase = passphraseOf(place, env);
  if (variable !== undefined) {
    const text = env[variable];
    if (text === undefined || text.trim() === '') throw noVariable(variable, 'a key');
    return readPrivateKey(text, passphrase, variable);
  }
  return readPrivateKey(readKeyFile(file as string, context.cwd), passphrase, file as string);
}

function chosen(place: KeyPlace, env: NodeJS.ProcessEnv): KeyPlace | undefined {
  const given = [place.file, place.variable, place.command].filter((one) => one !== undefined);
  if (given.length > 1) {
    throw new MstoreError('usage', 'More than one key is named to sign with', {
      hint: 'Write one of --key, --key-env and --key-command; sign again for a second signature',
    });
  }
  if (given.length === 1) return place;
  const value = (name: string) => env[name] || undefined;
  const [file, command] = [value(keyVariables.file), value(keyVariables.command)];
  if (command !== undefined) {
    return { command, publicKey: place.publicKey ?? value(keyVariables.publicKey) };
  }
  return file === undefined ? undefined : { file };
}

/**
 * The passphrase of a key, out of the environment.
 * @throws MstoreError `usage` where the variable that was named is empty
 */
export function passphraseOf(
  { passphraseVariable }: Pick<KeyPlace, 'passphraseVariable'>,
  env: NodeJS.ProcessEnv,
): string | undefined {
  if (passphraseVariable === undefined) return env[keyVariables.passphrase] || undefined;
  const passphrase = env[passphraseVariable];
  if (passphrase === undefined || passphrase === '') {
    throw noVariable(passphraseVariable, 'a passphrase');
  }
  return passphrase;
}

function noVariable(name: string, what: string): MstoreError {
  return new MstoreError('usage', `The variable ${printable(name)} holds no ${what.slice(2)}`, {
    hint: `Put ${what} there; options name the variable, never what it holds`,
  });
}

/**
 * Reads a file in PEM.
 * @throws MstoreError `not-found`, `too-large`
 */
export function readKeyFile(file: string, cwd: string): Buffer {
  const bytes = readBounded(path.resolve(cwd, file), limits.keyBytesMax);
  if (bytes !== undefined) return bytes;
  throw new MstoreError('not-found', `There is no file ${printable(file)}`, {
    hint: 'Name the file of a key; "mstore keygen FILE" makes one',
    details: { path: file },
  });
}

/** Reads a public key from a file in PEM. */
export function readPublicKeyFile(file: string, cwd: string): PublicKey {
  return readPublicKey(readKeyFile(file, cwd), file);
}
