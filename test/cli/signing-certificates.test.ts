import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  authority,
  certificate,
  type Made,
  p256,
  privatePem,
  signer,
} from '../support/certificates.ts';
import { type CliResult, type CliWorkspace, makeWorkspace, startMstore } from '../support/cli.ts';
import {
  identityToken,
  type SigstoreServices,
  startSigstore,
} from '../support/sigstore-services.ts';

const noSockets = { NODE_OPTIONS: `--require ${path.resolve('test/support/no-sockets.cjs')}` };

let root: Made;
let middle: Made;
let services: SigstoreServices;

beforeAll(async () => {
  root = await certificate({ name: 'Root' });
  middle = await certificate({ name: 'Middle', by: root, extensions: authority(0) });
  services = await startSigstore();
});
afterAll(() => services.close());

/** A version, and beside the workspace the certificates and a key of Ann. */
async function scene(namedCurve = 'P-256'): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  workspace.write('bert/weights', 'one');
  workspace.write('bert/deep/config', '{}');
  await workspace.add('bert');
  await workspace.ok('register', 'm@v1', 'bert');
  const ann = await certificate({
    name: 'Ann',
    by: middle,
    extensions: signer(),
    key: { ...p256, namedCurve },
  });
  const key = await privatePem(ann);
  const files = {
    'ann.key': key,
    'ann.pem': ann.pem,
    'middle.pem': middle.pem,
    'ca.pem': root.pem,
  };
  for (const [name, text] of Object.entries(files))
    fs.writeFileSync(workspace.at(`../${name}`), text);
  fs.writeFileSync(workspace.at('../root.json'), JSON.stringify(services.trustedRoot));
  return workspace;
}

async function run(
  workspace: CliWorkspace,
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<CliResult> {
  return startMstore(workspace.root, [...args, '--json'], { env }).done;
}

const byAnn = ['--key', '../ann.key', '--certificate', '../ann.pem'];
const check = ['verify', 'm@v1', '--signature'];

describe('certificates on the command line', () => {
  it('sign and verify', async () => {
    const workspace = await scene('P-384');
    const chain = ['--certificate-chain', '../middle.pem'];
    await workspace.ok('sign', 'm@v1', ...byAnn, ...chain, '--output', '../m.sig');
    const { code, stdout } = await run(
      workspace,
      noSockets,
      ...check,
      '--certificate-chain',
      '../ca.pem',
    );
    expect(code, stdout).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      valid: 1,
      signatures: [{ by: 'CN=Ann, email:ann@example.com', valid: true, for: 'm@v1', files: 2 }],
    });
    const directory = ['verify', 'bert', '--signature', '../m.sig'];
    await workspace.ok(...directory, '--certificate-chain', '../ca.pem');
    workspace.write('bert/weights', 'two');
    const changed = await run(workspace, {}, ...directory, '--certificate-chain', '../ca.pem');
    expect(changed.code).toBe(5);
    expect(changed.stdout).toContain('weights has other bytes');
  });

  it('count for nobody who trusts another root, or only keys', async () => {
    const workspace = await scene();
    // Without what is between, the reader has to have it.
    await workspace.ok('sign', 'm@v1', ...byAnn);
    const other = await certificate({ name: 'Root' });
    fs.writeFileSync(workspace.at('../other.pem'), other.pem);
    await workspace.ok('keygen', '../key');
    const trusts = [
      [['--certificate-chain', '../ca.pem'], 'no certificate leads from it'],
      [['--certificate-chain', '../other.pem'], 'not trusted'],
      [['--key', '../key.pub'], 'it is of a certificate, and none is trusted'],
    ] as const;
    for (const [trust, text] of trusts) {
      const { code, stdout } = await run(workspace, {}, ...check, ...trust);
      expect(code, stdout).toBe(5);
      expect(stdout).toContain(text);
    }
    const both = ['--certificate-chain', '../ca.pem', '--certificate-chain', '../middle.pem'];
    await workspace.ok(...check, ...both);
    await workspace.ok(...check, '--key', '../key.pub', ...both);
    await workspace.ok(...check, ...both, '--identity', 'ann@example.com');
    const { code, stdout } = await run(workspace, {}, ...check, ...both, '--identity', 'ann');
    expect(code, stdout).toBe(5);
    expect(stdout).toContain('not by ann');
  });

  it('are refused where they do not fit', async () => {
    const workspace = await scene();
    await workspace.ok('keygen', '../key');
    const refused: ReadonlyArray<readonly [string, ...string[]]> = [
      ['bad-key', 'sign', 'm@v1', '--key', '../key', '--certificate', '../ann.pem'],
      ['bad-key', 'sign', 'm@v1', '--key', '../key', '--certificate', '../key.pub'],
      ['usage', 'sign', 'm@v1', '--key', '../key', '--certificate-chain', '../middle.pem'],
      ['not-found', 'sign', 'm@v1', '--key', '../key', '--certificate', '../none.pem'],
      ['usage', 'sign', 'm@v1', '--keyless', '--certificate', '../ann.pem'],
      ['usage', 'sign', 'm@v1', '--key', '../key', '--rekor', 'https://log.example'],
      ['usage', 'sign', 'm@v1', '--attach', '../x.sig', '--keyless'],
      ['usage', ...check, '--identity', 'ann@example.com'],
      [
        'usage',
        ...check,
        '--identity',
        '*',
        '--issuer',
        'https://x',
        '--trust-root',
        '../root.json',
      ],
      ['bad-key', ...check, '--identity', 'a', '--issuer', 'b', '--trust-root', '../ca.pem'],
    ];
    for (const [code, ...args] of refused) {
      const ended = await run(workspace, {}, ...args);
      expect(ended.json.error?.code, args.join(' ')).toBe(code);
    }
  });
});

