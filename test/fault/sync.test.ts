import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { formatSealed, seal } from '../../src/registry/sealed.ts';
import { startMstore } from '../support/cli.ts';
import { faultsAt, runInjected } from '../support/crash-calls.ts';
import { hookInjector } from '../support/crash-hook.ts';
import { noise } from '../support/flow-scratch.ts';
import { makePublished, type Published, textsBelow } from '../support/resolving.ts';
import { runs } from '../support/runs.ts';
import { tempFolder } from '../support/temp.ts';

type Files = Readonly<Record<string, string>>;

/** A version whose files all tell which one it is, one of them large. */
function filesOf(version: number): Files {
  const weights = noise(1_500_000, 'weights');
  noise(20_000, `edit ${version}`).copy(weights, 100_000 * version);
  return {
    'config.json': `{"version": ${version}}`,
    'weights.bin': weights.toString('latin1'),
    same: 'same in all',
    ...Object.fromEntries([0, 1, 2].map((n) => [`parts/${n}`, `${version} ${n}`])),
  };
}

async function published(count: number): Promise<Published & { readonly versions: Files[] }> {
  const ws = await makePublished();
  const versions: Files[] = [];
  for (let n = 1; n <= count; n++) {
    const files = filesOf(n);
    versions.push(files);
    const bytes = Object.entries(files).map(([name, text]) => [name, Buffer.from(text, 'latin1')]);
    await ws.publish(`v${n}`, Object.fromEntries(bytes) as Record<string, Buffer>);
  }
  await ws.deploy('v1');
  return { ...ws, versions };
}

const argsFor = (ws: Published, to: string): string[] => [
  ...['sync', 'bert', '--env', 'production', '--to', to, '--remote', ws.remote],
];

/** Reads what is live as a program does: the link once, then its files. Undefined where it was removed meanwhile. */
function readLive(to: string): Files | 'absent' | undefined {
  for (const link of ['current', 'latest']) {
    const stat = fs.lstatSync(path.join(to, link), { throwIfNoEntry: false });
    if (stat === undefined) return 'absent';
  }
  const real = fs.realpathSync(path.join(to, 'current'));
  try {
    return textsBelow(real);
  } catch (error) {
    // Two switches came while it was read.
    if (!fs.existsSync(real)) return undefined;
    throw error;
  }
}

it('readers see whole versions alone, while syncs are killed and the environment moves', {
  timeout: 300_000,
}, async () => {
  const ws = await published(3);
  const to = path.join(tempFolder(), 'srv');
  let reads = 0;
  let ended = false;
  const seen = new Set<string>();
  const reading = (async () => {
    while (!ended) {
      const live = readLive(to);
      if (live !== 'absent' && live !== undefined) {
        const version = ws.versions.findIndex(
          (files) => files['config.json'] === live['config.json'],
        );
        expect(live).toEqual(ws.versions[version]);
        seen.add(`v${version + 1}`);
        reads++;
      }
      await delay(1);
    }
  })();
  const random = noise(1000, 'kills');
  try {
    for (let n = 0; n < runs(8).numRuns; n++) {
      const running = startMstore(ws.root, [...argsFor(ws, to), '--watch', '--every', '1']);
      await ws.deploy(`v${(n % 3) + 1}`);
      await delay(300 + (random[n] ?? 0) * 5);
      running.child.kill('SIGKILL');
      await running.done;
    }
    const last = await startMstore(ws.root, [...argsFor(ws, to), '--json']).done;
    expect(last.code, last.stderr).toBe(0);
    await delay(20);
  } finally {
    ended = true;
    await reading;
  }
  expect(reads).toBeGreaterThan(50);
  expect(seen.size).toBeGreaterThan(1);
  expect(fs.readdirSync(to).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

it.each([
  ['what is live', ['v1']],
  ['a version that is gone back to', ['v1', 'v2', 'v1']],
] as const)(
  'healing %s leads nowhere else at any call that fails or is the last',
  {
    timeout: 120_000 * runs(1).numRuns,
  },
  async (_, deployed) => {
    const ws = await published(2);
    const [whole, other] = ws.versions;
    const top = path.join(tempFolder(), 'top');
    const to = path.join(top, 'srv');
    const kept = `${top}-kept`;
    const args = [...argsFor(ws, to), '--json'];
    for (const [n, version] of deployed.entries()) {
      if (n > 0) await ws.deploy(version);
      // The last one is followed in each trial, unless it is live already.
      if (n < Math.max(1, deployed.length - 1)) {
        expect((await startMstore(ws.root, args).done).code).toBe(0);
      }
    }
    fs.chmodSync(path.join(to, 'v1/config.json'), 0o644);
    fs.writeFileSync(path.join(to, 'v1/config.json'), '{"version": x}');
    const before = deployed.length > 1 ? other : textsBelow(path.join(to, 'v1'));
    fs.renameSync(top, kept);
    const lay = (): void => {
      fs.rmSync(top, { recursive: true, force: true });
      fs.cpSync(kept, top, { recursive: true, verbatimSymlinks: true });
      adopt(to);
    };
    lay();
    const { calls, code } = await runInjected(hookInjector(), { cwd: ws.root, args, root: top });
    expect(code).toBe(0);
    const all = calls.flatMap((call) => faultsAt(call).map((how) => ({ at: call.number, how })));
    const step = Math.max(1, Math.floor(all.length / runs(20).numRuns));
    const points = all.filter((_point, n) => n % step === 0);
    expect(points.length).toBeGreaterThan(15);
    for (const fault of points) {
      lay();
      const run = { cwd: ws.root, args, root: top, fault };
      const { code: ending } = await runInjected(hookInjector(), run);
      const what = JSON.stringify(fault);
      const live = textsBelow(fs.realpathSync(path.join(to, 'current')));
      if (ending === 0) expect(live, what).toEqual(whole);
      else expect([whole, before], what).toContainEqual(live);
      const again = await startMstore(ws.root, args).done;
      expect(again.code, `${what}: ${again.stdout}`).toBe(0);
      expect(fs.readlinkSync(path.join(to, 'current')), what).toBe('v1');
      expect(textsBelow(path.join(to, 'v1')), what).toEqual(whole);
      const names = fs.readdirSync(to).filter((name) => name !== 'v2');
      expect(names.sort(), what).toEqual([
        '.mstore-sync',
        'current',
        'latest',
        'receipt.json',
        'v1',
      ]);
    }
  },
);

/** Has copies of directories of sync known for those that it built. */
function adopt(to: string): void {
  const file = path.join(to, '.mstore-sync/state.json');
  const { sync } = JSON.parse(fs.readFileSync(file, 'utf8')) as {
    sync: { versions: Array<{ version: string; identity: object }> };
  };
  for (const one of sync.versions) {
    const { ino, birthtimeNs } = fs.statSync(path.join(to, one.version), { bigint: true });
    one.identity = { ino: `${ino}`, born: `${birthtimeNs}` };
  }
  fs.writeFileSync(file, formatSealed('sync', seal(sync)));
}
