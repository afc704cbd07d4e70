import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Digest, isDigest, sha256 } from '../../src/base/digest.ts';
import { isMstoreError } from '../../src/base/errors.ts';
import { type VerifyReport, verify } from '../../src/flow/verify/verify.ts';
import { parseFooter } from '../../src/pack/format.ts';
import { localRemote } from '../../src/remote/local.ts';
import type { RemotePruner, RemoteReader } from '../../src/remote/remote.ts';
import { flipBit } from '../support/cli.ts';
import { copyOfRemote } from '../support/flow-faults.ts';
import { killedRun, killPoints, timedRun } from '../support/flow-kill.ts';
import {
  cloneProject,
  emptyRemote,
  makeProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote, damage, flipAt } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { directoryRemote, objectsBelow, storeOf, verifyProject } from '../support/flow-verify.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import { faulty } from '../support/remote-faulty.ts';
import { runs } from '../support/runs.ts';

/** Every chunk of which a place has a good copy, in packs or in quarantine, by the formats alone. */
async function goodChunks(remote: RemoteReader): Promise<Set<Digest>> {
  const good = new Set<Digest>();
  const keys = await listKeys(remote);
  for (const key of keys.filter((name) => name.endsWith('.pack'))) {
    const id = path.basename(key, '.pack');
    const index = key.replace('packs/', 'index/').replace('.pack', '.idx');
    const bytes = await readObject(remote, key);
    const own = bytes.lastIndexOf('MSTOREFT');
    const listed = keys.includes(index) ? await readObject(remote, index) : undefined;
    for (const footerBytes of [listed, bytes.subarray(own, bytes.length - 56)]) {
      if (footerBytes === undefined || sha256(footerBytes) !== id || !isDigest(id)) continue;
      const footer = parseFooter(footerBytes, id);
      for (let row = 0; row < footer.count; row++) {
        const { offset, storedLength } = footer.row(row);
        const chunk = sha256(bytes.subarray(offset, offset + storedLength));
        if (chunk === footer.chunk(row)) good.add(chunk);
      }
    }
  }
  return good;
}

/** A project of which all is pushed to a remote in memory, with a damaged pack, index object and recipe. */
async function withDamage(): Promise<{ project: Project; remote: RemotePruner }> {
  const remote = await emptyRemote();
  const project = await makeProject(withRemotes({ origin: remote }));
  for (const name of ['a', 'b']) {
    project.write(`${name}.bin`, noise(1_500_000, name));
    await project.add(`${name}.bin`);
  }
  await project.push();
  project.commit();
  const [first = '', second = ''] = await listKeys(remote, 'packs/');
  await damage(remote, first, flipAt(400_000));
  await damage(remote, second.replace('packs/', 'index/').replace('.pack', '.idx'), flipAt(20));
  await damage(remote, (await listKeys(remote, 'recipes/'))[1] as string, flipAt(70));
  return { project, remote };
}

async function heal(project: Project, remote: RemotePruner): Promise<VerifyReport> {
  fs.rmSync(path.join(storeOf(project), 'remotes'), { recursive: true, force: true });
  const chosen = { name: 'origin', remote, isService: false };
  return verify(await project.open(), chosen, { jobs: 1, repairFrom: [] });
}

const hows = ['before', 'afterWrite', 'midway'] as const;

describe('a repair of a remote that is ended at any request', () => {
  it.each(hows)(
    'loses nothing, and another run goes on (%s)',
    { timeout: 300_000 },
    async (how) => {
      const { project, remote: damaged } = await withDamage();
      // One host has nothing of the data, so that all that is good is on the remote alone.
      const stranger = cloneProject(project);
      const good = await goodChunks(damaged);
      for (const host of [stranger, project]) {
        for (let call = 1, ended = false; !ended; call++) {
          const remote = await copyOfRemote(damaged);
          const failing = faulty(remote);
          failing.failAt(call, how);
          try {
            await heal(host, failing);
            ended = failing.faults === 0;
          } catch (error) {
            if (!isMstoreError(error, 'remote-unreachable')) throw error;
          }
          const left = await goodChunks(remote);
          expect([...good].filter((chunk) => !left.has(chunk))).toEqual([]);
          await heal(stranger, remote);
          const [again, still] = [await goodChunks(remote), await heal(project, remote)];
          expect([...good].filter((chunk) => !again.has(chunk))).toEqual([]);
          expect(still, `call ${call}`).toMatchObject({ code: null, damage: 0 });
          await checkRemote(remote);
          expect(await listKeys(remote, 'quarantine/')).toEqual([]);
          expect(call).toBeLessThan(500);
        }
      }
    },
  );
});

const kills = runs(6).numRuns;

describe('kill -9 of a repair', () => {
  const timeout = 60_000 + 15_000 * kills;
  it('of the local store loses nothing, and another run goes on', { timeout }, async () => {
    const project = await makeProject();
    const origin = await directoryRemote(project);
    for (let n = 0; n < 4; n++) {
      project.write(`models/${n}.bin`, noise(2_500_000, `model ${n}`));
      await project.add(`models/${n}.bin`);
    }
    await project.push([], 'origin');
    for (let n = 0; n < 4; n++) fs.rmSync(project.at(`models/${n}.bin`));
    const store = storeOf(project);
    const whole = `${store}-whole`;
    fs.renameSync(store, whole);
    const lay = (): void => {
      fs.rmSync(store, { recursive: true, force: true });
      fs.cpSync(whole, store, { recursive: true });
      for (const pack of objectsBelow(store, 'packs')) flipBit(pack, 10);
    };
    lay();
    const good = await goodChunks(localRemote(store));
    const usualMs = await timedRun(project.root, 'verify', '--repair');
    let killed = 0;
    for (const at of killPoints(kills, 'repair')) {
      lay();
      if (await killedRun(project.root, usualMs, at, 'verify', '--repair')) killed++;
      const left = await goodChunks(localRemote(store));
      expect([...good].filter((chunk) => !left.has(chunk))).toEqual([]);
      expect(await verifyProject(project, { repair: true })).toMatchObject({ code: null });
      await checkRemote(localRemote(store));
      expect(objectsBelow(store, 'quarantine')).toEqual([]);
    }
    expect(killed).toBeGreaterThan(0);
    await checkRemote(localRemote(origin));
  });
});
