import { cleanUp, takeBack } from '../../src/flow/gc/gc.ts';
import { localPlace, remotePlace } from '../../src/flow/gc/place.ts';
import { chooseToClear } from '../../src/flow/remotes.ts';
import { trackedInWorkspace } from '../../src/flow/tracked.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import type { Setting } from './commands.ts';
import { remoteUrl } from './host.ts';
import { blobsOf } from './oracle.ts';

/**
 * Cleans the remote up. Sometimes everything that a repository has pushed is given up: nothing of it needs to be
 * kept from then on but what others need.
 */
export async function cleanRemote(setting: Setting): Promise<string> {
  const { host, program, chance, ledger, weather } = setting;
  // Clean-ups rely on listings that are never behind.
  if (weather.lagMs > 0) return 'is not for such a service';
  const workspace = await host.open(program);
  const place = await placeOf(setting, workspace);
  const forget = chance.happens(0.5, program.name, 'forget')
    ? [ledger.drawRepository(chance, program.name)]
    : [];
  for (const repository of forget) ledger.forgets(program.name, repository);
  const { marked, rewritten, swept, pending } = await cleanUp(workspace, place, {
    graceMs: weather.graceMs,
    forget,
    rewriteShare: chance.pick([0.1, 0.5, 2], program.name, 'rewrite'),
  });
  ledger.forgotten(program.name);
  if (swept.packs > 0) setting.count('gc that removed packs');
  if (swept.rescued > 0) setting.count('gc that rescued packs');
  if (rewritten.packs > 0) setting.count('gc that rewrote packs');
  return `marked ${marked.packs} packs, rewrote ${rewritten.packs}, removed ${swept.packs}, ${swept.recipes} recipes and ${swept.roots} roots, ${pending.length} wait`;
}

/** Takes all marks back. */
export async function takeBackMarks(setting: Setting): Promise<string> {
  const { host, program } = setting;
  const workspace = await host.open(program);
  const { marks } = await takeBack(workspace, await placeOf(setting, workspace), undefined);
  return `${marks.length} marks are taken back`;
}

/** Cleans the local store up; what the pointers name must be there afterwards if it was before. */
export async function cleanStore({ host, program, ledger, weather }: Setting): Promise<string> {
  if (host.hasTwoShells) return 'another command needs the store';
  const workspace = await host.open(program);
  const { store } = workspace;
  const blobs = trackedInWorkspace(workspace).tracked.flatMap(({ pointer }) => blobsOf(pointer));
  const here = blobs.filter((blob) => store.has(blob));
  const { swept } = await cleanUp(workspace, await localPlace(workspace), {
    graceMs: weather.graceMs,
  });
  store.reopen();
  for (const blob of here) {
    if (!store.has(blob)) ledger.fail(`${program.name} lost ${blob}, which a pointer names`);
  }
  return `removed ${swept.packs} packs and ${swept.recipes} recipes`;
}

async function placeOf({ host }: Setting, workspace: Workspace) {
  return remotePlace(workspace, await chooseToClear(workspace, remoteUrl, host.root));
}
