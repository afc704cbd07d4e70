import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  curves,
  foreignSignature,
  generateKeyPair,
  hashOf,
  isSignatureOf,
  readPrivateKey,
  readPublicKey,
} from '../../../src/signing/keys.ts';

const message = Buffer.from('what is signed');

describe('keys', () => {
  it.each(curves)('of %s sign what their public key verifies, encrypted or not', async (curve) => {
    const plain = generateKeyPair(curve);
    const locked = generateKeyPair(curve, 'a passphrase');
    expect(locked.privatePem).toContain('ENCRYPTED');
    for (const [pair, passphrase] of [
      [plain, undefined],
      [locked, 'a passphrase'],
    ] as const) {
      const signer = readPrivateKey(pair.privatePem, passphrase, 'k');
      const signature = await signer.sign(message);
      const publicKey = readPublicKey(pair.publicKey.pem, 'k.pub');
      expect(signer.publicKey.fingerprint).toBe(publicKey.fingerprint);
      expect(publicKey.curve).toBe(curve);
      expect(isSignatureOf(message, signature, publicKey)).toBe(true);
      expect(isSignatureOf(Buffer.from('other'), signature, publicKey)).toBe(false);
      expect(isSignatureOf(message, signature.subarray(1), publicKey)).toBe(false);
      expect(isSignatureOf(message, Buffer.alloc(0), publicKey)).toBe(false);
    }
  });

  it('are named by the digest of their PEM, wherever that was read', () => {
    const { publicKey } = generateKeyPair('p256');
    const crlf = publicKey.pem.replaceAll('\n', '\r\n');
    const again = readPublicKey(`a comment\n${crlf}`, 'k.pub');
    expect(again.fingerprint).toBe(publicKey.fingerprint);
    expect(again.fingerprint).toBe(createHash('sha256').update(publicKey.pem).digest('hex'));
  });

  it('of the older form of OpenSSL are read', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    const pem = String(pair.privateKey.export({ type: 'sec1', format: 'pem' }));
    const signer = readPrivateKey(pem, undefined, 'k');
    expect(isSignatureOf(message, await signer.sign(message), signer.publicKey)).toBe(true);
  });

  it.each([
    ['rsa', () => generateKeyPairSync('rsa', { modulusLength: 2048 }), /another kind \(rsa\)/],
    ['ed25519', () => generateKeyPairSync('ed25519'), /another kind \(ed25519\)/],
    [
      'another curve',
      () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
      /another kind \(ec secp256k1\)/,
    ],
  ])('of another kind are refused: %s', (_, make, text) => {
    const { privateKey, publicKey } = make();
    const secret = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const open = String(publicKey.export({ type: 'spki', format: 'pem' }));
    expect(() => readPrivateKey(secret, undefined, 'k')).toThrow(text);
    expect(() => readPublicKey(open, 'k.pub')).toThrow(text);
  });

  it('are refused with what is wrong and no byte of them', () => {
    const { privatePem } = generateKeyPair('p256');
    const locked = generateKeyPair('p256', 'right').privatePem;
    expect(() => readPublicKey(privatePem, 'k')).toThrow(/it is a private key/);
    expect(() => readPublicKey('nothing', 'k')).toThrow(/no public key in PEM/);
    expect(() => readPrivateKey('nothing', undefined, 'k')).toThrow(/no private key in PEM/);
    expect(() => readPrivateKey(locked, undefined, 'k')).toThrow(/there is no passphrase/);
    expect(() => readPrivateKey(locked, 'wrong', 'k')).toThrow(/its passphrase is another one/);
    for (const text of [privatePem, locked]) {
      try {
        readPublicKey(text, 'k');
      } catch (error) {
        expect(String(error)).not.toContain(text.split('\n')[1]);
      }
    }
  });

  it.each(curves)('take signatures of %s in the forms of others', (curve) => {
    const { privatePem, publicKey } = generateKeyPair(curve);
    const key = createPrivateKey(privatePem);
    for (let i = 0; i < 10; i++) {
      // Numbers with leading zeros or ones come by chance.
      const bytes = Buffer.from(`message ${i}`);
      const two = sign(hashOf(curve), bytes, { key, dsaEncoding: 'ieee-p1363' });
      const der = sign(hashOf(curve), bytes, key);
      for (const form of [
        two,
        der,
        Buffer.from(two.toString('hex')),
        Buffer.from(`${der.toString('base64')}\n`),
      ]) {
        const made = foreignSignature(form, bytes, publicKey);
        expect(made && isSignatureOf(bytes, made, publicKey)).toBe(true);
      }
      expect(foreignSignature(two, message, publicKey)).toBeUndefined();
    }
  });
});
