import { expect, it } from 'vitest';
import { bytesSource } from '../../src/remote/remote.ts';
import { listKeys } from '../support/remote-bytes.ts';
import type { MakeRemote } from './remote.ts';

const text = (value: string) => bytesSource(Buffer.from(value));

/** The part of the contract about listings. */
export function listTests(make: MakeRemote): void {
  const sorted = [
    'A',
    'a-b/1',
    'a.b/1',
    'a/1',
    'a/2',
    'a/b-c',
    'a/b/1',
    'a/b/c/1',
    'a/b0',
    'a0',
    'a@1',
    'aB/1',
    'a_',
    'ab/1',
    'ab/10',
    'ab/2',
    'b',
    'tmpx',
    'x/tmp/1',
  ];

  it('is in the order of bytes, across folders', async () => {
    const remote = await make();
    for (const key of [...sorted].reverse()) await remote.create(key, text(key));
    const objects = [];
    for await (const { key, size } of remote.list('')) objects.push({ key, size });
    expect(objects).toEqual(sorted.map((key) => ({ key, size: key.length })));
  });

  it('tells when objects were created, by one clock', async () => {
    const remote = await make();
    const timeOf = async (key: string) => {
      await remote.create(key, text(key));
      for await (const object of remote.list('')) if (object.key === key) return object.time ?? 0;
      return 0;
    };
    const first = await timeOf('gc/1');
    // Some services count in seconds.
    const margin = 2000;
    expect(Math.abs(first - Date.now())).toBeLessThan(60_000);
    expect(await timeOf('gc/0')).toBeGreaterThan(first - margin);
  });

  it('holds to the prefix', async () => {
    const remote = await make();
    for (const key of sorted) await remote.create(key, text(key));
    for (const prefix of ['a/', 'ab/', 'a/b/', 'a/b/c/', 'x/', 'x/tmp/', 'zz/', 'a/b/c/d/']) {
      const expected = sorted.filter((key) => key.startsWith(prefix));
      expect(await listKeys(remote, prefix), prefix).toEqual(expected);
    }
  });

  it('is empty where nothing is', async () => {
    const remote = await make();
    expect(await listKeys(remote)).toEqual([]);
    expect(await listKeys(remote, 'packs/')).toEqual([]);
  });

  it('names many objects in many shards once each', async () => {
    const remote = await make();
    const keys = Array.from({ length: 300 }, (_, n) => {
      const hex = ((n * 2_654_435_761) >>> 0).toString(16).padStart(8, '0');
      return `recipes/${hex.slice(0, 2)}/${hex}`;
    });
    await Promise.all(keys.map((key) => remote.create(key, text('x'))));
    expect(await listKeys(remote, 'recipes/')).toEqual([...keys].sort());
  });

  it('may end early', async () => {
    const remote = await make();
    for (const key of ['a', 'b', 'c']) await remote.create(key, text(key));
    for await (const object of remote.list('')) {
      expect(object.key).toBe('a');
      break;
    }
  });

  it('goes on while objects come and go', async () => {
    const remote = await make();
    const keys = Array.from({ length: 20 }, (_, n) => `packs/${10 + n}/p`);
    for (const key of keys) await remote.create(key, text(key));
    const seen: string[] = [];
    for await (const { key } of remote.list('packs/')) {
      seen.push(key);
      if (seen.length === 1) {
        await remote.delete('packs/20/p');
        await remote.create('packs/99/p', text('new'));
      }
    }
    // The list may be stale about these two, and about no other.
    const stale = (key: string) => key === 'packs/20/p' || key === 'packs/99/p';
    expect(seen.filter((key) => !stale(key))).toEqual(keys.filter((key) => !stale(key)));
  });
}
