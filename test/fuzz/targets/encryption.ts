import { systemRandom } from '../../../src/base/clock.ts';
import { parseIdentities } from '../../../src/encryption/identity-file.ts';
import {
  formatWrappedKey,
  isVouched,
  keyObjectBytesMax,
  parseEncryptionHeader,
  parseNext,
  parseWrappedKey,
} from '../../../src/encryption/key-objects.ts';
import { drawMasterKey, masterKey } from '../../../src/encryption/keys.ts';
import { EncryptedNames } from '../../../src/encryption/names.ts';
import { formatHead, parseHead, SegmentCipher } from '../../../src/encryption/object-format.ts';
import { type FuzzTarget, promise, refused, refusedLater, same } from '../target.ts';

const master = masterKey(Buffer.alloc(32, 1));
const names = new EncryptedNames(master);
const recipient = 'age1rnhcah7uy8qy8dl0qqr7kcu5994v7y4pgauyuw3t7vklk3gx8gwqfpgkmv';
const header = `{"mstore":1,"id":"${'0f'.repeat(16)}","encryption":{"version":1,"key":"${master.id}"}}`;

export const encryptedHead: FuzzTarget = {
  name: 'encrypted-head',
  bytesMax: 256,
  seeds: () => ({ head: formatHead(70_000, Buffer.alloc(32, 7)).bytes }),
  words: ['MSTOREEN'],
  run(bytes) {
    const head = parseHead(bytes);
    if (head === undefined) return;
    same(head.bytes.equals(formatHead(head.size, bytes.subarray(24)).bytes), true, 'one form');
    const cipher = new SegmentCipher(master, 'packs/x', head);
    same(cipher.open(0, bytes), undefined, 'nothing opens that was not sealed');
  },
};

export const encryptedNames: FuzzTarget = {
  name: 'encrypted-names',
  bytesMax: 1024,
  seeds: () => ({
    pack: names.seal(`packs/ab/${'ab'.repeat(32)}.pack`),
    version: names.seal('refs/models/bert/versions/v1.json'),
    entry: names.seal('refs/models/bert/environments/production/00000001.json'),
  }),
  words: ['quarantine/', 'generations/', 'keys/', '00000001.json', '/'],
  run(bytes) {
    const sealed = bytes.toString('latin1');
    const key = names.open(sealed);
    if (key !== undefined) same(names.seal(key), sealed, 'a key has one name');
  },
};

export const wrappedKeys: FuzzTarget = {
  name: 'wrapped-keys',
  bytesMax: keyObjectBytesMax,
  seeds: () => ({
    wrapped: formatWrappedKey(master, {
      recipient,
      added: '2025-01-01T00:00:00.000Z',
      file: Buffer.from('age-encryption.org/v1\n-> X25519 abc\ndef\n--- ghi\n'),
    }),
    passphrase: formatWrappedKey(master, {
      recipient: 'passphrase',
      added: '2025-01-01T00:00:00.000Z',
      file: Buffer.from(
        'age-encryption.org/v1\n-> scrypt bAjBhrLLz3/4dvUZ5o3sqg 18\ndef\n--- ghi\n',
      ),
    }),
    next: `{"mstore":1,"next":"${master.id}"}`,
  }),
  words: ['"passphrase"', '"recipient"', '"wrapped"', 'LT4gc2NyeXB0', '__proto__'],
  run(bytes) {
    const next = refused(['corrupt-remote'], () => parseNext(bytes, 'x'));
    promise(next === undefined || /^[0-9a-f]{32}$/.test(next), 'an id is an id');
    const wrapped = refused(['corrupt-remote'], () => parseWrappedKey(bytes, 'x'));
    if (wrapped === undefined) return;
    promise(/^(?:age1[0-9a-z]{58}|passphrase)$/.test(wrapped.recipient), 'a recipient');
    same(isVouched(drawMasterKey(systemRandom), wrapped), false, 'no other key vouches');
    const written = parseWrappedKey(formatWrappedKey(master, wrapped), 'x');
    same(written.file.equals(wrapped.file), true, 'what is written is read again');
  },
};

export const encryptionHeaders: FuzzTarget = {
  name: 'encryption-headers',
  bytesMax: 4096,
  seeds: () => ({
    header,
    clear: '{"mstore":1}',
    newer: header.replace('"version":1', '"version":2'),
  }),
  words: ['"encryption"', '"version"', '"key"', '__proto__', 'null'],
  run(bytes) {
    const codes = ['newer-format', 'corrupt-remote'] as const;
    const found = refused(codes, () => parseEncryptionHeader(bytes, 'x'));
    if (found === undefined) return;
    promise(/^[0-9a-f]{32}$/.test(found.key), 'an id is an id');
    same(
      parseEncryptionHeader(found.clear, 'x'),
      undefined,
      'nothing is said of encryption to others',
    );
  },
};

export const identityFiles: FuzzTarget = {
  name: 'identity-files',
  bytesMax: 4096,
  seeds: () => ({
    file: '# created: 2025\n# public key: age1\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n',
    encrypted: 'age-encryption.org/v1\n',
  }),
  words: ['AGE-SECRET-KEY-1', '-----BEGIN AGE', '\r\n', '#'],
  async run(bytes) {
    const secrets = await refusedLater(['bad-input'], () => parseIdentities(bytes, 'x'));
    if (secrets !== undefined) promise(secrets.length > 0 && secrets.length <= 32, 'a bound');
  },
};
