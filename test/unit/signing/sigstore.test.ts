import { afterAll, describe, expect, it } from 'vitest';
import { isMstoreError } from '../../../src/base/errors.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { bundleIn, formatBundle, parseBundle } from '../../../src/signing/bundle.ts';
import { signKeyless } from '../../../src/signing/keyless.ts';
import {
  identityProblem,
  readTrustedRoot,
  type SigstoreTrust,
  type TrustedRootFile,
  verifySigstore,
} from '../../../src/signing/sigstore.ts';
import { identityToken, startSigstore } from '../../support/sigstore-services.ts';

const identity = 'https://github.com/acme/models/.github/workflows/release.yml@refs/tags/v1';
const issuer = 'https://token.actions.example.com';
const payload = Buffer.from('{"_type":"https://in-toto.io/Statement/v1"}');
const services = await startSigstore();
const others = await startSigstore();
afterAll(() => Promise.all([services.close(), others.close()]));

const token = identityToken({ sub: identity, iss: issuer });

function sign(at = services, account: { token?: string } = {}): Promise<JsonObject> {
  const how = { token, fulcio: at.url, rekor: at.url, ...account };
  return signKeyless(payload, how, { now: Date.now() });
}

const bundle = await sign();
const rootOf = (json: JsonObject): TrustedRootFile => ({ json, where: 'root.json' });
const trust: SigstoreTrust = { root: rootOf(services.trustedRoot), identity, issuer };

