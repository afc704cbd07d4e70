import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { MstoreError } from '../../src/base/errors.ts';
import { reportOutcomes } from '../../src/flow/session/outcome-reporter.ts';
import { systemSurroundings } from '../../src/flow/surroundings.ts';
import type { Outcome } from '../../src/monitor/outcome.ts';

const servers: http.Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that takes outcomes, and answers with these statuses first. */
async function taking(...statuses: number[]) {
  const bodies: Array<{ environment: string; outcomes: Outcome[] }> = [];
  const heads: http.IncomingMessage[] = [];
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      heads.push(request);
      const status = statuses.shift() ?? 200;
      if (status === 200) bodies.push(JSON.parse(Buffer.concat(parts).toString()) as never);
      response.writeHead(status).end('{}');
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/mirror/`, bodies, heads };
}

const surroundings = systemSurroundings({ MSTORE_TOKEN: 'mst_x' });
const call = { version: 'v1', ok: true, latency_ms: 10 };

describe('reportOutcomes', () => {
  it('counts what is alike, and tells it with the token', async () => {
    const { url, bodies, heads } = await taking();
    const reporter = reportOutcomes({ server: url, model: 'bert', surroundings });
    for (let i = 0; i < 1000; i++) {
      reporter.report({ ...call, latency_ms: 10 + (i % 3) / 100, prediction: i % 2 ? 'a' : 'b' });
    }
    reporter.report({ version: 'v1', ok: false });
    await reporter.close();
    expect(bodies).toHaveLength(1);
    const [body] = bodies;
    expect(body?.environment).toBe('production');
    expect(body?.outcomes.map(({ ok, prediction, count }) => [ok, prediction, count])).toEqual([
      [true, 'b', 500],
      [true, 'a', 500],
      [false, undefined, 1],
    ]);
    expect(Math.abs((body?.outcomes[0]?.latency_ms ?? 0) - 10)).toBeLessThan(0.25);
    expect(heads[0]?.url).toBe('/mirror/api/v1/ml-models/bert/outcomes');
    expect(heads[0]?.headers['authorization']).toBe('Bearer mst_x');
  });

  it('takes events of the model that it is for', async () => {
    const { url, bodies } = await taking();
    const prediction = () => 'yes';
    const reporter = reportOutcomes({ server: url, model: 'bert', prediction, surroundings });
    const of = { reference: 'bert@production', model: 'bert', version: 'v2', milliseconds: 5 };
    const failed = (code: 'interrupted' | 'runtime-failed') => new MstoreError(code, 'no');
    expect(reporter.emit('predicted', { ...of, outputs: {} })).toBe(true);
    expect(reporter.emit('predicted', { ...of, model: 'other', outputs: {} })).toBe(false);
    reporter.emit('loaded', { ...of, file: 'f', runtime: 'r', bytes: 1 });
    reporter.emit('failed', { ...of, phase: 'predict', error: failed('runtime-failed') });
    reporter.emit('failed', { ...of, phase: 'predict', error: failed('interrupted') });
    reporter.emit('failed', { ...of, phase: 'load', error: failed('runtime-failed') });
    // What a reference means was not found out: no version is at fault.
    reporter.emit('failed', { ...of, version: undefined, phase: 'load', error: new Error() });
    await reporter.close();
    expect(bodies[0]?.outcomes.map(({ kind, ok, count }) => [kind, ok, count])).toEqual([
      ['call', true, 1],
      ['load', true, 1],
      ['call', false, 1],
      ['load', false, 1],
    ]);
    expect(bodies[0]?.outcomes[0]?.prediction).toBe('yes');
  });

  it('tells again what did not arrive, with what came meanwhile, and fails nothing', async () => {
    const { url, bodies } = await taking(503);
    const errors: string[] = [];
    const onError = ({ code }: MstoreError) => void errors.push(code);
    const reporter = reportOutcomes({ server: url, model: 'bert', onError, surroundings });
    reporter.report(call);
    await reporter.flush();
    reporter.report(call);
    await reporter.close();
    expect(errors).toEqual(['remote-unreachable']);
    expect(bodies[0]?.outcomes).toMatchObject([{ version: 'v1', count: 2 }]);
  });

  it('leaves out what is refused, and what is older than a minute', async () => {
    const { url, bodies } = await taking(403, 503);
    let ahead = 0;
    const { clock } = surroundings;
    const late = { ...clock, now: clock.now, monotonic: () => clock.monotonic() + ahead };
    const errors: string[] = [];
    const reporter = reportOutcomes({
      ...{ server: url, model: 'bert', surroundings: { ...surroundings, clock: late } },
      onError: ({ code }) => void errors.push(code),
    });
    reporter.report(call);
    await reporter.flush();
    reporter.report(call);
    ahead = 61_000;
    await reporter.flush();
    await reporter.close();
    expect(errors).toEqual(['remote-refused', 'remote-unreachable']);
    expect(bodies).toEqual([]);
  });

  it('holds a bounded number of kinds', async () => {
    const { url, bodies } = await taking();
    const reporter = reportOutcomes({ server: url, model: 'bert', surroundings });
    for (let i = 0; i < 20_000; i++) reporter.report({ ...call, prediction: `label ${i}` });
    await reporter.close();
    await reporter.flush();
    const told = bodies.flatMap(({ outcomes }) => outcomes);
    expect(told.length).toBeGreaterThanOrEqual(1000);
    expect(told.length).toBeLessThanOrEqual(4000);
    for (const { outcomes } of bodies) expect(outcomes.length).toBeLessThanOrEqual(1000);
  });

  it('is refused offline, and for what is no URL', () => {
    const offline = systemSurroundings({ MSTORE_OFFLINE: '1' }, true);
    const of = { model: 'bert', surroundings };
    expect(() => reportOutcomes({ ...of, server: 'https://host', surroundings: offline })).toThrow(
      expect.objectContaining({ code: 'offline' }) as Error,
    );
    expect(() => reportOutcomes({ ...of, server: 'host' })).toThrow(/is no URL/);
  });
});
