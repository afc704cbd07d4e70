import { execFile, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliWorkspace, makeWorkspace, startMstore } from '../support/cli.ts';
import {
  modelSigningPlace,
  type Release,
  signByRelease,
  signedCases,
  writeSignedModel,
  writeSigners,
} from '../support/model-signing.ts';
import { identityToken, startSigstore } from '../support/sigstore-services.ts';

/** Folder of keys, certificates and what releases signed. */
const shared = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-signing-'));
const at = (...names: string[]) => path.join(shared, ...names);
const recorded = process.env['MSTORE_TEST_RECORD'];

beforeAll(() => writeSigners(shared));
afterAll(() => {
  const isKept = (from: string) =>
    !from.startsWith(at('models')) &&
    (fs.statSync(from).isDirectory() || /\.(?:sig|pub)$|ca\.pem$/.test(from));
  if (recorded !== undefined) {
    fs.cpSync(shared, path.join(recorded, 'signing'), { recursive: true, filter: isKept });
  }
  fs.rmSync(shared, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly said: string;
}

/** Runs the command of a release. Its exit code means nothing before 1.0.1: what it says does. */
async function modelSigning(release: Release, cwd: string, ...args: string[]): Promise<string> {
  const file = modelSigningPlace(release).program('model_signing');
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, { cwd });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  }
}

const taken = 'Verification succeeded';
const refused = 'Verification failed with error';

async function mstore(cwd: string, env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  const { code, stdout, stderr } = await startMstore(cwd, args, { env }).done;
  return { code, said: stdout + stderr };
}

function trustOf(key: string): string[] {
  return key === 'ann' ? ['--certificate-chain', at('ca.pem')] : ['--key', at(`${key}.pub`)];
}

describe.each<Release>(['1.1.1', '1.0.0'])('what release %s signed', (release) => {
  beforeAll(() => signByRelease(release, shared));

  it.each(Object.entries(signedCases(release)))('is verified: %s', async (name, { kind, key }) => {
    const model = at('models', release, name, kind === 'file' ? 'deep/er/weights.bin' : '');
    const signature = at(release, `${name}.sig`);
    const args = ['verify', model, '--signature', signature, ...trustOf(key)];
    const first = await mstore(shared, {}, ...args);
    expect(first.code, first.said).toBe(0);
    fs.appendFileSync(at('models', release, name, 'deep/er/weights.bin'), '!');
    const { code, said } = await mstore(shared, {}, ...args);
    expect(code, said).toBe(5);
    expect(said).toMatch(/has other bytes|which is not there|was not signed/);
  });

  it('is kept with a version of the same files, whatever its digests are', async () => {
    const workspace = await makeWorkspace();
    writeSignedModel(workspace.at('model'), 'plain');
    await workspace.add('model');
    await workspace.ok('register', 'm@v1', 'model');
    for (const name of ['p256', 'certificate', 'shards', 'blake2']) {
      await workspace.ok('sign', 'm@v1', '--attach', at(release, `${name}.sig`));
    }
    const check = ['verify', 'm@v1', '--signature'];
    await workspace.ok(...check, '--key', at('p256.pub'));
    await workspace.ok(...check, '--certificate-chain', at('ca.pem'));
    await workspace.ok(...check, at(release, 'blake2-shards.sig'), '--key', at('p256.pub'));
  });
});

if (recorded !== undefined) {
  it.each<Release>(['0.3.1', '0.2.0'])('release %s signs', (release) =>
    signByRelease(release, shared),
  );
}

/** A version of the model of the fixtures, which keys of each kind sign. */
async function ours(kind: 'plain' | 'links' | 'file'): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  const model = writeSignedModel(workspace.at('model'), kind);
  const tracked = path.relative(workspace.root, model);
  await workspace.add(tracked);
  await workspace.ok('register', 'm@v1', tracked);
  return workspace;
}

