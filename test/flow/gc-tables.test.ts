import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { Store } from '../../src/store/local-store.ts';
import { RemoteStore } from '../../src/store/remote-store.ts';
import { projectAt, withRemotes } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { cleaners, makeGcProject } from '../support/gc.ts';
import { coverPacks } from '../support/made-tables.ts';

/*
 * What is kept here of a remote, chunk tables and index objects, is no more than a memory of it: when it is gone, or
 * wrong, a clean-up must not take that for damage of the remote.
 */

/**
 * Two files and a directory on a remote. Of one file nothing is here, of the rest the index object of their pack, and a
 * chunk table that covers it.
 */
async function scene() {
  const { project, remote, clock } = await makeGcProject();
  project.write('m.bin', noise(3_000_000, 'm'));
  // The list of so many is in no pointer.
  for (let n = 0; n < 300; n++) project.write(`d/${n}`, noise(100, `file ${n}`));
  await project.add('m.bin', 'd');
  await project.push();
  const store = project.at('.modelstore/store');
  const { id } = await RemoteStore.open(remote, new Store(store));
  const kept = path.join(store, 'remotes', id);
  fs.mkdirSync(kept, { recursive: true });
  coverPacks(path.join(kept, 'tables'), store);
  fs.renameSync(path.join(store, 'index'), path.join(kept, 'index'));
  fs.rmSync(path.join(store, 'packs'), { recursive: true });
  project.write('n.bin', noise(300_000, 'n'));
  await project.add('n.bin');
  await project.push();
  for (const name of ['index', 'packs']) fs.rmSync(path.join(store, name), { recursive: true });
  const cleanerOf = (place: RemotePruner) =>
    cleaners(projectAt(project.root, withRemotes({ origin: place }, { clock })));
  return { remote, kept, cleanerOf };
}

it('a clean-up asks the remote for index objects that are gone here', async () => {
  const { remote, kept, cleanerOf } = await scene();
  let gone = 0;
  const place: RemotePruner = {
    ...remote,
    async *get(key, ...rest) {
      // The table has been taken up then, and no chunk was looked for in it yet.
      if (key.startsWith('index/') && gone++ === 0) {
        fs.rmSync(path.join(kept, 'index'), { recursive: true });
      }
      yield* remote.get(key, ...rest);
    },
  };
  const { kept: found } = await cleanerOf(place).gcRemote({ graceMs: 0 });
  // One that was never here, and the one that is gone.
  expect(gone).toBe(2);
  expect(found).toMatchObject({ packs: 2, blobs: 303 });
});

it('a clean-up still says what the remote lacks', async () => {
  const { remote, cleanerOf } = await scene();
  for await (const { key } of remote.list('packs/')) await remote.delete(key);
  await expect(cleanerOf(remote).gcRemote({ graceMs: 0 })).rejects.toMatchObject({
    code: 'corrupt-remote',
    message: expect.stringContaining('lacks data'),
  });
});
