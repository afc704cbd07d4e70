import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isMstoreError, MstoreError } from '../../../src/base/errors.ts';
import {
  type CertificateOwner,
  readCertificates,
  verifyCertificateChain,
} from '../../../src/signing/certificate.ts';
import {
  authority,
  certificate,
  day,
  type Made,
  p256,
  signer,
  type Wanted,
  x509,
} from '../../support/certificates.ts';

const root = await certificate({ name: 'Root' });
const middle = await certificate({ name: 'Middle', by: root, extensions: authority(0) });

function leaf(wanted: Partial<Wanted> = {}): Promise<Made> {
  return certificate({ name: 'Ann', by: middle, extensions: signer(), ...wanted });
}

const ann = await leaf();

async function check(
  chain: readonly Made[],
  trusted: readonly Made[] = [root],
): Promise<CertificateOwner> {
  const roots = trusted.map(({ der }) => new X509Certificate(der));
  const found = await verifyCertificateChain(
    chain.map(({ der }) => der),
    roots,
    'model.sig',
  );
  if ('problem' in found) throw new MstoreError('untrusted', found.problem);
  return found;
}

async function refusal(chain: readonly Made[], trusted?: readonly Made[]): Promise<string> {
  try {
    await check(chain, trusted);
    return 'accepted';
  } catch (error) {
    if (!isMstoreError(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

describe('verifyCertificateChain', () => {
  it('tells whose certificate it is, when a way leads to a root', async () => {
    const owner = await check([ann, middle]);
    expect(owner).toMatchObject({
      subject: 'CN=Ann',
      names: ['email:ann@example.com'],
      fingerprint: new X509Certificate(ann.der).fingerprint256.replaceAll(':', '').toLowerCase(),
      notBefore: day('2026-01-01'),
      notAfter: day('2036-01-01'),
    });
    expect(owner.publicKey.key.equals(new X509Certificate(ann.der).publicKey)).toBe(true);
  });

  it('finds the way whatever the order, and by what the reader has', async () => {
    const other = await certificate({ name: 'Other' });
    await check([ann, other, root, middle]);
    await check([ann], [other, middle, root]);
    // A key of the authority that was replaced has the same name.
    const older = await certificate({ name: 'Middle', by: root });
    await check([ann, older, middle]);
    await check([ann, middle], [await certificate({ name: 'Root' }), root]);
  });

  it.each(['P-256', 'P-384', 'P-521'])('takes a signer with a key on %s', async (namedCurve) => {
    const made = await leaf({ key: { ...p256, namedCurve } });
    expect((await check([made, middle])).publicKey.curve).toBe(namedCurve.replace('P-', 'p'));
  });

  it('takes authorities with other keys', async () => {
    const rsa = {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    const top = await certificate({ name: 'RSA', key: rsa, signing: rsa });
    await check([await leaf({ by: top, signing: rsa })], [top]);
    const short = { ...rsa, modulusLength: 1024 };
    const weak = await certificate({ name: 'Weak', key: short, signing: short });
    expect(await refusal([await leaf({ by: weak, signing: short })], [weak])).toContain(
      'too short',
    );
    const sha1 = { ...rsa, hash: 'SHA-1' };
    const old = await certificate({ name: 'Old', key: sha1, signing: sha1 });
    expect(await refusal([await leaf({ by: old, signing: sha1 })], [old])).toContain('not safe');
  });

  it('takes a signer whom the reader trusts without an authority', async () => {
    const alone = await certificate({ name: 'Alone', extensions: signer() });
    await check([alone], [alone]);
    expect(await refusal([alone])).toContain('untrusted: ');
  });

  it('trusts no root that the signature brings along', async () => {
    const mine = await certificate({ name: 'Root' });
    const made = await leaf({ by: mine });
    expect(await refusal([made, mine])).toContain('untrusted: ');
    expect(await refusal([ann, middle, root], [mine])).toContain(
      'did not sign what names it as its issuer',
    );
  });

  it('says so where the reader names no root', async () => {
    expect(await refusal([ann, middle], [middle])).toContain('bad-key: None of the certificates');
  });

  it('goes by the time at which the certificate of the signer begins', async () => {
    const before = await leaf({ from: day('2025-12-31'), to: day('2026-02-01') });
    expect(await refusal([before, middle])).toContain('was not valid when');
    const expired = await leaf({ from: day('2026-01-01'), to: day('2026-01-02') });
    await check([expired, middle]);
    const ended = await certificate({ name: 'Middle', by: root, to: day('2026-02-01') });
    expect(await refusal([await leaf({ by: ended, from: day('2026-03-01') }), ended])).toContain(
      'was not valid when',
    );
  });

  const usage = (flags: x509.KeyUsageFlags) => new x509.KeyUsagesExtension(flags, true);
  const purpose = (...oids: string[]) => new x509.ExtendedKeyUsageExtension(oids);
  const { serverAuth, codeSigning } = x509.ExtendedKeyUsage;
  it.each<[string, x509.Extension[], boolean]>([
    ['says nothing', [], false],
    ['may sign', [usage(x509.KeyUsageFlags.digitalSignature)], true],
    ['signs code', [purpose(codeSigning)], true],
    ['is for any purpose', [purpose('2.5.29.37.0')], true],
    ['agrees upon keys', [usage(x509.KeyUsageFlags.keyAgreement)], false],
    ['is a server', [usage(x509.KeyUsageFlags.digitalSignature), purpose(serverAuth)], false],
    [
      'demands what nobody knows',
      [...signer(), new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))],
      false,
    ],
    [
      'says what nobody has to know',
      [...signer(), new x509.Extension('1.2.3.4', false, new Uint8Array([5, 0]))],
      true,
    ],
    ['says a thing twice', [...signer(), usage(x509.KeyUsageFlags.digitalSignature)], false],
  ])('a signer whose certificate %s', async (_, extensions, isTaken) => {
    const said = await refusal([await leaf({ extensions }), middle]);
    if (isTaken) expect(said).toBe('accepted');
    else expect(said).toMatch(/^(untrusted|bad-signature): /);
  });

  it.each<[string, Partial<Wanted>, string]>([
    ['is none', { extensions: signer() }, 'none of an authority'],
    ['says nothing of it', { extensions: [] }, 'none of an authority'],
    [
      'may not sign certificates',
      {
        extensions: [
          new x509.BasicConstraintsExtension(true, undefined, true),
          usage(x509.KeyUsageFlags.cRLSign),
        ],
      },
      'may not',
    ],
    ['is for servers', { extensions: [...authority(), purpose(serverAuth)] }, 'other purposes'],
    [
      'is bound to names',
      {
        extensions: [
          ...authority(),
          new x509.Extension('2.5.29.30', false, new Uint8Array([0x30, 0])),
        ],
      },
      'demands what is not known here: 2.5.29.30',
    ],
  ])('an authority that %s', async (_, wanted, reason) => {
    const authorityMade = await certificate({ name: 'Middle', by: root, ...wanted });
    const said = await refusal([await leaf({ by: authorityMade }), authorityMade]);
    expect(said).toContain('untrusted: ');
    // OpenSSL says of some of these that they are no issuers at all.
    expect(said).toMatch(new RegExp(`${reason}|no certificate leads`));
  });

  it('holds authorities to the number of others that they may have below them', async () => {
    const lower = await certificate({ name: 'Lower', by: middle });
    expect(await refusal([await leaf({ by: lower }), lower, middle])).toContain(
      'may have 0 authorities below it, and has 1',
    );
  });

  it('gives up a way that is too long, and ways without an end', async () => {
    const way = [root];
    for (let i = 0; i < 9; i++) {
      way.push(await certificate({ name: `A${i}`, by: way.at(-1) as Made }));
    }
    const made = await leaf({ by: way.at(-1) as Made });
    expect(await refusal([made, ...way.slice(1)])).toContain('longer than 8');
    // Each of them names each other as its issuer, and so on for ever.
    const twins: Made[] = [];
    for (let i = 0; i < 9; i++) {
      twins.push(await certificate({ name: 'Twin', ...(twins[0] ? { by: twins[0] } : {}) }));
    }
    const started = performance.now();
    expect(await refusal([await leaf({ by: twins[0] as Made }), ...twins])).toContain('untrusted');
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it('refuses a certificate with changed bytes', async () => {
    const changed = Buffer.from(ann.der);
    changed[changed.length - 20] = (changed[changed.length - 20] as number) ^ 1;
    expect(await refusal([{ ...ann, der: changed }, middle])).toMatch(/untrusted|bad-signature/);
    expect(await refusal([{ ...ann, der: changed.subarray(0, 100) }, middle])).toContain(
      'bad-signature: ',
    );
    expect(await refusal([])).toContain('bad-signature: ');
    expect(await refusal([{ ...ann, der: Buffer.alloc(70_000) }])).toContain('65536 bytes');
  });

  it('refuses a signer with a key of another kind', async () => {
    const made = await leaf({ key: { name: 'Ed25519' } });
    expect(await refusal([made, middle])).toContain('bad-signature: ');
  });
});

describe('readCertificates', () => {
  it('reads PEM with text around it, and DER', () => {
    const bytes = Buffer.from(`# ours\n${root.pem}\nand\n${middle.pem}`);
    expect(readCertificates(bytes, 'ca.pem').map(({ subject }) => subject)).toEqual([
      'CN=Root',
      'CN=Middle',
    ]);
    expect(readCertificates(root.der, 'ca.der')).toHaveLength(1);
  });

  it.each([
    ['', 'no certificates'],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', 'damaged'],
    ['-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', 'no certificates'],
  ])('refuses %j', (text, what) => {
    expect(() => readCertificates(Buffer.from(text), 'ca.pem')).toThrow(what);
  });

  it('is bounded', () => {
    const many = Buffer.from(root.pem.repeat(1001));
    expect(() => readCertificates(many, 'ca.pem')).toThrow('more than 1000');
  });
});
