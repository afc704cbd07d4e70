import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { trustedBy } from '../../src/flow/trust/trusted-keys.ts';
import {
  type SignatureReport,
  verifyDirectorySignature,
} from '../../src/flow/trust/verify-signatures.ts';
import { parseBundle } from '../../src/signing/bundle.ts';
import { foreignListing, oldPreAuthEncoding, readStatement } from '../../src/signing/foreign.ts';
import {
  type Release,
  type SignedCase,
  signedCases,
  writeSignedModel,
} from '../support/model-signing.ts';
import { tempFolder } from '../support/temp.ts';

/** Signatures that releases of model_signing made: `test/interop/model-signing.test.ts` writes them. */
const fixtures = path.resolve('test/fixtures/signing');
const releases: Release[] = ['0.2.0', '0.3.1', '1.0.0', '1.1.1'];
const cases = releases.flatMap((release) =>
  Object.entries(signedCases(release)).map(([name, one]) => [release, name, one] as const),
);

interface Scene {
  /** Its folder. */
  readonly folder: string;
  verify(signature?: string): Promise<SignatureReport>;
}

function scene(release: Release, name: string, { kind, key }: SignedCase): Scene {
  const folder = path.join(tempFolder(), 'model');
  const model = writeSignedModel(folder, kind);
  const trusted = trustedBy(
    key === 'ann'
      ? { keys: [], certificates: [path.join(fixtures, 'ca.pem')] }
      : { keys: [path.join(fixtures, `${key}.pub`)] },
    fixtures,
  );
  const kept = path.join(fixtures, release, `${name}.sig`);
  return {
    folder,
    verify: async (signature = kept) => {
      const { signatures } = await verifyDirectorySignature(model, signature, trusted);
      return signatures[0] as SignatureReport;
    },
  };
}

describe.each(cases)('what release %s signed: %s', (release, name, one) => {
  it('is verified', async () => {
    const { verify } = scene(release, name, one);
    const report = await verify();
    expect(report.problem).toBeUndefined();
    expect(report.valid).toBe(true);
    expect(report.by).toMatch(one.key === 'ann' ? /^CN=Ann, email:/ : /^[0-9a-f]{64}$/);
  });

  it('is refused when a byte, a file or a name is another one', async () => {
    const { folder, verify } = scene(release, name, one);
    const file = path.join(folder, 'deep/er/weights.bin');
    const bytes = fs.readFileSync(file);
    const problems: unknown[] = [];
    const trial = async (change: () => void) => {
      change();
      const { valid, problem } = await verify();
      expect(valid).toBe(false);
      problems.push(problem);
    };
    await trial(() => fs.writeFileSync(file, Buffer.concat([bytes, Buffer.from('!')])));
    await trial(() => fs.writeFileSync(file, bytes.subarray(1)));
    fs.writeFileSync(file, bytes);
    if (one.kind !== 'file') {
      await trial(() => fs.writeFileSync(path.join(folder, 'more'), 'x'));
      fs.rmSync(path.join(folder, 'more'));
      await trial(() => fs.renameSync(path.join(folder, 'a/b.txt'), path.join(folder, 'a/c.txt')));
      fs.renameSync(path.join(folder, 'a/c.txt'), path.join(folder, 'a/b.txt'));
    }
    for (const problem of problems) {
      expect(problem).toMatch(/other bytes than|which is not there|is there, and was not signed/);
    }
    expect((await verify()).valid).toBe(true);
  });

  it('is refused when the signature is of another statement', async () => {
    const { folder, verify } = scene(release, name, one);
    const document = JSON.parse(
      fs.readFileSync(path.join(fixtures, release, `${name}.sig`), 'utf8'),
    ) as { dsseEnvelope: { payload: string } };
    const payload = Buffer.from(document.dsseEnvelope.payload, 'base64').toString();
    const other = payload.replace('in-toto.io/Statement/v1', 'in-toto.io/Statement/v1 ');
    document.dsseEnvelope.payload = Buffer.from(other).toString('base64');
    const changed = path.join(folder, '../changed.sig');
    fs.writeFileSync(changed, JSON.stringify(document));
    const { valid, problem } = await verify(changed);
    expect(valid).toBe(false);
    expect(problem).toContain('it was damaged or forged');
  });
});

describe('statements of others', () => {
  const read = (release: Release, name: string) => {
    const where = path.join(fixtures, release, `${name}.sig`);
    return parseBundle(fs.readFileSync(where), where);
  };
  const changed = (from: string, to: string, release: Release = '1.1.1', name = 'shards') => {
    const bundle = read(release, name);
    const payload = Buffer.from(bundle.payload.toString().replaceAll(from, to));
    return { ...bundle, payload };
  };
  const listing = async (bundle: ReturnType<typeof read>) =>
    foreignListing(readStatement(bundle), 'x.sig', [], undefined);

  it.each([
    ['a hash that is not known', '"sha256"', '"md5"', /subject|kind that is not known/],
    ['resources of another hash', '"sha256-sharded-16"', '"sha256-sharded-8"', /is no sha256-sh/],
    ['shards without a size', '"shard_size": 16.0', '"shard_size": 0', /size of its shards/],
    ['a part of a shard', '"shard_size": 16.0', '"shard_size": 16.5', /size of its shards/],
    ['another method', '"shards"', '"tensors"', /method that is not known/],
  ])('are refused: %s', async (_, from, to, text) => {
    await expect(listing(changed(from, to))).rejects.toThrow(text);
  });

  it.each([
    ['a path that leaves the model', '"a-b.txt"', '"../a-b.txt"', /the path/],
    ['a file twice', '"a-b.txt"', '"a/b.txt"', /twice/],
    ['no digest', '"sha256": "', '"sha256": "0', /no SHA-256/],
    ['no subjects', '"subject"', '"subjects"', /lists no files/],
  ])('of release 0.2 are refused: %s', (_, from, to, text) => {
    expect(() => readStatement(changed(from, to, '0.2.0', 'p256'))).toThrow(text);
  });

  it('are put into words as Python does', () => {
    const shown = oldPreAuthEncoding(Buffer.from('{"a\'\\": "é\t\r\n\x00\x7f~"}')).toString();
    expect(shown).toBe(
      String.raw`DSSEV1 28 application/vnd.in-toto+json 19 b'{"a\'\\": "\xc3\xa9\t\r\n\x00\x7f~"}'`,
    );
  });

  it('stop where a file has more parts than were signed', async () => {
    const statement = readStatement(read('1.1.1', 'shards'));
    let blocks = 0;
    const file = {
      name: 'large',
      *read() {
        for (;;) {
          blocks++;
          yield Buffer.alloc(64);
        }
      },
    };
    const found = await foreignListing(statement, 'x.sig', [file], undefined);
    expect(found.length).toBeLessThan(statement.resources.length + 5);
    expect(blocks).toBeLessThan(10);
  });
});
