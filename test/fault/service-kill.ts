import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { type FaultProxy, type ProxyRequest, startFaultProxy } from '../support/fault-proxy.ts';
import { killPoints, tempsBelow } from '../support/flow-kill.ts';
import { cloneProject, makeProject, type Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';
import { listKeys } from '../support/remote-bytes.ts';
import type { ServiceTarget } from '../support/service-target.ts';
import {
  newServiceRemote,
  serviceOk,
  startWithService,
  useRemote,
} from '../support/service-workspace.ts';

/** Objects on their way at once, as long as nobody says otherwise. */
const jobs = 4;

/** Adds a version in several packs, one of which goes in parts. */
async function addVersion(project: Project, version: number): Promise<void> {
  const weights = noise(14_000_000, 'weights');
  noise(500_000, `edit ${version}`).copy(weights, 2_000_000 * version);
  project.write('weights.bin', weights);
  await project.add('weights.bin');
  for (const name of ['a', 'b', 'c']) {
    project.write(`${name}.bin`, noise(600_000, `${name} ${version}`));
    await project.add(`${name}.bin`);
  }
  project.commit();
  git(project.root, 'tag', `v${version}`);
}

/** Pushes, and kills the process at the step `killAt` of what goes through the proxy. */
async function killedPush(
  project: Project,
  proxy: FaultProxy,
  killAt: number,
): Promise<{ readonly killed: boolean; readonly steps: number }> {
  const run = startWithService(project.root, 'push');
  let steps = 0;
  proxy.onStep = () => {
    steps++;
    if (steps === killAt) run.child.kill('SIGKILL');
  };
  const { code, stdout, stderr } = await run.done;
  if (code !== null) expect(code, stdout + stderr).toBe(0);
  await proxy.idle();
  proxy.heal();
  return { killed: code === null, steps };
}

/** Which of `keys` had bytes sent for them, by a range of the requests. */
function sentOf(proxy: FaultProxy, from: number, keys: readonly string[], to?: number): string[] {
  const urls = proxy.requests.slice(from, to).flatMap(({ sent, url }) => (sent > 0 ? [url] : []));
  return keys.filter((key) => urls.some((url) => decodeURIComponent(url).includes(key)));
}

/** The parts that were sent for packs by a range of the requests, in order. */
function partsOf(requests: readonly ProxyRequest[]): { part: string; arrived: boolean }[] {
  return requests
    .flatMap(({ method, url, sent, status }) => {
      const [part] = /packs\/.*[?&]partNumber=\d+/.exec(decodeURIComponent(url)) ?? [];
      const named = part?.replace(/\?.*(?=partNumber)/, ' ');
      return method === 'PUT' && named !== undefined && sent > 0
        ? [{ part: named, arrived: status === 200 }]
        : [];
    })
    .sort((a, b) => (a.part < b.part ? -1 : 1));
}

/**
 * The suite of pushes that end in the middle of one pack, for services that tell which parts have arrived:
 * the next push sends the others alone.
 */
export function resumeSuite(target: ServiceTarget): void {
  it.each([
    ['SIGKILL', 1],
    ['SIGKILL', 3],
    ['SIGINT', 2],
  ] as const)(
    `a push to ${target.name} that %s ends after %i parts goes on with the others`,
    {
      timeout: 120_000,
    },
    async (signal, arrived) => {
      const proxy = await startFaultProxy(target.endpoint);
      onTestFinished(() => proxy.close());
      const project = await makeProject();
      project.write('weights.bin', noise(30_000_000, 'weights'));
      await project.add('weights.bin');
      project.commit();
      const { folder, remote } = await newServiceRemote(target);
      useRemote(project, target.at(proxy.endpoint), folder);
      const last = [1, 2, 3, 4].slice(arrived).join('');
      proxy.fault({ how: 'stall-request', at: new RegExp(`partNumber=[${last}]&`) });
      const run = startWithService(project.root, 'push');
      const there = () => partsOf(proxy.requests).filter((one) => one.arrived);
      while (there().length < arrived) await delay(20);
      run.child.kill(signal);
      await run.done;
      await proxy.idle();
      proxy.heal();
      expect(await listKeys(remote, 'packs/')).toEqual([]);

      const next = proxy.requests.length;
      await serviceOk(project.root, 'push');
      const sent = partsOf(proxy.requests.slice(next)).map(({ part }) => part.split('=')[1]);
      expect(sent).toEqual([...last]);
      expect(await checkRemote(remote)).toBe(1);
      const clone = cloneProject(project);
      useRemote(clone, target, folder);
      await clone.fetch([], 'origin');
      await clone.checkout();
      expect(stateOf(clone.root)).toEqual(stateOf(project.root));
    },
  );
}

/**
 * The suite of pushes that are killed at points spread over all that they send: what they leave is
 * whole, and the next push finishes and sends nothing that has arrived.
 */
export function killSuite(target: ServiceTarget, kills: number): void {
  const timeout = 60_000 + 15_000 * kills;
  it(`a push to ${target.name} that is killed is finished by the next`, { timeout }, async () => {
    const proxy = await startFaultProxy(target.endpoint);
    onTestFinished(() => proxy.close());
    const project = await makeProject();
    for (const version of [0, 1]) await addVersion(project, version);
    const usual = [0, 0];
    let killed = 0;
    for (const [n, at] of [0, 0, ...killPoints(kills, 'push')].entries()) {
      const { folder, remote } = await newServiceRemote(target);
      useRemote(project, target.at(proxy.endpoint), folder);
      // Every other time the remote has an older version, of which most can be left where it is.
      const second = n % 2;
      if (second === 1) await project.push(['v0'], 'origin');
      const usualSteps = usual[second] ?? 0;
      const first = proxy.requests.length;
      const run = await killedPush(project, proxy, Math.ceil(at * usualSteps));
      if (usualSteps === 0) usual[second] = run.steps;
      else if (run.killed) killed++;

      const arrived = await listKeys(remote);
      await checkRemote(remote);
      const next = proxy.requests.length;
      await serviceOk(project.root, 'push');
      expect(sentOf(proxy, next, arrived)).toEqual([]);
      // Of a pack in the middle of which it was killed, not even a part is sent again that had arrived.
      const before = partsOf(proxy.requests.slice(first, next)).filter((one) => one.arrived);
      const again = partsOf(proxy.requests.slice(next)).map(({ part }) => part);
      expect(before.filter(({ part }) => again.includes(part))).toEqual([]);
      const all = await listKeys(remote);
      const inFlight = all.filter((key) => !arrived.includes(key));
      const begun = sentOf(proxy, first, inFlight, next);
      expect(begun.length).toBeLessThanOrEqual(jobs);
      expect((await serviceOk(project.root, 'push', '--json')).json.bytesSent).toBe(0);
      expect(await checkRemote(remote)).toBe(1 + second);
      if (n < kills + 1) continue;
      const clone = cloneProject(project);
      useRemote(clone, target, folder);
      await clone.fetch([], 'origin');
      await clone.checkout();
      expect(stateOf(clone.root)).toEqual(stateOf(project.root));
    }
    expect(killed).toBeGreaterThan(kills / 2);
    // Files that dead processes left go with the next write to the store.
    project.write('new.bin', noise(100_000, 'new'));
    await project.add('new.bin');
    expect(tempsBelow(project.root)).toEqual([]);
  });
}
