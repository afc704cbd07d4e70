import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../../src/base/errors.ts';
import {
  adaptiveGate,
  type RequestGate,
  type Turn,
} from '../../../src/remote/wrappers/concurrency.ts';

const busy = (reason: string) =>
  new MstoreError('remote-unreachable', 'Busy', { details: { reason } });

/** A service in a time of its own: `rate(n)` bytes a millisecond while n requests are under way. */
class Service {
  now = 0;
  readonly gate: RequestGate;
  readonly limits: number[] = [];
  readonly #underWay: { turn: Turn; left: number }[] = [];
  most = 0;

  constructor(options: { first?: number; most?: number; least?: number } = {}) {
    this.gate = adaptiveGate({
      clock: { now: () => this.now, monotonic: () => this.now },
      ...options,
    });
  }

  /** Runs requests of `bytes` each, `callers` at once, for a time. */
  async run(
    ms: number,
    how: {
      rate: (underWay: number) => number;
      bytes?: number;
      callers?: number;
      requestsMax?: number;
      fails?: (underWay: number) => string | undefined;
    },
  ): Promise<void> {
    const { bytes = 1_000_000, callers = 100, requestsMax, rate, fails = () => undefined } = how;
    const end = this.now + ms;
    let waiting = 0;
    const call = (): void => {
      waiting++;
      void this.gate.enter({ requestsMax }).then((turn) => {
        waiting--;
        this.#underWay.push({ turn, left: bytes });
      });
    };
    while (this.now < end) {
      while (waiting + this.#underWay.length < callers) call();
      await Promise.resolve();
      const n = this.#underWay.length;
      this.most = Math.max(this.most, n);
      this.now += 10;
      for (const one of [...this.#underWay]) {
        const moved = (rate(n) * 10) / n;
        one.left -= moved;
        const reason = fails(n);
        if (reason === undefined) one.turn.moved(moved);
        if (reason === undefined && one.left > 0) continue;
        this.#underWay.splice(this.#underWay.indexOf(one), 1);
        one.turn.end(reason === undefined ? undefined : busy(reason));
      }
      await Promise.resolve();
      this.limits.push(this.gate.limit);
    }
  }
}

describe('the number of requests at once', () => {
  it('grows to the bound while more requests bring more', async () => {
    const service = new Service();
    await service.run(60_000, { rate: (n) => n * 1000 });
    expect(service.gate.limit).toBe(64);
    expect(service.most).toBe(64);
  });

  it('stays where the link is full', async () => {
    const service = new Service();
    await service.run(300_000, { rate: (n) => Math.min(n, 20) * 1000 });
    const later = service.limits.slice(-10_000);
    expect(Math.min(...later)).toBeGreaterThanOrEqual(18);
    expect(Math.max(...later)).toBeLessThanOrEqual(34);
  });

  it('does not grow for a link that few requests fill', async () => {
    const service = new Service();
    await service.run(300_000, { rate: () => 4000 });
    const mean = service.limits.reduce((sum, limit) => sum + limit, 0) / service.limits.length;
    expect(mean).toBeLessThan(9);
    expect(service.gate.limit).toBeLessThanOrEqual(9);
  });

  it.each(['throttled', 'stalled'])('is halved once for all that were %s together', async (why) => {
    const service = new Service({ first: 16 });
    await service.run(10, { rate: () => 1000, bytes: 1e9, fails: () => why });
    expect(service.gate.limit).toBe(8);
    await service.run(200, { rate: () => 1000, bytes: 1e9, fails: () => why });
    expect(service.gate.limit).toBe(2);
  });

  it('finds a pace that a service allows, and comes back when it allows more', async () => {
    const service = new Service();
    const rate = (n: number) => n * 1000;
    let refused = 0;
    const fails = (n: number) => {
      if (n <= 12) return undefined;
      refused++;
      return 'throttled';
    };
    await service.run(120_000, { rate, fails });
    expect(service.gate.limit).toBeGreaterThanOrEqual(5);
    expect(service.gate.limit).toBeLessThanOrEqual(13);
    // A storm of them would be hundreds a second.
    expect(refused).toBeLessThan(300);
    await service.run(600_000, { rate });
    expect(service.gate.limit).toBe(64);
  });

  it('is not changed by failures that fewer requests would not mend', async () => {
    const service = new Service({ first: 16 });
    await service.run(100, { rate: () => 1000, fails: () => 'connection' });
    expect(service.gate.limit).toBe(16);
  });

  it('says nothing while fewer are asked for than may be', async () => {
    const service = new Service();
    await service.run(60_000, { rate: (n) => n * 1000, callers: 6 });
    expect(service.gate.limit).toBe(8);
  });

  it('keeps to what the caller allows', async () => {
    const service = new Service();
    await service.run(60_000, { rate: (n) => n * 1000, requestsMax: 3 });
    expect(service.most).toBe(3);
  });
});

describe('turns', () => {
  const gate = () =>
    adaptiveGate({ clock: { now: () => 0, monotonic: () => 0 }, least: 1, first: 2, most: 2 });

  it('are given in the order of the calls, and once each', async () => {
    const narrow = gate();
    const order: number[] = [];
    const turns = await Promise.all([narrow.enter(), narrow.enter()]);
    const later = [1, 2, 3].map(async (n) => {
      const turn = await narrow.enter();
      order.push(n);
      return turn;
    });
    turns[0]?.end();
    turns[0]?.end();
    await later[0];
    await Promise.resolve();
    expect(order).toEqual([1]);
    turns[1]?.end();
    (await later[0])?.end();
    await Promise.all(later);
    expect(order).toEqual([1, 2, 3]);
  });

  it('are not waited for by a call that was interrupted', async () => {
    const narrow = gate();
    const [one] = await Promise.all([narrow.enter(), narrow.enter()]);
    const stop = new AbortController();
    const given = narrow.enter({ signal: stop.signal });
    const next = narrow.enter();
    stop.abort();
    await expect(given).rejects.toMatchObject({ code: 'interrupted' });
    one?.end();
    (await next).end();
    await expect(narrow.enter({ signal: stop.signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });
});
