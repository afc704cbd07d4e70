import { cleanUp, takeBack } from '../../src/flow/gc/gc.ts';
import { localPlace, remotePlace } from '../../src/flow/gc/place.ts';
import { chooseToClear } from '../../src/flow/remotes.ts';
import { trackedInWorkspace } from '../../src/flow/tracked.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import type { Setting } from './commands.ts';
import { remoteUrl } from './host.ts';
import { blobsOf } from './oracle.ts';

/**
 * Cleans the remote up. Mostly everything that one repository has pushed is given up, or what all have: nothing of
 * it needs to be kept from then on but what others need, until it is pushed again.
 */
export async function cleanRemote(setting: Setting): Promise<string> {
  const { host, program, chance, ledger, weather } = setting;
  // Clean-ups rely on listings that are never behind.
  if (weather.lagMs > 0) return 'is not for such a service';
  const workspace = await host.open(program);
  const place = await placeOf(setting, workspace);
  const forget = drawForgotten(setting, ledger.repositories());
  ledger.forgets(program.name, forget);
  const { marked, rewritten, swept, pending } = await cleanUp(workspace, place, {
    graceMs: chance.pick(weather.gracesMs, program.name, 'grace'),
    forget,
    rewriteShare: chance.pick([0.1, 0.5, 2], program.name, 'rewrite'),
  });
  if (swept.packs > 0) setting.count('gc that removed packs');
  if (swept.rescued > 0) setting.count('gc that rescued packs');
  if (rewritten.packs > 0) setting.count('gc that rewrote packs');
  return `marked ${marked.packs} packs, rewrote ${rewritten.packs}, removed ${swept.packs}, ${swept.recipes} recipes and ${swept.roots} roots, ${pending.length} wait`;
}

/** Draws what a clean-up gives up. */
function drawForgotten({ chance, program: { name } }: Setting, all: readonly string[]): string[] {
  const what = chance.weighted({ nothing: 2, one: 3, all: 4 }, name, 'forget');
  if (what === 'nothing' || all.length === 0) return [];
  return what === 'all' ? [...all] : [chance.pick(all, name, 'repository')];
}

/** Takes all marks back. */
export async function takeBackMarks(setting: Setting): Promise<string> {
  const { host, program } = setting;
  const workspace = await host.open(program);
  const { marks } = await takeBack(workspace, await placeOf(setting, workspace), undefined);
  return `${marks.length} marks are taken back`;
}

/**
 * Cleans the local store up; what the pointers name must be there afterwards if it was before. In a store that is
 * shared, what workspaces have put there may be given up.
 */
export async function cleanStore(setting: Setting): Promise<string> {
  const { host, program, chance, ledger, weather } = setting;
  if (host.hasTwoShells) return 'another command needs the store';
  const workspace = await host.open(program);
  const { store } = workspace;
  const pointed = () =>
    trackedInWorkspace(workspace).tracked.flatMap(({ pointer }) => blobsOf(pointer));
  const here = new Set(pointed().filter((blob) => store.has(blob)));
  const forget = drawForgotten(setting, host.shared?.repositories ?? []);
  host.shared?.records.tell(program.name, forget);
  const { swept } = await cleanUp(workspace, await localPlace(workspace), {
    graceMs: chance.pick([0, 0, ...weather.gracesMs], program.name, 'grace'),
    forget,
  });
  store.reopen();
  // What others gave up in a store that is shared goes, whoever still has pointers to it.
  for (const blob of host.shared === undefined ? pointed() : []) {
    if (!here.has(blob) || store.has(blob)) continue;
    ledger.fail(`${program.name} lost ${blob}, which a pointer names`);
  }
  const broken = host.shared?.broken(store);
  if (broken !== undefined) ledger.fail(broken);
  if (swept.packs > 0) setting.count('gcLocal that removed packs');
  return `removed ${swept.packs} packs and ${swept.recipes} recipes`;
}

async function placeOf({ host }: Setting, workspace: Workspace) {
  return remotePlace(workspace, await chooseToClear(workspace, remoteUrl, host.root));
}