describe.each<Release>(['1.1.1', '1.0.0'])('what mstore signed, by release %s', (release) => {
  const verifyBy = (key: string, model: string, signature: string, ...more: string[]) => {
    const how =
      key === 'ann'
        ? ['certificate', '--certificate_chain', at('ca.pem')]
        : ['key', '--public_key', at(`${key}.pub`)];
    const [method = '', ...trust] = how;
    // Release 1.0.0 looks for what Git keeps in the folder that it runs in.
    const isFolder = fs.statSync(model).isDirectory();
    const args = ['verify', method, isFolder ? '.' : model, '--signature', signature];
    return modelSigning(release, isFolder ? model : shared, ...args, ...trust, ...more);
  };

  it.each(['p256', 'p384', 'p521', 'ann'])('is verified: %s', async (key) => {
    const workspace = await ours('plain');
    const signature = workspace.at('../m.sig');
    const certificates =
      key === 'ann'
        ? ['--certificate', at('ann.pem'), '--certificate-chain', at('middle.pem')]
        : [];
    await workspace.ok(
      'sign',
      'm@v1',
      '--key',
      at(`${key}.key`),
      ...certificates,
      '--output',
      signature,
    );
    await workspace.ok('export', 'm@v1', '--to', '../plain');
    const plain = workspace.at('../plain');
    for (const model of [workspace.at('model'), plain]) {
      expect(await verifyBy(key, model, signature)).toContain(taken);
    }
    fs.writeFileSync(path.join(plain, 'a-b.txt'), 'Y\n');
    expect(await verifyBy(key, plain, signature)).toContain('Signature mismatch');
    const forged = JSON.parse(fs.readFileSync(signature, 'utf8'));
    const { dsseEnvelope } = forged;
    const text = Buffer.from(dsseEnvelope.payload, 'base64').toString().replace('a-b', 'a-c');
    dsseEnvelope.payload = Buffer.from(text).toString('base64');
    fs.writeFileSync(signature, JSON.stringify(forged));
    fs.renameSync(path.join(plain, 'a-b.txt'), path.join(plain, 'a-c.txt'));
    expect(await verifyBy(key, plain, signature)).toContain(refused);
    const { code, said } = await mstore(
      shared,
      {},
      ...['verify', plain, '--signature', signature, ...trustOf(key)],
    );
    expect(code, said).toBe(5);
  });

  it('is verified: a model that is one file', async () => {
    const workspace = await ours('file');
    const signature = workspace.at('../m.sig');
    await workspace.ok('sign', 'm@v1', '--key', at('p256.key'), '--output', signature);
    const file = workspace.at('model/deep/er/weights.bin');
    expect(await verifyBy('p256', file, signature)).toContain(taken);
  });

  // The command of release 1.0.0 has no such option.
  const links = release === '1.1.1' ? ['--allow_symlinks'] : [];
  it.each(links)('is verified: a model with links, with %s', async (leave) => {
    const workspace = await ours('links');
    const signature = workspace.at('../m.sig');
    await workspace.ok('sign', 'm@v1', '--key', at('p384.key'), '--output', signature);
    const model = workspace.at('model');
    expect(await verifyBy('p384', model, signature)).toContain('because it is a symlink');
    expect(await verifyBy('p384', model, signature, leave)).toContain(taken);
  });
});

describe('what mstore signed with an account', () => {
  const identity = 'https://github.com/acme/models/.github/workflows/release.yml@refs/tags/v1';
  const issuer = 'https://token.actions.example.com';

  it('is verified by release 1.1.1, without the network', async () => {
    const services = await startSigstore();
    const workspace = await ours('plain');
    const signature = workspace.at('../m.sig');
    const token = identityToken({ sub: identity, iss: issuer });
    const urls = ['--fulcio', services.url, '--rekor', services.url, '--output', signature];
    const env = { SIGSTORE_ID_TOKEN: token };
    const signed = await mstore(workspace.root, env, 'sign', 'm@v1', '--keyless', ...urls);
    expect(signed.code, signed.said).toBe(0);
    await services.close();
    fs.writeFileSync(at('trust.json'), JSON.stringify(services.trustConfig));
    const verify = (who: string) =>
      modelSigning(
        '1.1.1',
        shared,
        ...['verify', 'sigstore', workspace.at('model'), '--signature', signature],
        ...['--identity', who, '--identity_provider', issuer, '--trust_config', at('trust.json')],
      );
    expect(await verify(identity)).toContain(taken);
    expect(await verify(`${identity}0`)).toContain(refused);
    const check = ['verify', 'm@v1', '--signature', '--identity', identity, '--issuer', issuer];
    await workspace.ok(...check, '--trust-root', at('trust.json'));
  });
});

describe('openssl', () => {
  it.each([
    ['p256', '-sha256'],
    ['p384', '-sha384'],
    ['p521', '-sha512'],
  ])('verifies what mstore signed: %s', async (key, hash) => {
    const workspace = await ours('plain');
    const signature = workspace.at('../m.sig');
    await workspace.ok('sign', 'm@v1', '--key', at(`${key}.key`), '--output', signature);
    const { dsseEnvelope } = JSON.parse(fs.readFileSync(signature, 'utf8'));
    const payload = Buffer.from(dsseEnvelope.payload, 'base64');
    const head = `DSSEv1 28 application/vnd.in-toto+json ${payload.length} `;
    const [signed, der] = [workspace.at('../signed'), workspace.at('../der')];
    fs.writeFileSync(signed, Buffer.concat([Buffer.from(head), payload]));
    fs.writeFileSync(der, Buffer.from(dsseEnvelope.signatures[0].sig, 'base64'));
    const args = ['dgst', hash, '-verify', at(`${key}.pub`), '-signature', der, signed];
    expect(execFileSync('openssl', args, { encoding: 'utf8' })).toContain('Verified OK');
  });
});
