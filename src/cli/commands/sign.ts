import * as path from 'node:path';
import { shortDigest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { SignResult } from '../../flow/trust/sign.ts';
import { type Args, type Command, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';
import { keyPlaceOf, signingKeyOptions } from './signing-options.ts';

export const signCommand: Command = {
  positionals: '<ref>',
  options: (parser) =>
    signingKeyOptions(parser, 'Private key to sign with')
      .positional('ref', { type: 'string', describe: 'MODEL@VERSION' })
      .option('output', {
        type: 'string',
        requiresArg: true,
        describe: 'Write the signature to this file too, for others to verify',
      })
      .option('attach', {
        type: 'string',
        requiresArg: true,
        describe: 'Keep a signature that another program made of the same files, and make none',
      }),
  examples: [
    ['mstore sign ranker@v1.2.0 --key release', 'Sign a version; push sends the signature'],
    [
      'mstore sign ranker@v1.2.0 --key release --output model.sig',
      'Write it beside a directory too, for "model_signing verify key"',
    ],
    ['mstore sign ranker@v1.2.0 --attach model.sig', 'Keep a signature made by model_signing'],
    [
      'mstore sign ranker@v1.2.0 --key-command "ssh vault sign ranker" --public-key release.pub',
      'Have another machine, a service or a token sign',
    ],
  ],
  async run(context, args) {
    const workspace = await context.workspace();
    const reference = textOf(args, 'ref') ?? '';
    const result = await signFor(context, args, reference, workspace);
    const { model, version, signature, exists, files, output } = result;
    const what = `${count(files, 'file')}, signature ${shortDigest(signature)}`;
    context.note(
      exists
        ? `${model}@${version} has this signature already: ${what}`
        : `Signed ${model}@${version}: ${what}`,
    );
    if (output !== undefined) context.note(`Wrote ${printable(output)}`);
    if (!exists) context.note('Next: mstore push, which sends it');
    context.result(result, []);
    return undefined;
  },
};

async function signFor(
  context: Context,
  args: Args,
  reference: string,
  workspace: Awaited<ReturnType<Context['workspace']>>,
): Promise<SignResult> {
  const { signal, progress, cwd, surroundings } = context;
  const { attachSignature, signVersion } = await import('../../flow/trust/sign.ts');
  const output = textOf(args, 'output');
  const options = {
    signal,
    progress,
    output: output === undefined ? undefined : path.resolve(cwd, output),
  };
  const attached = textOf(args, 'attach');
  const place = keyPlaceOf(args);
  if (attached !== undefined) {
    if (Object.values(place).some((one) => one !== undefined)) {
      throw new MstoreError(
        'usage',
        '--attach keeps a signature that is there, and signs nothing',
        {
          hint: 'Leave --attach out, or the key',
        },
      );
    }
    const file = path.resolve(cwd, attached);
    return attachSignature(workspace, reference, file, cwd, options);
  }
  const { openSigner } = await import('../../flow/trust/signing-key.ts');
  const signer = openSigner(place, { surroundings, cwd, signal });
  return signVersion(workspace, reference, signer, cwd, options);
}
