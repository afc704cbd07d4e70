import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/base/digest.ts';
import { deploy } from '../../src/flow/environments.ts';
import { fetchRegistry } from '../../src/flow/fetch-registry.ts';
import { pushToAll } from '../../src/flow/push-all.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { chooseFetchRemotes } from '../../src/flow/several-remotes.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { BlobWriter } from '../../src/store/blob-writer.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import { listKeys } from '../support/remote-bytes.ts';

/*
 * A registry may name versions whose data is not here. Wherever it is pushed to, nothing may be named there that is
 * not there, what can be sent is sent, and what is left out is never taken for sent.
 */

const origin = 'memory://origin';
const depot = 'memory://depot';

/** Two remotes, and a workspace with three versions, of which two are pushed to the first remote. */
async function setUp() {
  const remotes = { origin: await emptyRemote(origin), depot: await emptyRemote(depot) };
  const open = withRemotes(remotes);
  const one = await makePlainProject(open);
  for (const version of ['v1', 'v2']) {
    await addVersion(one, version);
    await deploy(await one.open(), { model: 'bert', version, environment: 'production' });
  }
  const [outcome] = await pushed(one, origin);
  expect(outcome?.error).toBeUndefined();
  return { remotes, open, one };
}

async function addVersion(project: Project, version: string): Promise<void> {
  project.write('bert/weights', noise(300_000, version));
  project.write('bert/config', `{"version":"${version}"}`);
  await project.add('bert');
  await register(await project.open(), { model: 'bert', version });
}

/** Pushes all of the registry, as the command does. */
async function pushed(project: Project, remote: string) {
  const workspace = await project.open();
  const chosen = await chooseRemote(workspace, remote, project.root);
  return pushToAll(workspace, [], [chosen], { registry: 'all' });
}

/** A workspace that knows what the first remote says of the versions, and has the data of the second one. */
async function clone(open: Parameters<typeof makePlainProject>[0]): Promise<Project> {
  const project = await makePlainProject(open);
  const workspace = await project.open();
  await fetchRegistry(workspace, await chooseFetchRemotes(workspace, [origin], project.root));
  await project.fetch(['bert@v2'], origin);
  return project;
}

/** Brings the list of the files of a version, and none of them. */
async function copyFileList(from: Project, to: Project, version: string): Promise<void> {
  const workspace = await from.open();
  const found = await (await localRegistry(workspace)).record('bert', version);
  const reader = new BlobReader(workspace.store);
  const list = Buffer.concat(
    [...reader.read(found?.value.content.sha256 as Digest)].map((part) => Buffer.from(part)),
  );
  reader.close();
  const { store } = await to.open();
  const writer = new BlobWriter(store);
  try {
    store.prepareWriting();
    await writer.addBytes(list);
    await writer.finish();
  } finally {
    writer.close();
  }
}

const record = (version: string) => `refs/models/bert/versions/${version}.json`;
const entry = (number: number) =>
  `refs/models/bert/environments/production/${String(number).padStart(8, '0')}.json`;

describe('a push of a registry that names versions whose data is not here', () => {
  it('sends the others, and ends with the error that names them and the way out', async () => {
    const { remotes, open } = await setUp();
    const two = await clone(open);
    const [outcome] = await pushed(two, depot);
    expect(outcome).toMatchObject({
      result: { recordsSent: 1 },
      error: {
        code: 'objects-missing',
        message: expect.stringMatching(/^bert@v1 and the histories that speak of it were left out/),
        hint: expect.stringMatching(/mstore fetch bert@v1/),
        details: { versions: ['bert@v1'] },
      },
    });
    expect(await listKeys(remotes.depot, 'refs/')).toEqual([record('v2')]);
    const [again] = await pushed(two, depot);
    expect(again).toMatchObject({
      result: { recordsSent: 0, chunksSent: 0 },
      error: { code: 'objects-missing' },
    });
    await two.fetch(['bert@v1'], origin);
    const [whole] = await pushed(two, depot);
    expect(whole).toMatchObject({ result: { recordsSent: 3 } });
    expect(whole?.error).toBeUndefined();
    const all = [entry(1), entry(2), record('v1'), record('v2')];
    expect(await listKeys(remotes.depot, 'refs/')).toEqual(all);
  });

  it('sends the record of one that was never here, where the remote is known to have its data', async () => {
    const { remotes, open, one } = await setUp();
    one.write('sole.bin', noise(300_000, 'sole'));
    await one.add('sole.bin');
    await register(await one.open(), { model: 'sole', version: 'v1', path: 'sole.bin' });
    await pushed(one, origin);
    const two = await clone(open);
    const [before] = await pushed(two, depot);
    expect(before?.error?.details).toMatchObject({ versions: ['bert@v1', 'sole@v1'] });
    // The files alone: no record comes along.
    await one.push(['sole.bin'], depot);
    const [outcome] = await pushed(two, depot);
    expect(outcome?.error?.details).toMatchObject({ versions: ['bert@v1'] });
    expect(await listKeys(remotes.depot, 'refs/models/sole/')).toHaveLength(1);
  });

  it('leaves out what is here in part alone: the list of its files', async () => {
    const { remotes, open, one } = await setUp();
    const two = await clone(open);
    await copyFileList(one, two, 'v1');
    const [outcome] = await pushed(two, depot);
    expect(outcome?.error).toMatchObject({
      code: 'objects-missing',
      details: { versions: ['bert@v1'] },
    });
    expect(await listKeys(remotes.depot, 'refs/')).toEqual([record('v2')]);
  });

  it('tells a loss: data of a version that was made here and is gone', async () => {
    const { remotes, one } = await setUp();
    const before = new Set(filesBelow(one.at('.modelstore/store/packs')));
    await addVersion(one, 'v3');
    await addVersion(one, 'v4');
    for (const name of filesBelow(one.at('.modelstore/store/packs'))) {
      const bytes = fs.readFileSync(one.at(`.modelstore/store/packs/${name}`));
      if (!before.has(name) && bytes.includes(noise(300_000, 'v3').subarray(0, 64))) {
        fs.rmSync(one.at(`.modelstore/store/packs/${name}`));
      }
    }
    const [outcome] = await pushed(one, origin);
    expect(outcome?.error).toMatchObject({
      code: 'objects-missing',
      exitCode: 4,
      details: { versions: ['bert@v3'] },
    });
    expect(await listKeys(remotes.origin, 'refs/')).toEqual(
      expect.arrayContaining([record('v1'), record('v2'), record('v4')]),
    );
    expect(await listKeys(remotes.origin, 'refs/')).not.toContain(record('v3'));
  });

  it('leaves nothing out where a damaged pack may hold it: that is to be healed first', async () => {
    const { remotes, one } = await setUp();
    await addVersion(one, 'v3');
    const before = await listKeys(remotes.origin, '');
    for (const name of filesBelow(one.at('.modelstore/store/packs'))) {
      const file = one.at(`.modelstore/store/packs/${name}`);
      const bytes = fs.readFileSync(file);
      if (!bytes.includes(noise(300_000, 'v3').subarray(0, 64))) continue;
      fs.truncateSync(file, bytes.length - 10);
    }
    fs.rmSync(one.at('.modelstore/store/index'), { recursive: true });
    const [outcome] = await pushed(one, origin);
    expect(outcome).not.toHaveProperty('result');
    expect(outcome?.error).toMatchObject({ code: 'corrupt-pack' });
    expect(await listKeys(remotes.origin, '')).toEqual(before);
  });
});
