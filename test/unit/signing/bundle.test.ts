import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import type { TreeEntry } from '../../../src/base/tree.ts';
import {
  bundleIn,
  bundleOf,
  formatBundle,
  parseBundle,
  signBundle,
} from '../../../src/signing/bundle.ts';
import { checkSignature } from '../../../src/signing/check.ts';
import { generateKeyPair, readPrivateKey } from '../../../src/signing/keys.ts';
import { differenceOf, filesToSign } from '../../../src/signing/resources.ts';
import { formatStatement, parseStatement } from '../../../src/signing/statement.ts';

const pair = generateKeyPair('p256');
const signer = readPrivateKey(pair.privatePem, undefined, 'k');
const trusted = [{ kind: 'key', key: pair.publicKey }] as const;
const digest = (text: string) => sha256(text);
const files = ['a-b.txt', 'a/b.txt', 'z'].map((name) => ({ name, sha256: digest(name) }));
const version = {
  model: 'm',
  version: 'v1',
  record: digest('record'),
  signed: '2026-01-31T12:00:00.000Z',
};
const payload = formatStatement('m', files, { allowSymlinks: false, version });

/** Sets, or with undefined removes, what stands at a path. */
function change(document: object, path: string, value: unknown): void {
  const names = path.split('.');
  const last = names.pop() as string;
  let part = document as Record<string, unknown>;
  for (const name of names) part = part[name] as Record<string, unknown>;
  if (value === undefined) delete part[last];
  else part[last] = value;
}

/** A statement with one change, in a bundle that is not signed. */
function statementWith(path: string, value: unknown): () => unknown {
  const statement = JSON.parse(String(payload)) as object;
  change(statement, path, value);
  const bytes = Buffer.from(JSON.stringify(statement));
  return () => parseStatement({ payload: bytes, where: 's' });
}

describe('a statement', () => {
  it('lists files in the order of their components, with the digest over theirs', () => {
    const statement = parseStatement({ payload, where: 's' });
    expect(statement.resources.map(({ name }) => name)).toEqual(['a/b.txt', 'a-b.txt', 'z']);
    expect(statement.version).toEqual(version);
    const raw = statement.resources.map((one) => Buffer.from(one.digest, 'hex'));
    expect(JSON.parse(String(payload)).subject).toEqual([
      { name: 'm', digest: { sha256: sha256(Buffer.concat(raw)) } },
    ]);
  });

  it.each<[string, string, unknown]>([
    ['another type', '_type', 'x'],
    ['another predicate', 'predicateType', 'https://model_signing/Other/v1'],
    ['two subjects', 'subject.1', { name: 'm', digest: {} }],
    ['another digest of its subject', 'subject.0.digest.sha256', digest('x')],
    ['another file', 'predicate.resources.0.digest', digest('x')],
    ['a file twice', 'predicate.resources.1.name', 'a/b.txt'],
    ['a file above', 'predicate.resources.0.name', '../b.txt'],
    ['an absolute file', 'predicate.resources.0.name', '/b.txt'],
    ['a digest that is none', 'predicate.resources.0.digest', 'xyz'],
    ['a digest of another kind', 'predicate.resources.0.algorithm', 'md5'],
    ['a name that is none', 'predicate.resources.0.name', 7],
    ['no list', 'predicate.resources', {}],
    ['a file that is none', 'predicate.resources.3', null],
    ['another method', 'predicate.serialization.method', 'magic'],
    ['no word on links', 'predicate.serialization.allow_symlinks', undefined],
    ['links as text', 'predicate.serialization.allow_symlinks', 'true'],
    ['what it leaves out as text', 'predicate.serialization.ignore_paths', 'x'],
    ['shards without a size', 'predicate.serialization.method', 'shards'],
    ['a version without a record', 'predicate.mstore.record', undefined],
    ['a version at no time', 'predicate.mstore.signed', '2026-13-31T12:00:00.000Z'],
    ['a version that is none', 'predicate.mstore', []],
    ['no predicate', 'predicate', undefined],
  ])('is refused with %s', (_, path, value) => {
    expect(statementWith(path, value)).toThrow(/proves nothing/);
  });

  it('takes what is not known in the predicate, as version 1.0 says', () => {
    expect(statementWith('predicate.more', { x: 1 })).not.toThrow();
  });
});