async function refusal(made: JsonObject, more: Partial<SigstoreTrust> = {}): Promise<string> {
  try {
    const found = await verifySigstore(bundleIn(made, 'model.sig'), { ...trust, ...more });
    return 'problem' in found ? `untrusted: ${found.problem}` : 'accepted';
  } catch (error) {
    if (!isMstoreError(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

type Edit = (json: Editable) => void;
type Editable = Record<string, Record<string, never>> & {
  verificationMaterial: { tlogEntries: Record<string, unknown>[]; certificate: unknown };
  dsseEnvelope: { payload: string; signatures: { sig: string }[] };
};
function edited(edit: Edit): JsonObject {
  const json = structuredClone(bundle) as unknown as Editable;
  edit(json);
  return json as unknown as JsonObject;
}

describe('a signature with an account', () => {
  it('tells who signed and when', async () => {
    const read = parseBundle(formatBundle(bundle), 'model.sig');
    expect(read.payload.equals(payload)).toBe(true);
    expect(read.material).toEqual({ kind: 'sigstore' });
    const signer = await verifySigstore(read, trust);
    expect(signer).toMatchObject({ identity, issuer });
    expect('at' in signer && Math.abs(signer.at.getTime() - Date.now())).toBeLessThan(60_000);
  });

  it('gives the token to the authority alone', () => {
    const carriers = services.requests.filter(({ body }) => body.includes(token));
    expect(carriers.map(({ path }) => path)).toEqual(['/api/v2/signingCert']);
    expect(services.requests.length).toBeGreaterThan(1);
  });

  it('takes an identity that ends as one likes', async () => {
    const workflow = 'https://github.com/acme/models/.github/workflows/release.yml@';
    expect(await refusal(bundle, { identity: `${workflow}refs/tags/*` })).toBe('accepted');
    expect(await refusal(bundle, { identity: `${workflow}refs/heads/*` })).toContain('untrusted: ');
    expect(await refusal(bundle, { identity: 'https://github.com/*' })).toContain('untrusted: ');
  });

  it.each<[string, Partial<SigstoreTrust>, string]>([
    ['another identity', { identity: `${identity}0` }, `not by ${identity}0`],
    ['the beginning of an identity', { identity: identity.slice(0, -1) }, 'not by'],
    ['another issuer', { issuer: 'https://accounts.example.com' }, 'accounts.example.com vouches'],
    ['no issuer', { issuer: '' }, 'not by'],
  ])('refuses %s', async (_, more, what) => {
    const said = await refusal(bundle, more);
    expect(said).toContain('untrusted: ');
    expect(said).toContain(what);
  });

  it('refuses what other authorities and logs made', async () => {
    expect(await refusal(bundle, { root: rootOf(others.trustedRoot) })).toContain('untrusted: ');
    const { tlogs } = others.trustedRoot;
    const { ctlogs } = others.trustedRoot;
    const another = (more: JsonObject) =>
      refusal(bundle, { root: rootOf({ ...services.trustedRoot, ...more }) });
    expect(await another({ tlogs: tlogs ?? [] })).toContain('untrusted: ');
    expect(await another({ ctlogs: ctlogs ?? [] })).toContain('untrusted: ');
    expect(await another({ ctlogs: [] })).toContain('untrusted: ');
  });

  it('asks for a log of certificates where the reader knows one', async () => {
    const alone = await startSigstore({ hasCertificateLog: false });
    const made = await sign(alone);
    expect(await refusal(made, { root: rootOf(alone.trustedRoot) })).toBe('accepted');
    const { ctlogs } = services.trustedRoot;
    const root = rootOf({ ...alone.trustedRoot, ctlogs: ctlogs ?? [] });
    expect(await refusal(made, { root })).toContain('untrusted: ');
    await alone.close();
  });

  it('refuses a certificate that had ended when the log got the signature', async () => {
    const late = await startSigstore({ logTime: new Date(Date.now() + 3_600_000) });
    const early = await startSigstore({ logTime: new Date(Date.now() - 3_600_000) });
    for (const at of [late, early]) {
      expect(await refusal(await sign(at), { root: rootOf(at.trustedRoot) })).toContain(
        'was not valid when it was signed',
      );
      await at.close();
    }
  });

  const entry = (json: Editable) => json.verificationMaterial.tlogEntries[0] as JsonObject;
  it.each<[string, Edit, RegExp]>([
    [
      'another statement',
      ({ dsseEnvelope }) => {
        dsseEnvelope.payload = Buffer.from('{"_type":"other"}').toString('base64');
      },
      /untrusted: the entry of the log is of another signature/,
    ],
    [
      'another signature',
      ({ dsseEnvelope: { signatures } }) => {
        signatures[0] = { sig: Buffer.from('nothing').toString('base64') };
      },
      /untrusted: the entry of the log is of another signature/,
    ],
    [
      'no entry of a log',
      (json) => {
        json.verificationMaterial.tlogEntries = [];
      },
      /(bad-signature|untrusted): /,
    ],
    [
      'no proof that the log has it',
      (json) => {
        json.verificationMaterial.tlogEntries[0] = { ...entry(json), inclusionProof: undefined };
      },
      /bad-signature: .* no whole bundle of Sigstore/,
    ],
    [
      'no promise of the log, which tells the time',
      (json) => {
        json.verificationMaterial.tlogEntries[0] = { ...entry(json), inclusionPromise: undefined };
      },
      /untrusted: no log .* says when it was signed/,
    ],
    [
      'another time',
      (json) => {
        const { integratedTime } = entry(json);
        json.verificationMaterial.tlogEntries[0] = {
          ...entry(json),
          integratedTime: String(Number(integratedTime) + 1),
        };
      },
      /untrusted: no log that is trusted promised/,
    ],
    [
      'another place in the log',
      (json) => {
        json.verificationMaterial.tlogEntries[0] = { ...entry(json), logIndex: '1' };
      },
      /untrusted: /,
    ],
    [
      'a certificate that is none',
      (json) => {
        json.verificationMaterial.certificate = { rawBytes: 'AAAA' };
      },
      /bad-signature: /,
    ],
  ])('refuses %s', async (_, edit, what) => {
    expect(await refusal(edited(edit))).toMatch(what);
  });

  it('refuses the parts of one signature in another', async () => {
    const second = (await sign()) as unknown as Editable;
    const certificate = edited((json) => {
      json.verificationMaterial.certificate = second.verificationMaterial.certificate;
    });
    expect(await refusal(certificate)).toMatch(/untrusted: its signature does not fit/);
    const log = edited((json) => {
      json.verificationMaterial.tlogEntries = second.verificationMaterial.tlogEntries;
    });
    expect(await refusal(log)).toMatch(/untrusted: the entry of the log is of another/);
  });
});

describe('identityProblem', () => {
  it.each([
    ['ann@example.com', undefined],
    [`${identity}*`, undefined],
    ['https://github.com/acme/x/.github/workflows/a.yml@*', undefined],
    ['', 'is empty'],
    ['*', 'has a *'],
    ['*@example.com', 'has a *'],
    ['ann@*', 'has a *'],
    ['https://github.com/*', 'has a *'],
    ['https://*/a@x*', 'has a *'],
    ['https://github.com/*/a@*', 'has a *'],
  ])('%j', (text, problem) => {
    const said = identityProblem(text);
    if (problem === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(problem);
  });
});

describe('readTrustedRoot', () => {
  const bytes = (value: JsonObject) => Buffer.from(JSON.stringify(value));
  it('reads it by itself, and in the configuration of clients', () => {
    const { trustedRoot: json, trustConfig } = services;
    expect(readTrustedRoot(bytes(json), 'root.json')).toEqual({ json, where: 'root.json' });
    expect(readTrustedRoot(bytes(trustConfig), 'root.json')).toEqual({ json, where: 'root.json' });
  });

  it.each(['', '[]', '{}', '{"mediaType":"x"}', '{"trustedRoot":1}'])('refuses %j', (text) => {
    expect(() => readTrustedRoot(Buffer.from(text), 'root.json')).toThrow(
      expect.objectContaining({ code: 'bad-key' }),
    );
  });

  it.each<[string, JsonObject]>([
    ['a log', { tlogs: [{}] }],
    ['an authority', { certificateAuthorities: [{ certChain: { certificates: [{}] } }] }],
  ])('says so when %s in it cannot be read', async (_, more) => {
    const root = rootOf({ ...services.trustedRoot, ...more });
    expect(await refusal(bundle, { root })).toContain('bad-key: root.json');
  });
});

describe('signKeyless', () => {
  const at = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
  it.each([
    ['nonsense', 'no JSON web token'],
    ['a.b.c', 'no JSON web token'],
    [identityToken({ sub: 'x', exp: at(-1) }), 'it ended on'],
    [identityToken({ sub: 'x', aud: 'https://elsewhere.example' }), 'not for sigstore'],
    [identityToken({ email: 'ann@example.com' }), 'not verified'],
    [identityToken({}), 'names nobody'],
  ])('refuses the token %s', async (bad, what) => {
    const asked = services.requests.length;
    const failure = await sign(services, { token: bad }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: 'bad-key', message: expect.stringContaining(what) });
    expect(services.requests).toHaveLength(asked);
  });

  it('tries again, and tells who refused or failed, without the token', async () => {
    services.fail('/api/v2/signingCert', 503, 1);
    services.fail('/api/v1/log/entries', 500, 1);
    expect(await refusal(await sign())).toBe('accepted');
    for (const [path, status, code] of [
      ['/api/v2/signingCert', 400, 'remote-refused'],
      ['/api/v2/signingCert', 503, 'remote-unreachable'],
      ['/api/v1/log/entries', 422, 'remote-refused'],
    ] as const) {
      services.fail(path, status, status < 500 ? 1 : 3);
      const failure = await sign().then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toMatchObject({ code, message: expect.stringContaining('Not today') });
      expect(JSON.stringify([failure, String((failure as Error).stack)])).not.toContain(token);
      expect(isMstoreError(failure) && failure.details['url']).toBe(services.url);
    }
  });

  it('sends the token to no address without TLS but this machine', async () => {
    for (const fulcio of ['http://fulcio.example.com', 'nowhere', 'https://a:b@c.example']) {
      await expect(
        signKeyless(payload, { token, fulcio, rekor: services.url }, { now: Date.now() }),
      ).rejects.toMatchObject({ code: 'usage' });
    }
  });

  it('ends when it is told to', async () => {
    const asked = services.requests.length;
    const signal = AbortSignal.abort();
    const account = { token, fulcio: services.url, rekor: services.url };
    await expect(signKeyless(payload, account, { now: Date.now(), signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(services.requests).toHaveLength(asked);
  });
});
