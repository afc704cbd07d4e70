import * as fs from 'node:fs';
import * as path from 'node:path';
import { sha256 } from '../../../src/base/digest.ts';
import { parseTrust } from '../../../src/registry/trust-rules.ts';
import { bundleOf, formatBundle, parseBundle } from '../../../src/signing/bundle.ts';
import { readCertificates } from '../../../src/signing/certificate.ts';
import { checkSignature } from '../../../src/signing/check.ts';
import { formatEntryStatement, parseEntryStatement } from '../../../src/signing/entry-statement.ts';
import { generateKeyPair, readPrivateKey, readPublicKey } from '../../../src/signing/keys.ts';
import { readTrustedRoot } from '../../../src/signing/sigstore.ts';
import { formatStatement, parseStatement } from '../../../src/signing/statement.ts';
import { type FuzzTarget, promise, refused, refusedLater } from '../target.ts';

const files = [{ name: 'a/b', sha256: sha256('b') }];
const signed = '2026-01-31T12:00:00.000Z';
const version = { model: 'm', version: 'v1', record: sha256('r'), signed };
const payload = formatStatement('m', files, { allowSymlinks: false, version });
const { publicKey } = generateKeyPair('p256');
const bundle = (material: Parameters<typeof bundleOf>[2]) =>
  formatBundle(bundleOf(payload, Buffer.from('30060201010201', 'hex'), material));

export const signatureBundle: FuzzTarget = {
  name: 'signature-bundle',
  bytesMax: 16 * 1024,
  seeds: () => ({
    key: bundle({ publicKey: { hint: publicKey.fingerprint } }),
    unnamed: bundle({ publicKey: {} }),
    chain: bundle({ x509CertificateChain: { certificates: [{ rawBytes: 'MAA=' }] } }),
  }),
  words: ['dsseEnvelope', 'certificate', 'tlogEntries', 'messageSignature', 'rawBytes', 'null'],
  async run(bytes) {
    const parsed = refused(['bad-signature'], () => parseBundle(bytes, 'b'));
    if (parsed === undefined) return;
    const trusted = [{ kind: 'key', key: publicKey }] as const;
    const checked = await refusedLater(['bad-signature'], () => checkSignature(parsed, trusted));
    promise(checked === undefined || 'problem' in checked, 'nobody signed it');
    refused(['bad-signature'], () => parseStatement(parsed));
  },
};

export const signedStatement: FuzzTarget = {
  name: 'signed-statement',
  bytesMax: 16 * 1024,
  seeds: () => ({
    version: payload,
    files: formatStatement('m', files, { allowSymlinks: true }),
    entry: formatEntryStatement('m@e#1', sha256('e'), signed),
  }),
  words: ['shards', 'shard_size', 'blake2b', 'ignore_paths', '../', 'mstore', 'resources'],
  run(bytes) {
    const part = { payload: bytes, where: 's' };
    const statement = refused(['bad-signature'], () => parseStatement({ ...bundleParts, ...part }));
    for (const { name } of statement?.resources ?? []) {
      promise(!name.split('/').includes('..') && !name.startsWith('/'), 'names stay inside');
    }
    refused(['bad-signature'], () => parseEntryStatement(part));
  },
};

const bundleParts = parseBundle(bundle({ publicKey: {} }), 's');

export const signingKey: FuzzTarget = {
  name: 'signing-key',
  bytesMax: 4096,
  seeds: () => ({ public: publicKey.pem, private: generateKeyPair('p256').privatePem }),
  words: ['-----BEGIN ', 'PRIVATE KEY-----', 'PUBLIC KEY-----', 'ENCRYPTED '],
  run(bytes) {
    const key = refused(['bad-key'], () => readPublicKey(bytes, 'k'));
    if (key !== undefined) {
      promise(readPublicKey(key.pem, 'k').fingerprint === key.fingerprint, 'a key has one name');
    }
    refused(['bad-key'], () => readPrivateKey(bytes, 'words', 'k'));
  },
};

export const trustRules: FuzzTarget = {
  name: 'trust-rules',
  bytesMax: 4096,
  seeds: () => ({
    rules: JSON.stringify({
      signers: { alice: { key: 'a.pub' }, bob: [{ key: 'b.pub', until: '2026-12-31' }] },
      trust: { production: { signers: ['alice', 'bob'], required: 2, movers: ['bob'] } },
    }),
  }),
  words: ['certificate_chain', 'identity', 'issuer', 'trust_root', 'revoked', 'foreign', 'm@e'],
  run(bytes) {
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString());
    } catch {
      return;
    }
    const { signers, trust } = (value ?? {}) as { signers?: unknown; trust?: unknown };
    const rules = refused(['config-invalid'], () => parseTrust({ signers, trust, file: 'f' }));
    for (const { signers: named, movers, required } of rules?.values() ?? []) {
      promise(named.length + movers.length > 0, 'a rule asks for something');
      promise(required <= named.length, 'a rule can be fulfilled');
      promise(named.length === 0 || required > 0, 'signers are asked for');
    }
  },
};

export const trustedCertificates: FuzzTarget = {
  name: 'trusted-certificates',
  bytesMax: 16 * 1024,
  seeds: () => ({
    root: fs.readFileSync(path.join(import.meta.dirname, '../../fixtures/signing/ca.pem')),
    sigstore: '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}',
  }),
  words: [
    '-----BEGIN CERTIFICATE-----',
    '-----END CERTIFICATE-----',
    'certificateAuthorities',
    'tlogs',
  ],
  run(bytes) {
    refused(['bad-key'], () => readCertificates(bytes, 'c'));
    refused(['bad-key'], () => readTrustedRoot(bytes, 'c'));
  },
};
