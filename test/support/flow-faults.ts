import * as fs from 'node:fs';
import { fetch } from '../../src/flow/fetch.ts';
import { push } from '../../src/flow/push.ts';
import { trackedInWorkspace } from '../../src/flow/tracked.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { bytesSource } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { emptyRemote, makePlainProject, type Project } from './flow-project.ts';
import { noise } from './flow-scratch.ts';
import { readObject } from './remote-bytes.ts';

/** Makes another remote in memory that holds the same. */
export async function copyOfRemote(remote: RemotePruner): Promise<RemotePruner> {
  const copy = memoryRemote();
  for await (const { key } of remote.list('')) {
    await copy.create(key, bytesSource(await readObject(remote, key)));
  }
  return copy;
}

/** A push that can be made to any number of copies of one remote. */
export interface Pushing {
  readonly project: Project;
  /** What the remote holds before it. */
  readonly before: RemotePruner;
  readonly rootsAfter: number;
  /** Pushes with one request at a time, knowing nothing of an earlier push. */
  push(remote: RemotePruner): Promise<void>;
}

async function pushAll(project: Project, remote: RemotePruner): Promise<void> {
  fs.rmSync(project.at('.modelstore/store/remotes'), { recursive: true, force: true });
  const workspace = await project.open();
  const { tracked } = trackedInWorkspace(workspace);
  await push(workspace, tracked, { name: 'test', remote: counting(remote) }, { jobs: 1 });
}

/** Some files of one and of many chunks, in several packs of the store. */
async function withFirstVersion(): Promise<Project> {
  const project = await makePlainProject();
  project.write('big.bin', noise(900_000, 'big'));
  await project.add('big.bin');
  project.write('m/a', noise(300_000, 'a'));
  project.write('m/b', noise(100_000, 'b'));
  project.write('m/run', 'echo', 0o755);
  await project.add('m');
  return project;
}

/** A push to an empty remote: whole packs. */
export async function firstPush(): Promise<Pushing> {
  const project = await withFirstVersion();
  const before = await emptyRemote();
  return { project, before, rootsAfter: 1, push: (remote) => pushAll(project, remote) };
}

/** A push to a remote that has a part: a whole pack, and a part of another one that is packed anew. */
export async function secondPush(): Promise<Pushing> {
  const project = await withFirstVersion();
  const before = await emptyRemote();
  await pushAll(project, before);
  project.write('big.bin', Buffer.concat([noise(900_000, 'big'), noise(400_000, 'tail')]));
  project.write('other.bin', noise(200_000, 'other'));
  await project.add('big.bin', 'other.bin');
  // What is not pushed any more leaves a pack of which a part is wanted.
  fs.rmSync(project.at('other.bin.mstore'));
  project.write('m/c', noise(250_000, 'c'));
  await project.add('m');
  return { project, before, rootsAfter: 2, push: (remote) => pushAll(project, remote) };
}

/** A workspace with the pointers of another and an empty store. */
export async function emptyCopyOf(project: Project, chosen: readonly string[]): Promise<Project> {
  const copy = await makePlainProject();
  for (const name of chosen) copy.write(`${name}.mstore`, project.read(`${name}.mstore`));
  return copy;
}

/** Fetches everything a workspace tracks, with one request at a time. */
export async function fetchAll(project: Project, remote: RemotePruner): Promise<void> {
  const workspace = await project.open();
  const { tracked } = trackedInWorkspace(workspace);
  await fetch(workspace, tracked, { name: 'test', remote: counting(remote) }, { jobs: 1 });
}
