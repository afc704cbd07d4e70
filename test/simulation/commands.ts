import * as path from 'node:path';
import { type ErrorCode, isMstoreError } from '../../src/base/errors.ts';
import { add } from '../../src/flow/add.ts';
import { checkoutTo } from '../../src/flow/checkout-to.ts';
import { deploy, type MoveResult, promote, rollback } from '../../src/flow/environments.ts';
import { fetch } from '../../src/flow/fetch.ts';
import { fetchRegistry } from '../../src/flow/fetch-registry.ts';
import { findFetchTargets } from '../../src/flow/fetch-targets.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { type Tracked, trackedInWorkspace } from '../../src/flow/tracked.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import type { Chance } from './chance.ts';
import { cleanRemote, cleanStore, takeBackMarks } from './cleaning.ts';
import type { Program } from './client.ts';
import { trackedNames, writeContent } from './content.ts';
import type { Host } from './host.ts';
import type { Ledger } from './ledger.ts';
import type { Weather } from './weather.ts';

/** How often each command is given, relative to the others. */
const weights = {
  change: 5,
  push: 6,
  pull: 4,
  register: 4,
  deploy: 4,
  promote: 2,
  rollback: 2,
  state: 2,
  fetchRegistry: 2,
  pullVersion: 2,
  loseStore: 0.5,
  gc: 4,
  gcUndo: 0.5,
  gcLocal: 1,
};
export type CommandKind = keyof typeof weights;
/** The same where much is cleaned up: what was pushed is given up, and pushed again by others. */
const weightsCleaning: Readonly<Record<CommandKind, number>> = {
  ...weights,
  ...{ change: 3, push: 10, pull: 3, register: 2, deploy: 1, promote: 0.2, rollback: 0.2 },
  ...{ fetchRegistry: 0.5, pullVersion: 1, loseStore: 0.2, gc: 9, gcUndo: 0.7, gcLocal: 0.5 },
};
const weightsWithoutVersions: Readonly<Record<CommandKind, number>> = {
  ...weightsCleaning,
  ...{
    register: 0,
    deploy: 0,
    promote: 0,
    rollback: 0,
    state: 0,
    fetchRegistry: 0,
    pullVersion: 0,
  },
};
/** Workspaces that share a store fill it, and clean it up. */
const weightsSharing: Readonly<Record<CommandKind, number>> = {
  ...weightsWithoutVersions,
  ...{ change: 12, push: 4, pull: 12, gc: 1, gcUndo: 0.2, gcLocal: 14, loseStore: 0 },
};

const beginning: readonly CommandKind[] = ['change', 'register', 'push', 'deploy'];
const beginningCleaning: readonly CommandKind[] = ['change', 'push'];

const models = ['m1', 'm1', 'm1', 'm2'] as const;
const versions = ['v1', 'v2', 'v3'] as const;
const environments = ['staging', 'production'] as const;

/** What is refused by rule, whatever the network does. */
const refusals: Readonly<Record<CommandKind, readonly ErrorCode[]>> = {
  change: [],
  loseStore: [],
  push: ['version-exists', 'histories-differ', 'locked'],
  pull: [],
  register: ['version-exists', 'name-taken', 'usage', 'objects-missing'],
  deploy: ['lost-race', 'not-pushed', 'unknown-model', 'unknown-version', 'version-retired'],
  promote: [
    'lost-race',
    'not-pushed',
    'unknown-model',
    'unknown-version',
    'unknown-environment',
    'version-retired',
  ],
  rollback: [
    'lost-race',
    'not-pushed',
    'unknown-model',
    'unknown-version',
    'unknown-environment',
    'no-earlier-version',
    'version-retired',
  ],
  state: ['lost-race', 'not-pushed', 'unknown-model', 'unknown-version', 'version-in-use'],
  fetchRegistry: [],
  pullVersion: ['unknown-model', 'unknown-version'],
  gc: ['locked'],
  gcUndo: ['locked'],
  gcLocal: [],
};
/** What the two sides of a registry say differently stops all that touches it. */
const differing: readonly ErrorCode[] = ['version-exists', 'histories-differ'];

const untouching: readonly CommandKind[] = [
  'change',
  'loseStore',
  'pull',
  'gc',
  'gcUndo',
  'gcLocal',
];

/** What a command is carried out with. */
export interface Setting {
  readonly host: Host;
  readonly program: Program;
  readonly chance: Chance;
  readonly ledger: Ledger;
  readonly weather: Weather;
  /** When the command began, milliseconds since the beginning of the simulation. */
  readonly began: number;
  /** Counts something worth knowing. */
  readonly count: (what: string) => void;
}

