import { describe, expect, it } from 'vitest';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { counting } from '../../../src/remote/wrappers/counting.ts';
import { listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { type FaultyRemote, faulty } from '../../support/remote-faulty.ts';

const bytes = testBytes(3_000_001);
const source = bytesSource(bytes);
const unreachable = expect.objectContaining({ code: 'remote-unreachable' });

describe('counting', () => {
  it('counts calls and the bytes that moved', async () => {
    const remote = counting(memoryRemote());
    const before = remote.counts();
    await remote.create('a', source);
    await remote.create('a', source);
    await readObject(remote, 'a', { start: 10, end: 30 });
    await expect(readObject(remote, 'b')).rejects.toThrow();
    await remote.stat('a');
    await listKeys(remote);
    await remote.delete('a');
    expect(remote.counts()).toEqual({
      create: { calls: 2, bytes: bytes.length },
      get: { calls: 2, bytes: 20 },
      stat: { calls: 1, bytes: 0 },
      list: { calls: 1, bytes: 0 },
      delete: { calls: 1, bytes: 0 },
    });
    expect(before.create).toEqual({ calls: 0, bytes: 0 });
  });
});

describe('faulty', () => {
  it('fails the call that was asked for, once', async () => {
    const remote = faulty(memoryRemote());
    remote.fail('stat', { call: 2, how: 'before' });
    await remote.stat('a');
    await remote.create('a', source);
    await expect(remote.stat('a')).rejects.toEqual(unreachable);
    expect(await remote.stat('a')).toBe(bytes.length);
    expect([remote.calls, remote.faults]).toEqual([4, 1]);
  });

  it('creates nothing before and midway, and the object when the reply is lost', async () => {
    const remote = faulty(memoryRemote());
    for (const how of ['before', 'midway'] as const) {
      remote.fail('create', { how });
      await expect(remote.create('a', source)).rejects.toEqual(unreachable);
      expect(await remote.stat('a')).toBeUndefined();
    }
    remote.fail('create', { how: 'afterWrite' });
    await expect(remote.create('a', source)).rejects.toEqual(unreachable);
    expect(await remote.create('a', source)).toBe('exists');
    remote.fail('delete', { how: 'afterWrite' });
    await expect(remote.delete('a')).rejects.toEqual(unreachable);
    expect(await remote.stat('a')).toBeUndefined();
  });

  it('breaks reads', async () => {
    const remote = faulty(memoryRemote());
    await remote.create('a', source);
    for (const how of ['before', 'midway'] as const) {
      remote.fail('get', { how });
      let received = 0;
      const read = async () => {
        for await (const block of remote.get('a')) received += block.length;
      };
      await expect(read()).rejects.toEqual(unreachable);
      expect(received).toBe(how === 'before' ? 0 : 1_500_000);
    }
    remote.fail('get', { how: 'truncate' });
    expect(await readObject(remote, 'a')).toHaveLength(1_500_000);
    remote.fail('get', { how: 'flip' });
    const flipped = await readObject(remote, 'a');
    expect(flipped).toHaveLength(bytes.length);
    expect([...flipped.keys()].filter((at) => flipped[at] !== bytes[at])).toEqual([1_500_000]);
    expect((await readObject(remote, 'a')).equals(bytes)).toBe(true);
  });

  it('breaks listings', async () => {
    const remote = faulty(memoryRemote());
    for (const key of ['a', 'b', 'c', 'd']) await remote.create(key, source);
    remote.fail('list', { how: 'midway' });
    const seen: string[] = [];
    const list = async () => {
      for await (const { key } of remote.list('')) seen.push(key);
    };
    await expect(list()).rejects.toEqual(unreachable);
    expect(seen).toEqual(['a', 'b']);
  });

  it('can fail every call of a flow in turn', async () => {
    const flow = async (remote: FaultyRemote) => {
      await remote.create('a', source);
      await remote.stat('a');
      await readObject(remote, 'a');
      await listKeys(remote);
      await remote.delete('a');
    };
    const whole = faulty(memoryRemote());
    await flow(whole);
    expect(whole.calls).toBe(5);
    for (let call = 1; call <= whole.calls; call++) {
      const remote = faulty(memoryRemote());
      remote.failAt(call, 'afterWrite');
      await expect(flow(remote)).rejects.toEqual(unreachable);
      expect([remote.calls, remote.faults]).toEqual([call, 1]);
      await flow(remote);
    }
  });

  it('is healed', async () => {
    const remote = faulty(memoryRemote());
    remote.fail('stat', { how: 'before' });
    remote.failAt(1);
    remote.heal();
    expect(await remote.stat('a')).toBeUndefined();
  });
});