describe('accounts on the command line', () => {
  const identity = 'https://github.com/acme/models/.github/workflows/release.yml@refs/tags/v1';
  const issuer = 'https://token.actions.example.com';
  const somebody = (name: string, by = issuer) => [
    ...['--identity', name],
    ...['--issuer', by],
    ...['--trust-root', '../root.json'],
  ];

  it('sign, and are verified without the network', async () => {
    const workspace = await scene();
    const token = identityToken({ sub: identity, iss: issuer });
    const env = { SIGSTORE_ID_TOKEN: token, MSTORE_FULCIO_URL: services.url };
    const args = ['sign', 'm@v1', '--keyless', '--rekor', services.url, '--output', '../m.sig'];
    const signed = await run(workspace, env, ...args);
    expect(signed.code, signed.stderr).toBe(0);
    expect(signed.stdout + signed.stderr).not.toContain(token);
    expect(fs.readFileSync(workspace.at('../m.sig'), 'utf8')).not.toContain(token);
    const { code, stdout } = await run(workspace, noSockets, ...check, ...somebody(identity));
    expect(code, stdout).toBe(0);
    expect(JSON.parse(stdout).signatures).toMatchObject([{ by: identity, issuer, valid: true }]);
    expect(JSON.parse(stdout).signatures[0].logged).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    await workspace.ok('verify', 'bert', '--signature', '../m.sig', ...somebody(`${identity}*`));
    for (const trust of [somebody(`${identity}0`), somebody(identity, 'https://other.example')]) {
      const refused = await run(workspace, noSockets, ...check, ...trust);
      expect(refused.code).toBe(5);
      expect(refused.stdout).toContain(`it was signed by ${identity}`);
    }
  });

  it('say why they cannot sign', async () => {
    const workspace = await scene();
    const token = identityToken({ sub: identity, iss: issuer });
    const own = { MSTORE_FULCIO_URL: services.url, MSTORE_REKOR_URL: services.url };
    const codeOf = async (env: NodeJS.ProcessEnv, ...more: string[]) => {
      const ended = await run(workspace, env, 'sign', 'm@v1', '--keyless', ...more);
      expect(ended.stdout + ended.stderr).not.toContain(token);
      return ended.json.error?.code;
    };
    expect(await codeOf(own)).toBe('usage');
    expect(await codeOf({ ...own, SIGSTORE_ID_TOKEN: 'x' })).toBe('bad-key');
    expect(await codeOf({ ...own, SIGSTORE_ID_TOKEN: token, MSTORE_OFFLINE: 'true' })).toBe(
      'offline',
    );
    services.fail('/api/v2/signingCert', 403, 1);
    expect(await codeOf({ ...own, SIGSTORE_ID_TOKEN: token })).toBe('remote-refused');
    const closed = ['--fulcio', 'http://127.0.0.1:9'];
    expect(await codeOf({ ...own, SIGSTORE_ID_TOKEN: token }, ...closed)).toBe(
      'remote-unreachable',
    );
    const { stdout } = await run(workspace, {}, ...check, ...somebody(identity));
    expect(JSON.parse(stdout)).toMatchObject({ signatures: [], code: 'untrusted' });
  });
});