/** Draws the kind of a host's command of this number; most begin with something to push. */
export function drawKind(
  chance: Chance,
  weather: Weather,
  { shared }: Host,
  { id, number }: { readonly id: string; readonly number: number },
): CommandKind {
  const { isForCleaning, hasVersions } = weather;
  const start = (hasVersions ? beginning : beginningCleaning)[number - 1];
  if (start !== undefined && chance.happens(0.9, id, 'as usual')) return start;
  if (shared !== undefined) return chance.weighted(weightsSharing, id, 'kind');
  const cleaning = hasVersions ? weightsCleaning : weightsWithoutVersions;
  return chance.weighted(isForCleaning ? cleaning : weights, id, 'kind');
}

/** Tells whether a command may be refused with this code though nothing is wrong. */
export function mayBeRefused(kind: CommandKind, error: unknown): boolean {
  const touchesRegistry = !untouching.includes(kind);
  return (
    isMstoreError(error, ...refusals[kind]) ||
    (touchesRegistry && isMstoreError(error, ...differing))
  );
}

/**
 * Carries out a command as the command line does, and tells the ledger what was acknowledged.
 * @returns the end of the command in a few words
 */
export async function carryOut(kind: CommandKind, setting: Setting): Promise<string> {
  return doings[kind](setting);
}

const doings: Readonly<Record<CommandKind, (setting: Setting) => Promise<string>>> = {
  async change(setting) {
    const { host, program, chance, ledger, weather } = setting;
    const id = program.name;
    const name = chance.pick(trackedNames, id, 'name');
    writeContent(host.root, name, { chance, id, variety: weather.variety });
    const workspace = await host.open(program);
    await add(workspace, [name]);
    const item = trackedInWorkspace(workspace).tracked.find((one) => one.path === name) as Tracked;
    const { kind, sha256 } = item.pointer;
    const state =
      kind === 'tree'
        ? stateOf(path.join(host.root, name))
        : { [name]: stateOf(host.root)[name] as string };
    ledger.added(item, state);
    acknowledged(setting, workspace, item);
    return `added ${name} as ${sha256.slice(0, 8)}`;
  },

  async loseStore({ host }) {
    if (host.hasTwoShells || host.shared) return 'another command needs the store';
    host.loseStore();
    return 'the store is gone';
  },

  async push({ host, program, ledger }) {
    ledger.begins(program.name, host.repository);
    const workspace = await host.open(program);
    const { tracked } = trackedInWorkspace(workspace);
    const registry = await localRegistry(workspace);
    const before = await ledger.readRegistry(registry);
    const chosen = await host.choose(workspace);
    const { result, conflicts } = await pushWithVersions(workspace, tracked, chosen, {
      registry: 'all',
    });
    const after = await ledger.readRegistry(registry);
    ledger.pushed(program.name, tracked, { before, after }, conflicts);
    return `sent ${result.packsSent} packs, ${conflicts.length} conflicts`;
  },

  async pull(setting) {
    const { program, chance, ledger, host } = setting;
    const item = ledger.choosePublished(chance, program.name);
    if (item === undefined) return 'nothing was pushed yet';
    const workspace = await host.open(program);
    await bring(setting, workspace, item);
    return `has ${item.path} as ${item.pointer.sha256.slice(0, 8)}`;
  },

  async pullVersion(setting) {
    const { host, program } = setting;
    const workspace = await host.open(program);
    const { model, version } = await drawVersion(setting, workspace);
    const reference = `${model}@${version}`;
    const remotes = async () => [await host.choose(workspace)];
    const parts = { cwd: host.root, remotes };
    const { targets } = await findFetchTargets(workspace, [reference], parts);
    const [item] = targets.tracked;
    if (item === undefined) throw new Error(`${reference} gives nothing`);
    await bring(setting, workspace, item);
    return `has ${reference}`;
  },

  async register(setting) {
    const { host, program, chance } = setting;
    const workspace = await host.open(program);
    const { tracked } = trackedInWorkspace(workspace);
    if (tracked.length === 0) return 'nothing is tracked';
    const { path: chosen } = chance.pick(tracked, program.name, 'path');
    const { model, version } = drawName(setting);
    const target = { model, version, path: chosen, description: program.name };
    const { created } = await register(workspace, target);
    return `${model}@${version} ${created ? 'is new' : 'was there'}`;
  },

  async deploy(setting) {
    const workspace = await setting.host.open(setting.program);
    const environment = drawEnvironment(setting);
    const target = { ...(await drawVersion(setting, workspace)), environment };
    return moved(setting, await deploy(workspace, target, await changeOptions(setting, workspace)));
  },

  async promote(setting) {
    const workspace = await setting.host.open(setting.program);
    const { model } = await drawVersion(setting, workspace);
    const target = { model, from: 'staging', to: 'production' };
    return moved(
      setting,
      await promote(workspace, target, await changeOptions(setting, workspace)),
    );
  },

  async rollback(setting) {
    const workspace = await setting.host.open(setting.program);
    const { model } = await drawVersion(setting, workspace);
    const target = { model, environment: drawEnvironment(setting) };
    return moved(
      setting,
      await rollback(workspace, target, await changeOptions(setting, workspace)),
    );
  },

  async state(setting) {
    const { chance, program, ledger } = setting;
    const workspace = await setting.host.open(program);
    const state = chance.pick(['archived', 'deleted', 'active'] as const, program.name, 'state');
    const target = { ...(await drawVersion(setting, workspace)), state };
    const options = await changeOptions(setting, workspace);
    const { unchanged } = await setVersionState(workspace, target, options);
    ledger.entries.appended(
      program.name,
      unchanged ? 'nothing' : options.remote ? 'there' : 'here',
    );
    return `${target.model}@${target.version} is ${state}`;
  },

  async fetchRegistry({ host, program, chance }) {
    const workspace = await host.open(program);
    const takeHistory = chance.happens(0.5, program.name, 'take');
    const { records, failures } = await fetchRegistry(workspace, [await host.choose(workspace)], {
      takeHistory,
    });
    if (failures[0] !== undefined) throw failures[0].error;
    return `${records} records`;
  },

  gc: cleanRemote,
  gcUndo: takeBackMarks,
  gcLocal: cleanStore,
};

