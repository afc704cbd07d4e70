import * as path from 'node:path';
import { shortDigest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { SignatureReport, SignaturesReport } from '../../flow/trust/verify-signatures.ts';
import { parseReference } from '../../registry/reference.ts';
import { type Args, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { localTime } from '../text.ts';
import { chosenRemote } from './places.ts';
import { trustOptionsOf } from './signing-options.ts';

/** `verify --signature`: who signed a version, or a directory. */
export async function verifySignature(context: Context, args: Args): Promise<number | undefined> {
  const report = await reportFor(context, args);
  const { refusalOf } = await import('../../flow/trust/verify-signatures.ts');
  const refusal = refusalOf(report);
  const document = { ...report, code: refusal?.code ?? null };
  context.result(
    document,
    report.signatures.flatMap((one) => lines(context, one)),
  );
  if (refusal !== undefined) {
    context.fail(refusal);
    return refusal.exitCode;
  }
  context.note(`${printable(report.target)} is signed by somebody who is trusted`);
  return undefined;
}

async function reportFor(context: Context, args: Args): Promise<SignaturesReport> {
  const { cwd, signal, progress } = context;
  const targets = listOf(args, 'target');
  const [target] = targets;
  if (target === undefined || targets.length > 1) {
    throw new MstoreError('usage', '--signature checks one version, or one directory', {
      hint: 'Write mstore verify MODEL@VERSION --signature, or mstore verify DIR --signature FILE',
    });
  }
  const { trustedBy } = await import('../../flow/trust/trusted-keys.ts');
  const flows = await import('../../flow/trust/verify-signatures.ts');
  const given = textOf(args, 'signature') ?? '';
  const file = given === '' ? undefined : path.resolve(cwd, given);
  const trust = trustOptionsOf(args);
  const options = { signal, progress };
  if (file !== undefined && parseReference(target).kind !== 'model') {
    const trusted = trustedBy(trust, cwd);
    return flows.verifyDirectorySignature(path.resolve(cwd, target), file, trusted, options);
  }
  const workspace = await context.workspace();
  const trusted = trustedBy(trust, cwd);
  const { findSigned } = await import('../../flow/trust/version-signing.ts');
  const remote = await chosenRemote(context, workspace, args);
  const { localRegistry } = await import('../../flow/registry.ts');
  const { Registry } = await import('../../registry/registry.ts');
  const registry =
    remote === undefined
      ? await localRegistry(workspace, { signal })
      : new Registry(remote.remote, { signal });
  const { record } = await findSigned(workspace, target, cwd, registry);
  return file === undefined
    ? flows.verifyVersionSignatures(workspace, registry, record, trusted, options)
    : flows.verifyVersionSignatureFile(workspace, record, file, trusted, options);
}

function lines({ paint, width }: Context, report: SignatureReport): string[] {
  const { signature, valid, problem, by, issuer, logged, signed = logged, hint, ignored } = report;
  const name = /^[0-9a-f]{64}$/.test(signature) ? shortDigest(signature as never) : signature;
  const label = valid ? paint.good('valid  ') : paint.bad('invalid');
  const who = by === undefined ? `says ${printable(hint)}` : `by ${printable(by)}`;
  const when = signed === undefined ? '' : `, ${localTime(signed)}`;
  const below = [
    ...(problem === undefined ? [] : [printable(problem)]),
    ...(issuer === undefined ? [] : [`${printable(issuer)} vouched for that`]),
    ...(ignored === undefined ? [] : [`says nothing of ${ignored.map(printable).join(', ')}`]),
  ];
  return [
    `${label}  ${printable(name)}  ${who}${when}`,
    ...below.map((text) => `         ${text}`),
  ].map((line) => line.slice(0, Math.max(width, 400)));
}
