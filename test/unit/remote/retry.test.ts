import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../../src/base/errors.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource, type RemoteSource } from '../../../src/remote/remote.ts';
import { type RetryOptions, retrying, retryPolicy } from '../../../src/remote/wrappers/retry.ts';
import { listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { faulty } from '../../support/remote-faulty.ts';

/** A policy whose waits take no time and are noted; the clock goes on by them. */
function noted(options: Partial<RetryOptions> = {}, fraction = 1) {
  const waits: number[] = [];
  let now = 0;
  const policy = retryPolicy({
    clock: { now: () => now, monotonic: () => now },
    random: { hex: () => '', fraction: () => fraction },
    sleep: async (ms) => {
      waits.push(ms);
      now += ms;
    },
    ...options,
  });
  return { waits, policy };
}

const unreachable = (details = {}) =>
  new MstoreError('remote-unreachable', 'Cannot reach it', { hint: 'Wait', details });

function failing(times: number, error: unknown): () => Promise<number> {
  let calls = 0;
  return async () => {
    calls++;
    if (calls <= times) throw error;
    return calls;
  };
}

describe('the policy', () => {
  it('waits longer each time, up to a bound, and gives up', async () => {
    const { waits, policy } = noted({ waitMsFirst: 100, waitMsMax: 500, triesMax: 6 });
    const error = unreachable();
    await expect(policy.again(failing(9, error), undefined)).rejects.toBe(error);
    expect(waits).toEqual([100, 200, 400, 500, 500]);
    expect(await policy.again(failing(5, unreachable()), undefined)).toBe(6);
  });

  it('draws waits by chance', async () => {
    const { waits, policy } = noted({ waitMsFirst: 100 }, 0.25);
    await policy.again(failing(2, unreachable()), undefined);
    expect(waits).toEqual([25, 50]);
  });

  it('waits as long as the remote asks, and not for ever', async () => {
    const { waits, policy } = noted({ waitMsFirst: 100 }, 0.5);
    await policy.again(failing(1, unreachable({ retryAfterMs: 30_000 })), undefined);
    expect(waits).toEqual([30_050]);
    const long = unreachable({ retryAfterMs: 3_600_000 });
    await expect(policy.again(failing(1, long), undefined)).rejects.toBe(long);
    expect(waits).toHaveLength(1);
  });

  it('tries less often what says so', async () => {
    const { waits, policy } = noted({ triesMax: 6 });
    const error = unreachable({ triesMax: 3 });
    await expect(policy.again(failing(9, error), undefined)).rejects.toBe(error);
    await expect(
      policy.again(failing(9, unreachable({ triesMax: 99 })), undefined),
    ).rejects.toThrow();
    expect(waits).toHaveLength(2 + 5);
  });

  it('ends when the time is over', async () => {
    const { waits, policy } = noted({ waitMsFirst: 100, triesMax: 99, totalMsMax: 350 });
    await expect(policy.again(failing(99, unreachable()), undefined)).rejects.toThrow();
    expect(waits).toEqual([100, 200]);
  });

  it('gives work that took long another try', async () => {
    let now = 0;
    const { policy } = noted({ clock: { now: () => now, monotonic: () => now } });
    let calls = 0;
    const slow = async () => {
      calls++;
      now += 600_000;
      if (calls < 2) throw unreachable();
      return calls;
    };
    expect(await policy.again(slow, undefined)).toBe(2);
  });

  it('counts the tries of steps for the whole', async () => {
    const { policy } = noted({ triesMax: 4 });
    let calls = 0;
    const step = async () => {
      calls++;
      throw unreachable();
    };
    const whole = policy.again(() => policy.again(step, undefined), undefined);
    await expect(whole).rejects.toMatchObject({ code: 'remote-unreachable' });
    expect(calls).toBe(4);
  });

  it('tries nothing again that another try cannot mend', async () => {
    const { waits, policy } = noted();
    for (const code of ['remote-refused', 'not-found', 'corrupt-remote', 'file-changed'] as const) {
      const error = new MstoreError(code, 'No', { hint: 'No' });
      await expect(policy.again(failing(1, error), undefined)).rejects.toBe(error);
    }
    const defect = new TypeError('x');
    await expect(policy.again(failing(1, defect), undefined)).rejects.toBe(defect);
    expect(waits).toEqual([]);
  });

  it('ends a wait with the signal', async () => {
    const { policy } = noted({ sleep: undefined as never, waitMsFirst: 60_000 });
    const stop = new AbortController();
    const work = policy.again(failing(1, unreachable()), stop.signal);
    setTimeout(() => stop.abort(), 20);
    await expect(work).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('a remote with retries', () => {
  it('deletes nothing late: what was created again since then stays', async () => {
    // A host that sleeps in a wait: one of its clocks does not count that.
    for (const asleep of ['wall', 'monotonic'] as const) {
      const times = { wall: 1e9, monotonic: 1e6 };
      const remote = faulty(memoryRemote());
      const policy = retryPolicy({
        clock: { now: () => times.wall, monotonic: () => times.monotonic },
        random: { hex: () => '', fraction: () => 1 },
        sleep: async () => {
          times[asleep] += 7_200_000;
          await remote.create('packs/a', bytesSource(testBytes(10)));
        },
      });
      const patient = retrying(remote, policy);
      remote.fail('delete', { how: 'before' });
      await expect(patient.delete('packs/a')).rejects.toMatchObject({ code: 'remote-unreachable' });
      expect(await listKeys(remote)).toEqual(['packs/a']);
      expect(await patient.stat('packs/a')).toBe(10);
      await patient.delete('packs/a');
      expect(await listKeys(remote)).toEqual([]);
    }
  });

  it('does every call again', async () => {
    const remote = faulty(memoryRemote());
    const { policy } = noted();
    const patient = retrying(remote, policy);
    const bytes = testBytes(3_000_000);
    for (const how of ['before', 'midway'] as const) {
      remote.fail('create', { how });
      expect(await patient.create(`packs/${how}`, bytesSource(bytes))).toBe('created');
      remote.fail('get', { how });
      expect((await readObject(patient, `packs/${how}`)).equals(bytes)).toBe(true);
      remote.fail('get', { how });
      const range = { start: 5, end: 2_999_000 };
      const part = await readObject(patient, `packs/${how}`, range);
      expect(part.equals(bytes.subarray(5, 2_999_000))).toBe(true);
      remote.fail('list', { how });
      expect(await listKeys(patient)).toEqual([...(await listKeys(remote))]);
    }
    remote.fail('stat', { how: 'before' });
    expect(await patient.stat('packs/midway')).toBe(bytes.length);
    remote.fail('delete', { how: 'afterWrite' });
    await patient.delete('packs/midway');
    expect(await listKeys(patient)).toEqual(['packs/before']);
    expect(remote.faults).toBe(10);
  });

  it('reads on as long as each try brings something', async () => {
    const remote = faulty(memoryRemote());
    const { policy } = noted({ triesMax: 2 });
    const bytes = testBytes(1000);
    await remote.create('a', bytesSource(bytes));
    for (let call = 1; call <= 6; call++) remote.fail('get', { call, how: 'midway' });
    expect((await readObject(retrying(remote, policy), 'a')).equals(bytes)).toBe(true);
    for (let call = 1; call <= 6; call++) remote.fail('get', { call, how: 'before' });
    await expect(readObject(retrying(remote, policy), 'a')).rejects.toThrow(/Injected/);
  });

  it('hands on the same source each time', async () => {
    const inner = memoryRemote();
    const seen: RemoteSource[] = [];
    const { policy } = noted();
    const remote = retrying(
      {
        ...inner,
        create: async (_key, source) => {
          seen.push(source);
          if (seen.length < 3) throw unreachable();
          return 'created';
        },
      },
      policy,
    );
    const source = bytesSource(testBytes(1));
    await remote.create('a', source);
    expect(seen).toEqual([source, source, source]);
    expect(seen.every((one) => one === source)).toBe(true);
  });
});
