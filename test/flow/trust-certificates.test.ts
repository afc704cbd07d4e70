import { X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { signVersion } from '../../src/flow/trust/sign.ts';
import type { AccountSigner } from '../../src/signing/bundle.ts';
import { signKeyless } from '../../src/signing/keyless.ts';
import { readPrivateKey, type Signer } from '../../src/signing/keys.ts';
import { authority, certificate, privatePem, signer } from '../support/certificates.ts';
import { identityToken, startSigstore } from '../support/sigstore-services.ts';
import { makeTrusting, refusalOf, type Trusting } from '../support/trusting.ts';

/** Signs a version, and sends that. */
async function signAs(ws: Trusting, version: string, by: Signer | AccountSigner): Promise<void> {
  const workspace = await ws.open();
  await signVersion(workspace, `bert@${version}`, by, ws.root);
  const remote = await chooseRemote(workspace, undefined, ws.root);
  await pushWithVersions(workspace, [], remote, { registry: 'all' });
}

const rule = '[trust.production]\nsigners = ["release"]';

describe('rules of trust', () => {
  it('take certificates of one name from a root', async () => {
    const ws = await makeTrusting();
    const root = await certificate({ name: 'Root' });
    const middle = await certificate({ name: 'Middle', by: root, extensions: authority() });
    const ann = await certificate({ name: 'Ann', by: middle, extensions: signer() });
    fs.writeFileSync(ws.at('root.pem'), root.pem);
    const key = readPrivateKey(await privatePem(ann), undefined, 'ann');
    const chain = [ann, middle].map(({ der }) => new X509Certificate(der).raw);
    const signers = (identity: string) =>
      `[signers.release]\ncertificate_chain = 'root.pem'\nidentity = '${identity}'\n${rule}`;
    ws.rules(signers('ann@example.com'));
    expect(await refusalOf(ws.deployAs(undefined, 'v1'))).toMatchObject({ code: 'untrusted' });
    await signAs(ws, 'v1', { ...key, certificates: chain });
    await ws.deployAs(undefined, 'v1');
    ws.rules(signers('bob@example.com'));
    expect(await refusalOf(ws.deployAs(undefined, 'v1'))).toMatchObject({ code: 'untrusted' });
  });

  it('take accounts, by what the trusted root and the issuer say', async () => {
    const ws = await makeTrusting();
    const services = await startSigstore();
    const identity = 'https://github.com/acme/models/.github/workflows/release.yml@refs/tags/v1';
    const issuer = 'https://token.actions.example.com';
    fs.writeFileSync(ws.at('root.json'), JSON.stringify(services.trustedRoot));
    const token = identityToken({ sub: identity, iss: issuer });
    const account = { token, fulcio: services.url, rekor: services.url };
    await signAs(ws, 'v1', {
      bundle: (payload) => signKeyless(payload, account, { now: Date.now() }),
    });
    await services.close();
    const signers = (name: string, by: string) =>
      `[signers.release]\ntrust_root = 'root.json'\nidentity = '${name}'\nissuer = '${by}'\n${rule}`;
    ws.rules(signers(identity.replace('v1', '*'), issuer));
    await ws.deployAs(undefined, 'v1');
    for (const [name, by] of [
      [identity, 'https://other.example'],
      [`${identity}0`, issuer],
    ] as const) {
      ws.rules(signers(name, by));
      expect(await refusalOf(ws.deployAs(undefined, 'v1'))).toMatchObject({ code: 'untrusted' });
    }
  });
});
