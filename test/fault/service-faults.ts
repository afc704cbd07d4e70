import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { type ErrorCode, isMstoreError } from '../../src/base/errors.ts';
import { localRemote } from '../../src/remote/local.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import {
  type FaultProxy,
  type ProxyFault,
  type ProxyFaultKind,
  startFaultProxy,
} from '../support/fault-proxy.ts';
import { tempsBelow } from '../support/flow-kill.ts';
import { cloneProject, makeProject, type Project, withRemotes } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';
import { runs } from '../support/runs.ts';
import {
  freshFolder,
  patientRemote,
  type ServiceTarget,
  type TargetOptions,
} from '../support/service-target.ts';

/** Options of {@link faultSuite}. */
export interface FaultSuiteOptions extends TargetOptions {
  /** A connection that keeps silent for so long is given up: longer than the service ever takes. */
  readonly stallMsMax: number;
}

/** A fault, and how a transfer through it may end. */
interface FaultCase {
  readonly name: string;
  readonly begin: (proxy: FaultProxy) => void;
  /** `right`, or codes of errors. */
  readonly ends: readonly ('right' | ErrorCode)[];
}

/** Requests that write; all others have no body. */
const writes = /^(?:PUT|POST) /;
const packReads = /^GET [^?]*packs(?:\/|%2F)/;

const refusals: readonly ProxyFaultKind[] = [
  { status: 500, code: 'InternalError' },
  { status: 503, code: 'SlowDown' },
  { status: 429, code: 'TooManyRequests', retryAfter: 1 },
];
const answers: readonly ProxyFaultKind[] = [
  'reset-response',
  'cut-response',
  'stall-response',
  'failed-reply',
  ...refusals,
];
const requests: readonly ProxyFaultKind[] = [
  'reset-request',
  'cut-request',
  'stall-request',
  'wrong-request',
  'doubled-request',
  'lost-reply',
];

function nameOf(how: ProxyFaultKind): string {
  if (typeof how === 'string') return how;
  return `${how.status}${how.retryAfter === undefined ? '' : ' with Retry-After'}`;
}

/** A fault that another try mends, once for sure and then now and then, and the same without an end. */
function casesOf(how: ProxyFaultKind, at?: RegExp): FaultCase[] {
  const fault: ProxyFault = at === undefined ? { how } : { how, at };
  return [
    {
      name: `${nameOf(how)} now and then`,
      begin(proxy) {
        proxy.fault({ ...fault, times: 1 });
        proxy.fault({ ...fault, share: 0.2 });
      },
      ends: ['right'],
    },
    {
      name: `${nameOf(how)} without an end`,
      begin: (proxy) => proxy.fault(fault),
      // A small object whose answer is lost is found by asking for it; an upload in parts is not.
      ends: how === 'lost-reply' ? ['right', 'remote-unreachable'] : ['remote-unreachable'],
    },
  ];
}

const bothWays: readonly FaultCase[] = [
  {
    name: 'latency',
    begin: (proxy) => proxy.slow({ latencyMs: 20 }),
    ends: ['right'],
  },
  {
    name: 'little bandwidth',
    begin: (proxy) => proxy.slow({ bytesPerSecond: 20_000_000 }),
    ends: ['right'],
  },
  {
    name: 'expired credentials',
    begin: (proxy) => proxy.fault({ how: { status: 403, code: 'ExpiredToken' } }),
    ends: ['remote-refused'],
  },
  ...answers.flatMap((how) => casesOf(how)),
];

const pushCases: readonly FaultCase[] = [
  ...bothWays,
  ...requests.flatMap((how) => casesOf(how, writes)),
  { name: 'lists that lag', begin: (proxy) => proxy.lagLists(), ends: ['right'] },
];

const fetchCases: readonly FaultCase[] = [
  ...bothWays,
  // Bytes that are wrong by nothing but their digest.
  ...(['wrong-response', 'doubled-response', 'short-response'] as const).map((how) => ({
    name: `${how} of packs`,
    begin: (proxy: FaultProxy) => proxy.fault({ how, at: packReads }),
    ends: ['corrupt-remote', 'remote-unreachable'] as const,
  })),
];

/** All faults at once, each of them seldom. */
const anything: FaultCase = {
  name: 'anything',
  begin(proxy) {
    proxy.slow({ latencyMs: 1, bytesPerSecond: 50_000_000 });
    proxy.lagLists();
    for (const how of answers) proxy.fault({ how, share: 0.03 });
    for (const how of requests) proxy.fault({ how, share: 0.03, at: writes });
    for (const how of ['wrong-response', 'doubled-response', 'short-response'] as const) {
      proxy.fault({ how, share: 0.03, at: packReads });
    }
    proxy.fault({ how: { status: 403, code: 'ExpiredToken' }, share: 0.005 });
  },
  ends: ['right', 'remote-unreachable', 'remote-refused', 'corrupt-remote'],
};

/**
 * The suite of a bad network: each transfer ends right or with an error that says why, nothing is half
 * visible afterwards, and the same transfer on a good network then finishes.
 */