describe('a bundle', () => {
  it('is of who signed it, and of nobody else', async () => {
    const bundle = parseBundle(formatBundle(await signBundle(payload, signer)), 'b');
    expect(await checkSignature(bundle, trusted)).toMatchObject({
      who: pair.publicKey.fingerprint,
    });
    const other = generateKeyPair('p256').publicKey;
    const none = await checkSignature(bundle, [{ kind: 'key', key: other }]);
    expect(none).toMatchObject({ problem: expect.stringContaining('another key') });
    expect(await checkSignature(bundle, [])).toHaveProperty('problem');
  });

  it('without a hint is compared with each key', async () => {
    const json = structuredClone(await signBundle(payload, signer));
    change(json, 'verificationMaterial.publicKey', {});
    const other = { kind: 'key', key: generateKeyPair('p521').publicKey } as const;
    const bundle = bundleIn(json, 'b');
    expect(await checkSignature(bundle, [other, ...trusted])).toHaveProperty('who');
    expect(await checkSignature(bundle, [other])).toHaveProperty('problem');
  });

  it('counts for nothing when a byte of what was signed, or of the signature, is another', async () => {
    const bundle = parseBundle(formatBundle(await signBundle(payload, signer)), 'b');
    for (const part of ['payload', 'signature'] as const) {
      for (let i = 0; i < bundle[part].length; i += 7) {
        const changed = Buffer.from(bundle[part]);
        changed[i] = (changed[i] as number) ^ 1;
        const forged = { ...bundle, [part]: changed };
        expect(await checkSignature(forged, trusted), `${part} ${i}`).toHaveProperty('problem');
      }
    }
  });

  const signatureOf = { sig: 'AA==', keyid: '' };
  it.each<[string, string, unknown]>([
    ['another media type', 'mediaType', 'application/json'],
    ['no media type', 'mediaType', undefined],
    ['no envelope', 'dsseEnvelope', undefined],
    ['another type of payload', 'dsseEnvelope.payloadType', 'text/plain'],
    ['no signature', 'dsseEnvelope.signatures', []],
    ['two signatures', 'dsseEnvelope.signatures.1', signatureOf],
    ['a payload that is none', 'dsseEnvelope.payload', '%%%'],
    ['a payload that is a number', 'dsseEnvelope.payload', 7],
    ['no word on who signed', 'verificationMaterial', undefined],
    ['two ways of saying it', 'verificationMaterial.certificate', { rawBytes: 'AA==' }],
    ['a hint that is none', 'verificationMaterial.publicKey.hint', 7],
    [
      'a chain without certificates',
      'verificationMaterial',
      { x509CertificateChain: { certificates: [] } },
    ],
    [
      'a chain without end',
      'verificationMaterial',
      { x509CertificateChain: { certificates: new Array(11).fill({ rawBytes: 'AA==' }) } },
    ],
  ])('is refused with %s', (_, path, value) => {
    const json = structuredClone(bundleOf(payload, Buffer.from('x'), { publicKey: {} }));
    change(json, path, value);
    expect(() => bundleIn(json, 'b')).toThrow(/proves nothing/);
  });

  it('is refused where it is no JSON, or larger than any', () => {
    expect(() => parseBundle(Buffer.from('{'), 'b')).toThrow(/not UTF-8 JSON/);
    expect(() => parseBundle(Buffer.from('[]'), 'b')).toThrow(/not a JSON object/);
    expect(() => parseBundle(Buffer.alloc(64 * 1024 * 1024 + 1), 'b')).toThrow(/larger than/);
  });
});

describe('the files of a tree', () => {
  const file = (path: string) => ({ path, size: 1, sha256: digest(path) });
  const entries: TreeEntry[] = [
    file('.gitattributes'),
    file('model.sig'),
    file('a/b'),
    file('a/.gitattributes'),
    { path: 'empty', directory: true },
    { path: 'link', link: 'a/b' },
    { path: 'other', link: 'folder/../link' },
    { path: 'folder', link: 'a' },
    { path: 'through', link: 'folder/b' },
    { path: 'nowhere', link: 'x' },
  ];

  it('are those that others list: links to files stand for these, the top of Git is left out', () => {
    const { files: listed, allowSymlinks } = filesToSign(entries);
    expect(allowSymlinks).toBe(true);
    expect(Object.fromEntries(listed.map(({ name, sha256: one }) => [name, one]))).toEqual({
      'a/b': digest('a/b'),
      'a/.gitattributes': digest('a/.gitattributes'),
      link: digest('a/b'),
      other: digest('a/b'),
      through: digest('a/b'),
    });
    expect(filesToSign([file('x')]).allowSymlinks).toBe(false);
  });

  it('are compared both ways', () => {
    const resources = [{ name: 'x', algorithm: 'sha256', digest: digest('x') }];
    const there = { name: 'x', digest: digest('x') };
    expect(differenceOf({ resources }, [there])).toBeUndefined();
    expect(differenceOf({ resources }, [])).toMatch(/lists x, which is not there/);
    expect(differenceOf({ resources }, [{ ...there, digest: digest('y') }])).toMatch(/other bytes/);
    expect(differenceOf({ resources }, [there, { ...there, name: 'y' }])).toMatch(/y is there/);
  });
});
