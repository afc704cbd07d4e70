import * as path from 'node:path';
import { shortDigest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { SignResult } from '../../flow/trust/sign.ts';
import { type Args, type Command, flagOf, listOf, textOf } from '../command.ts';
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
      .option('certificate', {
        type: 'string',
        requiresArg: true,
        describe:
          'Certificate of the key, which the signature holds in place of the name of the key',
      })
      .option('certificate-chain', {
        type: 'string',
        requiresArg: true,
        describe: 'Certificates between that one and the root; may be repeated',
      })
      .option('keyless', {
        type: 'boolean',
        describe: 'Sign with an account: the token in SIGSTORE_ID_TOKEN, and services of Sigstore',
      })
      .option('fulcio', {
        type: 'string',
        requiresArg: true,
        describe: 'With --keyless: URL of the authority; the public one by default',
      })
      .option('rekor', {
        type: 'string',
        requiresArg: true,
        describe: 'With --keyless: URL of the log; the public one by default',
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
    [
      'mstore sign ranker@v1.2.0 --key release --certificate ann.pem --certificate-chain ca.pem',
      'Sign as the owner of a certificate',
    ],
    ['mstore sign ranker@v1.2.0 --keyless', 'Sign with an account, such as that of a pipeline'],
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
  refuseMixed(args);
  if (attached !== undefined) {
    const file = path.resolve(cwd, attached);
    return attachSignature(workspace, reference, file, cwd, options);
  }
  const keyContext = { surroundings, cwd, signal };
  if (flagOf(args, 'keyless')) {
    const { openAccount } = await import('../../flow/trust/account.ts');
    const places = { fulcio: textOf(args, 'fulcio'), rekor: textOf(args, 'rekor') };
    return signVersion(workspace, reference, openAccount(places, keyContext), cwd, options);
  }
  const { openSigner } = await import('../../flow/trust/signing-key.ts');
  const { withCertificates } = await import('../../flow/trust/certificates.ts');
  const signer = withCertificates(
    openSigner(keyPlaceOf(args), keyContext),
    {
      certificate: textOf(args, 'certificate'),
      chain: listOf(args, 'certificate-chain'),
    },
    cwd,
  );
  return signVersion(workspace, reference, signer, cwd, options);
}

/** Who signs is said in one way. */
function refuseMixed(args: Args): void {
  const isAttached = textOf(args, 'attach') !== undefined;
  const isKeyless = flagOf(args, 'keyless');
  const ofKeys = Object.values(keyPlaceOf(args)).some((one) => one !== undefined);
  const ofCertificates = ['certificate', 'certificate-chain'].some(
    (name) => args[name] !== undefined,
  );
  const ofServices = ['fulcio', 'rekor'].some((name) => args[name] !== undefined);
  const usage = (text: string, hint: string) => new MstoreError('usage', text, { hint });
  if (isAttached && (ofKeys || ofCertificates || isKeyless)) {
    const text = '--attach keeps a signature that is there, and signs nothing';
    throw usage(text, 'Leave --attach out, or what signs');
  }
  if (isKeyless && (ofKeys || ofCertificates)) {
    const text = '--keyless makes a key of its own, for which Sigstore gives a certificate';
    throw usage(text, 'Leave --keyless out, or the key and its certificates');
  }
  if (ofServices && !isKeyless) {
    throw usage('--fulcio and --rekor are services for --keyless', 'Write --keyless too');
  }
}