/** Fetches a path, writes it to a folder of its own, and compares every byte. */
export async function bring(setting: Setting, workspace: Workspace, item: Tracked): Promise<void> {
  const { host, ledger, program } = setting;
  ledger.wants(program.name, item);
  await fetch(workspace, [item], await host.choose(workspace));
  acknowledged(setting, workspace, item);
  const to = path.join(scratchFolder(), 'out');
  await checkoutTo(workspace, [item], to);
  ledger.checkContent(item, stateOf(to));
}

/** In a store that is shared, what a command has put there stays until it is given up. */
function acknowledged(
  { host, program, ledger, began }: Setting,
  { store }: Workspace,
  item: Tracked,
): void {
  const by = { name: program.name, repository: host.repository, began };
  const broken = host.shared?.acknowledged([item], by, store);
  if (broken !== undefined) ledger.fail(broken);
}

function moved({ program, ledger }: Setting, result: MoveResult): string {
  const { model, environment, version, number, remote } = result;
  if (number === undefined) {
    ledger.entries.appended(program.name, 'nothing');
    return `${version} is live in ${environment} of ${model} already`;
  }
  ledger.entries.appended(program.name, remote === undefined ? 'here' : 'there', number);
  return `${version} is live in ${environment} of ${model} by entry ${number}`;
}

/** Most changes are decided on the remote; some on the host alone, and meet others when they are pushed. */
async function changeOptions(
  { chance, program, host }: Setting,
  workspace: Workspace,
): Promise<{ remote?: Awaited<ReturnType<Host['choose']>>; reason: string }> {
  const reason = program.name;
  if (chance.happens(0.1, reason, 'local')) return { reason };
  return { reason, remote: await host.choose(workspace) };
}

/** Chooses a name for a new version, or one that is there. */
function drawName({ chance, program }: Setting): { model: string; version: string } {
  return {
    model: chance.pick(models, program.name, 'model'),
    version: chance.pick(versions, program.name, 'version'),
  };
}

/** Chooses a version that this host knows of, if it knows of any. */
async function drawVersion(
  setting: Setting,
  workspace: Workspace,
): Promise<{ model: string; version: string }> {
  const { chance, program } = setting;
  const known = (await (await localRegistry(workspace)).names()).flatMap((names) =>
    [...names.versions].sort().map((version) => ({ model: names.model, version })),
  );
  if (known.length === 0 || chance.happens(0.03, program.name, 'any')) return drawName(setting);
  return chance.pick(known, program.name, 'known');
}

function drawEnvironment({ chance, program }: Setting): string {
  return chance.pick(environments, program.name, 'environment');
}
