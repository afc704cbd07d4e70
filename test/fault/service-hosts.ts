import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { cloneProject, makeProject, type Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import type { ServiceTarget } from '../support/service-target.ts';
import {
  newServiceRemote,
  serviceOk,
  startWithService,
  useRemote,
} from '../support/service-workspace.ts';

const triesMax = 300;

/** Adds a version of one host: bytes of its own, bytes that all hosts have, bytes of its last version. */
async function addVersion(project: Project, host: number, version: number): Promise<void> {
  const own = noise(800_000, `host ${host}`);
  const common = noise(1_500_000, `common ${version}`);
  const news = noise(300_000, `host ${host} ${version}`);
  project.write('model/weights.bin', Buffer.concat([own, common, news]));
  project.write('model/common.bin', common);
  await project.add('model');
  project.commit();
}

/** Pulls until all is there: the pointers came by Git before the bytes are on the remote. */
async function pullWhenThere(project: Project): Promise<number> {
  for (let tries = 1; tries <= triesMax; tries++) {
    const { code, stdout, stderr } = await startWithService(project.root, 'pull', '--json').done;
    if (code === 0) return tries;
    expect(code, stdout + stderr).toBe(4);
    await delay(50);
  }
  throw new Error('What was pushed does not appear');
}

/**
 * The suite of many hosts at once: each pushes versions that share chunks with those of all others,
 * while others pull them. Nothing is lost, and nothing is visible before it is whole.
 */
export function hostsSuite(target: ServiceTarget, count: number): void {
  it(`${count} hosts push to ${target.name} while others pull`, { timeout: 300_000 }, async () => {
    const { folder, remote } = await newServiceRemote(target);
    const base = await makeProject();
    base.commit();
    const hosts = Array.from({ length: count }, () => cloneProject(base));
    for (const host of hosts) useRemote(host, target, folder);
    for (const version of [0, 1]) {
      for (const [n, host] of hosts.entries()) await addVersion(host, n, version);
      const readers = hosts.map((host) => cloneProject(host));
      for (const reader of readers) useRemote(reader, target, folder);
      await Promise.all([
        ...hosts.map((host) => serviceOk(host.root, 'push')),
        ...readers.map(pullWhenThere),
      ]);
      for (const [n, reader] of readers.entries()) {
        expect(stateOf(reader.root)).toEqual(stateOf((hosts[n] as Project).root));
      }
      expect(await checkRemote(remote)).toBe(count * (version + 1));
    }
    for (const host of hosts) {
      expect((await serviceOk(host.root, 'push', '--json')).json.bytesSent).toBe(0);
    }
  });

  it(`${count} hosts push to ${target.name} while one cleans up without any grace period`, {
    timeout: 300_000,
  }, async () => {
    const { folder, remote } = await newServiceRemote(target);
    const base = await makeProject();
    base.commit();
    const hosts = Array.from({ length: count }, () => cloneProject(base));
    const cleaner = cloneProject(base);
    for (const host of [cleaner, ...hosts]) useRemote(host, target, folder);
    for (const [n, host] of hosts.entries()) await addVersion(host, n, 0);
    let isOver = false;
    const cleaning = (async () => {
      for (let runs = 0; !isOver || runs === 0; runs++) {
        await serviceOk(cleaner.root, 'gc', '--remote', 'origin', '--grace', '0');
      }
    })();
    try {
      await Promise.all(hosts.map((host) => serviceOk(host.root, 'push')));
    } finally {
      isOver = true;
      await cleaning;
    }
    for (const host of hosts) {
      const reader = cloneProject(host);
      useRemote(reader, target, folder);
      await serviceOk(reader.root, 'pull');
      expect(stateOf(reader.root)).toEqual(stateOf(host.root));
    }
    await serviceOk(cleaner.root, 'gc', '--remote', 'origin', '--grace', '0');
    // A push writes its record once more where a clean-up may have given it up meanwhile.
    expect(await checkRemote(remote)).toBeGreaterThanOrEqual(count);
  });
}
