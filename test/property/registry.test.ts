import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../src/base/errors.ts';
import { deploy, type MoveOptions, promote, rollback } from '../../src/flow/environments.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry, pairRegistries } from '../../src/flow/registry.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import { isLogKey, modelsPrefix, parseRegistryKey } from '../../src/registry/keys.ts';
import { Registry } from '../../src/registry/registry.ts';
import type { RemotePruner, RemoteWriter } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { emptyRemote, makePlainProject, type Project } from '../support/flow-project.ts';
import { clearScratch, noise } from '../support/flow-scratch.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import { faulty } from '../support/remote-faulty.ts';
import { runs } from '../support/runs.ts';

const hostCount = 3;
const model = 'm';
const version = fc.constantFrom('v1', 'v2', 'v3');
const environment = fc.constantFrom('staging', 'production');
const host = fc.nat(hostCount - 1);
/** Where a change is decided, and which of its calls to the remote breaks off, if any. */
const crash = fc.record({
  call: fc.integer({ min: 1, max: 12 }),
  how: fc.constantFrom('before', 'midway', 'afterWrite'),
});
const how = fc.record({
  local: fc.boolean(),
  crash: fc.option(crash, { nil: undefined, freq: 2 }),
});
type Crash = typeof crash extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('register'), host, version }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('deploy'), host, version, environment, how }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('promote'), host, how }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('rollback'), host, environment, how }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('archive'), host, version, how }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('push'), host, how }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fetch'), host }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('race'), version, environment }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What a registry must never lose: all of its objects, byte for byte. */
class Ledger {
  readonly #kept = new Map<string, Buffer>();

  async check(place: RemoteWriter): Promise<void> {
    const keys = await listKeys(place, modelsPrefix);
    const found = new Set(keys);
    for (const [key, bytes] of this.#kept) {
      expect(found, key).toContain(key);
      expect((await readObject(place, key)).equals(bytes), key).toBe(true);
    }
    for (const key of keys) this.#kept.set(key, await readObject(place, key));
    const registry = new Registry(place);
    for (const key of keys) {
      const named = parseRegistryKey(key);
      // Reading a log checks its numbers and its chain of digests.
      if (named !== undefined && isLogKey(named)) await registry.log(named);
    }
  }

  entries(log: string): number {
    return [...this.#kept.keys()].filter((key) => key.startsWith(`${modelsPrefix}${model}/${log}/`))
      .length;
  }
}

/** Codes of what may go wrong when several hosts work at once: clear refusals, and no others. */
const refusals = [
  'version-exists',
  'histories-differ',
  'lost-race',
  'not-pushed',
  'unknown-model',
  'unknown-version',
  'unknown-environment',
  'no-earlier-version',
  'version-retired',
  'version-in-use',
  'remote-unreachable',
] as const;

async function refused<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMstoreError(error, ...refusals)) return undefined;
    throw error;
  }
}

class World {
  readonly hosts: readonly Project[];
  readonly remote: RemotePruner;
  readonly ledgers = Array.from({ length: hostCount + 1 }, () => new Ledger());

  constructor(hosts: readonly Project[], remote: RemotePruner) {
    this.hosts = hosts;
    this.remote = remote;
  }

  static async make(): Promise<World> {
    const hosts: Project[] = [];
    for (let n = 0; n < hostCount; n++) {
      const project = await makePlainProject();
      // Two hosts have the same bytes, one has others.
      project.write('model.bin', noise(1000, n === 2 ? 'other' : 'same'));
      await project.add('model.bin');
      hosts.push(project);
    }
    const world = new World(hosts, await emptyRemote());
    for (const name of ['v1', 'v2']) {
      await register(await world.open(0), { model, version: name });
    }
    await (await pairRegistries(await world.open(0), world.chosen())).push();
    return world;
  }

  open(n: number): Promise<Workspace> {
    return (this.hosts[n] as Project).open();
  }

  chosen(crash?: Crash) {
    const remote = faulty(this.remote);
    if (crash !== undefined) remote.failAt(crash.call, crash.how);
    return { name: 'shared', remote: counting(remote) };
  }

  options({ local, crash }: { local: boolean; crash: Crash | undefined }): MoveOptions {
    return { remote: local ? undefined : this.chosen(crash), reason: 'test' };
  }

  async checkAll(): Promise<void> {
    await this.ledgers[hostCount]?.check(this.remote);
    for (let n = 0; n < hostCount; n++) {
      await this.ledgers[n]?.check((await localRegistry(await this.open(n))).place);
    }
  }

  async run(one: Step): Promise<void> {
    if (one.do === 'race') return this.race(one.version, one.environment);
    const workspace = await this.open(one.host);
    if (one.do === 'register') {
      await refused(register(workspace, { model, version: one.version }));
    } else if (one.do === 'deploy') {
      const target = { model, version: one.version, environment: one.environment };
      await refused(deploy(workspace, target, this.options(one.how)));
    } else if (one.do === 'promote') {
      const target = { model, from: 'staging', to: 'production' };
      await refused(promote(workspace, target, this.options(one.how)));
    } else if (one.do === 'rollback') {
      const target = { model, environment: one.environment };
      await refused(rollback(workspace, target, this.options(one.how)));
    } else if (one.do === 'archive') {
      const target = { model, version: one.version, state: 'archived' } as const;
      await refused(setVersionState(workspace, target, this.options(one.how)));
    } else if (one.do === 'push') {
      const chosen = this.chosen(one.how.crash);
      await refused(pairRegistries(workspace, chosen).then((pair) => pair.push()));
    } else {
      await refused(pairRegistries(workspace, this.chosen()).then((pair) => pair.fetch()));
    }
  }

  /** All hosts deploy the same version at once: each success is an entry, and nothing else is. */
  async race(name: string, target: string): Promise<void> {
    const ledger = this.ledgers[hostCount] as Ledger;
    const before = ledger.entries(`environments/${target}`);
    const results = await Promise.all(
      this.hosts.map(async (_, n) =>
        refused(
          deploy(
            await this.open(n),
            { model, version: name, environment: target },
            { remote: this.chosen() },
          ),
        ),
      ),
    );
    await ledger.check(this.remote);
    const wrote = results.filter((result) => result?.number !== undefined).length;
    expect(ledger.entries(`environments/${target}`)).toBe(before + wrote);
    // The first one makes it live; the others find it live, or lose.
    expect(wrote).toBeLessThanOrEqual(1);
  }
}

describe('registries of three hosts that share a remote', () => {
  it('never change a version, lose an entry or have two winners', async () => {
    let entries = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 25 }), async (steps) => {
        const world = await World.make();
        try {
          for (const one of steps) {
            await world.run(one);
            await world.checkAll();
          }
          const history = await new Registry(world.remote).history(model, 'production');
          entries += history.length;
        } finally {
          clearScratch();
        }
      }),
      runs(25),
    );
    expect(entries).toBeGreaterThan(0);
  });
});