export function faultSuite(target: ServiceTarget, options: FaultSuiteOptions): void {
  const proxies: FaultProxy[] = [];
  afterEach(async () => {
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });
  const throughProxy = async (seed: string): Promise<Faulty> => {
    const proxy = await startFaultProxy(target.endpoint, seed);
    proxies.push(proxy);
    const folder = freshFolder();
    const good = patientRemote(target, folder);
    await initRemote(good, systemClock, systemRandom);
    const retries = { sleep: async () => {} };
    const bad = patientRemote(target.at(proxy.endpoint), folder, retries, options);
    return { proxy, good, bad };
  };

  describe(`a push to ${target.name} through a network with`, () => {
    it.each(pushCases)('$name', async (fault) => {
      await pushThrough(await throughProxy(fault.name), fault);
    });

    it.each(seeds('push'))('anything, by the seed %s', async (seed) => {
      await pushThrough(await throughProxy(seed), anything);
    });
  });

  describe(`a fetch from ${target.name} through a network with`, () => {
    it.each(fetchCases)('$name', async (fault) => {
      await fetchThrough(await throughProxy(fault.name), fault);
    });

    it.each(seeds('fetch'))('anything, by the seed %s', async (seed) => {
      await fetchThrough(await throughProxy(seed), anything);
    });
  });
}

function seeds(name: string): string[] {
  return Array.from({ length: runs(4).numRuns }, (_, n) => `${name} ${n}`);
}

/** One remote by two ways. */
interface Faulty {
  readonly proxy: FaultProxy;
  readonly good: RemotePruner;
  readonly bad: RemotePruner;
}

/** Lays a version of the model: a file of many chunks, some small ones, and one in a pack of its own. */
async function addVersion(project: Project, version: number): Promise<void> {
  const weights = noise(1_500_000, 'weights');
  noise(400_000, `edit ${version}`).copy(weights, 700_000 * version);
  project.write('model/weights.bin', weights);
  for (let n = 0; n < 5; n++) project.write(`model/parts/${n}`, `${version} ${n}`);
  await project.add('model');
  project.write('single.bin', noise(200_000, `single ${version}`));
  await project.add('single.bin');
  project.commit();
  git(project.root, 'tag', `v${version}`);
}

/** A project with two versions, whose remotes `good` and `bad` are the two ways to one remote. */
async function withTwoVersions({ good, bad }: Faulty): Promise<Project> {
  const project = await makeProject(withRemotes({ good, bad }));
  await addVersion(project, 0);
  await addVersion(project, 1);
  return project;
}

async function outcomeOf(
  work: () => Promise<unknown>,
): Promise<{ readonly end: 'right' | ErrorCode; readonly text: string }> {
  try {
    await work();
    return { end: 'right', text: '' };
  } catch (error) {
    if (!isMstoreError(error)) throw error;
    expect(error.code).not.toBe('internal');
    expect(error.hint, error.message).toMatch(/^[A-Z]/);
    return { end: error.code, text: error.message };
  }
}

/** Runs work on the bad network, which is mended behind it. */
async function throughFault(
  { proxy }: Faulty,
  { begin, ends }: FaultCase,
  work: () => Promise<unknown>,
): Promise<void> {
  begin(proxy);
  const outcome = await outcomeOf(work);
  proxy.heal();
  await proxy.idle();
  expect(ends, outcome.text).toContain(outcome.end);
  if (outcome.end !== 'right') expect(proxy.befell).toBeGreaterThan(0);
}

async function pushThrough(faulty: Faulty, fault: FaultCase): Promise<void> {
  const { good } = faulty;
  const project = await withTwoVersions(faulty);
  await project.push(['v0'], 'memory://good');
  await throughFault(faulty, fault, () => project.push([], 'memory://bad'));
  await checkRemote(good);
  await project.push([], 'memory://good');
  expect(await project.push([], 'memory://good')).toMatchObject({ bytesSent: 0 });
  expect(await checkRemote(good)).toBe(2);
  expect(tempsBelow(project.root)).toEqual([]);
  const clone = cloneProject(project, withRemotes({ good }));
  await clone.fetch([], 'memory://good');
  await clone.checkout();
  expect(stateOf(clone.root)).toEqual(stateOf(project.root));
}

async function fetchThrough(faulty: Faulty, fault: FaultCase): Promise<void> {
  const { good, bad } = faulty;
  const project = await withTwoVersions(faulty);
  for (const version of ['v0', 'v1']) await project.push([version], 'memory://good');
  const clone = cloneProject(project, withRemotes({ bad, good }));
  await throughFault(faulty, fault, () => clone.fetch([], 'memory://bad'));
  expect(stateOf(clone.root)).toEqual({});
  const store = clone.at('.modelstore/store');
  if (fs.existsSync(store)) await checkRemote(localRemote(store));
  await clone.fetch([], 'memory://good');
  await clone.checkout();
  expect(stateOf(clone.root)).toEqual(stateOf(project.root));
  expect(tempsBelow(clone.root)).toEqual([]);
}
