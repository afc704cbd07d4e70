import { createCipheriv, hkdfSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/base/clock.ts';
import { makePages } from '../../../src/base/wasm-memory.ts';
import { encryptedRemote } from '../../../src/encryption/encrypted-remote.ts';
import { drawMasterKey } from '../../../src/encryption/keys.ts';
import { EncryptedNames } from '../../../src/encryption/names.ts';
import { headBytes, openedSize, sealedSize } from '../../../src/encryption/object-format.ts';
import { sealedSource } from '../../../src/encryption/objects.ts';
import { localRemote } from '../../../src/remote/local.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../../src/remote/remote.ts';
import { listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { tempFolder } from '../../support/temp.ts';

const key = `packs/ab/${'ab'.repeat(32)}.pack`;
const segment = 65_536;
const sealedSegment = segment + 16;
const damaged = expect.objectContaining({ code: 'corrupt-remote' });

/** An encrypted remote over one in memory, with what lies there in reach. */
function place() {
  const raw = memoryRemote();
  const master = drawMasterKey(systemRandom);
  const remote = encryptedRemote(raw, { master, random: systemRandom });
  return { raw, master, remote, name: new EncryptedNames(master).seal(key) };
}

async function replace(raw: RemotePruner, name: string, bytes: Uint8Array): Promise<void> {
  await raw.delete(name);
  await raw.create(name, bytesSource(bytes));
}

async function sealAll(source: { open(): AsyncIterable<Uint8Array> }): Promise<Buffer> {
  const blocks: Buffer[] = [];
  for await (const block of source.open()) blocks.push(Buffer.from(block));
  return Buffer.concat(blocks);
}

describe('sizes', () => {
  it('are told exactly both ways', async () => {
    for (const size of [
      0,
      1,
      15,
      16,
      17,
      segment - 1,
      segment,
      segment + 1,
      3 * segment,
      5 ** 11,
    ]) {
      expect(openedSize(sealedSize(size)), String(size)).toBe(size);
    }
    expect(sealedSize(0)).toBe(72);
    expect(sealedSize(segment)).toBe(56 + segment + 16);
    expect(sealedSize(segment + 1)).toBe(56 + segment + 1 + 32);
    const { raw, remote, name } = place();
    await remote.create(key, bytesSource(testBytes(segment + 5)));
    expect(await raw.stat(name)).toBe(sealedSize(segment + 5));
  });

  it('are never negative or more than there is, whatever lies there', () => {
    for (let sealed = 0; sealed < 300; sealed++) {
      expect(openedSize(sealed)).toBe(Math.max(0, sealed - 72));
    }
  });
});

describe('nonces', () => {
  it('never come twice under a key: each try has a key of its own, each segment a number', async () => {
    const { master } = place();
    const bytes = Buffer.alloc(3 * segment + 9);
    const source = sealedSource({ master, key }, bytesSource(bytes), systemRandom);
    // The clear bytes are zeros, so that what is stored is the key stream itself: no part of it may come again.
    const streams: string[] = [];
    for (let turn = 0; turn < 40; turn++) {
      const sealed = await sealAll(source);
      for (let at = headBytes; at + 16 <= sealed.length; at += sealedSegment) {
        streams.push(sealed.toString('hex', at, at + 9));
      }
    }
    expect(streams).toHaveLength(40 * 4);
    expect(new Set(streams).size).toBe(streams.length);
  });

  it('depend on the number and on which segment is the last, and on nothing else', async () => {
    const { master } = place();
    const random = { hex: () => 'aa'.repeat(32), fraction: () => 0 };
    const bytes = testBytes(2 * segment + 100);
    const sealed = await sealAll(sealedSource({ master, key }, bytesSource(bytes), random));
    const info = `mstore-encryption-1 object ${key}`;
    const head = sealed.subarray(0, headBytes);
    const own = Buffer.from(hkdfSync('sha256', master.bytes, head, info, 32));
    for (const number of [0, 1, 2]) {
      const nonce = Buffer.alloc(12);
      nonce[10] = number;
      nonce[11] = number === 2 ? 1 : 0;
      const cipher = createCipheriv('aes-256-gcm', own, nonce);
      const clear = bytes.subarray(number * segment, (number + 1) * segment);
      const expected = Buffer.concat([cipher.update(clear), cipher.final(), cipher.getAuthTag()]);
      const at = headBytes + number * sealedSegment;
      expect(sealed.subarray(at, at + expected.length).equals(expected), String(number)).toBe(true);
    }
  });

  it('do not come again when a second try meets other bytes', async () => {
    const { remote, raw, name } = place();
    let turn = 0;
    const source = {
      size: 100,
      async *open() {
        yield Buffer.alloc(100, turn++);
      },
    };
    await remote.create(key, source);
    const first = await readObject(raw, name);
    await remote.delete(key);
    await remote.create(key, source);
    const second = await readObject(raw, name);
    // Under one nonce the difference of the two would be that of the clear bytes, 1 everywhere.
    const difference = second
      .subarray(headBytes, -16)
      .map((byte, i) => byte ^ (first[headBytes + i] ?? 0));
    expect(difference.every((byte) => byte === 1)).toBe(false);
    expect(first.subarray(0, 24).equals(second.subarray(0, 24))).toBe(true);
    expect(first.subarray(24, headBytes).equals(second.subarray(24, headBytes))).toBe(false);
  });
});

it('the memory of a reader is its own: what it keeps there is not written over by encrypted bytes', async () => {
  const raw = localRemote(tempFolder());
  const options = { master: drawMasterKey(systemRandom), random: systemRandom };
  const remote = encryptedRemote(raw, options);
  const bytes = testBytes(3_000_000);
  await remote.create(key, bytesSource(bytes));
  const memory = [makePages(256 * 1024), makePages(256 * 1024)] as const;
  let at = 0;
  for await (const block of remote.get(key, undefined, { memory })) {
    for (const own of memory) own.fill(7);
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(memory.every((own) => own.every((byte) => byte === 7))).toBe(true);
    expect(bytes.subarray(at, at + block.length).equals(block)).toBe(true);
    at += block.length;
  }
  expect(at).toBe(bytes.length);
});

describe('what was changed', () => {
  const size = 2 * segment + 1000;
  const clear = testBytes(size);

  it.each([
    ['the magic', 0],
    ['the version', 8],
    ['what is zero', 12],
    ['the size', 16],
    ['a high byte of the size', 22],
    ['the salt', 24],
    ['the end of the salt', 55],
    ['the first segment', headBytes],
    ['the first tag', headBytes + segment],
    ['the second segment', headBytes + sealedSegment + 5],
    ['the last segment', headBytes + 2 * sealedSegment + 999],
    ['the last tag', sealedSize(size) - 1],
  ])('is refused: %s', async (_, at) => {
    const { raw, remote, master, name } = place();
    await remote.create(key, bytesSource(clear));
    const sealed = await readObject(raw, name);
    for (const bit of [1, 128]) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ bit;
      await replace(raw, name, changed);
      await expect(readObject(remote, key)).rejects.toEqual(damaged);
      const where = Math.min(2, Math.max(0, Math.floor((at - headBytes) / sealedSegment)));
      const range = { start: where * segment + 3, end: where * segment + 9 };
      const other = encryptedRemote(raw, { master, random: systemRandom });
      await expect(readObject(other, key, range)).rejects.toEqual(damaged);
    }
  });

  it('hands out nothing of a segment that is not right, and what was right before it', async () => {
    const { raw, remote, name } = place();
    await remote.create(key, bytesSource(clear));
    const sealed = await readObject(raw, name);
    sealed[headBytes + sealedSegment + 7] = (sealed[headBytes + sealedSegment + 7] ?? 0) ^ 1;
    await replace(raw, name, sealed);
    const got: Buffer[] = [];
    const read = async () => {
      for await (const block of remote.get(key)) got.push(Buffer.from(block));
    };
    await expect(read()).rejects.toEqual(damaged);
    expect(Buffer.concat(got).equals(clear.subarray(0, segment))).toBe(true);
    expect((await readObject(remote, key, { start: 10, end: segment })).length).toBe(segment - 10);
  });

  it('is refused when it was cut off, anywhere, or goes on', async () => {
    const { raw, remote, name } = place();
    await remote.create(key, bytesSource(clear));
    const sealed = await readObject(raw, name);
    const ends = [0, 10, headBytes, headBytes + 16, headBytes + sealedSegment];
    for (const end of [...ends, headBytes + 2 * sealedSegment, sealed.length - 1]) {
      await replace(raw, name, sealed.subarray(0, end));
      await expect(readObject(remote, key), String(end)).rejects.toEqual(damaged);
    }
    // A range behind the end is told by the clear key too.
    await replace(raw, name, sealed.subarray(0, headBytes + 100));
    const error = await readObject(remote, key, { start: 0, end: 10 }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'corrupt-remote', details: { key, object: name } });
    await replace(raw, name, Buffer.concat([sealed, Buffer.from([0])]));
    await expect(readObject(remote, key)).rejects.toEqual(damaged);
    await replace(raw, name, Buffer.concat([sealed, sealed.subarray(headBytes)]));
    await expect(readObject(remote, key)).rejects.toEqual(damaged);
  });

  it('is refused when segments change places, also with those of another object', async () => {
    const { raw, remote, name } = place();
    await remote.create(key, bytesSource(clear));
    const sealed = await readObject(raw, name);
    const at = (n: number) => headBytes + n * sealedSegment;
    const parts = [sealed.subarray(0, at(0)), sealed.subarray(at(0), at(1))];
    const swapped = [parts[0], sealed.subarray(at(1), at(2)), parts[1], sealed.subarray(at(2))];
    await replace(raw, name, Buffer.concat(swapped as Buffer[]));
    await expect(readObject(remote, key)).rejects.toEqual(damaged);
    // The same clear bytes under the same name, of another try.
    await remote.delete(key);
    await remote.create(key, bytesSource(clear));
    const other = await readObject(raw, name);
    await replace(raw, name, Buffer.concat([other.subarray(0, at(1)), sealed.subarray(at(1))]));
    await expect(readObject(remote, key)).rejects.toEqual(damaged);
  });

  it('is refused under the name of another object, and its own name elsewhere is none', async () => {
    const { raw, remote, master, name } = place();
    const second = `packs/cd/${'cd'.repeat(32)}.pack`;
    await remote.create(key, bytesSource(clear));
    await remote.create(second, bytesSource(clear));
    const names = new EncryptedNames(master);
    const sealed = await readObject(raw, name);
    await replace(raw, names.seal(second), sealed);
    await expect(readObject(remote, second)).rejects.toEqual(damaged);
    // A name that was moved to another folder is passed over.
    await replace(raw, name.replace('packs/', 'index/'), sealed);
    await replace(raw, `packs/aa/${name.split('/')[2] ?? ''}`, sealed);
    await replace(raw, 'packs/foreign', sealed);
    expect(await listKeys(remote)).toEqual([key, second]);
  });

  it('is read by its new head where an object was made anew meanwhile', async () => {
    const { raw, remote, master } = place();
    await remote.create(key, bytesSource(clear));
    const range = { start: 5, end: segment + 5 };
    expect((await readObject(remote, key, range)).equals(clear.subarray(5, segment + 5))).toBe(
      true,
    );
    const other = encryptedRemote(raw, { master, random: systemRandom });
    await other.delete(key);
    await other.create(key, bytesSource(clear));
    expect((await readObject(remote, key, range)).equals(clear.subarray(5, segment + 5))).toBe(
      true,
    );
  });

  it('is nothing to another key', async () => {
    const { raw, remote, name } = place();
    await remote.create(key, bytesSource(clear));
    const stranger = drawMasterKey(systemRandom);
    const other = encryptedRemote(raw, { master: stranger, random: systemRandom });
    expect(await listKeys(other)).toEqual([]);
    expect(await other.stat(key)).toBeUndefined();
    await replace(raw, new EncryptedNames(stranger).seal(key), await readObject(raw, name));
    await expect(readObject(other, key)).rejects.toEqual(damaged);
  });
});
