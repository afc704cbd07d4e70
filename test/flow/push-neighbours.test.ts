import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { silentProgress } from '../../src/base/progress.ts';
import { type PushResult, push } from '../../src/flow/push.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { Store } from '../../src/store/local-store.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { coverPacks } from '../support/made-tables.ts';
import { listKeys } from '../support/remote-bytes.ts';

/*
 * A local store may have other users, whose clean-ups take away what a push is about to send.
 */

const kib = 1024;
const names = ['a.bin', 'b.bin'];
const store = '.modelstore/store';
const parts = ['index', 'packs'].map((name) => `${store}/${name}`);

/** A project with two files: in a pack each, or in one. */
async function makeTwo({ together }: { readonly together: boolean }) {
  const remote = await emptyRemote();
  const project = await makePlainProject(withRemotes({ origin: remote }));
  for (const name of names) project.write(name, noise(300 * kib, name));
  for (const paths of together ? [names] : names.map((name) => [name])) await project.add(...paths);
  return { project, remote };
}

/** Pushes, and lets something happen between the plan of it and the sending. */
async function pushMeanwhile(
  project: Project,
  paths: readonly string[],
  meanwhile: () => void,
): Promise<PushResult> {
  const workspace = await project.open();
  const { tracked } = await findTargets(workspace, paths, project.root);
  const chosen = await chooseRemote(workspace, 'memory://origin', project.root);
  let isFirst = true;
  const start = (): void => {
    if (isFirst) meanwhile();
    isFirst = false;
  };
  return push(workspace, tracked, chosen, { progress: { ...silentProgress, start } });
}

function removePacks(project: Project): void {
  for (const part of parts) fs.rmSync(project.at(part), { recursive: true });
}

describe.each([
  ['packs', names],
  ['chunks of a pack', ['a.bin']],
])('a push of %s that are taken out of the store', (_, paths) => {
  it('says which paths lack their data, and names nothing on the remote', async () => {
    const { project, remote } = await makeTwo({ together: true });
    const pushing = pushMeanwhile(project, paths, () => removePacks(project));
    await expect(pushing).rejects.toMatchObject({
      code: 'objects-missing',
      message: expect.stringContaining('a.bin'),
    });
    expect(await listKeys(remote, 'roots/')).toEqual([]);
    await checkRemote(remote);
  });

  it('sends the same chunks from where they are now', async () => {
    const { project, remote } = await makeTwo({ together: true });
    const { project: other } = await makeTwo({ together: false });
    const result = await pushMeanwhile(project, paths, () => {
      removePacks(project);
      for (const part of parts) fs.cpSync(other.at(part), project.at(part), { recursive: true });
    });
    expect(result).toMatchObject({ packsSent: paths.length });
    expect(await checkRemote(remote)).toBe(1);
  });
});

it('a pack that is gone is told as missing, not as damaged', async () => {
  const { project } = await makeTwo({ together: true });
  coverPacks(project.at(`${store}/tables`), project.at(store));
  const opened = new Store(project.at(store));
  const [pack] = opened.index().packs();
  expect(opened.index().counts).toMatchObject({ tables: 1, fresh: 0 });
  removePacks(project);
  expect(() => opened.footerOf(pack as NonNullable<typeof pack>)).toThrow(
    expect.objectContaining({ code: 'objects-missing' }),
  );
});
