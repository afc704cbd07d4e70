import * as childProcess from 'node:child_process';
import { createHash } from 'node:crypto';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { foreignSignature, hashOf, type PublicKey, type Signer } from '../../signing/keys.ts';
import type { KeyContext } from './signing-key.ts';

/** No signature is larger, in whatever form. */
const outputBytesMax = 16 * 1024;
/** People may have to touch a token. */
const commandMsMax = 120_000;

/**
 * Signs by a command, run by the shell: it reads the bytes to sign from standard input, and writes the signature, in
 * DER or as the two numbers side by side (as PKCS #11 has them), as it is, in base64 or in hexadecimal digits. For services
 * that sign digests, `MSTORE_SIGN_HASH` and `MSTORE_SIGN_DIGEST` hold the hash and the digest of the bytes. What it writes is
 * checked with the public key at once.
 */
export function commandSigner(
  command: string,
  publicKey: PublicKey,
  { surroundings, cwd, signal }: KeyContext,
): Signer {
  const hash = hashOf(publicKey.curve);
  return {
    publicKey,
    async sign(message) {
      const output = await run(command, message, {
        cwd,
        signal,
        env: {
          ...surroundings.env,
          MSTORE_SIGN_HASH: hash,
          MSTORE_SIGN_DIGEST: createHash(hash).update(message).digest('hex'),
        },
      });
      const signature = foreignSignature(output, message, publicKey);
      if (signature !== undefined) return signature;
      throw failed(command, 'wrote what is no signature of the given public key');
    },
  };
}

interface RunOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
}

function run(command: string, input: Buffer, options: RunOptions): Promise<Buffer> {
  const { cwd, env, signal } = options;
  return new Promise((resolve, reject) => {
    const child = childProcess.spawn(command, {
      shell: true,
      cwd,
      env,
      signal,
      timeout: commandMsMax,
      // What it says to people, such as a question for a PIN, is theirs to see.
      stdio: ['pipe', 'pipe', 'inherit'],
      windowsHide: true,
    });
    const blocks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (block: Buffer) => {
      size += block.length;
      if (size > outputBytesMax) child.kill();
      else blocks.push(block);
    });
    // A command that does not read what it is given is judged by what it writes.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.once('error', (error) => {
      if (signal?.aborted) reject(interrupted());
      else reject(failed(command, `did not start (${error.message})`));
    });
    child.once('close', (code, by) => {
      if (signal?.aborted) reject(interrupted());
      else if (size > outputBytesMax) reject(failed(command, 'wrote more than any signature has'));
      else if (code === 0) resolve(Buffer.concat(blocks));
      else reject(failed(command, code === null ? `was ended by ${by}` : `ended with ${code}`));
    });
  });
}

function interrupted(): MstoreError {
  return new MstoreError('interrupted', 'Interrupted while a command was signing', {
    hint: 'Nothing was signed; run the same command again',
  });
}

function failed(command: string, how: string): MstoreError {
  return new MstoreError('bad-key', `The command that signs ${how}: ${printable(command)}`, {
    hint: 'It reads what is to be signed from standard input and writes a signature by ECDSA; try it by itself',
  });
}
