import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { masterKey } from '../../src/encryption/keys.ts';
import { EncryptedNames } from '../../src/encryption/names.ts';
import { sealedSource } from '../../src/encryption/objects.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { bytesSource } from '../../src/remote/remote.ts';
import { projectAt, testSurroundings } from '../support/flow-project.ts';
import { verifyProject } from '../support/flow-verify.ts';
import { filesBelow } from '../support/format-1.ts';
import { tempFolder } from '../support/temp.ts';

const page = fs.readFileSync(
  path.join(import.meta.dirname, '../../docs/format-encryption.md'),
  'utf8',
);
const vectors = page.slice(page.indexOf('## Test vectors'));
const master = masterKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const hkdf = (info: string, salt = Buffer.alloc(0)) =>
  Buffer.from(hkdfSync('sha256', master.bytes, salt, `mstore-encryption-1 ${info}`, 32));

/** Reads a token by the page alone. */
function openToken(kind: string, folder: string, token: string): Buffer {
  const digits = [...token].map((letter) => 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(letter));
  const bits = digits.map((digit) => digit.toString(2).padStart(5, '0')).join('');
  const bytes = Buffer.from(bits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
  const iv = bytes.subarray(0, 16);
  const clear = createDecipheriv('aes-256-ctr', hkdf('names, cipher'), iv).update(
    bytes.subarray(16),
  );
  const mac = createHmac('sha256', hkdf('names, synthetic iv'));
  const again = mac.update(Buffer.concat([Buffer.from(`${kind}\0${folder}\0`), clear])).digest();
  expect(again.subarray(0, 16).equals(iv)).toBe(true);
  return clear;
}

/** Reads an object of one segment by the page alone. */
function openObject(key: string, object: Buffer<ArrayBuffer>): Buffer {
  const own = hkdf(`object ${key}`, object.subarray(0, 56));
  const nonce = Buffer.from('000000000000000000000001', 'hex');
  const decipher = createDecipheriv('aes-256-gcm', own, nonce);
  decipher.setAuthTag(object.subarray(-16));
  return Buffer.concat([decipher.update(object.subarray(56, -16)), decipher.final()]);
}

describe('the vectors of the page', () => {
  it('have the id of their key', () => {
    expect(master.id).toBe(hkdf('key id').toString('hex', 0, 16));
    expect(vectors).toContain(master.id);
  });

  it('are the names that the program gives, and what the page says', () => {
    const rows = vectors.matchAll(/^\| `([^`]*\/[^`]*)` \| `([^`]+)` \|$/gm);
    const named = [...rows].map(([, key = '', name = '']) => [key, name]);
    expect(named).toHaveLength(6);
    const names = new EncryptedNames(master);
    for (const [key = '', name = ''] of named) expect(names.seal(key), key).toBe(name);
    const [pack = ''] = named[0] ?? [];
    const token = named[0]?.[1]?.split('/').at(-1) ?? '';
    expect(pack).toContain(openToken('digest', 'packs/', token).toString('hex'));
    const version = named.find(([key]) => key?.endsWith('v1.json'));
    const tokens = version?.[1]?.split('/') ?? [];
    const text = (bytes: Buffer) => bytes.toString().replace(/\0+$/, '');
    expect(text(openToken('name', 'refs/models/', tokens[2] ?? ''))).toBe('bert');
    const folder = 'refs/models/bert/versions/';
    expect(text(openToken('name', folder, tokens[4] ?? ''))).toBe('v1.json');
  });

  it('are the objects that the program makes, and what the page says', async () => {
    const key = `recipes/e3/${sha256('')}`;
    expect(vectors).toContain(key);
    const random = { hex: () => 'aa'.repeat(32), fraction: () => 0 };
    const seal = async (bytes: Buffer) => {
      const blocks: Buffer[] = [];
      const source = sealedSource({ master, key }, bytesSource(bytes), random);
      for await (const block of source.open()) blocks.push(Buffer.from(block));
      return Buffer.concat(blocks);
    };
    const objects = vectors.match(/4d53544f5245454e[0-9a-f]+/g) ?? [];
    expect(objects).toEqual([
      (await seal(Buffer.alloc(0))).toString('hex'),
      (await seal(Buffer.from('abc'))).toString('hex'),
    ]);
    expect(openObject(key, Buffer.from(objects[0] ?? '', 'hex'))).toHaveLength(0);
    expect(String(openObject(key, Buffer.from(objects[1] ?? '', 'hex')))).toBe('abc');
    expect(vectors).toContain(sha256(await seal(Buffer.alloc(65_537))));
  });
});

describe('the fixture of an encrypted remote', () => {
  const fixture = path.join(import.meta.dirname, '../fixtures/encryption-1');

  /** The workspace of the fixture, beside its remote, in a folder of its own. */
  function project() {
    const top = tempFolder();
    fs.cpSync(fixture, top, { recursive: true });
    const MSTORE_IDENTITY_FILE = path.join(top, 'identity.txt');
    const env = { ...testSurroundings().env, MSTORE_IDENTITY_FILE };
    return projectAt(path.join(top, 'workspace'), { env });
  }

  it('is the one that was frozen', () => {
    const lines = [...filesBelow(fixture)].map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`);
    expect(lines).toHaveLength(13);
    expect(sha256(lines.join(''))).toBe(
      'ca49dfd7e0246dd15641e514486d56b2936723bd40cbfaf18c3095da38b67efc',
    );
  });

  it('is read as it was written, its key being the second one', async () => {
    const workspace = project();
    await workspace.fetch([], 'origin');
    await workspace.checkout();
    const cipher = createCipheriv('aes-256-ctr', Buffer.alloc(32, 3), Buffer.alloc(16));
    const weights = cipher.update(Buffer.alloc(300_000));
    expect(workspace.read('model/weights.bin').equals(weights)).toBe(true);
    expect(String(workspace.read('model/config.json'))).toBe('{"kind":"fixture"}\n');
    const report = await verifyProject(workspace, { remote: 'origin' });
    expect(report).toMatchObject({ code: null, damage: 0, registryObjects: 2 });
  });

  it('is found by the chain of its keys where no key is pinned', async () => {
    const workspace = project();
    const { remote } = await chooseRemote(await workspace.open(), '../remote', workspace.root);
    expect(await remote.stat('refs/models/bert/versions/v1.json')).toBeGreaterThan(100);
    expect(
      await remote.stat('refs/models/bert/environments/production/00000001.json'),
    ).toBeDefined();
  });
});
